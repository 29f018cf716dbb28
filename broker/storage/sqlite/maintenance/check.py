"""The command `zbroker check`: looks for damage in a journal or a backup that no broker has open."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zjobs.broker.storage import restored
from zjobs.broker.storage.api import JournalError, MaintenanceError
from zjobs.broker.storage.sqlite import reading
from zjobs.broker.storage.sqlite.database import Database, damage
from zjobs.broker.storage.sqlite.header import LOG, Kind
from zjobs.broker.storage.sqlite.maintenance import copies
from zjobs.broker.storage.sqlite.opening import check_content, open_journal
from zjobs.program import lock


def check(file: str) -> str:
    """Check a file, change nothing, and return a sentence. Raises JournalError that says what is wrong,
    MaintenanceError, OSError."""
    copies.must_exist(file)
    try:
        with copies.kept_from_brokers(file), _readable_place(file) as place:
            database = open_journal(place, "", as_it_is=True, kind=None)
            check_content(database)
            return _summary(file, database)
    except lock.Locked as error:
        raise MaintenanceError(
            f"a running broker has {file} open ({error.holder}); check a backup of it", True
        ) from None


def _summary(file: str, database: Database) -> str:
    with damage(file):
        loaded = reading.load(database)
    what = "a sound backup of" if database.kind is Kind.BACKUP else "sound:"
    return f"{file} is {what} {restored.summary(loaded)}"


@contextlib.contextmanager
def _readable_place(file: str) -> Iterator[str]:
    """Yield the file itself or, where SQLite could not read its log because it may not write there, a copy."""
    writable = os.access(file, os.W_OK) and os.access(Path(file).absolute().parent, os.W_OK)
    if writable or not _has_content(file + LOG):
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="zjobs-check-") as folder:
        place = str(Path(folder, "journal.db"))
        copies.copy_both(file, place)
        try:
            yield place
        except JournalError as error:
            raise type(error)(str(error).replace(place, file)) from error


def _has_content(file: str) -> bool:
    return os.path.exists(file) and os.stat(file).st_size > 0
