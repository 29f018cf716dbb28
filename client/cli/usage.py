"""The commands and options of zclient; its command line is read by this list, and its help pages are made from it."""

from __future__ import annotations

from functools import partial

from zjobs.client.cli import exit_codes
from zjobs.messages.fields import MAX_ID, MAX_PRIORITY
from zjobs.messages.states import JobState
from zjobs.program.cli.options import Command, Option, Program, duration, integer, one_of
from zjobs.program.endpoints import FRONTEND
from zjobs.program.version import VERSION

STATES = [state.value for state in JobState]
MOST_ROWS = 1_000_000_000

SUBMITTING = ("submit", "batch")
CHANGING = ("cancel", "retry", "forget")
SELECTING = (*CHANGING, "wait")

_DATA = """\
Each ARG is a parameter of the type, in order; 'zclient types TYPE' shows what they
are, and the words are converted accordingly: 3 is a number for a parameter that takes
numbers, and text for one that takes text. Lists and maps are written in JSON; '-' is
what standard input has. While the parameters of a type are not known, one ARG at most
may be given, which is text. A job without any has no data, which is not the same as
an empty text. Put '--' before what begins with a dash: zclient {} reverse -- -x"""
_IDS = """\
An ID may be a range, 3-7, which stands for the jobs that there are from 3 to 7. '-'
reads ids from standard input, such as those that submit prints."""
_SELECT = f"""\
{_IDS}

--all, --mine, --state, --type, --name and --owner select jobs in place of IDs; with
IDs, all but --all select among them. Without --state, {{}}."""
_ASKS = """

On a terminal, zclient asks before it does this to a job of somebody else, or to more
than ten jobs that ranges and options select; elsewhere it wants --yes."""


def job_id(text: str) -> int:
    """The id of a job. Raises ValueError with a sentence."""
    try:
        return integer(text, 1, MAX_ID)
    except ValueError:
        raise ValueError(f"{text!r} is not a job id: ids are whole numbers from 1") from None


def job_ids(text: str) -> range:
    """The ids of a job or of a range of jobs: 17, 3-7. Raises ValueError with a sentence."""
    first, dash, last = text.partition("-")
    start = job_id(first or text)
    ids = range(start, (job_id(last) if dash else start) + 1)
    if not ids:
        raise ValueError(f"{text!r} is not a range: the smaller id comes first")
    return ids


def _seconds(text: str) -> float:
    """A duration that is longer than none."""
    seconds = duration(text)
    if not seconds:
        raise ValueError(f"{text!r} must be more than 0")
    return seconds


