"""`zbroker copy`: a journal moves from one database to another, table by table, and both are compared.

Three commits make it safe wherever it is interrupted. At no time can both be used, and the same command again goes on:

1. The target is complete, but says that it is a copy: no broker claims it. The source can still be used.
2. The source says where it was moved: no broker claims it any more.
3. The target no longer says that it is a copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from zjobs.broker.storage.api import MaintenanceError, Misplaced
from zjobs.broker.storage.tables import TABLES, Table

NUL, NO_NUL = "\0", "\N{SYMBOL FOR NULL}"  # PostgreSQL's text holds every character but NUL

Row = tuple[Any, ...]


class Mark(NamedTuple):
    """A journal's word about its place. `moved_to`: where it is now; `copied_from`: of what it is an unfinished copy.
    With either, no broker starts on it."""

    journal_id: str
    moved_to: str = ""
    copied_from: str = ""


def check_place(name: str, moved_to: str, copied_from: str) -> None:
    """Raise Misplaced for a journal that says that it is not the one to use, by its mark."""
    if moved_to:
        raise Misplaced(f"the journal {name} was moved to {moved_to}: start the broker with that")
    if copied_from:
        raise Misplaced(
            f"the journal {name} is a copy of {copied_from} that was not completed: "
            f"`zbroker copy {copied_from} {name}` does the rest"
        )


class Source(Protocol):
    """A journal that no broker can claim until the end of the copy."""

    name: str
    mark: Mark

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows one by one, in order."""
        ...

    def leave(self, target: str) -> None:
        """Mark it as moved."""
        ...


class Target(Protocol):
    """The place of the copy, which no broker can claim until its end either. `mark`: of the journal that is there."""

    name: str
    mark: Mark | None

    def begin(self) -> None:
        """Make empty tables, in the place of an unfinished copy if there is one. Nobody sees them before `keep`."""
        ...

    def write(self, table: Table, rows: Iterable[Row]) -> None:
        """Write the rows of a table."""
        ...

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield what was written, one by one, in order."""
        ...

    def keep(self, source: str) -> None:
        """Commit what was written, marked as a copy of `source`."""
        ...

    def finish(self) -> None:
        """Let brokers use it."""
        ...


def move(source: Source, target: Target) -> str:
    """Move the journal, and return a text for the operator. Raises MaintenanceError."""
    if source.mark.copied_from:
        raise MaintenanceError(f"{source.name} is itself a copy that was not completed: complete that first")
    if source.mark.moved_to:
        if (source.mark.moved_to, target.mark) != (target.name, Mark(source.mark.journal_id, "", source.name)):
            raise MaintenanceError(f"{source.name} was moved already, to {source.mark.moved_to}")
        target.finish()
        return f"{target.name} is journal {source.mark.journal_id} now; an earlier copy had everything in it"
    if target.mark is not None and not target.mark.copied_from:
        raise MaintenanceError(f"there is a journal in {target.name} already: name an empty place")
    target.begin()
    counts = [f"  {table.name}: {_copy(source, target, table)}" for table in TABLES]
    target.keep(source.name)
    source.leave(target.name)
    target.finish()
    return "\n".join(
        [
            f"{target.name} is journal {source.mark.journal_id} now; no broker starts on {source.name} any more",
            "rows copied and compared:",
            *counts,
        ]
    )


def _copy(source: Source, target: Target, table: Table) -> int:
    """Copy a table and read it back. Return the number of its rows."""
    sent, kept = Digest(), Digest()
    target.write(table, sent.each(map(without_nul, source.rows(table))))
    for _ in kept.each(target.rows(table)):
        pass
    if sent != kept:
        raise MaintenanceError(
            f"{target.name} did not keep the table {table.name} as it was: {kept.rows} rows of {sent.rows}, or others"
        )
    return sent.rows


class Digest:
    """A digest of rows that pass by, and their number."""

    def __init__(self) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()

    def each(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows, and count them in."""
        for row in rows:
            self.rows += 1
            bodies = [value for value in row if type(value) is bytes]
            rest = [len(value) if type(value) is bytes else value for value in row]
            for piece in (repr(rest).encode(), *bodies):
                self._hash.update(piece)
            yield row

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self._hash.digest() == other._hash.digest()


def without_nul(row: Row) -> Row:
    """Return the row as every database can hold it."""
    if any(type(value) is str and NUL in value for value in row):
        return tuple(value.replace(NUL, NO_NUL) if type(value) is str else value for value in row)
    return row
