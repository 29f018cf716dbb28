"""`zbroker check` and `zbroker backup`: looking through a journal, and copying one, of a running broker too."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import zmq

from zjobs.broker.journal import Journal, JournalError
from zjobs.broker.keys import KeyRing
from zjobs.messages import endpoints, lock, wire, zap
from zjobs.messages.types import Backup, BackupReply

HOLD_MS = 300_000
ANSWER_MS = 5_000


class UpkeepError(Exception):
    """It cannot be done; the text is a sentence. `held` : because a running broker has the journal."""

    def __init__(self, message: str, held: bool = False) -> None:
        super().__init__(message)
        self.held = held


def check(file: str) -> str:
    """Looks through a journal that no broker has open, and changes nothing. Returns a sentence.

    Raises JournalError with what is wrong, UpkeepError, OSError.
    """
    if not Path(file).exists():
        raise UpkeepError(f"there is no file {file}")
    try:
        held = lock.acquire(Path(file + ".lock"))
    except lock.Locked as error:
        raise UpkeepError(f"a running broker has {file} open ({error.holder}); check a backup of it", True) from None
    try:
        journal = Journal.open(file, "", as_it_is=True)
        journal.check()
        loaded = journal.load()
        counters = loaded.counters
    finally:
        held.release()
    queued, waiting = sum(map(len, loaded.ready.values())), len(loaded.waiting)
    return (
        f"{file} is sound: journal {journal.journal_id}, {counters.next_id - 1} ids given, {queued} queued, "
        f"{waiting} waiting, {counters.completed} completed, {counters.failed} failed, {counters.cancelled} cancelled"
    )


def backup(file: str, target: str, keys: KeyRing | None) -> str:
    """Copies a journal to `target`, which must not exist, and looks through the copy. Returns a sentence.

    When a broker runs on it, that broker keeps the file as it is meanwhile (the log goes on growing).
    Raises JournalError, UpkeepError, OSError.
    """
    if not Path(file).exists():
        raise UpkeepError(f"there is no file {file}")
    if Path(target).exists():
        raise UpkeepError(f"{target} exists already")
    try:
        held = lock.acquire(Path(file + ".lock"))
    except lock.Locked as error:
        _copy_from_running(file, target, error.holder, keys)
    else:
        try:
            _copy(file, target)
        finally:
            held.release()
    _settle(target)
    return f"{target} is a sound copy of {file} ({os.stat(target).st_size} bytes)"


def _copy_from_running(file: str, target: str, holder: str, keys: KeyRing | None) -> None:
    match = re.search(r"listening at (\S+)", holder)
    if match is None:
        raise UpkeepError(f"{file} is locked by {holder or 'somebody'}, who does not say where to ask", True)
    _hold(match[1], file, HOLD_MS, keys)
    try:
        _copy(file, target)
    finally:
        undisturbed = _hold(match[1], file, 0, keys).undisturbed
    if not undisturbed:
        _remove(target)
        raise UpkeepError("the broker had to write to the file meanwhile; try again")


def _hold(broker: str, file: str, hold_ms: int, keys: KeyRing | None) -> BackupReply:
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.rcvtimeo = ANSWER_MS
        if keys is not None:
            zap.call_with(socket, keys.public, keys.secret, keys.public)
        socket.ipv6 = endpoints.is_ipv6(broker)
        socket.connect(broker)
        socket.send(wire.encode(Backup(hold_ms)))
        try:
            reply = wire.decode(socket.recv(), wire.REPLIES)
        except zmq.Again:
            hint = "" if keys else " (if it has keys, name them: --keys DIR)"
            raise UpkeepError(f"the broker at {broker}, which has {file} open, does not answer{hint}", True) from None
    if not isinstance(reply, BackupReply):
        raise UpkeepError(f"the broker at {broker} refused: {reply.message}", True)
    if not os.path.samefile(reply.journal_file, file):
        raise UpkeepError(f"the broker at {broker} has another journal, {reply.journal_file}", True)
    return reply


def _copy(file: str, target: str) -> None:
    """The file first, then its log: what is committed in between stands whole in the log."""
    for suffix in ("", "-wal"):
        if suffix == "" or Path(file + suffix).exists():
            descriptor = os.open(target + suffix, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with open(file + suffix, "rb") as source, os.fdopen(descriptor, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())


def _settle(target: str) -> None:
    """Makes one sound file of the copy and its log."""
    try:
        journal = Journal.open(target, "")
        journal.check()
        journal.take_up()
        journal.close()
    except JournalError:
        _remove(target)
        raise


def _remove(target: str) -> None:
    for suffix in ("", "-wal"):
        Path(target + suffix).unlink(missing_ok=True)
