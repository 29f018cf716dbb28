"""Checks of a file before SQLite may touch it: its name, its neighbours and the bytes of its header."""

from __future__ import annotations

import os
import sqlite3
from enum import Enum
from pathlib import Path

from zjobs.broker.storage.api import JournalError, Misplaced, Unreadable
from zjobs.broker.storage.sqlite import wal
from zjobs.broker.storage.sqlite.schema import APPLICATION_ID, BACKUP_ID, SCHEMA_VERSION

HEADER_BYTES, VERSION_AT, APPLICATION_ID_AT = 100, 60, 68
LOG = "-wal"


class Kind(Enum):
    """A kind of file; the value is the application id in its header (sqlite.org/pragma.html#pragma_application_id). A
    backup is marked, so that no broker runs on a copy beside the journal that it was made of."""

    JOURNAL = APPLICATION_ID
    BACKUP = BACKUP_ID


def refuse_foreign_links(file: str) -> None:
    """Refuse links made by other users: in a folder that others write to, such a link would have us write to any file
    of ours."""
    for name in (file, *(file + suffix for suffix in (LOG, "-shm", "-journal", ".new", ".new-wal", ".new-journal"))):
        if os.path.islink(name) and os.lstat(name).st_uid not in (os.geteuid(), 0):
            raise JournalError(f"{name} is a link that another user made: it is not followed")


def has_content(file: str) -> bool:
    """Return True if there is a file to open. An empty one counts as none, unless it has a log."""
    try:
        if os.path.exists(file) and os.stat(file).st_size > 0:
            return True
        log = Path(file + LOG)
        if log.exists() and log.stat().st_size > 0:
            raise JournalError(f"there is a log {log}, but its journal {file} is gone: put it back beside its log")
    except OSError as error:
        raise Unreadable(f"the journal {file} cannot be read: {error.strerror}") from error
    return False


def kind_of(file: str) -> Kind:
    """Return what the header says `file` is. Raises JournalError if it is neither, or has an unknown format."""
    try:
        with open(file, "rb") as content:
            header = content.read(HEADER_BYTES)
    except OSError as error:
        raise Unreadable(f"the journal {file} cannot be read: {error.strerror or error}") from error
    if len(header) < HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise JournalError(f"the journal {file} is damaged: file is not a database")
    version, application_id = (int.from_bytes(header[at : at + 4], "big") for at in (VERSION_AT, APPLICATION_ID_AT))
    if application_id not in [kind.value for kind in Kind]:
        raise JournalError(f"{file} is an SQLite file, but not a journal of zjobs")
    check_version(file, version)
    return Kind(application_id)


def format_of(file: str) -> str:
    """Return what a broker will make of the file, which may be in use. Raises JournalError if it would refuse it."""
    if not has_content(file):
        return f"there is no journal {file} yet: the broker makes it"
    if kind_of(file) is not Kind.JOURNAL:
        _refuse_misplaced(file, Kind.BACKUP)
    with open(file, "rb") as content:
        version = int.from_bytes(content.read(HEADER_BYTES)[VERSION_AT : VERSION_AT + 4], "big")
    if version == SCHEMA_VERSION:
        return f"the journal {file} has format {version}"
    return f"the journal {file} has format {version}: the broker brings it to {SCHEMA_VERSION}, for good"


def check_version(file: str, version: int) -> None:
    """Raise JournalError for a format that is newer than this program, or not one of ours."""
    if not 1 <= version <= SCHEMA_VERSION:
        raise JournalError(
            f"the journal {file} has format {version}; this zjobs reads format {SCHEMA_VERSION}"
            + (": use a newer one" if version > SCHEMA_VERSION else "")
        )


def check_header(file: str, kind: Kind | None, only_read: bool) -> Kind:
    """Refuse a file that is not a journal of ours, before anything could change it. `kind`: what it must be.

    An orderly end leaves in_use = 0 and no log, so a file in use without a log has lost it, and with it acknowledged
    jobs. Beside a log, only the header's bytes are examined (sqlite.org/fileformat2.html#the_database_header): a crash
    while the log is moved into the file leaves pages, and a length, that only the log makes whole again.
    """
    if not os.access(file, os.R_OK if only_read else os.R_OK | os.W_OK):
        raise Unreadable(f"the journal {file} cannot be read{'' if only_read else ' and written'} by this user")
    found = kind_of(file)
    if kind not in (None, found):
        _refuse_misplaced(file, found)
    if not Path(file + LOG).exists() and _in_use(file):
        raise JournalError(
            f"the journal {file} was in use, but its log {file}{LOG} is gone, and jobs with it:"
            " put it back, or restore a backup"
        )
    lost = wal.lost_commits(Path(file))
    if lost:
        raise JournalError(f"the log {file}{LOG} is damaged: {lost} commits follow the broken place")
    return found


def _refuse_misplaced(file: str, found: Kind) -> None:
    if found is Kind.BACKUP:
        raise Misplaced(
            f"{file} is a backup: no broker runs on it, because the journal it was made of may have changed since. "
            f"`zbroker restore {file} JOURNAL` makes a journal of it"
        )
    raise Misplaced(f"{file} is a journal and not a backup: `zbroker backup {file} TARGET` makes one")


def _in_use(file: str) -> bool:
    connection = sqlite3.connect(f"{Path(file).absolute().as_uri()}?immutable=1", uri=True)
    try:
        return bool(connection.execute("SELECT in_use FROM journal").fetchone()[0])
    finally:
        connection.close()
