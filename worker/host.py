"""Everything that differs between operating systems: ending processes, watching them, packets, nameless files.

Linux is the home. macOS has no PR_SET_PDEATHSIG, pidfd, /proc, memfd or SEQPACKET; the stand-ins below are weaker
(noted at each) and untested there.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from typing import BinaryIO

LINUX = sys.platform.startswith("linux")
MARKER = "ZJOBS_INCARNATION"

# Descriptors that arrive in a packet shall not leak into programs that a task starts. (As plain numbers: to join the
# members of an enumeration takes as long as the call they are for.)
RECEIVE_FLAGS = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
DONT_WAIT = int(socket.MSG_DONTWAIT)

_PR_SET_PDEATHSIG = 1
_KILL_ROUNDS = 20
_BARE_ROUNDS, _BARE_S = 5, 0.002
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the kernel's sched.h; field 9 of proc(5)'s stat
_NOTHING = bytes(4)


def die_with_parent(parent_pid: int) -> None:
    """Arranges that this process is killed when its parent ends; exits when that has happened already.

    macOS: a thread looks once a second, so an orphaned task may go on for that long (the lock it
    inherited keeps a new worker away meanwhile).
    """
    if LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch_parent, args=(parent_pid,), daemon=True).start()
    if os.getppid() != parent_pid:
        os._exit(1)


def _watch_parent(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(1)
    os._exit(1)


def packet_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that keep packets apart. macOS: datagrams, which have no end-of-file."""
    kind = socket.SOCK_SEQPACKET if LINUX else socket.SOCK_DGRAM
    return socket.socketpair(socket.AF_UNIX, kind)


def nameless_file() -> BinaryIO:
    """An empty file without a name, gone with its last descriptor, so a crash leaves nothing behind."""
    if LINUX:
        return os.fdopen(os.memfd_create("zjobs"), "w+b")
    return tempfile.TemporaryFile()


def unread(pipe: int) -> bool:
    """Whether something was written into our pipe that nobody has read. macOS: says yes in any case."""
    return not LINUX or fcntl.ioctl(pipe, termios.FIONREAD, _NOTHING) != _NOTHING


def death_descriptor(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether our child has ended, on Linux without reaping it.

    Unreaped, its pid and so its group number stay its own: the group can be killed without hitting others.
    """
    if LINUX:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None


def kill_group(pid: int) -> None:
    """Kills the process group that `pid` leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def start_time(pid: int) -> str | None:
    """When the process started, in a form only good for comparing; None when there is none (zombies included)."""
    if not LINUX:
        found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return "-".join(found.stdout.split()) or None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in b"ZX" else fields[19].decode()


def kill_marked(incarnation: str) -> int:
    """Kills every process that carries this incarnation in its environment; returns how many there were.

    Looks again until nothing is found, because what is being killed may still be starting others. A process in the
    middle of exec shows no environment for a moment, so those that show none are looked at a few times more.
    """
    mark = f"{MARKER}={incarnation}".encode()
    killed: set[int] = set()
    patience = _BARE_ROUNDS
    for _ in range(_KILL_ROUNDS):
        environments = {pid: _environment(pid) for pid in _pids() if pid not in killed and pid != os.getpid()}
        found = [pid for pid, environment in environments.items() if mark in environment]
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed.update(found)
        if not found:
            patience -= 1
            if not patience or not any(_may_be_starting(pid) for pid, seen in environments.items() if seen == [b""]):
                break
            time.sleep(_BARE_S)
    return len(killed)


def _may_be_starting(pid: int) -> bool:
    """Whether a process without an environment may get one: it is alive, and none of the kernel's own."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return fields[0] not in b"ZX" and not int(fields[6]) & _KERNEL_THREAD


def _pids() -> list[int]:
    if LINUX:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    found = subprocess.run(["ps", "-axo", "pid="], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def _environment(pid: int) -> list[bytes]:
    if not LINUX:
        command = ["ps", "-E", "-ww", "-o", "command=", "-p", str(pid)]
        return subprocess.run(command, capture_output=True, check=False).stdout.split()
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:  # ended meanwhile, or another user's
        return []
