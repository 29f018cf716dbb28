"""The database: opened, brought up to date, shared, away."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from tests.postgres import running_postgres
from tests.unit.gateway.identity.conftest import ADMINS, Clock, config, start
from zjobs.gateway.identity import database as opening
from zjobs.gateway.identity import migrating
from zjobs.gateway.identity.database import Database, Unusable, read_url
from zjobs.gateway.identity.identity import prepare
from zjobs.gateway.identity.models import NEWEST_FORMAT


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("postgresql://host/name", "postgresql+asyncpg://host/name"),
        ("postgres://host/name", "postgresql+asyncpg://host/name"),
        ("postgresql+asyncpg://me:secret@host/name", "postgresql+asyncpg://me:***@host/name"),
        ("sqlite:////var/lib/x.db", "sqlite+aiosqlite:////var/lib/x.db"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite:///x.db"),
    ],
)
def test_urls(given: str, meant: str) -> None:
    """The driver may be left out."""
    assert read_url(given).render_as_string() == meant


@pytest.mark.parametrize(
    "given",
    [
        "",
        "me:secret@host",
        "mysql://me:secret@host/x",
        "postgresql+psycopg://me:secret@h/x",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_urls_that_are_refused(given: str) -> None:
    """With a sentence, which does not have the password."""
    with pytest.raises(Unusable) as raised:
        read_url(given)
    assert "secret" not in str(raised.value)


async def test_each_database_has_a_cookie_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers send cookies to every port of a host. Gateways that share a database share it, whatever they call it."""
    monkeypatch.chdir(tmp_path)
    urls = [f"sqlite:///{tmp_path}/a.db", "sqlite:///a.db", "sqlite:///b.db"]
    urls += ["postgresql://me:secret@host/a", "postgres://me@host/a", "postgresql://me@host/b"]
    found = []
    for url in urls:
        database = Database(url)
        found.append(database.fingerprint)
        await database.close()
    assert found[0] == found[1] and found[3] == found[4]
    assert len(set(found)) == 4


async def test_the_migrations_make_the_models(database: str) -> None:
    """Alembic would change nothing, and the format is the newest one."""
    opened = Database(database)
    await opened.migrate()
    async with opened.writing() as session:
        connection = await session.connection()
        await connection.run_sync(lambda each: command.check(migrating.config(each)))
        newest, *_ = await connection.run_sync(migrating.formats)
        made = await session.scalar(text("SELECT version_num FROM alembic_version"))
    assert made == newest == NEWEST_FORMAT
    await opened.close()


async def test_gateways_that_start_at_once(database: str) -> None:
    """Each finds the database ready, and one of them made the first user."""
    passwords = await asyncio.gather(*(prepare(config(database, admin_password=None)) for _ in range(4)))
    (chosen,) = [password for password in passwords if password is not None]
    async with start(config(database), Clock()) as gateway:
        assert (await gateway.log_in("admin", chosen)).status_code == 200


async def test_a_gateway_finds_what_was_there(database: str) -> None:
    """Users, passwords and tokens; another password in the environment changes nothing."""
    async with start(config(database), Clock()) as gateway:
        token = await gateway.token()
        password = await gateway.add("alice")
    async with start(config(database, admin_password="something-else"), Clock()) as gateway:
        assert (await gateway.ask("GET", "/me", token)).status_code == 200
        assert [(await gateway.log_in(*who)).status_code for who in (("admin", ADMINS), ("alice", password))] == [
            200
        ] * 2
        assert (await gateway.log_in("admin", "something-else")).status_code == 401


async def test_a_database_of_a_newer_gateway(database: str) -> None:
    """It is refused and left as it is."""
    opened = Database(database)
    await opened.migrate()
    async with opened.writing() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '99'"))
    with pytest.raises(Unusable, match="format 99, which a newer zgateway made"):
        await opened.migrate()
    await opened.close()


