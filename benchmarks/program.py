"""Processes of ours: started on chosen cores, waited for until they are ready, ended by their pid."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READY_S = 60.0
STOP_S = 30.0


@contextlib.contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Run this thread on `cores`, and with it what it starts meanwhile: processes and threads inherit them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Program:
    """A running process. For `with`: its end is that of the block."""

    def __init__(
        self, argv: Sequence[str], cores: frozenset[int], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start `argv`; its stderr is appended to `log`. Raises OSError."""
        self._log = log
        with pinned(cores), log.open("ab") as stderr:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
            )
        self.pid = self._process.pid

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ready_line(self) -> list[str]:
        """Return the words of the first line on stdout. Raises RuntimeError if none comes."""
        assert self._process.stdout is not None
        waiting = select.poll()  # not select(): a client with 1,000 watchers has descriptors past 1,023
        waiting.register(self._process.stdout, select.POLLIN)
        if waiting.poll(READY_S * 1000):
            words = self._process.stdout.readline().decode().split()
            if words:
                return words
        raise RuntimeError(f"{self._process.args!r} does not start; its log ends:\n{self._last_words()}")

    def tell(self, line: str) -> None:
        """Write `line` to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def memory_bytes(self) -> int:
        """Return how much memory the process uses (its resident set)."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def processor_us(self) -> float:
        """Return the processor time that the process has used, with all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1e6

    def stop(self) -> None:
        """Ask it to end, and kill it if it does not."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])


def python(*arguments: str) -> list[str]:
    """Return a command line for this interpreter."""
    return [sys.executable, *arguments]


def free_port() -> int:
    """Return a port on the loopback interface that is not in use at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Return whether a server takes connections at `port` on the loopback interface."""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_until(condition: Callable[[], bool], seconds: float, what: str, every_s: float = 0.01) -> float:
    """Ask until `condition` holds, and return when that was (monotonic). Raises TimeoutError naming `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every_s)
    return time.monotonic()
