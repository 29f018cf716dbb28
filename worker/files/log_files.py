"""Complete output of runs in files: one for each run, in a directory that the operator names (`zworker --logs`)."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from zjobs.worker.core.interfaces import RunName

log = logging.getLogger("zworker")


class LogFiles:
    """The log files of runs. One is open at a time, since one job runs at a time. Without a directory nothing is
    written."""

    def __init__(self, directory: Path | None) -> None:
        """Make the directory. Raises OSError."""
        self._directory = directory
        self._run: RunName | None = None
        self._file: int | None = None
        self._path: str | None = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)

    def write(self, run: RunName, data: bytes) -> str | None:
        """Append to the file of `run`. Return its path, None if nothing can be written there."""
        if self._directory is None:
            return None
        if run != self._run:
            self._open(self._directory, run)
        try:
            rest = memoryview(data)
            while rest and self._file is not None:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            self._give_up(error)
        return self._path

    def close(self) -> None:
        """Close the file of the run that has ended."""
        if self._file is not None:
            os.close(self._file)
        self._run = self._file = self._path = None

    def _open(self, directory: Path, run: RunName) -> None:
        self.close()
        self._run = run
        path = directory.absolute() / run.journal / f"job-{run.id}-run-{run.attempt}.log"
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            # append: after a restored backup the same run may come a second time
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            self._path = os.fsencode(path).decode("utf-8", "backslashreplace")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Write no more of this run: its task goes on, and the broker has the end of its output."""
        run = self._run
        self.close()
        log.warning("the output of %s cannot be written to %s: %s", run, self._directory, error)
        self._run = run
