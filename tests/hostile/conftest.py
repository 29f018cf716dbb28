"""Peers that misbehave on real sockets, and an honest client beside them whose answers are timed.

ZJOBS_HOSTILE multiplies how much is tried: 1 unless set.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from zjobs.client import Client

TIMES = int(os.environ.get("ZJOBS_HOSTILE", "1"))
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
TRIED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TRIED] = []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.stash[TRIED]:
        terminalreporter.section("hostile input")
        for line in config.stash[TRIED]:
            terminalreporter.write_line(line)


class Peer:
    """A connection to a port, byte by byte."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=5)

    def send(self, data: bytes) -> bool:
        """Whether the other side still takes it."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def introduce(self, kind: bytes) -> Peer:
        """Shakes hands as a socket of the type `kind`, without keys."""
        self.send(GREETING + ready(kind))
        self.exactly(len(GREETING))
        self.exactly(self.exactly(2)[1])  # its READY
        return self

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (more := self.heard(count - len(data))):
            data += more
        return data

    def until_heard(self, wanted: bytes) -> bool:
        """Reads until `wanted` has come; False when the other side closes before, or says nothing for 5 s."""
        data = b""
        while wanted not in data and (more := self.heard(65_536)):
            data = data[-len(wanted) :] + more
        return wanted in data

    def heard(self, most: int) -> bytes:
        """What came, `most` bytes at the most, at least one unless the other side has closed."""
        with contextlib.suppress(OSError):
            return self.socket.recv(most)
        return b""

    def close(self) -> None:
        self.socket.close()


def ready(kind: bytes) -> bytes:
    """The READY command of ZMTP 3 (rfc.zeromq.org/spec/23)."""
    body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    return bytes([4, len(body)]) + body


class Stage:
    """A broker under attack."""

    def __init__(self, service: Any, lines: list[str], name: str) -> None:
        self.service = service
        self.random = random.Random(name)
        self.times = TIMES
        self.peers: list[Peer] = []
        self.key: Path | None = None
        self._lines = lines
        self._name = name

    def peer(self, endpoint: str | None = None) -> Peer:
        self.peers.append(Peer(endpoint or self.service.endpoint))
        return self.peers[-1]

    def tried(self, what: str) -> None:
        """Tells in the summary what was tried, and what it came to."""
        self._lines.append(f"{self._name}: {what}")

    def rss_mib(self) -> int:
        """What the broker takes up."""
        status = Path(f"/proc/{self.service.broker.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) // 1024

    def ask_bytes(self, *parts: bytes) -> dict[str, Any]:
        """The reply to a message of these frames behind the empty one."""
        with self.service.dealer() as asking:
            asking.send_multipart([b"", *parts])
            reply: dict[str, Any] = msgpack.unpackb(asking.recv_multipart()[-1], strict_map_key=False)
        return reply

    def honest(self) -> None:
        """A new client is answered."""
        assert self.hello().events, self.service.logs()

    def hello(self) -> Any:
        with self.client() as client:
            return client.hello()

    def client(self) -> Client:
        """A client with the key that is admitted, where there are keys."""
        return Client(self.service.endpoint, timeout=20, key=self.key)

    def set_keys(self) -> None:
        """Starts the broker anew, with keys."""
        service = self.service
        service.env["ZJOBS_KEY"] = ""
        self.key = service.place / "boss.key"
        for words in (["init"], ["add", "boss", "--role", "operator", "--out", str(self.key)]):
            done = service.run("broker", "keys", *words, "--keys", str(service.place / "keys"))
            assert done.returncode == 0, done
        service.broker.kill()
        service.start_broker("--keys", str(service.place / "keys"))

    def latencies_ms(self, count: int = 20) -> list[float]:
        """How long an honest client waited for each of `count` answers."""
        took = []
        with self.service.dealer() as asking:
            for _ in range(count):
                begun = time.perf_counter()
                asking.send_multipart([b"", msgpack.packb({"v": 1, "op": "hello"})])
                asking.recv_multipart()
                took.append((time.perf_counter() - begun) * 1000)
        return took

    def told(self, took: list[float]) -> str:
        return f"an honest client waited {statistics.median(took):.1f} ms (median), {max(took):.0f} ms (longest)"

    def socket(self, kind: int, endpoint: str, **options: int) -> zmq.Socket[bytes]:
        """A ZeroMQ socket, ended with the test."""
        made: zmq.Socket[bytes] = self.service.context.socket(kind)
        made.linger = 0
        for name, value in options.items():
            setattr(made, name, value)
        self.service.sockets.append(made)
        made.connect(endpoint)
        return made


@pytest.fixture
def stage(new_service: Callable[..., Any], request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A broker without a worker, on TCP ports."""
    service = new_service("tcp://127.0.0.1:*")
    service.start_broker()
    made = Stage(service, request.config.stash[TRIED], request.node.name)
    yield made
    for peer in made.peers:
        peer.close()
