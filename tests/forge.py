"""Starts programs in milliseconds: a process that has imported one of them forks at each order.

What is started so runs its `__main__` as always; it only does not start Python and import everything again. Each
program has a forge of its own, which has imported nothing that the program does not.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

IMPORTS = {  # by package: most of what it imports until it does its work
    "broker": ["zjobs.broker.cli.main", "docopt"],
    "worker": ["zjobs.worker.cli", "docopt"],
    "client": ["zjobs.client.cli.main", "zjobs.client.cli.submit", "zjobs.client.cli.query", "docopt"],
    "gateway": ["zjobs.gateway.cli", "zjobs.gateway.identity.migrating", "aiosqlite", "uvicorn.loops.auto"]
    + ["uvicorn.protocols.http.auto", "uvicorn.lifespan.on", "docopt"],
}
MOST_BYTES = 1 << 20  # of an order: it has the environment


class Process:
    """A process of a forge, as subprocess.Popen has it. `stdout`: where its output can be read, if anywhere."""

    def __init__(self, forge: Forge, pid: int, stdout: IO[bytes] | None) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._forge = forge
        self._pidfd = os.pidfd_open(pid)  # the forge keeps a zombie until `poll`, so it is this process

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._forge.ask({"wait": self.pid})["code"]
            if self.returncode is not None:
                os.close(self._pidfd)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forge:
    """The end that gives orders."""

    def __init__(self, package: str) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asking = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, package, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
            )

    def close(self) -> None:
        """End it, and what it started."""
        self._link.close()
        self._process.wait()

    def ask(self, order: dict[str, Any], files: tuple[int, ...] = ()) -> dict[str, Any]:
        with self._asking:
            socket.send_fds(self._link, [json.dumps(order).encode()], files)
            answer: dict[str, Any] = json.loads(self._link.recv(MOST_BYTES))
        return answer

    def start(self, argv: list[str], env: dict[str, str], cwd: Path, stdin: int, stdout: int, stderr: int) -> Process:
        """Start what `python ARGV` would. stdout: a file, or subprocess.PIPE."""
        read, write = os.pipe() if stdout == subprocess.PIPE else (None, None)
        order = {"argv": list(map(str, argv)), "env": env, "cwd": str(cwd)}
        try:
            pid = self.ask(order, (stdin, stdout if write is None else write, stderr))["pid"]
        finally:
            if write is not None:
                os.close(write)
        return Process(self, pid, None if read is None else open(read, "rb"))


@functools.cache
def forge_of(package: str) -> Forge:
    """The forge of this program, started when it is needed first, until this process ends."""
    forge = Forge(package)
    atexit.register(forge.close)
    return forge


# --- the process that forks -----------------------------------------------------------------------------------


def serve(link: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Answer orders to their end. In each process that is forked, return its order and its files."""
    living: set[int] = set()
    while True:
        message, files, *_ = socket.recv_fds(link, MOST_BYTES, 3)
        if not message:
            break
        order = json.loads(message)
        if "wait" in order:
            answer = {"code": ended(order["wait"], living)}
        else:
            pid = os.fork()
            if not pid:
                return order, files
            living.add(pid)
            answer = {"pid": pid}
        for file in files:
            os.close(file)
        link.send(json.dumps(answer).encode())
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return None


def ended(pid: int, living: set[int]) -> int | None:
    """Its exit code (negative: the signal); None while it lives."""
    found, status = os.waitpid(pid, os.WNOHANG)
    if not found:
        return None
    living.discard(pid)
    return os.waitstatus_to_exitcode(status)


def become(order: dict[str, Any], files: list[int]) -> None:
    """Be the program that was ordered."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    first, *words = order["argv"]
    if first == "-m":
        sys.path.insert(0, order["cwd"])
        sys.argv[1:] = words[1:]
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(first).parent))
        sys.argv[:] = [first, *words]
        runpy.run_path(first, run_name="__main__")


def main() -> None:
    del sys.path[0]  # the folder of this file
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the one that gives orders
    for module in IMPORTS[sys.argv[1]]:
        importlib.import_module(module)
    gc.freeze()  # what is here is looked through by no fork
    with socket.socket(fileno=int(sys.argv[2])) as link:
        ordered = serve(link)
    if ordered is not None:
        become(*ordered)


if __name__ == "__main__":
    main()
