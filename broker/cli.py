"""The command line of zbroker: options, exit codes, the lock on the journal."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zjobs.broker import credentials
from zjobs.broker.core.core import Rules
from zjobs.broker.credentials import Credentials, KeysError
from zjobs.broker.net.sockets import CannotBind, Config
from zjobs.broker.retention import Keep
from zjobs.broker.service import Broker
from zjobs.broker.storage import backups, check
from zjobs.broker.storage.sqlite import MEMORY, CannotCreate, Journal, JournalError, Misplaced, StorageError
from zjobs.messages import codec
from zjobs.messages.fields import MAX_ID
from zjobs.messages.records import Limits
from zjobs.messages.states import Role
from zjobs.program import endpoints, lock, logs, options
from zjobs.program.version import VERSION

USAGE = """
zbroker: keeps jobs in a journal, answers requests, and hands the jobs to one worker, one after another.

Usage:
  zbroker [options]
  zbroker check FILE
  zbroker backup FILE TARGET [options]
  zbroker restore BACKUP [JOURNAL]
  zbroker keys init [options]
  zbroker keys add NAME [options]
  zbroker keys list [options]
  zbroker keys revoke NAME [options]
  zbroker keys worker [options]

  check       looks through the journal FILE, which no broker may have open, and changes nothing
  backup      copies the journal FILE to TARGET, also while a broker runs on it, checks the copy and marks it,
              so that no broker takes it for a journal
  restore     puts BACKUP in the place of JOURNAL (if omitted, as for --journal), which no broker may have open;
              what was there is moved aside; nothing starts before zclient resume
  keys        makes and manages the keys for use on a network: init makes the broker's and the worker's;
              add admits NAME and writes its key file; revoke refuses it again, in a running broker too;
              worker makes a new pair for the worker

