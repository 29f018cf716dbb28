"""The servers as users start them, and the clients that load them, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.program import Program, python
from benchmarks.service import Service

PASSWORD = "correct horse battery"


@contextlib.contextmanager
def _folder(bench: Bench) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="http.", dir=bench.directory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def one_line(bench: Bench) -> Iterator[tuple[Program, str]]:
    """Start the application of one line; yield it and its address."""
    with _folder(bench) as folder:
        argv = python("-m", "benchmarks.http.one_line")
        with Program(argv, bench.two_cores.server, folder / "log") as program:
            yield program, program.ready_line()[-1]


class Gateway:
    """A gateway before a service: where it is, and a token."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.url = program.ready_line()[-1]
        form = urllib.parse.urlencode({"username": "admin", "password": PASSWORD}).encode()
        with urllib.request.urlopen(f"{self.url}/api/v1/auth/token", form) as answered:
            self.token = str(json.load(answered)["access_token"])

    @property
    def jobs(self) -> str:
        """The path of its service's jobs."""
        return "/api/v1/services/default/jobs"


@contextlib.contextmanager
def gateway(bench: Bench, service: Service) -> Iterator[Gateway]:
    """Start a gateway before a service, alone on the servers' core: the broker shares the clients' core."""
    with _folder(bench) as folder:
        environment = {
            "XDG_STATE_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "ZJOBS_BROKER": service.endpoint,
            "ZGATEWAY_ADMIN_PASSWORD": PASSWORD,
        }
        argv = python("-m", "zjobs.gateway", "--listen", "127.0.0.1:*", "--log-level", "warning")
        with Program(argv, bench.two_cores.server, folder / "log", environment) as program:
            yield Gateway(program)


def load(bench: Bench, url: str, kind: str, connections: int, token: str = "", path: str = "/") -> dict[str, Any]:
    """Ask over this many connections, one request at a time on each; return what came of it."""
    words = [url, kind, path, token, str(connections), str(bench.size.seconds)]
    argv = python("-m", "benchmarks.http.client", *words)
    with _folder(bench) as folder, Program(argv, bench.two_cores.client, folder / "log") as program:
        told: dict[str, Any] = json.loads(" ".join(program.ready_line()))
    return told


class Streams:
    """Event streams that are open, and what each has been sent."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._program.ready_line()

    def told(self) -> dict[str, int]:
        """Wait until nothing more comes; how many events each stream got, and how many ids they span."""
        self._program.tell("count")
        told: dict[str, int] = json.loads(" ".join(self._program.ready_line()))
        return told


@contextlib.contextmanager
def streams(bench: Bench, gateway: Gateway, count: int) -> Iterator[Streams]:
    """Open this many streams of the service's events."""
    with _folder(bench) as folder:
        words = [gateway.url, gateway.jobs.replace("/jobs", "/events"), gateway.token, str(count)]
        argv = python("-m", "benchmarks.http.streams", *words)
        with Program(argv, bench.two_cores.client, folder / "log") as program:
            yield Streams(program)
