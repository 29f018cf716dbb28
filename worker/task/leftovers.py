"""The processes that a job leaves running: found and ended, from inside the task process, before the job's end is
reported.

The task process adopts every descendant whose parent ends, so nothing that a job starts can leave its tree, and one
system call tells that a job has left nothing. Processes from before the job are kept, with whatever they start, and so
are Python's own helpers; but not the processes that multiprocessing's fork server forks for a job.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from zjobs.worker.task import platform

PATIENCE_S = 2.0  # with a process that does not die when killed
END_S = 0.5  # for what a dead task process has left; the worker waits meanwhile
MOST_LOOKS = 2_000  # for processes that start others all the time


class Leftovers:
    """The processes below this one. Create it before anything is started."""

    def __init__(self) -> None:
        platform.adopt_orphans()
        self._own_pid = os.getpid()
        self._kept: frozenset[tuple[int, str]] = frozenset()
        self._seen_pid = ""
        self._children: dict[int, list[platform.Process]] = {}
        self._met: set[tuple[int, str]] = set()  # those found as new children since the end of the job

    def keep(self) -> None:
        """Keep whatever runs now: it was there before the next job."""
        self._kept = frozenset()
        if platform.has_children():
            for _ in range(platform.QUIET_LOOKS):  # a process that is just starting may show only in the second look
                before = self._seen_pid
                self._look()
                if before == self._seen_pid == platform.newest_pid():
                    break
            self._kept_is_what_runs()

    def end(self) -> tuple[int, bool]:
        """Kill what the job has left running. Return how many processes those were, and whether nothing is left."""
        if not platform.has_children():
            self._kept = frozenset()
            return 0, True
        if platform.newest_pid() == self._seen_pid:  # the children are those kept, or the helpers
            return 0, True
        self._met = set()
        killed, left = platform.end_all(self._find, PATIENCE_S, MOST_LOOKS, self._none_is_left)
        if not self._kept and not _helpers():
            return killed, self._none_is_left()
        self._kept_is_what_runs()
        return killed, not left

    def _find(self) -> tuple[list[platform.Process], bool]:
        new = self._new_children()
        if new:
            return new, False
        self._look()
        alive = [process for process in self._below(self._own_pid) if process.alive]
        return alive, self._reap()

    def _new_children(self) -> list[platform.Process]:
        """Return our living children that are neither kept nor found before. If each process starts another and ends,
        one is always our child; but it may have ended before a look at everything is over."""
        passed = self._kept | self._met
        helpers = _helpers()
        children = platform.own_children()
        new = [one for one in children if one.alive and one.identity not in passed and one.pid not in helpers]
        self._met.update(one.identity for one in new)
        return new

    def _none_is_left(self) -> bool:
        self._reap()
        return not platform.has_children()

    def _look(self) -> None:
        self._seen_pid = platform.newest_pid()  # first: what starts while we look shows next time
        self._children = platform.children_of(platform.processes())

    def _below(self, root: int) -> list[platform.Process]:
        """Return the descendants of `root` that are not kept."""
        helpers = _helpers()
        found, todo = [], [root]
        while todo:
            for child in self._children.get(todo.pop(), ()):
                if child.pid in helpers:
                    todo.append(child.pid)
                elif child.identity not in self._kept:
                    found.append(child)
                    todo.append(child.pid)
        return found

    def _kept_is_what_runs(self) -> None:
        """Keep everything that is alive now, even if its parent ends during the next job."""
        self._kept = frozenset()
        self._kept = frozenset(process.identity for process in self._below(self._own_pid) if process.alive)

    def _reap(self) -> bool:
        """Reap our children, which were the job's, so nobody else will. Return True if there were any."""
        multiprocessing = sys.modules.get("multiprocessing")
        if multiprocessing is not None:
            with contextlib.suppress(Exception):
                multiprocessing.active_children()  # it reaps its own, which it would otherwise take for alive
        helpers = _helpers()
        reaped = 0
        if not self._kept and not helpers:
            while platform.reap():
                reaped += 1
            return reaped > 0
        for child in self._children.get(self._own_pid, ()):
            if not child.alive and child.identity not in self._kept and child.pid not in helpers:
                reaped += platform.reap(child.pid)
        return reaped > 0


def _helpers() -> set[int]:
    """Return the pids of the processes that multiprocessing runs for itself, once for all jobs."""
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    return {pid for pid in (getattr(tracker, "_pid", None), getattr(server, "_forkserver_pid", None)) if pid}


# --- seen from the worker ------------------------------------------------------------------------------------


class Remains:
    """The remains of dead task processes. `marks`: theirs, while something of them may still run (see `platform`)."""

    def __init__(self, marks: Sequence[int]) -> None:
        self.marks = set(marks)
        self._left: list[platform.Process] = []
        self.try_again()

    def end(self, mark: int) -> int:
        """End what that task process has started. Return how many processes were killed."""
        self.marks.add(mark)
        return self._end(END_S)

    def try_again(self) -> None:
        """End what could not be ended before."""
        if self.marks:
            self._end(0)

    @property
    def obstacle(self) -> str | None:
        """A sentence about what is left and cannot be ended, or None."""
        if not self._left:
            return None
        left = platform.described(self._left)
        return f"no job starts while processes left by an earlier one cannot be killed: {left}"

    def _end(self, patience_s: float) -> int:
        killed, self._left = platform.end_marked(self.marks, patience_s)
        if not self._left:
            self.marks.clear()
        return killed