COMMANDS = (
    Command(
        "submit",
        "TYPE [ARG...]",
        "submit a job and print its id",
        """\
Submit a job and print its id. Once the id is printed, the job is on the broker's
disk and will not be lost.""",
        _DATA.format("submit"),
        common=True,
    ),
    Command(
        "status",
        "[ID...]",
        "show the whole queue, or the state of jobs",
        """\
Without an ID, show the whole queue: the worker, the running job with its progress,
the next 20 jobs, delayed ones and those that ended last. With IDs, show the state
of these jobs, one line each. On a terminal the queue fits its width, in colour
unless NO_COLOR is set; elsewhere it is a table in which nothing is cut.""",
        _IDS,
        common=True,
    ),
    Command(
        "result",
        "ID",
        "print the result of a job",
        "Print the result of a job: text as it is, anything else as JSON. You can print it\nas often as you like.",
        common=True,
    ),
    Command(
        "data",
        "ID",
        "print the data of a job",
        "Print the data that a job was submitted with: text as it is, anything else as JSON.",
    ),
    Command(
        "batch",
        "TYPE [ARG...]",
        "submit a job, wait for it and print its result",
        """\
Submit a job, show its status on stderr while it is waited for, and print its id and
result. With --lines, print one line per job, in order: ID, a tab, and the result, in
which backslash, newline, carriage return and tab are written \\\\, \\n, \\r and \\t.
Ctrl+C ends the wait only; the job goes on.""",
        _DATA.format("batch"),
    ),
    Command(
        "show",
        "ID",
        "show everything known about a job",
        """\
Show everything known about a job: times, request key, sizes, the job it is a copy
of, and the traceback of each attempt that failed.""",
    ),
    Command(
        "log",
        "ID",
        "print what a job printed",
        """\
Print what the last run of a job printed. Only the end of long output is kept; a
note on stderr tells how much is gone.""",
    ),
    Command(
        "list",
        "",
        "list jobs, newest first",
        """\
List jobs, newest first. On a terminal this is a table, cut to its width; elsewhere
the columns are aligned and nothing is cut.""",
        alias="ls",
    ),
    Command(
        "watch",
        "[ID...]",
        "show changes as they happen",
        """\
Show changes as they happen, one line each. With IDs, this ends when those jobs have
ended; without, it shows all jobs until Ctrl+C, and also when the queue is paused or
resumed and when the worker comes or goes. A line begins with the time and the type
of the job, or 'service'. If changes were missed, stderr says so, and the present
state of the jobs follows.""",
        _IDS,
    ),
    Command(
        "top",
        "",
        "show the whole queue, full-screen and live",
        """\
Show the whole queue as status does, full-screen and live. Keys choose a job, open it,
follow what it prints, cancel or retry it, pause the queue and filter the jobs; '?'
shows them. If the broker is lost, the last state stays on the screen until it
answers again. Needs the package textual: pip install 'zjobs[top]'.""",
    ),
    Command(
        "wait",
        "[ID...]",
        "wait until jobs have ended",
        """\
Wait until jobs have ended, and print a line for each as it ends. The exit code is 0
if all completed, 1 if some failed or were cancelled, 3 if some do not exist, and 4
if some did not finish in time.""",
        _SELECT.format("jobs that have not ended are selected"),
    ),
    Command(
        "cancel",
        "[ID...]",
        "cancel jobs, queued or running",
        """\
Cancel jobs, and print what each is now. A queued job is cancelled at once, unless
the worker already has it. A running job is told to end, and killed when its grace
time is over; until then it is 'cancelling'. A job that has ended stays as it is.""",
        _SELECT.format("jobs that have not ended are selected") + _ASKS,
        alias="kill",
    ),
    Command(
        "retry",
        "[ID...]",
        "submit copies of jobs that have ended",
        """\
Submit copies of jobs that have ended, and print the new ids. The old jobs stay as
they are. Either all jobs are copied or none; if they need several requests (more
than 2,000 jobs or 4 MiB of data), those before the first refused one are copied.""",
        _SELECT.format("failed and cancelled jobs are selected") + _ASKS,
    ),
    Command(
        "forget",
        "[ID...]",
        "delete jobs that have ended",
        """\
Delete jobs that have ended, with their data, results and output. A job that has not
ended is kept (exit code 4).""",
        _SELECT.format("jobs that have ended are selected") + _ASKS,
        alias="rm",
    ),
    Command(
        "pause",
        "[REASON]",
        "start no more jobs until resume",
        """\
Start no more jobs until the time is over (--for, --until) or 'zclient resume', even if
the broker restarts. The running job goes on, and a job that the worker already has may
still start: stderr names them. With --wait, it is safe to touch the instrument once the
command has ended with exit code 0. Pauses of several people add up: jobs start again
when the last one has ended. 'zclient info' shows them. Pausing again replaces pauses of
your own that would end earlier.""",
    ),
    Command(
        "resume",
        "",
        "lift your pauses",
        """Lift your own pauses; an operator lifts those that the broker made, too. Jobs start
again if nobody else has paused the queue.""",
    ),
    Command(
        "audit",
        "",
        "show who changed what by hand",
        """\
Show who cancelled, retried, forgot, paused and resumed what, the newest first. A
submitter sees what it did itself. Who has no key is shown as unverified.""",
    ),
    Command(
        "types",
        "[TYPE]",
        "list the job types, and what they take",
        """\
List the job types that the worker knows: their parameters, time limits and
descriptions. With a TYPE, print everything known about it.""",
    ),
    Command(
        "info",
        "",
        "show the broker, its journal and its worker",
        "Show the broker: its version and journal, the worker, and the number of jobs in each\nstate.",
    ),
    Command(
        "services",
        "",
        "show the services of your configuration, each with its state",
        """\
Show the services that ~/.config/zjobs/config.toml names, each with its state; '*'
marks the default. All are asked at once, for 2 s at most. The exit code is that of
the first one that does not answer as it should.""",
        """\
The file has a table for each service, [services.laser] for one. Its field 'broker'
is the address, or a list of addresses as for --broker, and 'key' the path of the key file, relative to the folder of
config.toml ('' means none). The field 'default', before the tables, names the service to use
when none is given.""",
    ),
    Command(
        "completion",
        "SHELL",
        "print what bash, zsh or fish needs to complete command lines",
        """\
Print what a shell (bash, zsh or fish) needs to complete command lines of zclient:
commands, options, types, ids, states and services. Types and ids are those of the
broker that the command line names.""",
        """\
bash: put eval "$(zclient completion bash)" into ~/.bashrc

zsh: put source <(zclient completion zsh) into ~/.zshrc, after compinit

fish: zclient completion fish > ~/.config/fish/completions/zclient.fish""",
    ),
    Command(
        "help",
        "[COMMAND]",
        "show the help of a command",
        "Show the help of a command, as --help does; without COMMAND, the help of zclient.",
    ),
)

