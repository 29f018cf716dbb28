"""All maintenance of a journal in a file."""

from __future__ import annotations

from zjobs.broker.credentials import Credentials
from zjobs.broker.storage.sqlite.maintenance.backup import backup
from zjobs.broker.storage.sqlite.maintenance.check import check
from zjobs.broker.storage.sqlite.maintenance.restore import restore


class FileMaintenance:
    """An `api.Maintenance` of SQLite files."""

    def __init__(self, file: str) -> None:
        self._file = file

    def check(self) -> str:
        """Check the journal, and change nothing."""
        return check(self._file)

    def backup(self, target: str, keys: Credentials | None) -> str:
        """Copy the journal."""
        return backup(self._file, target, keys)

    def restore(self, source: str) -> str:
        """Put a backup in the journal's place."""
        return restore(source, self._file)
