"""The file of a spool. It appears whole or not at all, and each change is on disk when the call returns."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from zjobs.worker.core.interfaces import Spool
from zjobs.worker.core.spool import pack, unpack


class SpoolFile:
    """The spool of one pipe address, in `path`. Only the holder of that address's lock uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unfinished = path.with_name(path.name + ".new")

    def load(self) -> Spool | None:
        """Return the spool, None if there is none. Raises spool.Damaged, and OSError if it cannot be read."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, "it is not a file of this user", str(self.path))
            return unpack(file.read())

    def save(self, spool: Spool) -> None:
        """Write the file, whole or not at all; on return it is on disk. Raises OSError."""
        self._unfinished.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with open(os.open(self._unfinished, flags, 0o600), "wb") as file:
                file.write(pack(spool))
                file.flush()
                os.fsync(file.fileno())
            self._unfinished.rename(self.path)
            self._flush_directory()
        except OSError:
            with contextlib.suppress(OSError):  # make room on a full disk
                self._unfinished.unlink(missing_ok=True)
            raise

    def remove(self) -> None:
        """Remove the file; on return that is on disk. Raises OSError."""
        self.path.unlink(missing_ok=True)
        self._flush_directory()

    def set_aside(self, mark: str) -> Path:
        """Rename the file, for people to look at; `mark` makes its name unique. Raises OSError."""
        aside = self.path.with_name(f"{self.path.name}.aside-{mark}")
        self.path.rename(aside)
        self._flush_directory()
        return aside

    def _flush_directory(self) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
