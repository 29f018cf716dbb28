"""A connection to SQLite, set up for the journal, and SQLite's errors translated into those of the storage."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zjobs.broker.storage.api import JournalError, StorageError, Unreadable
from zjobs.broker.storage.sqlite.header import Kind
from zjobs.broker.storage.sqlite.lineage import Stand

MEMORY = ":memory:"
PAGE_CACHE_KIB = 49_152
CHECKPOINT_PAGES = 4_000

# SQLite's errors that do not mean wrong content. (Python has their codes only from 3.11 on.)
NOT_DAMAGE = (
    "disk I/O error",
    "unable to open database file",
    "database is locked",
    "database or disk is full",
    "attempt to write a readonly database",
    "out of memory",
)


class Database:
    """An open journal file. `kind`: what its header says it is."""

    def __init__(self, connection: sqlite3.Connection, file: str, kind: Kind = Kind.JOURNAL) -> None:
        self.connection = connection
        self.file = file
        self.kind = kind
        self.journal_id: str = self.one("SELECT id FROM journal")[0]

    @property
    def in_memory(self) -> bool:
        """True if the journal is kept only in memory."""
        return self.file == MEMORY

    def one(self, query: str, *values: Any) -> Any:
        """Return the first row, or None. Raises StorageError."""
        rows = self.all(query, *values)
        return rows[0] if rows else None

    def all(self, query: str, *values: Any) -> list[Any]:
        """Return all rows. Raises StorageError."""
        try:
            return self.connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StorageError(str(error)) from error

    def each(self, query: str, *values: Any) -> Iterator[Any]:
        """Yield the rows one by one, where there may be too many for memory. Raises StorageError."""
        try:
            yield from self.connection.execute(query, values)
        except sqlite3.Error as error:
            raise StorageError(str(error)) from error

    def move_log_into_file(self) -> None:
        """Checkpoint the whole log. Raises StorageError."""
        if self.one("PRAGMA wal_checkpoint(TRUNCATE)")[0]:
            raise StorageError("the log could not be moved into the file")

    def stand(self) -> Stand:
        """Return the state of the journal with its log."""
        counted = any(row[1] == "commits" for row in self.all("PRAGMA table_info(journal)"))
        return Stand(self.journal_id, self.one("SELECT commits FROM journal")[0] if counted else 0)


def roll_back(connection: sqlite3.Connection) -> None:
    """End the transaction that a failure left open, unless SQLite already did."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def connect(file: str, only_read: bool = False) -> sqlite3.Connection:
    """Open a connection. `only_read`: for a place where nothing can be written, not even a lock; SQLite then requires a
    promise that nobody else writes there either."""
    if only_read:
        return sqlite3.connect(f"{Path(file).absolute().as_uri()}?immutable=1", uri=True, isolation_level=None)
    return sqlite3.connect(file, isolation_level=None, check_same_thread=False)


def configure(connection: sqlite3.Connection) -> None:
    """Set up the connection. This is the first read of the file, so the first that may find it damaged."""
    for setting in (
        "locking_mode = EXCLUSIVE",
        "synchronous = FULL",
        f"cache_size = -{PAGE_CACHE_KIB}",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        "temp_store = MEMORY",
        # Debian's SQLite overwrites deleted rows, through the log: forgetting 200 MiB took 1.5 s instead of 20 ms.
        "secure_delete = OFF",
    ):
        connection.execute(f"PRAGMA {setting}")


@contextlib.contextmanager
def damage(file: str) -> Iterator[None]:
    """Raise JournalError for any error that reading a damaged file leads to."""
    try:
        yield
    except OSError as error:
        raise Unreadable(f"the journal {file} cannot be read: {error.strerror or error}") from error
    except (sqlite3.Error, StorageError) as error:
        if str(error).startswith(NOT_DAMAGE):
            raise Unreadable(f"the journal {file} cannot be read: {error}") from error
        raise JournalError(f"the journal {file} is damaged: {error}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise JournalError(f"the journal {file} is damaged: {error}") from error
