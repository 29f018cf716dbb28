"""Linux facilities: marking, finding and ending processes, watching them, packets, nameless files."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import secrets
import signal
import socket
import subprocess
import termios
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import BinaryIO, NamedTuple

# Descriptors that arrive in a packet must not leak into programs that a task starts. (Plain numbers, because combining
# members of an enumeration takes as long as the call itself.)
RECEIVE_FLAGS = int(socket.MSG_CMSG_CLOEXEC)
DONT_WAIT = int(socket.MSG_DONTWAIT)

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_WALL = 0x40000000  # children of every kind, those of a bare clone() too (waitid(2))
_ANY_CHILD = os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.001, 0.05
QUIET_LOOKS = 8
_LOOKS_A_SECOND = 100
_NOTHING = bytes(4)

# The kernel keeps this limit, passes it on to every child and through every exec, and since Linux 2.4.25 ignores it
# (getrlimit(2)). Nobody without privileges can raise it. So it is a mark that no program loses by clearing its
# environment, changing its title, leaving its session or losing its parent.
_RLIMIT_LOCKS = 10
_LIMITS_LINE = b"Max file locks"
_HIGHEST_MARK = 1 << 62


class Process(NamedTuple):
    """A process at one moment. `start` distinguishes it from a later one with its number."""

    pid: int
    parent: int
    start: str
    alive: bool
    name: str

    @property
    def identity(self) -> tuple[int, str]:
        """The pid and the start time, which no other process shares."""
        return self.pid, self.start


# The processes to kill, and whether something has ended since the last look.
Look = Callable[[], tuple[list[Process], bool]]


# --- a process and its parents ---------------------------------------------------------------------------


def die_with_parent(parent_pid: int) -> None:
    """Have this process killed when its parent ends; exit if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def adopt_orphans() -> None:
    """Make every descendant whose parent ends our child from now on, so none of them can leave us."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def has_children() -> bool:
    """Return True if we have any child, alive or not reaped. One system call."""
    try:
        os.waitid(os.P_ALL, 0, _ANY_CHILD)
    except ChildProcessError:
        return False
    return True


def reap(pid: int = -1) -> bool:
    """Reap our child `pid`, or any. Return True if one had ended."""
    try:
        return os.waitpid(pid, os.WNOHANG | _WALL)[0] != 0
    except ChildProcessError:
        return False


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return True if our child has ended, without reaping it.

    Until it is reaped, its pid and so its group number stay its own: the group can be killed without hitting others.
    """
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


# --- finding processes -------------------------------------------------------------------------------------


def newest_pid() -> str:
    """Return the last pid given. While it stays the same, no process was started (proc(5), loadavg)."""
    with open("/proc/loadavg") as file:
        return file.read().split()[-1]


def processes() -> dict[int, Process]:
    """Return all processes, by pid."""
    found = (_process(pid) for pid in _pids())
    return {process.pid: process for process in found if process is not None}


def _pids() -> list[int]:
    # newest first: these may be gone in an instant, having started another one
    return sorted(map(int, filter(str.isdigit, os.listdir("/proc"))), reverse=True)


def own_children() -> list[Process]:
    """Return our children, in a fraction of the time that a look at everything takes. Empty where the kernel does not
    list them (CONFIG_PROC_CHILDREN), and incomplete while some of them end."""
    pids: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children", "rb") as file:
            pids += map(int, file.read().split())
    found = map(_process, reversed(pids))
    return [process for process in found if process is not None]


