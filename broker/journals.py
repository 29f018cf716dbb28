"""Choice of the storage for a journal's name: a path, `:memory:`, or the URL of a database."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from zjobs.broker.storage.api import CannotCreate, Journal, Maintenance, MaintenanceError, NotSafe
from zjobs.broker.storage.copying import move
from zjobs.broker.storage.sqlite.header import format_of
from zjobs.broker.storage.sqlite.journal import SqliteJournal
from zjobs.broker.storage.sqlite.maintenance import moving as files
from zjobs.broker.storage.sqlite.maintenance.files import FileMaintenance

DATABASE = ("postgresql://", "postgres://")


def in_database(name: str) -> bool:
    """Return whether a journal's name is the URL of a database."""
    return name.startswith(DATABASE)


def journal_at(name: str, require_standby: bool = False) -> Journal:
    """Return the journal with this name. It is neither opened nor created before it is claimed. Raises JournalError.

    `require_standby`: commits must wait for a second server.
    """
    new_id = os.urandom(8).hex()
    if not in_database(name):
        if require_standby:
            raise NotSafe(f"the journal {name} is in a file: --require-sync-standby needs one in PostgreSQL")
        return SqliteJournal(name, new_id)
    with _driver():  # what comes with the extra is imported by those who use it
        from zjobs.broker.storage.postgres.journal import PostgresJournal
    return PostgresJournal(name, new_id, require_standby)


def outlook(name: str) -> str:
    """Return what a broker that starts on this journal will do with it. It may be in use. Raises JournalError."""
    if in_database(name):
        return "the options are sound; the database was not asked"
    return f"the options are sound; {format_of(name)}"


def maintenance_of(name: str) -> Maintenance:
    """Return what checks, copies and restores the journal with this name. Raises JournalError."""
    if not in_database(name):
        return FileMaintenance(name)
    with _driver():
        from zjobs.broker.storage.postgres.maintenance import DatabaseMaintenance
    return DatabaseMaintenance(name)


def copy(name: str, other: str) -> str:
    """Move the journal `name` to the place `other`. Return a text for the operator. Raises MaintenanceError,
    JournalError, OSError."""
    if not in_database(name) and not in_database(other):
        raise MaintenanceError(f"{name} and {other} are both files: move the file itself, while no broker runs on it")
    with _end_of(name).source(name) as source, _end_of(other).target(other) as target:
        return move(source, target)


def _end_of(name: str) -> Any:
    """Return the module with the `source` and the `target` of such names."""
    if not in_database(name):
        return files
    with _driver():
        from zjobs.broker.storage.postgres import moving
    return moving


@contextlib.contextmanager
def _driver() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise CannotCreate(f"a journal in PostgreSQL needs psycopg: pip install 'zjobs[postgres]' ({error})") from error
