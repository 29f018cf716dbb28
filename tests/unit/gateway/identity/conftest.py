"""The gateway's people on a real database: SQLite in a file, and PostgreSQL, which the tests start."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from tests.conftest import PATIENCE_S, wait_until
from zjobs.gateway import problems
from zjobs.gateway.config import Config, PasswordCost
from zjobs.gateway.identity.identity import Identity, opened, prepare
from zjobs.gateway.identity.routes import own, users

CHEAP = PasswordCost(time_cost=1, memory_cost=8, parallelism=1)
ADMINS = "the-admin-password"
HOUR_MS = 3_600_000


class Postgres:
    """A server in a folder of its own, reached by a Unix socket there. It dies with us; it refuses root, so root makes
    it run as the user postgres."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._programs = programs
        self._as_user = ["setpriv", "--pdeathsig=INT"]
        if os.geteuid() == 0:
            self._as_user += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(folder, "postgres")
        made = ["-D", f"{folder}/data", "-U", "zjobs", "-A", "trust", "--no-instructions", "-N"]
        command = [*self._as_user, str(programs / "initdb"), *made]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        # fsync: nothing here is about power failures
        options = ["-D", f"{self.folder}/data", "-k", str(self.folder), "-c", "fsync=off", "-c", "listen_addresses="]
        command = [*self._as_user, str(self._programs / "postgres"), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        wait_until(self._is_ready, "PostgreSQL is ready")

    def stop(self, signal_number: int = signal.SIGINT) -> None:
        self._process.send_signal(signal_number)
        self._process.wait(PATIENCE_S)

    def _is_ready(self) -> bool:
        """As the server itself tells it."""
        told = self.folder / "data/postmaster.pid"
        return told.exists() and told.read_text().split()[-1:] == ["ready"]

    async def emptied(self) -> str:
        """The URL of its database, in which nothing is."""
        connection = await asyncpg.connect(host=str(self.folder), user="zjobs", database="postgres")
        try:
            await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        finally:
            await connection.close()
        return f"postgresql://zjobs@/postgres?host={self.folder}"


def programs_of_postgresql() -> Path:
    """The folder of initdb and postgres: Debian's, or that on the path. Skips the test where there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if (found := shutil.which("initdb")) is not None:
        folders.append(Path(found).parent)
    if not folders:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return folders[-1]


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server that runs until the end."""
    with tempfile.TemporaryDirectory(prefix="zj", dir="/tmp") as folder:
        server = Postgres(Path(folder), programs_of_postgresql())
        server.start()
        try:
            yield server
        finally:
            server.stop()


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
    return await server.emptied()


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


@pytest.fixture
async def gateway(database: str) -> AsyncIterator[Gateway]:
    """A gateway with the user admin."""
    async with start(config(database), Clock()) as started:
        yield started
