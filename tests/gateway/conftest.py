"""The gateway before a running service. `app`: its application in this process, for whoever a request says it is from.
`gateway`: the program, with logins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from tests.conftest import making_services
from tests.gateway.running import Gateway
from zjobs.gateway.app import create_app
from zjobs.gateway.config import Config, PasswordCost
from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.accounts import By
from zjobs.gateway.identity.identity import Identity, prepare
from zjobs.gateway.identity.models import Kind
from zjobs.messages.states import Role

if TYPE_CHECKING:
    from tests.conftest import Service


CHEAP = PasswordCost(time_cost=1, memory_cost=8, parallelism=1)


class People:
    """Tokens of people, who are added when they are first needed."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._tokens: dict[tuple[str, str], str] = {}

    async def authorize(self, request: httpx.Request) -> None:
        """Let a request be that of whom its header names, as NAME ROLE."""
        name, role = request.headers.pop("test-person", "boss operator").split()
        if (name, role) not in self._tokens:
            self._tokens[name, role] = await self._token(name, Role(role))
        request.headers["Authorization"] = f"Bearer {self._tokens[name, role]}"

    async def _token(self, name: str, role: Role) -> str:
        by = By("", "", self._identity.now())
        async with self._identity.changing() as session:
            user = await accounts.find_user(session, name)
            user = user or await accounts.add_user(session, by, name, role, False, "no hash")
            await accounts.change_user(session, by, user, role, None, None)
            return (await accounts.add_token(session, user, Kind.LOGIN, by.at, None)).text


async def reached(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "not within 20 s"
        await asyncio.sleep(0.005)


class Api(httpx.AsyncClient):
    """Asks the application; paths begin behind the service's name."""

    def __init__(self, app: Any) -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        url = "http://gateway/api/v1/services/laser/"
        hooks = {"request": [People(app.state.identity).authorize]}
        super().__init__(transport=transport, base_url=url, timeout=30, event_hooks=hooks)

    async def submit(self, type: str, *data: Any, **fields: Any) -> int:
        """Queue a job; its id."""
        body = {"type": type, **dict(zip(("data",), data)), **fields}
        answered = await self.post("jobs", json=body)
        assert answered.status_code == 201, answered.text
        return int(answered.json()["first_id"])

    async def ended(self, job_id: int) -> httpx.Response:
        """The result, once the job has ended."""
        return await self.get(f"jobs/{job_id}/result", params={"wait": 20})


@pytest.fixture
def more_services() -> str:
    """What the configuration has besides."""
    return ""


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, which take some time to make."""
    file = tmp_path_factory.mktemp("prepared") / "gateway.db"
    config = Config("127.0.0.1", 0, f"sqlite+aiosqlite:///{file}", password_cost=CHEAP)
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(prepare(config))
    return file


@pytest.fixture
async def app(shared_service: Service, prepared: Path, tmp_path: Path, more_services: str) -> AsyncIterator[Any]:
    """The application, started."""
    file = tmp_path / "config.toml"
    file.write_text(f'[services.laser]\nbroker="{shared_service.endpoint}"\nkey=""\n{more_services}')
    config = Config("127.0.0.1", 0, f"sqlite+aiosqlite:///{tmp_path}/gateway.db", file, password_cost=CHEAP)
    shutil.copy(prepared, tmp_path / "gateway.db")
    app = create_app(config)
    async with app.router.lifespan_context(app):
        await reached(lambda: app.state.services.hub("laser").state.reachable)
        yield app


@pytest.fixture
async def api(app: Any) -> AsyncIterator[Api]:
    """A client of the application."""
    async with Api(app) as api:
        yield api


@pytest.fixture
def told() -> Callable[[httpx.Response], tuple[int, str]]:
    """The status and the code of an answer that must be a problem."""

    def read(answered: httpx.Response) -> tuple[int, str]:
        assert answered.headers["content-type"] == "application/problem+json", answered.text
        told = answered.json()
        assert told["status"] == answered.status_code and told["title"] and told["detail"]
        return answered.status_code, told["code"]

    return read


class Events:
    """What a stream sends, event by event."""

    def __init__(self, answered: httpx.Response) -> None:
        self.answered = answered
        self._lines = answered.aiter_lines()

    async def block(self) -> dict[str, str]:
        """The fields of the next block: an event, a heartbeat, or what opens the stream."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line:
                return fields
            name, _, value = line.partition(": ")
            fields[name] = value
        raise EOFError

    async def next(self) -> tuple[str, Any, str]:
        """The kind, the data and the id of the next event."""
        while "event" not in (fields := await self.block()):
            pass
        return fields["event"], json.loads(fields["data"]), fields["id"]

    async def job(self, job_id: int, state: str) -> str:
        """Waits until this job is told to be in this state; the event's id."""
        while True:
            kind, data, event_id = await self.next()
            if kind == "job" and (data["id"], data["state"]) == (job_id, state):
                return event_id


class Running:
    """The application behind a server, in this process: streams need one."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=5)
        self.server = uvicorn.Server(config)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/api/v1/services/laser/"
        self.people = People(app.state.identity)
        self.client = self.asking()

    def asking(self, **how: Any) -> httpx.AsyncClient:
        """A client of the server."""
        hooks = {"request": [self.people.authorize]}
        return httpx.AsyncClient(base_url=self.url, timeout=30, event_hooks=hooks, **how)

    @contextlib.asynccontextmanager
    async def events(
        self, path: str = "events", person: str = "boss operator", **headers: str
    ) -> AsyncIterator[Events]:
        """A stream of events."""
        headers = {"test-person": person, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.client.stream("GET", path, headers=headers) as answered:
            assert answered.status_code == 200, await answered.aread()
            yield Events(answered)


@pytest.fixture
async def running(app: Any) -> AsyncIterator[Running]:
    """The application behind a server."""
    running = Running(app)
    serving = asyncio.create_task(running.server._serve([running.listener]))
    try:
        yield running
    finally:
        app.state.services.end_streams()
        await running.client.aclose()
        running.server.should_exit = True
        await serving


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits until something is so."""
    return reached


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """A gateway before a service of its own, for all tests of a module."""
    with making_services() as make:
        service = make()
        service.start_broker()
        service.start_worker()
        service.until_worker("ready")
        gateway = Gateway(service)
        yield gateway
        gateway.close()
