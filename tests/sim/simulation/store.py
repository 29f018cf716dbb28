"""Where the journal lies, and what may happen to it: a crash, a full disk, an older copy put in its place."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import psycopg

from tests.postgres import Postgres
from zjobs.broker.storage.postgres.journal import PostgresJournal
from zjobs.broker.storage.postgres.schema import CHECKS
from zjobs.broker.storage.sqlite.database import MEMORY, Database
from zjobs.broker.storage.sqlite.journal import SqliteJournal
from zjobs.broker.storage.sqlite.opening import check_content

REFUSE = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$"
REFUSAL = (
    "CREATE CONSTRAINT TRIGGER refusal AFTER UPDATE ON journal DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION refuse()"
)

numbers = itertools.count()


class MemoryStore:
    """A journal in memory: what is committed outlives the broker that committed it."""

    def __init__(self) -> None:
        self._journal = SqliteJournal(MEMORY, "journal-1")
        self._journal.claim("a test")
        self._backup: sqlite3.Connection | None = None

    def open(self) -> SqliteJournal:
        return self._open(_connection(self._journal))

    def _open(self, connection: sqlite3.Connection) -> SqliteJournal:
        self._journal = SqliteJournal(MEMORY, "journal-1")
        self._journal._database = Database(connection, MEMORY)
        return self._journal

    def crash(self) -> None:
        pass

    def backup(self) -> None:
        if self._backup is not None:
            self._backup.close()
        self._backup = sqlite3.connect(MEMORY, isolation_level=None)
        _connection(self._journal).backup(self._backup)

    def restore(self) -> bool:
        """Whether there was a copy."""
        if self._backup is None:
            return False
        copy = sqlite3.connect(MEMORY, isolation_level=None)
        self._backup.backup(copy)
        _connection(self._journal).close()
        self._open(copy)
        return True

    def check(self) -> None:
        check_content(self._journal._db)

    def fill(self, full: bool) -> None:
        fill_disk(self._journal, full)

    def close(self) -> None:
        _connection(self._journal).close()
        if self._backup is not None:
            self._backup.close()


class FileStore:
    """A journal in a file. A crash leaves what was in the file and in its log, as kill -9 does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._journal: SqliteJournal | None = None

    def open(self) -> SqliteJournal:
        self._journal = SqliteJournal(str(self._file), "journal-1")
        self._journal.claim("a test")
        self._journal.announce("a test")
        return self._journal

    @property
    def _file(self) -> Path:
        return self._folder / f"journal-{self._number}.db"

    def crash(self) -> None:
        """The files as they are now become the journal; what closing would do is not done to them."""
        assert self._journal is not None
        before = self._file
        self._number += 1
        shutil.copy(before, self._file)
        shutil.copy(f"{before}-wal", f"{self._file}-wal")
        self.close()
        before.unlink()

    def backup(self) -> None:
        """Copies in memory are enough to try that."""

    def restore(self) -> bool:
        return False

    def check(self) -> None:
        assert self._journal is not None
        check_content(self._journal._db)

    def fill(self, full: bool) -> None:
        assert self._journal is not None
        fill_disk(self._journal, full)

    def close(self) -> None:
        assert self._journal is not None
        _connection(self._journal).close()


class DatabaseStore:
    """A journal in PostgreSQL. A crash leaves it to the server to end the session."""

    def __init__(self, server: Postgres) -> None:
        self._schema = f"simulated_{next(numbers)}"
        self._url = server.url(self._schema)
        self._session: psycopg.Connection[Any] = psycopg.connect(server.url(), autocommit=True)
        self._session.execute(f"CREATE SCHEMA {self._schema}")
        self._session.execute(f"SET search_path = {self._schema}")
        self._session.execute(REFUSE)
        self._journal: PostgresJournal | None = None
        self._full = False
        self._filled = 0

    def open(self) -> PostgresJournal:
        self.fill(False)
        self._journal = PostgresJournal(self._url, "journal-1")
        self._journal.claim("a test")
        self._journal.announce("a test")
        return self._journal

    def crash(self) -> None:
        assert self._journal is not None
        if self._journal._link is not None:
            self._journal._link.close()

    def backup(self) -> None:
        """Copies in memory are enough to try that."""

    def restore(self) -> bool:
        return False

    def check(self) -> None:
        for sentence, query in CHECKS.items():
            assert not self._session.execute(query.encode()).fetchall(), sentence

    def fill(self, full: bool) -> None:
        """Commits are refused, every second time from a new session on: the old one is ended."""
        if full == self._full:
            return
        self._full = full
        if not full:
            self._session.execute("DROP TRIGGER refusal ON journal")
            return
        self._session.execute(REFUSAL)
        self._filled += 1
        if self._filled % 2 == 0:
            self._session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND objid = (current_schema()::regnamespace::oid::bigint & 2147483647)::oid"
            )

    def close(self) -> None:
        self.crash()
        self._session.execute(f"DROP SCHEMA {self._schema} CASCADE")
        self._session.close()


def fill_disk(journal: SqliteJournal, full: bool) -> None:
    """Commits fail, at their last step, until there is room again."""

    def refuse(action: int, what: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action == 22 and what == "COMMIT" else sqlite3.SQLITE_OK

    # 22: SQLITE_TRANSACTION, which the module does not name. None takes the authorizer away only from 3.11 on.
    _connection(journal).set_authorizer(refuse if full else _allow)


def _allow(*_: object) -> int:
    return sqlite3.SQLITE_OK


def _connection(journal: SqliteJournal) -> sqlite3.Connection:
    return journal._db.connection


Store = MemoryStore | FileStore | DatabaseStore
