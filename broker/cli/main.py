"""The start of zbroker: its configuration from the command line, the lock on the journal, an exit code for each end."""

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

from zjobs.broker import credentials, journals
from zjobs.broker.cli.usage import (
    ADDRESS_IN_USE,
    CANNOT_CREATE,
    DAMAGED,
    LOCKED,
    OK,
    REFUSED,
    USAGE_ERROR,
    ZBROKER,
    read_role,
)
from zjobs.broker.core.admission import Rules
from zjobs.broker.credentials import Credentials, KeysError
from zjobs.broker.net.sockets import CannotBind, Config
from zjobs.broker.retention import Keep
from zjobs.broker.service import Broker
from zjobs.broker.storage.api import (
    CannotCreate,
    Claimed,
    Journal,
    JournalError,
    MaintenanceError,
    Misplaced,
    NotSafe,
    StorageError,
)
from zjobs.messages.records import Limits
from zjobs.messages.states import Role
from zjobs.program import endpoints, lock, logs
from zjobs.program.cli.parse import UsageError, parse
from zjobs.program.notify import Notifier

CODES: dict[type[JournalError], int] = {
    CannotCreate: CANNOT_CREATE,
    Claimed: LOCKED,
    Misplaced: REFUSED,
    NotSafe: REFUSED,
}

log = logging.getLogger("zjobs.broker")


class Refused(Exception):
    """A refusal to start; the text says why. `code`: the exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def run(argv: Sequence[str]) -> int:
    """Run the broker until a signal ends it. Return the exit code."""
    try:
        command, values = parse(ZBROKER, list(argv))
        logs.start(values["--log-level"], "zbroker")
        if command.startswith("keys"):
            return _manage_keys(command, values)
        if command:
            return _maintain(command, values)
        config, file = _config(values), _journal_file(values["--journal"])
        journal = journals.journal_at(file, values["--require-sync-standby"])
        if values["--check"]:
            print(journals.outlook(file))
            return OK
        return _serve(config, journal)
    except UsageError as error:
        return _refuse(USAGE_ERROR, error)
    except Refused as error:
        return _refuse(error.code, error)
    except JournalError as error:
        return _refuse(CODES.get(type(error), DAMAGED), error)
    except KeysError as error:
        return _refuse(REFUSED, error)
    except CannotBind as error:
        return _refuse(ADDRESS_IN_USE if error.in_use else CANNOT_CREATE, error)


def _manage_keys(command: str, values: dict[str, Any]) -> int:
    directory = Path(values["--keys"] or lock.state_directory() / "keys")
    try:
        if command == "keys init":
            outcome = credentials.init(directory)
        elif command == "keys worker":
            outcome = credentials.renew_worker(directory)
        elif command == "keys revoke":
            outcome = credentials.revoke(directory, values["NAME"])
        elif command == "keys list":
            outcome = credentials.listed(directory)
        elif command == "keys role":
            outcome = _change_role(directory, values["NAME"], values["ROLE"], values["--acts-for"])
        else:
            outcome = _add_key(directory, values["NAME"], values["--role"], values["--out"], values["--acts-for"])
    except OSError as error:
        raise Refused(CANNOT_CREATE, f"{error.filename or directory}: {error.strerror}") from error
    print(outcome)
    return OK


def _add_key(directory: Path, name: str, role: Role | None, out: str | None, acts_for: bool) -> str:
    if role is None:
        raise UsageError("keys add needs a role: --role viewer, submitter, member or operator")
    return credentials.add(directory, name, role, Path(out or f"{name}.key"), acts_for)


def _change_role(directory: Path, name: str, word: str, acts_for: bool) -> str:
    try:
        return credentials.change_role(directory, name, read_role(word), acts_for)
    except ValueError as error:
        raise UsageError(f"ROLE {error}") from None


def _credentials(values: dict[str, Any]) -> Credentials | None:
    try:
        return None if values["--keys"] is None else Credentials(Path(values["--keys"]))
    except OSError as error:
        raise Refused(REFUSED, f"the keys in {values['--keys']} cannot be read: {error.strerror}") from error


def _maintain(command: str, values: dict[str, Any]) -> int:
    _end_on_sigterm()
    try:
        print(_maintained(command, values))
    except MaintenanceError as error:
        raise Refused(LOCKED if error.claimed else CANNOT_CREATE, str(error)) from error
    except OSError as error:
        raise Refused(CANNOT_CREATE, f"{error.filename or command}: {error.strerror}") from error
    return OK


def _maintained(command: str, values: dict[str, Any]) -> str:
    if command == "copy":
        return journals.copy(values["FROM"], values["TO"])
    if command == "restore":
        backup: str = values["BACKUP"]
        return journals.maintenance_of(_restored(backup, values["JOURNAL"])).restore(backup)
    maintenance = journals.maintenance_of(values["FILE"])
    return maintenance.check() if command == "check" else maintenance.backup(values["TARGET"], _credentials(values))


def _restored(backup: str, journal: str | None) -> str:
    """Return the journal that `restore` writes. A database is restored already, and the journal is the one in it."""
    return journal or (backup if journals.in_database(backup) else _journal_file(None))


def _end_on_sigterm() -> None:
    """Let SIGTERM raise SystemExit, so that half a copy is tidied up."""

    def end(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)


def _serve(config: Config, journal: Journal) -> int:
    notifier = Notifier()
    _allow_descriptors()
    journal.claim(f"pid {os.getpid()}")
    try:
        broker = Broker(config, journal, notifier)
        try:
            journal.announce(f"pid {os.getpid()}, listening at {broker.sockets.frontend_at}")
            _stop_on_signals(broker)
            _say_ready(broker, journal)
            notifier.ready()
            broker.run()
        finally:
            notifier.stopping()
            signal.set_wakeup_fd(-1)
            broker.close()
    finally:
        try:
            journal.release()
        except StorageError as error:  # acknowledged changes are in the log, where the next broker finds them
            log.warning("the journal could not be tidied up: %s", error)
    log.info("ended")
    return OK


def _allow_descriptors() -> None:
    """Allow as many descriptors as possible. Each client takes two, and the usual limit of 1,024 is for programs that
    use select()."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS claims no limit, and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stop_on_signals(broker: Broker) -> None:
    """Stop the broker on SIGTERM and SIGINT. A handler alone would not wake the poller; the byte written with it
    does."""
    signal.set_wakeup_fd(broker.sockets.wakeup_sender.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: broker.stop())


