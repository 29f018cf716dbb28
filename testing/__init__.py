"""A whole running service for your own tests: a broker, and a worker with your tasks.

    from zjobs.testing import running_service

    with running_service(tasks=["package.module"]) as service:
        assert service.client().submit("greet", "you").result(20) == "hello you"

For pytest, `zjobs.testing.plugin` makes a fixture of it.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from zjobs.client import Client

T = TypeVar("T")

START_S = 30.0
JOB_ENDS_S = 1.0
STOP_S = 10.0
POLL_S = 0.01
LOG_CHARS = 20_000


def wait_until(condition: Callable[[], T], timeout: float = 20) -> T:
    """Call `condition` until it returns something true, and return that. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not become true within {timeout:g} s")
        time.sleep(POLL_S)
    return value


class NotStarted(Exception):
    """A broker or a worker that did not start; the text says why, with its log."""


class Service:
    """A running broker and its worker. `endpoint`: the broker's address. `folder`: where their logs are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoint = f"ipc://{folder}/broker"
        self._clients: list[Client] = []
        self._programs: list[subprocess.Popen[bytes]] = []
        path = os.pathsep.join(one or os.getcwd() for one in sys.path)
        self._env = {**os.environ, "PYTHONPATH": path, "XDG_STATE_HOME": str(folder)}

    def client(self, timeout: float = 5.0) -> Client:
        """Return a client of this service; it is closed with the service."""
        client = Client(self.endpoint, timeout)
        self._clients.append(client)
        return client

    def log(self) -> str:
        """Return the end of the logs of broker and worker."""
        logs = [(file.stem, file.read_text(errors="replace")) for file in sorted(self.folder.glob("*.log"))]
        return "\n".join(f"--- {name}\n{text[-LOG_CHARS:]}" for name, text in logs)

    def start(self, tasks: Sequence[str], time_scale: float) -> None:
        """Start the broker, then the worker. Raises NotStarted."""
        self._start("broker", "--listen", self.endpoint, "--journal", ":memory:")
        named = [word for name in tasks for word in ("--tasks", name)]
        self._start("worker", "--pipe", f"{self.endpoint}.pipe", "--time-scale", str(time_scale), *named)

    def stop(self) -> None:
        """End everything, the worker first. Kill what does not end by itself."""
        for client in self._clients:
            client.close()
        for program in reversed(self._programs):
            for patience_s in (JOB_ENDS_S, STOP_S):  # a second signal makes the worker kill the running job
                program.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    program.wait(patience_s)
            program.kill()
            program.wait()
            if program.stdout is not None:
                program.stdout.close()

    def _start(self, package: str, *options: str) -> None:
        argv = [sys.executable, "-m", f"zjobs.{package}", *options]
        with (self.folder / f"{package}.log").open("wb") as log:
            program = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self._env
            )
        self._programs.append(program)
        assert program.stdout is not None
        readable, _, _ = select.select([program.stdout], [], [], START_S)
        if not readable or f"z{package} ready" not in program.stdout.readline().decode(errors="replace"):
            raise NotStarted(f"the {package} is not ready after {START_S:g} s, or has ended\n{self.log()}")


@contextlib.contextmanager
def running_service(tasks: Sequence[str] = (), time_scale: float = 0) -> Iterator[Service]:
    """Run a service for the duration of the `with` block; nothing of it is left behind.

    `tasks` are the modules with your tasks, named as for `zworker --tasks` and found where this program would find
    them. `time_scale` multiplies the durations of the predefined tasks. If the block fails, the logs of broker and
    worker are printed. Raises NotStarted.
    """
    # in /tmp, whatever TMPDIR says: the path of a socket has at most 107 bytes
    with tempfile.TemporaryDirectory(prefix="zjobs-", dir="/tmp") as folder:
        service = Service(Path(folder))
        try:
            service.start(tasks, time_scale)
            yield service
        except BaseException:
            print(service.log(), file=sys.stderr)
            raise
        finally:
            service.stop()
