"""The database: opened, brought up to date, read and changed. SQLite in a file, or PostgreSQL.

SQLite keeps its default journal, not a WAL: two gateways may share the file, each through several connections, and
before SQLite 3.51.3 two connections that checkpoint a WAL can damage it. There is little to write.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, func, inspect, make_url, select, text, update
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from zjobs.gateway.identity.models import NEWEST_FORMAT, Revision
from zjobs.gateway.problems import Problem
from zjobs.program import lock

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_MIGRATION_LOCK = 0x7A6A6F6273  # "zjobs": PostgreSQL's advisory locks are numbers
# asyncpg's own time limit raises asyncio's, which is an OSError from Python 3.11 on
_FAILURES = (DBAPIError, PoolTimeout, OSError, asyncio.TimeoutError)
_BUSY_S = 10.0  # for a lock of SQLite's file, an answer of PostgreSQL, a free connection


class Unusable(Exception):
    """The database, or a setting, cannot be used; the text is a sentence."""


class DatabaseAway(Problem):
    """The database does not answer at present."""

    def __init__(self, reason: str) -> None:
        super().__init__(503, "database", "the database of users does not answer; try again", {"Retry-After": "1"})
        self.reason = reason


def default_url() -> str:
    """Return the URL of the file in the state directory."""
    return f"sqlite+aiosqlite:///{lock.state_directory() / 'gateway.db'}"


def read_url(text: str) -> URL:
    """Return the URL with the driver that is meant. Raises Unusable."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise Unusable(
            "the database is not a URL: say sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None  # the text is not shown: it may have a password
    name = url.get_backend_name()
    if name not in _DRIVERS or url.drivername not in (name, _DRIVERS[name]):
        raise Unusable(f"{url.drivername} is not a database that zgateway can use; there are sqlite and postgresql")
    if name == "sqlite" and (not url.database or url.database == ":memory:"):
        raise Unusable("an SQLite database needs a file: sqlite:////var/lib/zjobs/gateway.db or the like")
    return url.set(drivername=_DRIVERS[name])


class Database:
    """An open database. Everything read or changed goes through `reading`, `writing` and `changing`."""

    def __init__(self, text: str | None) -> None:
        """Set up the database. `text` is a URL; None means the file in the state directory. Raises Unusable."""
        self.url = read_url(default_url() if text is None else text)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if self.sqlite:
            _make_private_file(Path(self.url.database or ""))
        self._engine = _sqlite_engine(self.url) if self.sqlite else _postgresql_engine(self.url)
        self._writing = self._engine.execution_options(begin="BEGIN IMMEDIATE")

    async def migrate(self) -> None:
        """Run the missing steps, all or none; of two gateways that start at once, one does. Raises Unusable."""
        try:
            async with self._writing.begin() as connection:
                if not self.sqlite:  # on SQLite, BEGIN IMMEDIATE is the lock
                    await connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                await connection.run_sync(self._upgrade)
        except _FAILURES as error:
            raise Unusable(f"the database {self} cannot be opened: {_reason(error)}") from error

    def _upgrade(self, connection: Connection) -> None:
        made = inspect(connection).has_table("alembic_version")
        found = connection.scalar(text("SELECT version_num FROM alembic_version")) if made else None
        if found == NEWEST_FORMAT:
            return
        from zjobs.gateway.identity import migrating  # alembic takes longer than the rest, and mostly has nothing to do

        if found is not None and found not in migrating.formats(connection):
            raise Unusable(f"the database {self} has format {found}, which a newer zgateway made: use that one")
        migrating.upgrade(connection)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Open a session that reads what was committed. Raises DatabaseAway."""
        async with _away(), AsyncSession(self._engine) as session:
            yield session

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """Begin a transaction that changes nobody's rights. Raises DatabaseAway."""
        async with _away(), AsyncSession(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[tuple[AsyncSession, int]]:
        """Begin a transaction that may change who may do what. Yield its session, and the number of the change.

        It begins by raising that number, whose row stays locked until the end. So changes happen one after another (of
        two superusers, only one can demote the other), and every gateway notices each by the number. Raises
        DatabaseAway.
        """
        async with self.writing() as session:
            raised = update(Revision).values(number=Revision.number + 1).returning(Revision.number)
            yield session, (await session.execute(raised)).scalar_one()

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    @property
    def fingerprint(self) -> str:
        """A few characters that tell this database from others. Gateways that share it share them.

        They name the cookie of sessions: browsers send a cookie to every port of a host.
        """
        name = self.url.database or ""
        where = (self.url.host, self.url.port, str(Path(name).resolve()) if self.sqlite else name, self.url.query)
        return hashlib.sha256(repr(where).encode()).hexdigest()[:8]

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)


def _sqlite_engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, connect_args={"timeout": _BUSY_S}, pool_timeout=_BUSY_S)

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # Python's sqlite3 would begin transactions late, and not for DDL
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def _postgresql_engine(url: URL) -> AsyncEngine:
    # pre_ping: after a restart of PostgreSQL, the pool's connections are dead
    return create_async_engine(
        url, pool_pre_ping=True, pool_timeout=_BUSY_S, connect_args={"timeout": _BUSY_S, "command_timeout": _BUSY_S}
    )


def _make_private_file(path: Path) -> None:
    """Make the file for us alone; SQLite gives its journal the same mode. Raises Unusable."""
    try:
        lock.make_private(path.absolute().parent)
        with contextlib.suppress(FileExistsError):  # not opened if it exists: to close it would drop SQLite's locks
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        status = path.lstat()
    except OSError as error:
        raise Unusable(f"the database {path} cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise Unusable(f"the database {path} is not a file; links are not followed")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise Unusable(f"the database {path} can be read by others: chmod 600 {path}")


@contextlib.asynccontextmanager
async def _away() -> AsyncIterator[None]:
    try:
        yield
    except (IntegrityError, ProgrammingError):  # mistakes of ours
        raise
    except _FAILURES as error:
        raise DatabaseAway(_reason(error)) from error


def _reason(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return str(cause).partition("\n")[0] or type(cause).__name__
