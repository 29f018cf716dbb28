"""The state of the process that a job may change, put back before the next job finds it.

Each job ends with one look, which costs some microseconds, and only a difference leads to more. A look at the working
directory, the environment and the resource limits would cost as much again; but Python reports every call that changes
them (docs.python.org/3/library/audit_events.html), so we listen for those. A thread that is left, or a change that
cannot be put back, ends the task process; the next job gets a new one. Jobs of types declared `keeps_state` are not
checked: what they leave becomes the state to keep.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` converts to enumerations, which takes ten times as long
import _thread
import contextlib
import fcntl
import os
import resource
import signal
import sys
import threading
import time
from typing import Any, NamedTuple

from zjobs.worker.task import output

PATIENCE_S = 0.1  # with threads that are just ending
_FIRST_OF_OURS = 10  # our descriptors start here, well above the 0, 1 and 2 that tasks use
# Those with a name; the others, real-time signals, are for programs that know them.
_CATCHABLE = tuple(int(number) for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP))
# Their signals end the process unless there is a handler, and a new handler shows.
_OTHER_TIMERS = (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = tuple(range(16))  # RLIMIT_CPU to RLIMIT_RTTIME: resource has no names for some
_STREAMS = ("stdin", "stdout", "stderr")
_CALLS = frozenset({"os.chdir", "os.putenv", "os.unsetenv", "resource.setrlimit", "resource.prlimit"})
_environ: Any = os.environ


class Left(NamedTuple):
    """The state that a job left behind, as a sentence, empty for none; and whether its process must not run another
    job."""

    sentence: str = ""
    replace: bool = False


NOTHING = Left()


class State:
    """The process as it was before the present job."""

    def __init__(self) -> None:
        self._saved: list[int | None] = []
        self._called: set[str] = set()
        called, calls = self._called, _CALLS
        sys.addaudithook(lambda event, _: called.add(event) if event in calls else None)
        self.keep()

    def keep(self) -> None:
        """Make the present state the one to keep."""
        for descriptor in filter(None, self._saved):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._saved = [_copy(fd) for fd in range(3)]
        self._look = _look()
        self._rest = _look_further()
        self._handlers = {number: _signal.getsignal(number) for number in _CATCHABLE}
        self._streams = [getattr(sys, name) for name in _STREAMS]
        self._threads = set(threading.enumerate())
        self._called.clear()

    def restore(self) -> Left:
        """Put back what the job has changed."""
        if not self._called and _look() == self._look:
            return NOTHING
        return self._restore()

    def _restore(self) -> Left:
        changed = self._differences()
        output.flush()  # what was printed so far goes where the task wanted it
        for step in (self._timers, self._signals, self._files, self._surroundings, self._limits):
            with contextlib.suppress(Exception):  # a failure shows in the next look
                step()
        threads = self._left_threads()
        stuck = self._differences()
        self._look = (_thread._count(), *self._look[1:])
        self._called.clear()
        return Left(_sentence(changed, stuck, threads), bool(stuck or threads))

    def _differences(self) -> list[str]:
        """Return the names of what is not as it was, except threads."""
        pairs = [*zip(_LOOK, self._look, _look()), *zip(_REST, self._rest, _look_further())]
        return [name for name, was, now in pairs if name and was != now]

    def _timers(self) -> None:
        for timer, (delay, interval) in zip((signal.ITIMER_REAL, *_OTHER_TIMERS), (self._look[4], *self._rest[3])):
            signal.setitimer(timer, delay, interval)

    def _signals(self) -> None:
        for number, handler in self._handlers.items():
            if _signal.getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._look[2])
        os.umask(self._look[1])

    def _files(self) -> None:
        for fd, saved in enumerate(self._saved):
            if saved is not None and _file(fd) != self._look[5 + fd] and _file(saved) == self._look[5 + fd]:
                os.dup2(saved, fd)
        for name, stream in zip(_STREAMS, self._streams):
            setattr(sys, name, stream)

    def _surroundings(self) -> None:
        os.chdir(self._rest[0])
        before = self._rest[1]
        for name in {**_environ._data, **before}:
            if name not in before:
                del _environ[_environ.decodekey(name)]
            elif _environ._data.get(name) != before[name]:
                _environ[_environ.decodekey(name)] = _environ.decodevalue(before[name])

    def _limits(self) -> None:
        for which, limits in zip(_LIMITS, self._rest[2]):
            if resource.getrlimit(which) != limits:
                resource.setrlimit(which, limits)

    def _left_threads(self) -> list[str]:
        """Return the names of threads that were started since and do not end; including daemons, which go on like
        others."""
        deadline = time.monotonic() + PATIENCE_S
        while _thread._count() > self._look[0] and time.monotonic() < deadline:
            time.sleep(0.001)
        if _thread._count() <= self._look[0]:
            return []
        named = [thread.name for thread in threading.enumerate() if thread not in self._threads]
        return named or ["one without a name"]


_LOOK: tuple[str, ...] = ("", "the umask", "the signal mask", "signal handlers", "the alarm")
_LOOK += tuple(f"descriptor {fd}" for fd in range(3)) + tuple(f"sys.{name}" for name in _STREAMS)
_REST = ("the working directory", "the environment", "resource limits", "timers")


def _look() -> tuple[Any, ...]:
    """Return everything that only a look can tell; `_LOOK` has the names."""
    umask = os.umask(0o077)
    os.umask(umask)
    return (
        _thread._count(),
        umask,
        _signal.pthread_sigmask(_signal.SIG_BLOCK, ()),
        tuple(map(_signal.getsignal, _CATCHABLE)),
        _signal.getitimer(_signal.ITIMER_REAL),
        _file(0),
        _file(1),
        _file(2),
        sys.stdin,
        sys.stdout,
        sys.stderr,
    )


def _look_further() -> tuple[Any, ...]:
    """Return everything whose changes Python reports; `_REST` has the names."""
    try:
        directory = os.getcwdb()
    except OSError:  # it was removed
        directory = b""
    timers = tuple(map(_signal.getitimer, _OTHER_TIMERS))
    return directory, _environ._data.copy(), tuple(map(resource.getrlimit, _LIMITS)), timers


def _copy(fd: int) -> int | None:
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_OF_OURS)
    except OSError:
        return None


def _file(fd: int) -> tuple[int, int] | None:
    """Return the file that a descriptor is open for."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _sentence(changed: list[str], stuck: list[str], threads: list[str]) -> str:
    back = [part for part in changed if part not in stuck]
    parts = [f"put back: {', '.join(back)}"] if back else []
    if threads:
        more = f" and {len(threads) - 5} more" if len(threads) > 5 else ""
        parts.append(f"threads were left ({', '.join(threads[:5])}{more})")
    if stuck:
        parts.append(f"could not be put back: {', '.join(stuck)}")
    if stuck or threads:
        parts.append("the task process was replaced")
    return "; ".join(parts)
