"""A journal in PostgreSQL as the source or the target of `zbroker copy`: an ordinary session, and COPY."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg

from zjobs.broker.storage.api import CannotCreate, JournalError, MaintenanceError
from zjobs.broker.storage.copying import Mark, Row
from zjobs.broker.storage.postgres.connection.claiming import (
    HOLDER,
    SURROUNDINGS,
    TRY_LOCK,
    VERSION,
    check_surroundings,
)
from zjobs.broker.storage.postgres.connection.conninfo import Address
from zjobs.broker.storage.postgres.connection.durability import AT_LEAST_LOCAL
from zjobs.broker.storage.postgres.connection.values import Query
from zjobs.broker.storage.postgres.schema import FORMAT, SCRIPTS, TABLES
from zjobs.broker.storage.tables import JOURNAL, Table

SQL_TYPES = {int: "int8", str: "text", bytes: "bytea", bool: "bool"}
MARK = Query("SELECT id, moved_to, copied_from FROM journal")


class DatabaseEnd:
    """One of the two journals of a copy, in a session that keeps brokers away from it."""

    def __init__(self, connection: psycopg.Connection[Any], name: str) -> None:
        """Raises MaintenanceError if a broker has it, JournalError."""
        self.name = name
        self._connection = connection
        ((*surroundings, self._exists),) = self._rows(SURROUNDINGS)
        check_surroundings(name, *surroundings)
        if self._rows(TRY_LOCK) != [(True,)]:
            holders = self._rows(HOLDER) if self._exists else []
            holder = holders[0][0] if holders else "somebody"
            raise MaintenanceError(f"a running broker has {name} open ({holder}): end it first", True)
        self._rows(AT_LEAST_LOCAL)

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows, in order."""
        selected = f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {', '.join(table.by)}"
        with self._connection.cursor() as cursor, cursor.copy(f"COPY ({selected}) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(_types(table))
            yield from copy.rows()

    def _mark(self) -> Mark:
        (row,) = self._rows(MARK)
        return Mark(*row)

    def _rows(self, query: Query) -> list[Row]:
        return self._connection.execute(query.text).fetchall()

    def _run_scripts(self, version: int) -> None:
        for script in SCRIPTS[version:]:
            self._connection.execute(script.encode())
        self._connection.execute("UPDATE journal SET format = $1", [FORMAT])


class DatabaseSource(DatabaseEnd):
    """A journal that leaves a database."""

    mark: Mark

    def __init__(self, connection: psycopg.Connection[Any], name: str) -> None:
        super().__init__(connection, name)
        if not self._exists:
            raise MaintenanceError(f"there is no journal in {name}")
        ((version,),) = self._rows(VERSION)
        if version > FORMAT:
            raise JournalError(f"{name} has format {version}, and this zjobs reads format {FORMAT}: use a newer one")
        with connection.transaction():
            self._run_scripts(version)
        self.mark = self._mark()

    def leave(self, target: str) -> None:
        """Mark it as moved."""
        self._connection.execute("UPDATE journal SET moved_to = $1, epoch = epoch + 1, holder = ''", [target])


class DatabaseTarget(DatabaseEnd):
    """A database that a journal moves into, in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any], name: str) -> None:
        super().__init__(connection, name)
        self.mark: Mark | None = None
        if self._exists:
            if self._rows(VERSION) != [(FORMAT,)]:
                raise MaintenanceError(f"there is something in {name} already: name an empty place")
            self.mark = self._mark()

    def begin(self) -> None:
        """Make the tables."""
        self._connection.execute("BEGIN")
        if self.mark is not None:
            self._connection.execute(f"DROP TABLE {', '.join(TABLES)}".encode())
        self._run_scripts(0)

    def write(self, table: Table, rows: Iterable[Row]) -> None:
        """Write the rows."""
        if table is JOURNAL:
            changes = ", ".join(f"{name} = ${number}" for number, name in enumerate(table.columns, 1))
            (row,) = rows
            self._connection.execute(f"UPDATE journal SET {changes}".encode(), row)
            return
        into = f"COPY {table.name}({', '.join(table.columns)}) FROM STDIN (FORMAT BINARY)"
        with self._connection.cursor() as cursor, cursor.copy(into) as copy:
            copy.set_types(_types(table))
            for row in rows:
                copy.write_row(row)

    def keep(self, source: str) -> None:
        """Commit."""
        self._connection.execute("UPDATE journal SET copied_from = $1", [source])
        self._connection.execute("COMMIT")

    def finish(self) -> None:
        """Take the mark away."""
        self._connection.execute("UPDATE journal SET copied_from = ''")


@contextlib.contextmanager
def source(url: str) -> Iterator[DatabaseSource]:
    """Keep brokers away from the journal that leaves. Raises MaintenanceError, JournalError."""
    with _session(url) as (connection, name):
        yield DatabaseSource(connection, name)


@contextlib.contextmanager
def target(url: str) -> Iterator[DatabaseTarget]:
    """Keep brokers away from the place that a journal moves into."""
    with _session(url) as (connection, name):
        yield DatabaseTarget(connection, name)


@contextlib.contextmanager
def _session(url: str) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    address = Address(url)
    with _connected(address) as connection:
        try:
            yield connection, address.name
        except psycopg.Error as error:
            raise MaintenanceError(f"{address.name}: {' '.join(str(error).split())}") from error


def _connected(address: Address) -> psycopg.Connection[Any]:
    """Return a session on the first server that can be written. Closing it rolls back."""
    errors = []
    for conninfo in address.attempts:
        try:
            return psycopg.connect(
                conninfo,
                connect_timeout=round(address.connect_s),
                autocommit=True,
                cursor_factory=psycopg.RawCursor,
            )
        except psycopg.Error as error:
            errors.append(" ".join(str(error).split()))
    raise CannotCreate(f"the journal {address.name} cannot be reached: {'; '.join(errors)}")


def _types(table: Table) -> list[str]:
    return [SQL_TYPES[kind] for kind in table.columns.values()]
