"""Two hosts with a link between them, made of network namespaces: `near` with the broker, and `far`.

They are gone with the test; nothing outside of them changes. Needs root, and iproute2 with a kernel that has `tbf`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from zjobs.client import Client

if TYPE_CHECKING:
    from tests.conftest import Service

NEAR, FAR = "10.77.0.1", "10.77.0.2"
CLONE_NEWNET = 0x40000000
TASKS = Path(__file__).parent / "link_tasks.py"


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def why_not() -> str | None:
    """Why no link can be made here; None: it can."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    if not (shutil.which("ip") and shutil.which("tc")):
        return "needs ip and tc (Debian: iproute2)"
    try:
        with Link() as link:
            link.slow_down("1mbit")
    except subprocess.CalledProcessError as error:
        return f"cannot make a link: {error.stderr.strip()}"
    return None


class Link:
    """Two network namespaces, `near` and `far`, joined by a pair of virtual interfaces."""

    def __init__(self) -> None:
        name = f"zj{uuid.uuid4().hex[:6]}"
        self._ends = {"near": f"{name}n", "far": f"{name}f"}

    def __enter__(self) -> Link:
        try:
            near, far = self._ends.values()
            for end in self._ends.values():
                _run("ip", "netns", "add", end)
                _run("ip", "-n", end, "link", "set", "lo", "up")
            _run("ip", "link", "add", near, "netns", near, "type", "veth", "peer", "name", far, "netns", far)
            for end, address in ((near, NEAR), (far, FAR)):
                _run("ip", "-n", end, "addr", "add", f"{address}/24", "dev", end)
                _run("ip", "-n", end, "link", "set", end, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends.values():
            subprocess.run(["ip", "netns", "del", end], capture_output=True)

    def slow_down(self, rate: str, buffered: str = "200ms") -> None:
        """Both directions carry so much from now on. `buffered`: how much waits before something is dropped."""
        for end in self._ends.values():
            words = ("qdisc", "replace", "dev", end, "root", "tbf", "rate", rate, "burst", "16kb", "latency", buffered)
            _run("tc", "-n", end, *words)

    def cut(self) -> None:
        """Nothing passes any more, and neither side is told."""
        for end in self._ends.values():
            words = ("qdisc", "replace", "dev", end, "root", "tbf", "rate", "8bit", "burst", "1", "limit", "1")
            _run("tc", "-n", end, *words)

    def sent_bytes(self, side: str) -> int:
        """How much the link has carried from this side."""
        end = self._ends[side]
        with self.inside(side):
            return int(Path("/proc/thread-self/net/dev").read_text().split(f"{end}:")[1].split()[8])

    def command(self, side: str) -> list[str]:
        """What starts a program there."""
        return ["ip", "netns", "exec", self._ends[side]]

    @contextlib.contextmanager
    def inside(self, side: str) -> Iterator[None]:
        """What this thread opens meanwhile, it opens there."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self._ends[side]}", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(here)
            os.close(here)
            os.close(there)


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@pytest.fixture
def link() -> Iterator[Link]:
    """A link; the tests that need one are skipped, and say so, where none can be made."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"LINKS ARE NOT TESTED HERE: {reason}")
    with Link() as link:
        yield link


@pytest.fixture
def linked(link: Link, new_service: Callable[..., Service]) -> Callable[[str], Service]:
    """Starts a service: the broker near, the worker `near` or `far`."""

    def start(worker: str) -> Service:
        service = new_service(f"tcp://{NEAR}:5570")
        host = FAR if worker == "far" else NEAR
        service.pipe, service.reports = f"tcp://{host}:5572", f"tcp://{host}:5573"
        service.within = {"broker": link.command("near"), "worker": link.command(worker)}
        shutil.copy(TASKS, service.place / "work")
        service.start_broker("--insecure")
        service.start_worker("--insecure", "--tasks", "link_tasks", tasks=False)
        with link.inside("near"):
            service.until_worker("ready")
        return service

    return start


@pytest.fixture
def client_at(link: Link) -> Callable[..., Client]:
    """Makes clients that are near or far."""

    def make(service: Service, side: str, timeout: float = 5.0) -> Client:
        with link.inside(side):  # the threads of libzmq that begin now open all sockets there
            client = service.client(timeout)
            client.hello()
        return client

    return make
