"""The commands and options of zbroker, from which its command line is parsed and its help pages are made."""

from __future__ import annotations

from functools import partial

from zjobs.messages import codec
from zjobs.messages.fields import MAX_ID
from zjobs.messages.records import Limits
from zjobs.messages.states import Role
from zjobs.program import endpoints, logs
from zjobs.program.cli.options import Command, Option, Program, duration, integer, one_of, size
from zjobs.program.version import VERSION

OK, USAGE_ERROR, ADDRESS_IN_USE, CANNOT_CREATE, DAMAGED, LOCKED, REFUSED = 0, 64, 69, 73, 74, 75, 78

LARGEST = 1 << 31
MOST_WAITING = 250  # half of the replies that one connection may leave unread

SERVE = ("",)
KEYS = ("keys init", "keys add", "keys role", "keys list", "keys revoke", "keys worker")

_count = partial(integer, low=1, high=LARGEST)
_size = partial(size, low=1, high=LARGEST)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes >> 20}MiB"


def read_role(text: str) -> Role:
    """Return the role that a word names. Raises ValueError for any other word."""
    return Role(one_of(text, [role.value for role in Role]))


def _submitting_role(text: str) -> Role:
    return Role(one_of(text, [role.value for role in Role.SUBMITTER.and_above]))


COMMANDS = (
    Command("", "", ""),
    Command(
        "check",
        "FILE",
        "look for damage in a journal",
        """\
Look for damage in a journal, and change nothing. FILE may be the URL of a journal in
PostgreSQL. No broker may have the journal open.""",
    ),
    Command(
        "backup",
        "FILE TARGET",
        "copy a journal, even while a broker uses it",
        """\
Copy the journal FILE to TARGET, even while a broker uses it, and check the copy. The
copy is marked as a backup, so that no broker takes it for its journal. A journal in
PostgreSQL is backed up with PostgreSQL's own tools.""",
    ),
    Command(
        "restore",
        "BACKUP [JOURNAL]",
        "put a backup in the place of a journal",
        """\
Put BACKUP in the place of JOURNAL (if omitted, the default journal), which no broker
may have open. The files that were there are moved aside. Jobs do not start before
'zclient resume'. If BACKUP is the URL of a database, restore it with PostgreSQL's own
tools first; this command gives its journal a new identity and pauses it.""",
    ),
    Command(
        "copy",
        "FROM TO",
        "move a journal into PostgreSQL, or out of it",
        """\
Move the journal FROM, a file or the URL of a database, to the empty place TO, with all ids
and under the same identity. No broker may have it open. The copy is compared with the
original; from then on no broker starts on FROM. If the copy is interrupted, run the same
command again. Files beside a journal, such as keys and logs, stay where they are.""",
    ),
    Command(
        "keys init",
        "",
        "make the keys of the broker and the worker",
        "Make the keys of the broker and the worker, for use on a network.",
    ),
    Command(
        "keys add",
        "NAME",
        "admit NAME and write its key file",
        "Admit NAME and write its key file.",
    ),
    Command(
        "keys role",
        "NAME ROLE",
        "give NAME another role",
        "Give NAME another role. Its key file stays valid, and a running broker notices at once.",
    ),
    Command("keys list", "", "list who is admitted", "List who is admitted, in which role."),
    Command(
        "keys revoke",
        "NAME",
        "refuse NAME from now on",
        "Refuse NAME from now on. A running broker does so at once.",
    ),
    Command(
        "keys worker", "", "make new keys for the worker", "Make new keys for the worker; the old ones are refused."
    ),
)