OPTIONS = (
    Option(
        "--arg",
        "NAME=VALUE",
        "a parameter by its name; @FILE is what FILE has, and @@ stands for an @ that VALUE begins with",
        SUBMITTING,
        repeatable=True,
    ),
    Option("--file", "FILE", "the bytes of FILE, for a type that takes bytes ('-': standard input)", SUBMITTING),
    Option("--lines", "FILE", "submit a job for each line of FILE, its one ARG ('-': standard input)", SUBMITTING),
    Option(
        "--priority",
        "N",
        f"-{MAX_PRIORITY} to {MAX_PRIORITY}; jobs with a greater one start first (--priority=-5)",
        SUBMITTING,
        partial(integer, low=-MAX_PRIORITY, high=MAX_PRIORITY),
        default="0",
    ),
    Option(
        "--delay",
        "DURATION",
        "do not start the job before this time has passed; other jobs do not wait for it",
        SUBMITTING,
        duration,
        default="0s",
    ),
    Option(
        "--time-limit",
        "DURATION",
        "fail the job if it runs longer than this; if omitted, the limit of its type applies",
        SUBMITTING,
        _seconds,
    ),
    Option(
        "--once",
        "NAME",
        "a name for this request: repeating it under the same name makes no second jobs",
        (*SUBMITTING, "retry"),
    ),
    Option("--name", "NAME", "a name for people, which list and show have", SUBMITTING),
    Option("--comment", "TEXT", "a comment for people, which list and show have", SUBMITTING),
    Option("--follow", "", "print output as it comes, until the job has ended", ("log",), short="-f"),
    Option(
        "--state",
        "STATE",
        f"only jobs in this state: {', '.join(STATES)}",
        ("list", *SELECTING),
        partial(one_of, choices=STATES),
    ),
    Option("--type", "TYPE", "only jobs of this type", ("list", *SELECTING)),
    Option("--mine", "", "only your jobs", ("list", *SELECTING)),
    Option("--owner", "NAME", "only jobs of this person; '*' stands for any text", ("list", *SELECTING)),
    Option("--name", "NAME", "only jobs of this name; '*' stands for any text", ("list", *SELECTING)),
    Option("--since", "DURATION", "only jobs that were submitted in this time: 1d, 90m", ("list",), duration),
    Option("--all", "", "all jobs that the command is for", SELECTING),
    Option("--all", "", "everybody's pauses, as an operator", ("resume",)),
    Option("--for", "DURATION", "end the pause after this time", ("pause",), duration),
    Option("--until", "TIME", "end the pause at 15:00, or at '2026-11-28 15:00'", ("pause",)),
    Option("--reason", "REASON", "why, as REASON", ("pause",)),
    Option("--yes", "", "do not ask", CHANGING, short="-y"),
    Option("--limit", "N", "show at most N jobs", ("list",), partial(integer, low=1, high=MOST_ROWS), default="20"),
    Option(
        "--limit",
        "N",
        "show at most N entries",
        ("audit",),
        partial(integer, low=1, high=MOST_ROWS),
        default="20",
    ),
    Option("--since", "DURATION", "only what was done since, such as 1d", ("audit",), duration),
    Option("--before", "ID", "only jobs with smaller ids; continues an earlier list", ("list",), job_id),
    Option("--output", "FILE", "write it to FILE: bytes and text unchanged", ("result", "data"), short="-o"),
    Option("--wait", "", "wait until the job has finished", ("result",)),
    Option("--wait", "", "wait until each job has ended", ("cancel",)),
    Option(
        "--wait",
        "",
        "wait until nothing runs and nothing can start; Ctrl+C ends the wait, not the pause",
        ("pause",),
    ),
    Option(
        "--max-wait",
        "DURATION",
        "wait no longer than this (exit code 4); includes --wait",
        ("result", "batch", "wait", "cancel", "pause"),
        duration,
    ),
    Option(
        "--raw",
        "",
        "print what jobs wrote unchanged on a terminal too; otherwise control characters are shown there as \\x1b"
        " and the like, because a terminal would act on them",
        ("result", "data", "batch", "show", "log"),
    ),
    Option("--service", "SERVICE", "a service of your configuration, for its broker and its key; see zclient services"),
    Option(
        "--broker",
        "ENDPOINT",
        "the broker, or several addresses of it with commas between, of which the first that answers is used; see"
        " below if omitted",
    ),
    Option("--key", "FILE", "the key file for a broker that has keys; '' means none; see below if omitted"),
    Option(
        "--timeout",
        "DURATION",
        "how long to wait for one answer; this never limits a job",
        read=_seconds,
        default="5s",
    ),
    Option("--json", "", "print one JSON object a line, errors too (on stderr)"),
)

ZCLIENT = Program(
    "zclient",
    f"zclient {VERSION}",
    "zclient talks to a zjobs broker: it submits jobs, shows what became of them, and\nwaits for them.",
    COMMANDS,
    OPTIONS,
    exit_codes.MEANINGS,
    f"""\
The broker is that of --broker, else of --service, else of $ZJOBS_BROKER, else of the
service that $ZJOBS_SERVICE or the default of ~/.config/zjobs/config.toml names, else
{FRONTEND}. The key file is that of --key, else of --service, else of
$ZJOBS_KEY, else of the service by $ZJOBS_SERVICE or default, else
~/.config/zjobs/client.key if that exists.

DURATION is 90, 90s, 5m, 2h or 7d; a bare number is seconds.""",
)