def _say_ready(broker: Broker, journal: Journal) -> None:
    at = broker.sockets
    log.info("journal %s: what is acknowledged is %s", journal.name, journal.guarantee.text)
    for warning in journal.guarantee.warnings:
        log.warning("%s", warning)
    log.info(
        "requests at %s, events at %s, worker at %s and %s", at.frontend_at, at.events_at, at.pipe_at, at.reports_at
    )
    with contextlib.suppress(BrokenPipeError):
        print(f"zbroker ready {at.frontend_at}", flush=True)


def _config(values: dict[str, Any]) -> Config:
    limits = Limits(
        data_bytes=values["--max-data"],
        result_bytes=values["--max-result"],
        request_bytes=values["--max-request"],
        request_jobs=values["--max-jobs"],
        queued_jobs=values["--max-queued"],
        frames=values["--max-frames"],
        queued_per_owner=values["--max-per-owner"],
        output_bytes=values["--max-output"],
        waiting_requests=values["--max-waiting"],
        waiting_jobs=values["--max-waiting-jobs"],
    )
    if limits.request_bytes < limits.data_bytes + 1024:
        raise Refused(
            REFUSED, "--max-request must be at least 1 KiB more than --max-data, or such a job cannot be sent"
        )
    rules = Rules(limits, values["--pause-on"], values["--max-journal"], values["--commands-for"])
    at = values["--listen"], values["--events"], values["--pipe"], values["--reports"]
    keep_s = values["--keep"]
    keep = Keep(None if keep_s is None else int(keep_s * 1000), values["--keep-jobs"])
    config = Config(*at, rules, keep, _credentials(values))
    try:
        for places in (endpoints.EVENTS, endpoints.PIPE, endpoints.REPORTS):
            endpoints.after(config.listen, places)
    except ValueError as error:
        raise UsageError(f"--listen: {error}") from None
    for endpoint in at[:2]:
        if config.keys is None and not values["--insecure"] and not endpoints.is_local(endpoint or config.listen):
            raise Refused(
                REFUSED,
                f"{endpoint or config.listen} can be reached from other hosts, by anybody: make keys "
                "(zbroker keys init, then --keys DIR), or say --insecure if that is what you want",
            )
    return config


def _journal_file(given: str | None) -> str:
    if given is not None:
        return given
    directory = lock.state_directory()
    try:
        return str(lock.make_private(directory) / "journal.db")
    except OSError as error:
        raise Refused(CANNOT_CREATE, f"the folder {directory} cannot be used: {error.strerror}") from error


def _refuse(code: int, error: Exception) -> int:
    print(f"zbroker: {error}", file=sys.stderr)
    return code
