"""A journal file as the source or the target of `zbroker copy`."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from zjobs.broker.storage.api import JournalError, MaintenanceError, StorageError
from zjobs.broker.storage.copying import Mark, Row
from zjobs.broker.storage.sqlite import header
from zjobs.broker.storage.sqlite.database import MEMORY, Database
from zjobs.broker.storage.sqlite.header import Kind
from zjobs.broker.storage.sqlite.maintenance import copies
from zjobs.broker.storage.sqlite.opening import check_content, create, finish, forget, open_journal, put_in_place
from zjobs.broker.storage.tables import JOURNAL, Table
from zjobs.program import lock

# where a column has another name here
NAMES = {"output": {"begins": "offset"}, "pause": {"place": "rowid"}}
ANNOUNCED = "EXISTS (SELECT 1 FROM announced)"


class FileSource:
    """The file that a journal leaves."""

    def __init__(self, file: str) -> None:
        self.name = os.path.abspath(file)
        self._database = open_journal(file, "")
        check_content(self._database)
        self.mark = _mark(self._database)

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows, in order."""
        return _rows(self._database, table)

    def leave(self, target: str) -> None:
        """Mark the file as moved."""
        finish(self._database, Kind.JOURNAL, ("UPDATE journal SET moved_to = ?", (target,)))


class FileTarget:
    """The file that a journal moves into: made under another name, which a crash leaves to the next attempt."""

    def __init__(self, file: str) -> None:
        self.name = os.path.abspath(file)
        self._making = self.name + ".new"
        self._database: Database
        self.mark: Mark | None = None
        if header.has_content(self.name):
            try:
                self._database = open_journal(self.name, "", as_it_is=True)
                self.mark = _mark(self._database)
            except JournalError as error:
                raise MaintenanceError(f"{self.name} is in the way: name a file that does not exist") from error

    def begin(self) -> None:
        """Make the tables."""
        if self.mark is not None:
            forget(self._database)
        self._database = Database(create(self._making, ""), self._making)
        self._execute("BEGIN")

    def write(self, table: Table, rows: Iterable[Row]) -> None:
        """Write the rows."""
        if table is JOURNAL:
            ((*values, announced),) = rows
            changes = ", ".join(f"{name} = ?" for name in list(table.columns)[:-1])
            self._execute(f"UPDATE journal SET {changes}", values)
            if announced:
                self._execute("INSERT INTO announced VALUES(1)")
            return
        columns, marks = _columns(table), ", ".join("?" * len(table.columns))
        try:
            self._database.connection.executemany(f"INSERT INTO {table.name}({columns}) VALUES({marks})", rows)
        except sqlite3.Error as error:
            raise StorageError(str(error)) from error

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield what was written."""
        return _rows(self._database, table)

    def keep(self, source: str) -> None:
        """Give the file its name."""
        self._execute("UPDATE journal SET copied_from = ?", (source,))
        self._execute("COMMIT")
        put_in_place(self._database.connection, self._making, self.name)
        self._database = open_journal(self.name, "")

    def finish(self) -> None:
        """Take the mark away."""
        finish(self._database, Kind.JOURNAL, ("UPDATE journal SET copied_from = ''", ()))

    def _execute(self, statement: str, values: Iterable[Any] = ()) -> None:
        self._database.all(statement, *values)


@contextlib.contextmanager
def source(file: str) -> Iterator[FileSource]:
    """Keep brokers away from the file that a journal leaves. Raises MaintenanceError, JournalError, OSError."""
    copies.must_exist(file)
    if not header.has_content(file):
        raise MaintenanceError(f"there is no journal in {file}")
    with _locked(file):
        yield FileSource(file)


@contextlib.contextmanager
def target(file: str) -> Iterator[FileTarget]:
    """Keep brokers away from the file that a journal moves into."""
    if file == MEMORY:
        raise MaintenanceError("a journal in memory ends with its broker: nothing is moved there")
    with _locked(file):
        target = FileTarget(file)
        try:
            yield target
        except (StorageError, sqlite3.Error) as error:
            raise MaintenanceError(f"{file}: {error}") from error


@contextlib.contextmanager
def _locked(file: str) -> Iterator[None]:
    try:
        held = lock.acquire(Path(file + ".lock"))
    except lock.Locked as error:
        raise MaintenanceError(f"a running broker has {file} open ({error.holder}): end it first", True) from None
    try:
        yield
    finally:
        held.release()


def _mark(database: Database) -> Mark:
    return Mark(*database.one("SELECT id, moved_to, copied_from FROM journal"))


def _rows(database: Database, table: Table) -> Iterator[Row]:
    order = ", ".join(_name(table, column) for column in table.by)
    flags = [place for place, kind in enumerate(table.columns.values()) if kind is bool]
    for row in database.each(f"SELECT {_columns(table)} FROM {table.name} ORDER BY {order}"):
        if flags:
            row = list(row)
            for place in flags:
                row[place] = bool(row[place])
        yield tuple(row)


def _columns(table: Table) -> str:
    return ", ".join(_name(table, column) for column in table.columns)


def _name(table: Table, column: str) -> str:
    if table is JOURNAL and column == "announced":
        return ANNOUNCED
    return NAMES.get(table.name, {}).get(column, column)