def _process(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            before, _, after = file.read().rpartition(b")")
    except OSError:
        return None
    fields = after.split()
    name = before.partition(b"(")[2].decode(errors="replace")
    return Process(pid, int(fields[1]), fields[19].decode(), fields[0] not in b"ZX", name)


def start_time(pid: int) -> str | None:
    """Return when the process started, in a form only good for comparing; None if there is none, or only a zombie."""
    process = _process(pid)
    return process.start if process is not None and process.alive else None


def children_of(table: dict[int, Process]) -> dict[int, list[Process]]:
    """Return the processes of a table, by their parent."""
    children = defaultdict(list)
    for process in table.values():
        children[process.parent].append(process)
    return children


# --- marks ---------------------------------------------------------------------------------------------------


def new_mark() -> int:
    """Return a mark that nothing else carries. It is below our own, if we run inside a job of another worker."""
    hard = resource.getrlimit(_RLIMIT_LOCKS)[1]
    top = _HIGHEST_MARK if hard == resource.RLIM_INFINITY else min(hard, _HIGHEST_MARK)
    return top - 1 - secrets.randbelow(max(1, top // 2))


def carry(mark: int) -> None:
    """Mark this process and everything it will ever start."""
    resource.setrlimit(_RLIMIT_LOCKS, (mark, mark))


def marked(marks: Collection[int]) -> list[Process]:
    """Return the living processes that carry one of `marks`, and those they started, which may carry a mark of their
    own."""
    table = processes()
    children = children_of(table)
    found = {pid: process for pid, process in table.items() if _mark_of(pid) in marks}
    todo = list(found)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                todo.append(child.pid)
    return [process for process in found.values() if process.alive and process.pid != os.getpid()]


def _mark_of(pid: int) -> int | None:
    try:
        return resource.prlimit(pid, _RLIMIT_LOCKS)[1]
    except PermissionError:  # another user's process; but everybody may read the file
        return _mark_in_file(pid)
    except (OSError, ValueError):
        return None


def _mark_in_file(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            line = next(line for line in file if line.startswith(_LIMITS_LINE))
    except (OSError, StopIteration):
        return None
    hard = line.split()[4]
    return int(hard) if hard.isdigit() else None


# --- ending processes ------------------------------------------------------------------------------------------


def kill_group(pid: int) -> None:
    """Kill the process group that `pid` leads: all at once, so that none of them can start another one first."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill(process: Process) -> None:
    """Kill exactly this process. One that has ended, or that we may not kill, is left as it is."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(process.pid)
        try:
            if start_time(process.pid) == process.start:  # the pid may be another process's by now
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


def end_all(
    look: Look, patience_s: float, most_looks: int, none_is_left: Callable[[], bool] = bool
) -> tuple[int, list[Process]]:
    """Kill what `look` finds, again and again until nothing is left: a process may start others while it is being
    killed.

    Return how many were killed, and what is left: processes that live on for `patience_s` after they were killed or, if
    others always appear, those found last after `most_looks`. (The bound is in looks, not in time: on a busy machine
    each look takes longer, and none gets nearer to a process that lives for less than a millisecond.)

    none_is_left: tells for certain. Without that certainty, one look that finds nothing proves nothing: a process may
    have started another one and ended while we looked. Two such looks prove it if no process was started anywhere
    between them, and so do QUIET_LOOKS in a row; they are made however long it has taken so far.
    """
    killed_at: dict[tuple[int, str], float] = {}
    left: list[Process] = []
    pause_s, looks, quiet, newest = _FIRST_PAUSE_S, 0, 0, ""
    while True:
        before, newest = newest, newest_pid()
        found, stirs = look()
        looks += 1
        now = time.monotonic()
        for process in found:
            kill(process)
        again = any(process.identity in killed_at for process in found)
        for process in found:
            killed_at.setdefault(process.identity, now)
        left = found or left
        quiet = 0 if found or stirs else quiet + 1
        if (quiet > 1 and before == newest == newest_pid()) or quiet == QUIET_LOOKS or (not found and none_is_left()):
            left = []
            break
        stubborn = any(now - killed_at[process.identity] >= patience_s for process in found)
        if stubborn or (left and not quiet and looks >= most_looks):
            break
        if found:
            time.sleep(pause_s)  # most are gone by then
            pause_s = min(2 * pause_s, _LAST_PAUSE_S) if again else _FIRST_PAUSE_S
            if none_is_left():
                left = []
                break
    return len(killed_at.keys() - {process.identity for process in left}), left


def end_marked(marks: Collection[int], patience_s: float) -> tuple[int, list[Process]]:
    """End the processes that carry one of `marks`; see `end_all`."""
    return end_all(lambda: (marked(marks), False), patience_s, 1 + int(patience_s * _LOOKS_A_SECOND))


def described(found: Collection[Process]) -> str:
    """Describe a few processes to people: name, pid, and owner."""
    some = sorted(found)[:5]
    names = [f"{process.name} (pid {process.pid}{_owner(process.pid)})" for process in some]
    return ", ".join(names) + (f" and {len(found) - len(some)} more" if len(found) > len(some) else "")


def _owner(pid: int) -> str:
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return ""
    return "" if uid == os.geteuid() else f" of user {uid}"


# --- descriptors -------------------------------------------------------------------------------------------------


def packet_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets that keep packets apart."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def nameless_file() -> BinaryIO:
    """Return an empty file without a name. It is gone with its last descriptor, so a crash leaves nothing behind."""
    return os.fdopen(os.memfd_create("zjobs"), "w+b")


def unread(pipe: int) -> bool:
    """Return True if something was written into our pipe that nobody has read."""
    return fcntl.ioctl(pipe, termios.FIONREAD, _NOTHING) != _NOTHING
