"""Which storage a journal's name means: a path, or `:memory:`."""

from __future__ import annotations

import os

from zjobs.broker.storage.api import Journal, Maintenance
from zjobs.broker.storage.sqlite.journal import SqliteJournal
from zjobs.broker.storage.sqlite.maintenance.files import FileMaintenance


def journal_at(name: str) -> Journal:
    """The journal with this name; it is neither opened nor created before it is claimed."""
    return SqliteJournal(name, os.urandom(8).hex())


def maintenance_of(name: str) -> Maintenance:
    """How the journal with this name is checked, copied and restored."""
    return FileMaintenance(name)
