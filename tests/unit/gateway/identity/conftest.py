"""The gateway's people on a real database: SQLite in a file, and PostgreSQL, which the tests start."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from tests.postgres import Postgres, running_postgres
from zjobs.gateway import problems
from zjobs.gateway.config import Config, PasswordCost
from zjobs.gateway.identity.identity import Identity, opened, prepare
from zjobs.gateway.identity.routes import own, users

CHEAP = PasswordCost(time_cost=1, memory_cost=8, parallelism=1)
ADMINS = "the-admin-password"
HOUR_MS = 3_600_000


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests that do not stop it."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.emptied()


@dataclass
class Clock:
    """Both clocks of a gateway, moved by the test."""

    wall: int = 1_800_000_000_000
    mono: int = 0

    def pass_ms(self, ms: int) -> None:
        self.wall += ms
        self.mono += ms


@dataclass
class Gateway:
    """A gateway's people, and a client of its API."""

    identity: Identity
    http: AsyncClient
    clock: Clock

    async def log_in(self, name: str = "admin", password: str = ADMINS) -> Response:
        return await self.http.post("/api/v1/auth/token", data={"username": name, "password": password})

    async def token(self, name: str = "admin", password: str = ADMINS) -> str:
        answer = await self.log_in(name, password)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    async def ask(self, method: str, path: str, token: str | None = None, body: object = None) -> Response:
        """Ask as who has the token."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.http.request(method, f"/api/v1{path}", headers=headers, json=body)

    async def add(self, name: str, role: str = "submitter", superuser: bool = False) -> str:
        """Add a user; returns the password."""
        body = {"name": name, "role": role, "superuser": superuser}
        answer = await self.ask("POST", "/users", await self.token(), body)
        assert answer.status_code == 201, answer.text
        password: str = answer.json()["password"]
        return password


def config(database: str, **fields: Any) -> Config:
    """A configuration whose passwords cost little."""
    return Config("127.0.0.1", 0, database, **{"admin_password": ADMINS, "password_cost": CHEAP, **fields})


@contextlib.asynccontextmanager
async def start(how: Config, clock: Clock) -> AsyncIterator[Gateway]:
    """Start a gateway's people, without the rest of it."""
    await prepare(how)
    async with opened(how, lambda: clock.wall, lambda: clock.mono) as identity:
        app = FastAPI()
        app.state.identity = identity
        problems.install(app)
        app.include_router(own.ROUTES)
        app.include_router(users.ROUTES)
        async with AsyncClient(transport=ASGITransport(app), base_url="http://gateway") as http:
            yield Gateway(identity, http, clock)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables and the user admin, which take some time to make."""
    file = tmp_path_factory.mktemp("prepared") / "gateway.db"
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(prepare(config(f"sqlite:///{file}")))
    return file


@pytest.fixture
async def gateway(database: str, prepared: Path, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with the user admin."""
    if database.startswith("sqlite"):
        shutil.copy(prepared, tmp_path / "gateway.db")
    async with start(config(database), Clock()) as started:
        yield started
