"""The lock against a second worker at a pipe address, and the processes that a dead worker has left behind.

The task process inherits the lock, so no new worker starts while an orphan of a dead worker lives. The holder's line
has the marks of its task processes, and the kernel passes a mark on to everything that its carrier starts. So what is
left of the predecessor is found and ended before anything is bound. What cannot be ended (another user's process, or
one deep in the kernel) is reported to the new worker, which runs no job before it is gone.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from zjobs.program import endpoints, lock
from zjobs.worker.task import platform

ORPHAN_WAIT_S = 5.0
_RETRY_S = 0.05


class Taken(Exception):
    """An address that another worker has; the text is a sentence that names it."""


def lock_path(pipe: str) -> Path:
    """Return the lock file of a pipe endpoint. Raises OSError if its host has no address."""
    address = endpoints.address(pipe)
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", address)[-80:].strip("-")
    # the digest keeps ipc:///a/b apart from ipc:///a-b
    digest = hashlib.sha256(address.encode()).hexdigest()[:8]
    return lock.state_directory() / f"worker-{readable}-{digest}.lock"


def spool_path(pipe: str) -> Path:
    """Return the spool file of the worker at a pipe endpoint. Raises OSError, as `lock_path` does."""
    return lock_path(pipe).with_suffix(".spool")


def holder_line(marks: Collection[int], pipe: str) -> str:
    """Return the line about this worker for the lock file. `marks`: those of everything it may have to end."""
    pid = os.getpid()
    return f"pid {pid} start {platform.start_time(pid)} marks {','.join(map(str, marks))} pipe {pipe}"


class Held(NamedTuple):
    """The lock, and the marks of what a dead predecessor has left and could not be ended."""

    lock: lock.Lock
    marks: tuple[int, ...]


def acquire(pipe: str, wait_s: float = ORPHAN_WAIT_S) -> Held:
    """Return the lock for `pipe`, after ending whatever a dead predecessor left behind.

    A living worker is left alone; an orphan is killed, and its end awaited for at most `wait_s`. Raises Taken with a
    sentence, OSError if the file cannot be made.
    """
    path = lock_path(pipe)
    lock.make_private(path.parent)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            held = lock.acquire(path)
            break
        except lock.Locked as locked:
            _wait_for_orphan(locked, deadline)
    marks = _Holder(held.previous).marks
    if marks and not platform.end_marked(marks, deadline - time.monotonic())[1]:
        marks = ()
    held.write(holder_line(marks, pipe))
    return Held(held, marks)


def _wait_for_orphan(locked: lock.Locked, deadline: float) -> None:
    """Take one step of waiting for a lock that a dead worker's task still holds. Raises Taken."""
    holder = _Holder(locked.holder)
    if holder.alive:
        raise Taken(f"a worker (pid {holder.pid}) already serves {holder.pipe}; its lock is {locked.path}")
    left: list[platform.Process] = []
    if holder.marks:
        _, left = platform.end_marked(holder.marks, _RETRY_S)
    if time.monotonic() >= deadline:
        what = platform.described(left) or locked.holder or "unknown"
        raise Taken(f"what a dead worker ({what}) left running still holds {locked.path}; end it first")
    time.sleep(_RETRY_S)


class _Holder:
    """The parsed line of a holder; whatever is missing from it is empty."""

    def __init__(self, line: str) -> None:
        words = line.split(" ", 7)
        fields = dict(zip(words[::2], words[1::2]))
        self.pid = fields.get("pid", "")
        self.marks = tuple(int(mark) for mark in fields.get("marks", "").split(",") if mark.isdigit())
        self.pipe = fields.get("pipe", "")
        self._start = fields.get("start", "")

    @property
    def alive(self) -> bool:
        # compare the start time, because the pid may be another process's by now
        return self.pid.isdigit() and bool(self._start) and platform.start_time(int(self.pid)) == self._start