OPTIONS = (
    Option(
        "--listen",
        "ENDPOINT",
        "where clients send requests",
        SERVE,
        partial(endpoints.checked, free_port=True),
        default=endpoints.FRONTEND,
    ),
    Option(
        "--events",
        "ENDPOINT",
        "where clients watch jobs; if omitted, the port after --listen",
        SERVE,
        partial(endpoints.checked, free_port=True),
    ),
    Option(
        "--pipe",
        "ENDPOINT",
        "where the worker receives jobs; if omitted, the second port after --listen",
        SERVE,
        endpoints.checked,
    ),
    Option(
        "--reports",
        "ENDPOINT",
        "where the worker reports; if omitted, the third port after --listen",
        SERVE,
        endpoints.checked,
    ),
    Option(
        "--journal",
        "JOURNAL",
        "where jobs are kept: a file, postgresql://USER@HOST/DATABASE, or :memory: to keep nothing on disk; if omitted,"
        " journal.db in the folder zjobs of your state directory (~/.local/state)",
        SERVE,
    ),
    Option(
        "--check",
        "",
        "look at the options, the keys and the format of the journal, and exit; another broker may be running"
        " meanwhile. 'zbroker check FILE' looks for damage",
        SERVE,
    ),
    Option(
        "--require-sync-standby",
        "",
        "with a journal in PostgreSQL: refuse to serve where a commit does not wait for a standby",
        SERVE,
    ),
    Option(
        "--max-data",
        "SIZE",
        f"the data of one job, at most {_mib(codec.MAX_DATA_BYTES)}",
        SERVE,
        partial(size, low=1, high=codec.MAX_DATA_BYTES),
        default=_mib(Limits().data_bytes),
    ),
    Option("--max-result", "SIZE", "the result of one job", SERVE, _size, default=_mib(Limits().result_bytes)),
    Option(
        "--max-output",
        "SIZE",
        "how much of the output of one run is kept, from its end",
        SERVE,
        _size,
        default=_mib(Limits().output_bytes),
    ),
    Option(
        "--max-request",
        "SIZE",
        "the largest request, and the most data that one retry copies",
        SERVE,
        _size,
        default=_mib(Limits().request_bytes),
    ),
    Option(
        "--max-jobs",
        "NUMBER",
        "how many jobs one submit or retry may make",
        SERVE,
        _count,
        default=str(Limits().request_jobs),
    ),
    Option("--max-queued", "NUMBER", "how many jobs may be queued", SERVE, _count, default=str(Limits().queued_jobs)),
    Option(
        "--max-per-owner",
        "NUMBER",
        "how many jobs one owner may have queued",
        SERVE,
        _count,
        default=str(Limits().queued_per_owner),
    ),
    Option(
        "--max-journal",
        "SIZE",
        "refuse new jobs when the journal is larger than this; accepted jobs still run; if omitted, the disk is"
        " the limit",
        SERVE,
        partial(size, low=1, high=MAX_ID),
    ),
    Option("--max-frames", "NUMBER", "how many frames a request may have", SERVE, _count, default=str(Limits().frames)),
    Option(
        "--max-waiting",
        "NUMBER",
        f"how many requests of one connection may wait for jobs, at most {MOST_WAITING}",
        SERVE,
        partial(integer, low=1, high=MOST_WAITING),
        default=str(Limits().waiting_requests),
    ),
    Option(
        "--max-waiting-jobs",
        "NUMBER",
        "how many jobs all waiting requests together may name",
        SERVE,
        _count,
        default=str(Limits().waiting_jobs),
    ),
    Option(
        "--pause-on",
        "EVENT",
        "when to pause the queue: if a worker is lost (lost), if a job fails or a worker is lost (failed), or never",
        SERVE,
        partial(one_of, choices=("never", "lost", "failed")),
        default="never",
    ),
    Option(
        "--keep",
        "DURATION",
        "delete jobs this long after their end; if omitted, never. Time counts only while a broker runs on the"
        " journal, plus at most 24 h of each break",
        SERVE,
        duration,
    ),
    Option(
        "--keep-jobs",
        "NUMBER",
        "delete the oldest ended jobs above this number; if omitted, keep all",
        SERVE,
        _count,
    ),
    Option("--keys", "DIR", "admit only holders of the keys in DIR (see zbroker keys)", SERVE),
    Option("--keys", "DIR", "the folder of keys of the broker that runs on FILE, if it has keys", ("backup",)),
    Option("--keys", "DIR", "the folder of keys; if omitted, the folder keys in your state directory", KEYS),
    Option(
        "--commands-for",
        "ROLE",
        "with keys: the least role that may submit commands, which run as the worker's account (zworker --commands)",
        SERVE,
        _submitting_role,
        default="operator",
    ),
    Option(
        "--insecure",
        "",
        "listen without keys on addresses that other hosts can reach: anybody there can do anything",
        SERVE,
    ),
    Option(
        "--role",
        "ROLE",
        "viewer (sees states), submitter (submits, and may do anything with its own jobs), member (a submitter that"
        " sees the states of others' jobs) or operator (may do everything)",
        ("keys add",),
        read_role,
    ),
    Option(
        "--acts-for",
        "",
        "let the key send requests on behalf of anybody, in any role up to its own: for a gateway that knows its users;"
        " keys role without this option takes the right away",
        ("keys add", "keys role"),
    ),
    Option(
        "--out",
        "FILE",
        "where to write the key file; if omitted, NAME.key in the current directory",
        ("keys add",),
    ),
    logs.LEVEL,
)

ZBROKER = Program(
    "zbroker",
    f"zbroker {VERSION}",
    "zbroker keeps jobs in a journal, answers requests, and dispatches the jobs to one\nworker, one after another.",
    COMMANDS,
    OPTIONS,
    {
        OK: "stopped in order",
        USAGE_ERROR: "wrong usage",
        ADDRESS_IN_USE: "an address is in use",
        CANNOT_CREATE: "the journal or a socket cannot be created or written",
        DAMAGED: "the journal is damaged or unreadable",
        LOCKED: "a running broker has the journal open",
        REFUSED: "the configuration is refused, the file is a backup and not a journal, or there is no standby",
    },
    """\
ENDPOINT is tcp://HOST:PORT or ipc://PATH. The port of --listen and --events may be *, any
free one; that of --pipe and --reports may not, because the broker connects to them.
SIZE is 65536, 64KiB or 1MiB; DURATION is 90s, 5m, 2h or 7d.

When zbroker accepts requests, it prints one line: zbroker ready ENDPOINT. On SIGTERM or
Ctrl+C it answers the requests that it has received, and ends. However it ends, no job is
lost.""",
)
