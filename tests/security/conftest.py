"""A service with keys: made by `zbroker keys`, as its users make them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from zjobs.client import Client

if TYPE_CHECKING:
    from tests.conftest import Service


class Keyed:
    """A service whose broker and worker have keys. Clients are known by the name of their key."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.keys = service.place / "keys"
        self.files = service.place / "files"
        self.files.mkdir()
        self.clients: list[Client] = []
        service.env.update(XDG_CONFIG_HOME=str(service.place / "config"), ZJOBS_KEY="")
        self.manage("init")

    def manage(self, *words: str) -> str:
        """`zbroker keys …`; what it says."""
        ended = self.service.run("broker", "keys", *words, "--keys", str(self.keys))
        assert ended.returncode == 0, ended
        return str(ended.stdout)

    def add(self, name: str, role: str, *options: str) -> Path:
        """Admits somebody; their key file."""
        file = self.files / f"{name}.key"
        self.manage("add", name, "--role", role, "--out", str(file), *options)
        return file

    def file(self, name: str) -> Path:
        return self.files / f"{name}.key"

    def start(self, *options: str, worker: bool = True) -> None:
        """Starts the broker, and waits until it has its worker."""
        self.service.start_broker("--keys", str(self.keys), *options)
        if worker:
            self.service.start_worker("--key", str(self.keys / "worker.key"))
            self.until_worker("ready")

    def until_worker(self, state: str) -> None:
        if not self.file("boss").exists():
            self.add("boss", "operator")
        boss = self.client("boss")
        self.service.until(lambda: boss.info().worker.state == state, f"the worker is {state}")

    def client(self, name: str, timeout: float = 20.0) -> Client:
        client = Client(self.service.endpoint, timeout, key=self.file(name))
        self.clients.append(client)
        return client

    def zclient(self, name: str, *words: str) -> Any:
        return self.service.zclient("--key", str(self.file(name)), *words)

    def end(self) -> None:
        for client in self.clients:
            client.close()


@pytest.fixture
def keyed(new_service: Callable[..., Service]) -> Iterator[Keyed]:
    """Keys for a broker and a worker; nothing is started yet."""
    keyed = Keyed(new_service())
    yield keyed
    keyed.end()


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    """The reply to one request, as it comes over a client's connection."""

    def ask(client: Client, op: str, **fields: Any) -> dict[str, Any]:
        reply: dict[str, Any] = msgpack.unpackb(client.connection.request(msgpack.packb({"v": 1, "op": op, **fields})))
        return reply

    return ask


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits until something is so: (condition, what, explain)."""

    def until(condition: Callable[[], Any], what: str, explain: Callable[[], str]) -> Any:
        deadline = time.monotonic() + 20
        while not (value := condition()):
            assert time.monotonic() < deadline, f"{what}: not within 20 s\n{explain()}"
            time.sleep(0.01)
        return value

    return until
