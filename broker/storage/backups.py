"""`zbroker backup`: a marked copy of a journal, of a running broker too; `zbroker restore`: a journal made of one.

Either is made under another name, looked through, and given its name only when it is complete. A copy is marked from
its first byte on: whatever is left of it, no broker takes it for a journal.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import zmq

from zjobs.broker.credentials import Credentials
from zjobs.broker.storage import check
from zjobs.broker.storage.check import LOG, MaintenanceError
from zjobs.broker.storage.sqlite import (
    APPLICATION_ID_AT,
    CannotCreate,
    Journal,
    JournalError,
    Kind,
    StorageError,
    Unreadable,
    kind_of,
)
from zjobs.messages import codec, ops
from zjobs.messages.records import Paused
from zjobs.messages.requests import Backup, BackupReply
from zjobs.messages.units import Ms
from zjobs.program import endpoints, lock, zap

PAUSE_MS = 300_000
ANSWER_MS = 5_000
SHOWN = 20
REASON = "restored from {}: what was queued in it may have run since; look at it, cancel what has, then resume"


def backup(file: str, target: str, keys: Credentials | None) -> str:
    """Copies a journal to `target`, which must not exist, and looks through the copy. Returns a sentence.

    When a broker runs on it, that broker keeps the file as it is meanwhile (the log goes on growing).
    Raises JournalError, UpkeepError, OSError; then there is no `target`.
    """
    check.must_exist(file)
    if os.path.lexists(target):
        raise MaintenanceError(f"{target} exists already; choose another name")
    kind_of(file)
    with _making(target) as making:
        try:
            with check.kept_from_brokers(file):
                _copy(file, making)
        except lock.Locked as error:
            _copy_from_running(file, making, error.holder, keys)
        _settle(file, making, target)
        _name(making, target)
    return f"{target} is a sound backup of {file} ({os.stat(target).st_size} bytes)"


def restore(source: str, file: str) -> str:
    """Puts a backup in the place of the journal `file`, which no broker may have open. Returns what to tell.

    What was there is moved aside. Raises JournalError, UpkeepError, OSError; then it is still there.
    """
    check.must_exist(source)
    path = Path(file + ".lock")
    try:
        held = lock.acquire(path)
    except lock.Locked as error:
        raise MaintenanceError(f"a running broker has {file} open ({error.holder}): end it first", True) from None
    try:
        with _making(file) as making:
            check.copy(source, making)
            with _blaming(making, source, file):
                journal = Journal.open(making, "", kind=Kind.BACKUP)
                journal.check()
                told = _told(journal)
                was = journal.journal_id
                journal.become(os.urandom(8).hex(), _pause(journal, source))
            aside = _take_place(making, file)
    finally:
        held.release()
    lines = [f"{file} is journal {journal.journal_id} now, restored from {source}, a backup of journal {was}"]
    lines += [f"what was there before is {aside} now"] if aside else []
    return "\n".join(lines + told)


# --- both -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _making(file: str) -> Iterator[str]:
    """A name beside `file` that nobody else uses; nothing is left there."""
    making = f"{file}.{os.urandom(4).hex()}.making"
    try:
        yield making
    finally:
        check.remove(making)


@contextlib.contextmanager
def _blaming(making: str, source: str, target: str) -> Iterator[None]:
    """Names the file that is at fault: the one that was copied when the copy is not sound, the other when the disk
    does not take it."""
    try:
        yield
    except (CannotCreate, Unreadable, StorageError) as error:
        raise MaintenanceError(f"{target} cannot be written: {str(error).replace(making, target)}") from error
    except JournalError as error:
        raise type(error)(str(error).replace(making, source)) from error


# --- backup ---------------------------------------------------------------------------------------------------------


def _copy(file: str, making: str) -> None:
    check.copy_both(file, making, Kind.BACKUP.value.to_bytes(4, "big"), APPLICATION_ID_AT)


def _copy_from_running(file: str, making: str, holder: str, keys: Credentials | None) -> None:
    match = re.search(r"listening at (\S+)", holder)
    if match is None:
        raise MaintenanceError(
            f"{file} is locked by {holder or 'somebody'}, who does not say where to ask; end that process first",
            True,
        )
    name = os.urandom(8).hex()
    _pause_checkpoints(match[1], file, name, PAUSE_MS, keys)
    try:
        _copy(file, making)
    finally:
        undisturbed = _pause_checkpoints(match[1], file, name, 0, keys).undisturbed
    if not undisturbed:
        raise MaintenanceError("the broker had to write to the file meanwhile; try again")


def _pause_checkpoints(broker: str, file: str, name: str, pause_ms: int, keys: Credentials | None) -> BackupReply:
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.rcvtimeo = ANSWER_MS
        if keys is not None:
            zap.call_with(socket, keys.public, keys.secret, keys.public)
        socket.ipv6 = endpoints.is_ipv6(broker)
        socket.connect(broker)
        socket.send(codec.encode(Backup(name, Ms(pause_ms))))
        try:
            reply = codec.decode(socket.recv(), ops.REPLIES)
        except zmq.Again:
            hint = "" if keys else " (if it has keys, name them: --keys DIR)"
            raise MaintenanceError(
                f"the broker at {broker}, which has {file} open, does not answer{hint}", True
            ) from None
    if not isinstance(reply, BackupReply):
        raise MaintenanceError(f"the broker at {broker} refused: {reply.message}", True)
    if not os.path.samefile(reply.journal_file, file):
        raise MaintenanceError(f"the broker at {broker} has another journal, {reply.journal_file}", True)
    return reply


def _settle(file: str, making: str, target: str) -> None:
    """Makes one sound and marked file of the copy and its log."""
    with _blaming(making, file, target):
        journal = Journal.open(making, "", kind=Kind.BACKUP)
        journal.check()
        journal.become_backup()


def _name(making: str, target: str) -> None:
    """Gives the copy its name, unless somebody else has taken it meanwhile."""
    try:
        os.link(making, target)
    except FileExistsError:
        raise MaintenanceError(f"{target} exists already; choose another name") from None
    except OSError:  # a file system without hard links
        os.rename(making, target)
    check.flush_folder(target)


# --- restore --------------------------------------------------------------------------------------------------------


def _pause(journal: Journal, source: str) -> Paused:
    """Nothing may start before somebody has looked: what the backup calls queued may have run after it was made."""
    before = journal.load().paused
    reason = REASON.format(source) + (f". Before that: {before.reason}" if before and before.reason else "")
    return Paused(Ms(time.time_ns() // 1_000_000), reason[:1000])


def _told(journal: Journal) -> list[str]:
    """The jobs that had not ended, in turn."""
    jobs, count = journal.unended(SHOWN)
    if not count:
        return ["no job in it was queued; nothing starts before `zclient resume`"]
    lines = ["nothing starts before `zclient resume`: these jobs had not ended in the backup, and may have run since"]
    lines += [
        f"  {job_id}  {job_type}" + ("  was with the worker" if handed else "") for job_id, job_type, handed in jobs
    ]
    if count > len(jobs):
        lines.append(f"  and {count - len(jobs)} more (zclient list --state queued)")
    return lines


def _take_place(making: str, file: str) -> str | None:
    """The new journal gets its name; the old one, with its log, another, which is returned.

    Whenever this is cut off, a broker finds the old journal or the new one, or refuses an old one without its log;
    never does it find none, and begin with an empty one.
    """
    if not os.path.lexists(file) and not os.path.lexists(file + LOG):
        aside = None
        os.replace(making, file)
    else:
        aside = _free_name(f"{file}.before-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
        try:
            _move_aside(file, aside)
            os.replace(making, file)
        except OSError:
            _move_back(aside, file)
            raise
    check.flush_folder(file)
    return aside


def _move_aside(file: str, aside: str) -> None:
    if os.path.lexists(file):
        try:
            os.link(file, aside)  # so that there is a journal at any time
        except OSError:  # a file system without hard links
            os.rename(file, aside)
    if os.path.lexists(file + LOG):
        os.rename(file + LOG, aside + LOG)


def _move_back(aside: str, file: str) -> None:
    if os.path.lexists(aside + LOG):
        os.rename(aside + LOG, file + LOG)
    if os.path.lexists(file):
        Path(aside).unlink(missing_ok=True)
    elif os.path.lexists(aside):
        os.rename(aside, file)


def _free_name(name: str) -> str:
    number, free = 1, name
    while os.path.lexists(free) or os.path.lexists(free + LOG):
        number += 1
        free = f"{name}-{number}"
    return free
