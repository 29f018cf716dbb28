"""Choice of the storage for a journal's name: a path, or `:memory:`."""

from __future__ import annotations

import os

from zjobs.broker.storage.api import Journal, Maintenance
from zjobs.broker.storage.sqlite.journal import SqliteJournal
from zjobs.broker.storage.sqlite.maintenance.files import FileMaintenance


def journal_at(name: str) -> Journal:
    """Return the journal with this name. It is neither opened nor created before it is claimed."""
    return SqliteJournal(name, os.urandom(8).hex())


def maintenance_of(name: str) -> Maintenance:
    """Return what checks, copies and restores the journal with this name."""
    return FileMaintenance(name)
