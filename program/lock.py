"""A lock file with one holder at a time, known by name. The lock ends with the last process that has it open.

The lock is a `flock`, so it belongs to the open file and not to the process: a child that inherits the descriptor holds
it even after its parent died. That is intended: no new worker starts beside an orphaned task.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path


class Locked(Exception):
    """A lock that another process holds. `holder`: what that process wrote into it."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is locked by {holder or 'a process that did not say which it is'}")
        self.path = path
        self.holder = holder


class Lock:
    """A lock that we hold. `previous`: what the last holder wrote (empty at first, and after an orderly end)."""

    def __init__(self, path: Path, fd: int, previous: str) -> None:
        self.path = path
        self.fd = fd
        self.previous = previous

    def write(self, holder: str) -> None:
        """Write who holds the lock: one line, for people and for the next process that tries."""
        line = holder.encode() + b"\n"
        os.pwrite(self.fd, line, 0)
        os.ftruncate(self.fd, len(line))

    def leave(self) -> None:
        """Release the lock and leave what is written there to the next holder."""
        os.close(self.fd)

    def release(self) -> None:
        """Release the lock after an orderly end. The file stays: if it were removed, two processes could hold 'the'
        lock."""
        with contextlib.suppress(OSError):  # on a full disk or some file systems, even shortening needs room
            os.ftruncate(self.fd, 0)
        os.close(self.fd)


def acquire(path: Path) -> Lock:
    """Acquire the lock at `path`; make the file and its folder (0700) if they are missing.

    Raises Locked if another process holds it, OSError if the file cannot be made or belongs to another user.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _check_owner(path, os.fstat(fd))  # whoever planted it could hold it for ever, and write anything into it
        written = os.pread(fd, 4096, 0).decode(errors="replace").strip()
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        written = os.pread(fd, 4096, 0).decode(errors="replace").strip()
    except BlockingIOError:
        os.close(fd)
        raise Locked(path, written) from None
    except BaseException:
        os.close(fd)
        raise
    return Lock(path, fd, written)


def share(path: Path) -> Lock | None:
    """Share the lock at `path` without writing: others may share it, nobody can acquire it. Return None if there is no
    file.

    Raises Locked if a process holds it, OSError if the file cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        written = os.pread(fd, 4096, 0).decode(errors="replace").strip()
        os.close(fd)
        raise Locked(path, written) from None
    except BaseException:
        os.close(fd)
        raise
    return Lock(path, fd, "")


def make_private(directory: Path) -> Path:
    """Make a folder for us alone (0700) if it is missing, and return it.

    Raises OSError if it cannot be made, belongs to another user, or others may write into it: they could put journals,
    locks and keys of their own there.
    """
    for missing in [*(parent for parent in reversed(directory.parents) if not parent.exists()), directory]:
        missing.mkdir(mode=0o700, exist_ok=True)  # parents=True would open them to others
    status = directory.stat()
    _check_owner(directory, status)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EPERM, "other users may write into it; chmod go-w ends that", str(directory))
    return directory


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (os.geteuid(), 0):
        raise PermissionError(errno.EPERM, "it belongs to another user", str(path))


def state_directory() -> Path:
    """Return the default folder of journals and locks (XDG base directories)."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "zjobs"