Options:
  --listen ENDPOINT      where clients send requests [default: tcp://127.0.0.1:5570]
  --events ENDPOINT      where clients watch jobs; if omitted, the port after --listen
  --pipe ENDPOINT        where the worker takes jobs; if omitted, the second port after --listen
  --reports ENDPOINT     where the worker reports; if omitted, the third port after --listen
  --journal FILE         where jobs are kept, or :memory: to keep nothing; if omitted, journal.db
                         in the folder zjobs of your state directory (~/.local/state)
  --max-data SIZE        a job's data, 63MiB at most [default: 1MiB]
  --max-result SIZE      a job's result [default: 16MiB]
  --max-output SIZE      of what one run of a job prints, so much is kept, the end [default: 1MiB]
  --max-request SIZE     one request, and the data of all jobs that one retry copies [default: 4MiB]
  --max-jobs NUMBER      jobs that one submit or retry makes [default: 2000]
  --max-queued NUMBER    jobs that may be queued [default: 2000000]
  --max-journal SIZE     what the journal may take: above it no jobs are taken, while those that were are carried
                         out; if omitted, as much as the disk has
  --max-frames NUMBER    frames in one request [default: 16]
  --pause-on EVENT       pause by itself when a worker was lost (lost), when that or a job failed
                         (failed), or never [default: never]
  --keep DURATION        drop jobs so long after their end; if omitted, they are kept. What counts is the time for
                         which a broker ran on the journal, and of each break at most 24 h
  --keep-jobs NUMBER     drop the oldest ended jobs above this number; if omitted, all are kept
  --keys DIR             admit only holders of the keys in DIR (see zbroker keys); for zbroker keys itself
                         the folder keys in your state directory, if omitted
  --role ROLE            for keys add: viewer (sees states), submitter (submits, and does as it likes with its own
                         jobs) or operator (everything)
  --out FILE             for keys add: where the key file of NAME goes; if omitted, NAME.key in this directory
  --max-per-owner NUMBER
                         jobs that one owner may have queued [default: 2000000]
  --insecure             listen on other addresses than this host's own without keys: anybody who
                         reaches them can do anything
  --log-level LEVEL      debug, info, warning or error [default: info]
  -h, --help             show this text
  --version              show the version

ENDPOINT is tcp://HOST:PORT or ipc://PATH. --listen and --events may have the port *, any free one; the others
may not, because the broker dials them. SIZE is such as 65536, 64KiB or 1MiB, DURATION such as 90s, 5m, 2h or 7d.

When it takes requests it prints one line: zbroker ready ENDPOINT. It ends on SIGTERM or Ctrl+C, after it has
answered what it has taken. No job is lost whatever ends it.

Exit codes: 0 ended as told; 64 wrong usage; 69 an address is in use; 73 the journal or a socket cannot be
created or written; 74 the journal is damaged or unreadable; 75 a running broker has the journal open; 78 refused
configuration, or a backup where a journal is meant.
"""

LARGEST = 1 << 31
MOST = {"--max-data": codec.MAX_DATA_BYTES, "--max-journal": MAX_ID}

# The options of each command; those of none belong to the broker itself.
BELONGING: dict[str, tuple[str, ...]] = {
    "add": ("--keys", "--role", "--out"),
    "keys": ("--keys",),
    "backup": ("--keys",),
    "check": (),
    "restore": (),
    "": (),
}

OK, USAGE_ERROR, ADDRESS_IN_USE, CANNOT_CREATE, DAMAGED, LOCKED, REFUSED = 0, 64, 69, 73, 74, 75, 78

log = logging.getLogger("zjobs.broker")


class Refused(Exception):
    """The program will not start, for the reason in the text; `code` is its exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def run(argv: Sequence[str]) -> int:
    """Runs the broker until a signal ends it. Returns the exit code."""
    try:
        values = options.parse(USAGE, list(argv), f"zbroker {VERSION}")
        _check_belonging(argv, values)
        _start_logging(values["--log-level"])
        if values["keys"]:
            return _manage_keys(values)
        if values["check"] or values["backup"] or values["restore"]:
            return _maintain(values)
        return _serve(_config(values), _journal_file(values))
    except options.UsageError as error:
        return _refuse(USAGE_ERROR, error)
    except Refused as error:
        return _refuse(error.code, error)
    except JournalError as error:
        return _refuse(_code_of(error), error)
    except KeysError as error:
        return _refuse(REFUSED, error)
    except CannotBind as error:
        return _refuse(ADDRESS_IN_USE if error.in_use else CANNOT_CREATE, error)


def _check_belonging(argv: Sequence[str], values: dict[str, Any]) -> None:
    """Refuses options that would do nothing. Raises UsageError."""
    command = next((command for command in BELONGING if values.get(command)), "")
    for name in (word.partition("=")[0] for word in argv if word.startswith("--")):
        elsewhere = any(name in names for other, names in BELONGING.items() if other)
        if name != "--log-level" and (name not in BELONGING[command] if command else elsewhere and name != "--keys"):
            raise options.UsageError(f"{name} means nothing " + (f"with {command}" if command else "here"))
    if values["add"] and values["--role"] is None:
        raise options.UsageError("keys add needs a role: --role viewer, submitter or operator")


def _manage_keys(values: dict[str, Any]) -> int:
    directory = Path(values["--keys"] or lock.state_directory() / "keys")
    name = values["NAME"]
    try:
        if values["init"]:
            said = credentials.init(directory)
        elif values["worker"]:
            said = credentials.renew_worker(directory)
        elif values["revoke"]:
            said = credentials.revoke(directory, name)
        elif values["list"]:
            said = credentials.listed(directory)
        else:
            said = credentials.add(directory, name, _role(values["--role"]), Path(values["--out"] or f"{name}.key"))
    except OSError as error:
        raise Refused(CANNOT_CREATE, f"{error.filename or directory}: {error.strerror}") from error
    print(said)
    return OK


def _role(word: str) -> Role:
    try:
        return Role(word)
    except ValueError:
        raise options.UsageError(f"--role must be viewer, submitter or operator, not {word!r}") from None


def _credentials(values: dict[str, Any]) -> Credentials | None:
    try:
        return None if values["--keys"] is None else Credentials(Path(values["--keys"]))
    except OSError as error:
        raise Refused(REFUSED, f"the keys in {values['--keys']} cannot be read: {error.strerror}") from error


def _maintain(values: dict[str, Any]) -> int:
    file = values["FILE"]
    _end_on_sigterm()
    try:
        if values["check"]:
            said = check.check(file)
        elif values["backup"]:
            said = backups.backup(file, values["TARGET"], _credentials(values))
        else:
            file = values["JOURNAL"] or _journal_file(values)
            said = backups.restore(values["BACKUP"], file)
    except check.MaintenanceError as error:
        raise Refused(LOCKED if error.held else CANNOT_CREATE, str(error)) from error
    except OSError as error:
        raise Refused(CANNOT_CREATE, f"{error.filename or file}: {error.strerror}") from error
    print(said)
    return OK


def _end_on_sigterm() -> None:
    """Through whatever tidies up: half a copy is no use to anybody."""

    def end(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)


def _code_of(error: JournalError) -> int:
    if isinstance(error, CannotCreate):
        return CANNOT_CREATE
    return REFUSED if isinstance(error, Misplaced) else DAMAGED


def _serve(config: Config, journal_file: str) -> int:
    _allow_descriptors()
    held = None if journal_file == MEMORY else _lock(journal_file)
    journal = Journal.open(journal_file, os.urandom(8).hex())
    try:
        broker = Broker(config, journal)
        try:
            if held is not None:
                _say_who(held, f"pid {os.getpid()}, listening at {broker.sockets.frontend_at}")
            _stop_on_signals(broker)
            _say_ready(broker)
            broker.run()
        finally:
            signal.set_wakeup_fd(-1)
            broker.close()
    finally:
        try:
            journal.close()
        except StorageError as error:  # what was acknowledged is in the log, where the next broker finds it
            log.warning("the journal could not be tidied up: %s", error)
        if held is not None:
            held.release()
    log.info("ended")
    return OK


def _allow_descriptors() -> None:
    """As many as we may have: each client takes two, and the usual 1,024 are meant for programs that use select()."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS says infinity and takes less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stop_on_signals(broker: Broker) -> None:
    """A handler that only set a flag would not wake the poller; the byte that goes with it does."""
    signal.set_wakeup_fd(broker.sockets.wakeup_sender.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: broker.stop())


def _say_ready(broker: Broker) -> None:
    at = broker.sockets
    log.info(
        "requests at %s, events at %s, worker at %s and %s", at.frontend_at, at.events_at, at.pipe_at, at.reports_at
    )
    with contextlib.suppress(BrokenPipeError):
        print(f"zbroker ready {at.frontend_at}", flush=True)


def _lock(journal_file: str) -> lock.Lock:
    path = Path(journal_file + ".lock")
    try:
        held = lock.acquire(path)
    except lock.Locked as error:
        who = error.holder or "another process"
        raise Refused(LOCKED, f"the journal {journal_file} is open in another broker: {who}") from error
    except OSError as error:
        raise Refused(CANNOT_CREATE, f"the lock {path} cannot be made: {error.strerror}") from error
    _say_who(held, f"pid {os.getpid()}")
    return held


def _say_who(held: lock.Lock, holder: str) -> None:
    try:
        held.write(holder)
    except OSError as error:
        raise Refused(CANNOT_CREATE, f"the lock {held.path} cannot be written: {error.strerror}") from error


def _config(values: dict[str, Any]) -> Config:
    limits = Limits(
        data_bytes=_number(options.size, values, "--max-data"),
        result_bytes=_number(options.size, values, "--max-result"),
        request_bytes=_number(options.size, values, "--max-request"),
        request_jobs=_number(int, values, "--max-jobs"),
        queued_jobs=_number(int, values, "--max-queued"),
        frames=_number(int, values, "--max-frames"),
        queued_per_owner=_number(int, values, "--max-per-owner"),
        output_bytes=_number(options.size, values, "--max-output"),
    )
    if limits.request_bytes < limits.data_bytes + 1024:
        raise Refused(
            REFUSED, "--max-request must be at least 1 KiB more than --max-data, or such a job cannot be sent"
        )
    if values["--pause-on"] not in ("never", "lost", "failed"):
        raise options.UsageError(f"--pause-on must be never, lost or failed, not {values['--pause-on']!r}")
    most = None if values["--max-journal"] is None else _number(options.size, values, "--max-journal")
    rules = Rules(limits, values["--pause-on"], most)
    at = values["--listen"], values["--events"], values["--pipe"], values["--reports"]
    config = Config(*at, rules, _keep(values), _credentials(values))
    try:
        for endpoint, free_port in zip(at, (True, True, False, False)):
            if endpoint is not None:
                endpoints.checked(endpoint, free_port)
        for places in (endpoints.EVENTS, endpoints.PIPE, endpoints.REPORTS):
            endpoints.after(config.listen, places)
    except ValueError as error:
        raise options.UsageError(str(error)) from None
    for endpoint in at[:2]:
        if config.keys is None and not values["--insecure"] and not endpoints.is_local(endpoint or config.listen):
            raise Refused(
                REFUSED,
                f"{endpoint or config.listen} can be reached from other hosts, by anybody: make keys "
                "(zbroker keys init, then --keys DIR), or say --insecure if that is what you want",
            )
    return config


def _keep(values: dict[str, Any]) -> Keep:
    age, number = values["--keep"], values["--keep-jobs"]
    try:
        for_ms = None if age is None else int(options.duration(age) * 1000)
    except ValueError as error:
        raise options.UsageError(f"--keep: {error}") from None
    return Keep(for_ms, None if number is None else _number(int, values, "--keep-jobs"))


def _number(read: Any, values: dict[str, Any], name: str) -> int:
    try:
        number = int(read(values[name]))
    except ValueError as error:
        raise options.UsageError(f"{name}: {error}") from None
    most = MOST.get(name, LARGEST)
    if not 1 <= number <= most:
        raise options.UsageError(f"{name} must be from 1 to {most}")
    return number


def _journal_file(values: dict[str, Any]) -> str:
    given = values["--journal"]
    if given is not None:
        return str(given)
    directory = lock.state_directory()
    try:
        return str(lock.make_private(directory) / "journal.db")
    except OSError as error:
        raise Refused(CANNOT_CREATE, f"the folder {directory} cannot be used: {error.strerror}") from error


def _start_logging(level: str) -> None:
    if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise options.UsageError(f"--log-level must be debug, info, warning or error, not {level!r}")
    logs.start(level.upper(), "zbroker")


def _refuse(code: int, error: Exception) -> int:
    print(f"zbroker: {error}", file=sys.stderr)
    return code
