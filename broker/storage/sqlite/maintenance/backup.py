"""The command `zbroker backup`: a marked copy of a journal, even of one that a broker is using.

The copy is made under another name, checked, and renamed only when it is complete. It is marked from its first byte on,
so no broker takes even a part of it for a journal.
"""

from __future__ import annotations

import os
import re

import zmq

from zjobs.broker.credentials import Credentials
from zjobs.broker.storage.api import MaintenanceError
from zjobs.broker.storage.sqlite import header
from zjobs.broker.storage.sqlite.header import APPLICATION_ID_AT, Kind
from zjobs.broker.storage.sqlite.maintenance import copies
from zjobs.broker.storage.sqlite.opening import check_content, finish, open_journal
from zjobs.messages import codec
from zjobs.messages.requests import ops
from zjobs.messages.requests.queries import Backup, BackupReply
from zjobs.messages.units import Ms
from zjobs.program import endpoints, lock, zap

PAUSE_MS = 300_000
REPLY_MS = 5_000


def backup(file: str, target: str, keys: Credentials | None) -> str:
    """Copy a journal to `target`, which must not exist, and check the copy. Return a sentence.

    If a broker runs on it, that broker leaves the file unchanged meanwhile (the log goes on growing). Raises
    JournalError, MaintenanceError, OSError; then there is no `target`.
    """
    copies.must_exist(file)
    if os.path.lexists(target):
        raise MaintenanceError(f"{target} exists already; choose another name")
    header.kind_of(file)
    with copies.in_the_making(target) as making:
        try:
            with copies.kept_from_brokers(file):
                _copy(file, making)
        except lock.Locked as error:
            _copy_from_running(file, making, error.holder, keys)
        _settle(file, making, target)
        _name(making, target)
    return f"{target} is a sound backup of {file} ({os.stat(target).st_size} bytes)"


def _copy(file: str, making: str) -> None:
    copies.copy_both(file, making, Kind.BACKUP.value.to_bytes(4, "big"), APPLICATION_ID_AT)


def _copy_from_running(file: str, making: str, holder: str, keys: Credentials | None) -> None:
    match = re.search(r"listening at (\S+)", holder)
    if match is None:
        raise MaintenanceError(
            f"{file} is locked by {holder or 'somebody'}, which does not give its address; end that process first",
            True,
        )
    name = os.urandom(8).hex()
    _pause_checkpoints(match[1], file, name, PAUSE_MS, keys)
    try:
        _copy(file, making)
    finally:
        undisturbed = _pause_checkpoints(match[1], file, name, 0, keys).undisturbed
    if not undisturbed:
        raise MaintenanceError("the broker had to write to the journal while it was copied; try again")


def _pause_checkpoints(broker: str, file: str, name: str, pause_ms: int, keys: Credentials | None) -> BackupReply:
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.rcvtimeo = REPLY_MS
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
    """Make one sound and marked file out of the copy and its log."""
    with copies.blaming(making, file, target):
        database = open_journal(making, "", kind=Kind.BACKUP)
        check_content(database)
        finish(database, Kind.BACKUP)


def _name(making: str, target: str) -> None:
    """Give the copy its name, unless another process has used that name meanwhile."""
    try:
        os.link(making, target)
    except FileExistsError:
        raise MaintenanceError(f"{target} exists already; choose another name") from None
    except OSError:  # a file system without hard links
        os.rename(making, target)
    copies.flush_folder(target)