async def test_a_step_that_fails_changes_nothing(database: str) -> None:
    """A table that is in the way: the ones before it are not made either."""
    opened = Database(database)
    async with opened.writing() as session:
        await session.execute(text("CREATE TABLE audit (mine INTEGER)"))
    with pytest.raises(Unusable, match="already exists"):
        await opened.migrate()
    async with opened.writing() as session:
        await session.execute(text("DROP TABLE audit"))
    await opened.migrate()
    await opened.close()


async def test_the_password_of_the_first_user_is_checked(tmp_path: Path) -> None:
    """A short one is refused at the start."""
    with pytest.raises(Unusable, match="12 to 256 characters"):
        await prepare(config(f"sqlite:///{tmp_path}/gateway.db", admin_password="short"))


async def test_the_file_is_for_us_alone(tmp_path: Path) -> None:
    """Folder and file; one that others can read is refused, and so is a link."""
    file = tmp_path / "state/zjobs/gateway.db"
    await prepare(config(f"sqlite:///{file}"))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]
    assert sorted(os.listdir(file.parent)) == ["gateway.db"]
    file.chmod(0o640)
    with pytest.raises(Unusable, match="can be read by others: chmod 600"):
        Database(f"sqlite:///{file}")
    file.chmod(0o600)
    link = tmp_path / "link.db"
    link.symlink_to(file)
    for other in (link, tmp_path / "state"):
        with pytest.raises(Unusable, match="is not a file"):
            Database(f"sqlite:///{other}")
    with pytest.raises(Unusable, match="cannot be opened"):
        Database("sqlite:////proc/none/gateway.db")


async def test_what_is_no_database(tmp_path: Path) -> None:
    """A file of something else is refused, and left as it is."""
    file = tmp_path / "gateway.db"
    file.write_bytes(b"not a database, " * 100)
    file.chmod(0o600)
    with pytest.raises(Unusable, match="not a database"):
        await prepare(config(f"sqlite:///{file}"))
    assert file.read_bytes() == b"not a database, " * 100


async def test_a_locked_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins are told to come again; who is known goes on meanwhile, and everything does afterwards."""
    monkeypatch.setattr(opening, "_BUSY_S", 0.05)
    file = tmp_path / "gateway.db"
    async with start(config(f"sqlite:///{file}"), Clock()) as gateway:
        token = await gateway.token()
        assert (await gateway.ask("GET", "/me", token)).status_code == 200
        connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        # in a thread: what the gateway still has open is closed by this one
        await asyncio.to_thread(connection.execute, "BEGIN EXCLUSIVE")
        refused = await gateway.log_in()
        assert (refused.status_code, refused.json()["code"]) == (503, "database")
        assert refused.headers["Retry-After"] == "1"
        assert (await gateway.ask("GET", "/me", token)).status_code == 200
        connection.close()
        assert (await gateway.log_in()).status_code == 200


@pytest.mark.postgres
async def test_postgresql_goes_and_comes_back() -> None:
    """Who is known goes on for ten seconds, then nobody is; streams end. When it is back, all goes on."""
    with running_postgres() as server:
        clock = Clock()
        async with start(config(server.emptied()), clock) as gateway:
            token = await gateway.token()
            assert (await gateway.ask("GET", "/me", token)).status_code == 200
            grant = await gateway.identity.grants.of(token)
            assert grant is not None
            ended = asyncio.Event()
            with gateway.identity.grants.watch(grant, ended.set):
                server.stop(signal.SIGQUIT)
                assert (await gateway.ask("GET", "/me", token)).status_code == 200
                assert (await gateway.log_in()).status_code == 503
                assert not ended.is_set()
                clock.pass_ms(11_000)
                assert (await gateway.ask("GET", "/me", token)).status_code == 503
                await asyncio.wait_for(ended.wait(), 20)
            server.start()
            assert (await gateway.ask("GET", "/me", token)).status_code == 200
            assert (await gateway.log_in()).status_code == 200
