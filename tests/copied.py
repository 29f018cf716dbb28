"""Two places for a journal, a file and a schema of a database, and what `zbroker copy` has left in them."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import psycopg

from tests.postgres import Postgres
from zjobs.broker import journals
from zjobs.broker.core.records.jobs import Loaded
from zjobs.broker.storage.api import Journal
from zjobs.broker.storage.sqlite import opening

DIRECTIONS = ("into the database", "out of it")

numbers = itertools.count()


class Place:
    """Both of them, without a journal."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.schema = f"copied_{next(numbers)}"
        self.file = folder / "journal.db"
        self.url = server.url(self.schema)
        self._saved = folder / "saved.db"
        self._session: psycopg.Connection[Any] = psycopg.connect(server.url(), autocommit=True)
        self.clear()

    def close(self) -> None:
        self._session.execute(f"DROP SCHEMA {self.schema} CASCADE")
        self._session.close()

    def ends(self, direction: str) -> tuple[str, str]:
        """(source, target)"""
        return (str(self.file), self.url)[:: 1 if direction == DIRECTIONS[0] else -1]

    def clear(self) -> None:
        """Neither has a journal any more."""
        self._clear(str(self.file))
        self._clear(self.url)

    def _clear(self, name: str) -> None:
        closed()
        if name == self.url:
            self._session.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")
            self._session.execute(f"CREATE SCHEMA {self.schema}")
        for path in self.file.parent.glob(f"{self.file.name}*") if name != self.url else ():
            path.unlink()

    def save(self) -> None:
        """The source as it is, for `again`."""
        if self.file.exists():
            shutil.copy(self.file, self._saved)

    def again(self, direction: str) -> None:
        """As before the copy."""
        source, target = self.ends(direction)
        self._clear(target)
        if source == self.url:
            self._session.execute(f"UPDATE {self.schema}.journal SET moved_to = ''")
        else:
            self._clear(source)
            shutil.copy(self._saved, source)

    def usable(self, name: str) -> bool:
        """Whether a broker would find a journal there, and start."""
        return self.marks(name) == ("", "")

    def marks(self, name: str) -> tuple[str, str] | None:
        """(moved to, copied from) of the journal there."""
        query = "SELECT moved_to, copied_from FROM"
        if name == self.url:
            (row,) = self._session.execute(f"SELECT to_regclass('{self.schema}.journal') IS NULL")
            return None if row[0] else self._session.execute(f"{query} {self.schema}.journal").fetchone()
        if not self.file.exists():
            return None
        connection = sqlite3.connect(self.file)
        found: tuple[str, str] = connection.execute(f"{query} journal").fetchone()
        connection.close()
        return found


def closed() -> None:
    """What a program that has ended leaves open no longer."""
    while opening.unclosed:
        opening.unclosed.pop().close()


def claimed(name: str) -> Journal:
    journal = journals.journal_at(name)
    journal.claim("me")
    journal.announce("me, here")
    return journal


def loaded(name: str) -> Loaded:
    """What a broker would load."""
    journal = claimed(name)
    try:
        return journal.load()
    finally:
        journal.release()
