"""Opening and creating journal files, such that a file that is refused stays as it is, byte by byte."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zjobs.broker.storage.api import CannotCreate, JournalError, StorageError
from zjobs.broker.storage.sqlite import header, lineage, wal
from zjobs.broker.storage.sqlite.database import MEMORY, Database, configure, connect, damage
from zjobs.broker.storage.sqlite.header import LOG, Kind
from zjobs.broker.storage.sqlite.schema import APPLICATION_ID, CHECKS, MIGRATIONS, SCHEMA, SCHEMA_VERSION

CHECKED_AT_START_BYTES = 64 << 20

# Connections to files that turned out to be damaged, or that nobody serves yet. Closing a connection moves the log into
# the file, and a damaged journal must stay as it is. So these are never closed (the program ends anyway).
unclosed: list[sqlite3.Connection] = []


def open_journal(file: str, new_id: str, as_it_is: bool = False, kind: Kind | None = Kind.JOURNAL) -> Database:
    """Open or create the journal in `file`; a new one gets the identity `new_id`. `kind`: what it must be.

    Nothing is written to an existing file, except to upgrade an older format; with `as_it_is`, such a file is refused.
    Raises CannotCreate and JournalError.
    """
    if file == MEMORY:
        return Database(_create(MEMORY, new_id), file)
    header.refuse_foreign_links(file)
    if not header.has_content(file):
        _create_file(file, new_id)
    with damage(file):
        found = header.check_header(file, kind, as_it_is)
        connection = connect(file, as_it_is and not os.access(file, os.R_OK | os.W_OK))
        unclosed.append(connection)
        database = _with_its_own_log(connection, file, found)
        _bring_up_to_date(database, as_it_is)
        if size_bytes(file) <= CHECKED_AT_START_BYTES:
            check_content(database)
    return database


def check_content(database: Database) -> None:
    """Check the whole file, which takes seconds for a gigabyte. Raises JournalError that says what is wrong."""
    with damage(database.file):
        problems = [row[0] for row in database.all("PRAGMA integrity_check(3)") if row[0] != "ok"]
        for sentence, query in CHECKS.items():
            problems += [f"{sentence} ({row[0]})" for row in database.all(query)]
    if problems:
        raise JournalError(f"the journal {database.file} is damaged: {'; '.join(problems)}")


def finish(database: Database, kind: Kind, *statements: tuple[str, Sequence[Any]]) -> None:
    """Turn a copy into one file of this kind, after these statements, and close it. Raises StorageError."""
    connection = database.connection
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement, values in statements:
            connection.execute(statement, values)
        connection.execute("UPDATE journal SET in_use = 0, commits = commits + 1")
        connection.execute(f"PRAGMA application_id = {kind.value}")
        connection.execute("COMMIT")
        database.move_log_into_file()  # closing would not report a failure
        forget(database)
    except sqlite3.Error as error:
        raise StorageError(str(error)) from error


def forget(database: Database) -> None:
    """Close a journal that is sound."""
    unclosed.remove(database.connection)
    database.connection.close()


def size_bytes(file: str) -> int:
    """Return the size of the journal on disk, with its log."""
    return sum(path.stat().st_size for path in (Path(file), Path(file + LOG)) if path.exists())


def _with_its_own_log(connection: sqlite3.Connection, file: str, kind: Kind) -> Database:
    """Return the journal on a connection that has read nothing yet. Raises JournalError if the log is not its own."""
    alone, log = lineage.of_file(file), lineage.of_log(file)
    foreign = JournalError(
        f"the log {file}{LOG} does not belong to the journal {file}: one of them was put beside the other, and "
        "together they would be damaged. Both are as they were; the log of another journal belongs beside that one"
    )
    try:
        configure(connection)
        database = Database(connection, file, kind)
        together = database.stand()
    except (sqlite3.Error, StorageError, TypeError):
        if not lineage.fits(alone, log):
            raise foreign from None
        raise
    # If both are equal, SQLite found no complete transaction in the log, and ignores it.
    if alone not in (None, together) and not lineage.fits(alone, log, together):
        raise foreign
    return database


def _bring_up_to_date(database: Database, refuse: bool) -> None:
    file, version = database.file, database.one("PRAGMA user_version")[0]
    header.check_version(file, version)  # the log may hold another version than the file's header
    if version < SCHEMA_VERSION and refuse:
        raise JournalError(
            f"{file} has the older format {version}; make a backup, which gets the present one, and check that"
        )
    if version < SCHEMA_VERSION:
        steps = "".join(MIGRATIONS[old] for old in range(version, SCHEMA_VERSION))
        database.connection.executescript(f"BEGIN;{steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def create(making: str, new_id: str) -> sqlite3.Connection:
    """Make an empty journal under a name that `put_in_place` changes later, so that a crash leaves a complete one or
    none. What an earlier attempt left under that name is removed. Raises OSError, sqlite3.Error."""
    Path(making).unlink(missing_ok=True)
    os.close(os.open(making, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return _create(making, new_id)


def put_in_place(connection: sqlite3.Connection, making: str, file: str) -> None:
    """Close a journal in the making, and give it its name. Raises OSError, sqlite3.Error."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    os.replace(making, file)
    directory = os.open(Path(file).absolute().parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def _create(file: str, new_id: str) -> sqlite3.Connection:
    connection = connect(file)
    configure(connection)
    connection.execute(f"PRAGMA page_size = {wal.PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.executescript(SCHEMA)
    connection.execute(
        "INSERT INTO journal(id, next_id, change, completed, failed, cancelled, in_use) VALUES(?, 1, 0, 0, 0, 0, 0)",
        (new_id,),
    )
    return connection


def _create_file(file: str, new_id: str) -> None:
    try:
        put_in_place(create(file + ".new", new_id), file + ".new", file)
    except (OSError, sqlite3.Error) as error:
        raise CannotCreate(f"the journal {file} cannot be created: {error}") from error
