"""The command `zbroker restore`: a backup takes the place of a journal, as a journal with an identity of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

from zjobs.broker.storage import restored
from zjobs.broker.storage.api import MaintenanceError
from zjobs.broker.storage.sqlite import reading
from zjobs.broker.storage.sqlite.database import Database, damage
from zjobs.broker.storage.sqlite.header import LOG, Kind
from zjobs.broker.storage.sqlite.maintenance import copies
from zjobs.broker.storage.sqlite.opening import check_content, finish, open_journal
from zjobs.messages.records import QueuePause
from zjobs.program import clock, lock


def restore(source: str, file: str) -> str:
    """Put a backup in the place of the journal `file`, which no broker may have open. Return a text for the operator.

    The files that were there are moved aside. Raises JournalError, MaintenanceError, OSError; then they are still
    there.
    """
    copies.must_exist(source)
    try:
        held = lock.acquire(Path(file + ".lock"))
    except lock.Locked as error:
        raise MaintenanceError(f"a running broker has {file} open ({error.holder}): end it first", True) from None
    new_id = os.urandom(8).hex()
    try:
        with copies.in_the_making(file) as making:
            copies.copy(source, making)
            with copies.blaming(making, source, file):
                database = open_journal(making, "", kind=Kind.BACKUP)
                check_content(database)
                open_jobs = restored.open_jobs(*reading.queued(database, restored.SHOWN))
                _become_journal(database, new_id, source)
            aside = _replace(making, file)
    finally:
        held.release()
    lines = [f"{file} is journal {new_id} now, restored from {source}, a backup of journal {database.journal_id}"]
    lines += [f"what was there before is {aside} now"] if aside else []
    return "\n".join(lines + open_jobs)


def _become_journal(database: Database, new_id: str, source: str) -> None:
    """Turn the backup into a journal. It has no session: the next worker is not the one that jobs were dispatched to,
    so these are in doubt."""
    paused = _pause(database, source)
    finish(
        database,
        Kind.JOURNAL,
        ("UPDATE journal SET id = ?, moved_to = '', copied_from = ''", (new_id,)),
        ("DELETE FROM session", ()),
        ("DELETE FROM pause", ()),
        ("INSERT INTO pause(owner, reason, since_at) VALUES('', ?, ?)", (paused.reason, paused.since_at)),
    )


def _pause(database: Database, source: str) -> QueuePause:
    """Return the pause with which the journal starts."""
    with damage(database.file):
        before = reading.load(database).pauses
    return restored.pause_after(source, before, clock.wall_ms())


# --- the names -------------------------------------------------------------------------------------------------------


def _replace(making: str, file: str) -> str | None:
    """Give the new journal its name, and the old one, with its log, another, which is returned.

    Wherever this is interrupted, a broker finds the old journal or the new one, or refuses an old one without its log.
    It never finds none, and so never begins with an empty one.
    """
    if not os.path.lexists(file) and not os.path.lexists(file + LOG):
        aside = None
        os.replace(making, file)
    else:
        aside = _free_name(f"{file}.before-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(clock.wall_ms() // 1000))}")
        try:
            _move_aside(file, aside)
            os.replace(making, file)
        except OSError:
            _move_back(aside, file)
            raise
    copies.flush_folder(file)
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
