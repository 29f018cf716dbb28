"""The gateway's people: the database and what is kept in memory beside it, opened as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from zjobs.gateway.config import Config, PasswordCost
from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.accounts import Action, By, NewToken
from zjobs.gateway.identity.database import Database, DatabaseAway, Unusable
from zjobs.gateway.identity.grants import Grant, Grants, read_grants
from zjobs.gateway.identity.models import Kind, User
from zjobs.gateway.identity.passwords import LONGEST, SHORTEST, Busy, Passwords, random_password
from zjobs.gateway.identity.throttle import Throttle
from zjobs.gateway.problems import Problem
from zjobs.messages.states import Role
from zjobs.program import clock

FIRST_USER = "admin"


class _Proof(NamedTuple):
    """The hash that a password was right for, and the one to keep in its place, if any."""

    kept: str
    new_hash: str | None


class Identity:
    """Lets people in."""

    def __init__(self, config: Config, wall_ms: Callable[[], int], mono_ms: Callable[[], int]) -> None:
        """Set up the database and the accounts. Raises Unusable."""
        self.config = config
        self.now = wall_ms
        self.database = Database(config.database)
        self.cookie = f"zgateway_{self.database.fingerprint}"
        self.passwords = Passwords(config.password_cost)
        self.grants = Grants(self.database, wall_ms, mono_ms)
        self._throttle = Throttle()
        self._mono_ms = mono_ms

    @contextlib.asynccontextmanager
    async def changing(self, grant: Grant | None = None) -> AsyncIterator[AsyncSession]:
        """Begin a transaction that may change who may do what; this gateway acts on it at once.

        `grant`: what permits the change. It is read again, since another gateway may have revoked it a moment ago.
        Raises Problem.
        """
        async with self.database.changing() as (session, number):
            if grant is not None and await read_grants(session, [grant.digest]) != [(number, grant)]:
                raise Problem(401, "login_needed", "your login has ended, or its rights have changed")
            yield session
        self.grants.changed(number)

    async def log_in(self, name: str, password: str, address: str, kind: Kind) -> NewToken:
        """Make a token for somebody who knows the password. Raises Problem."""
        proof = await self._prove(name, password, address)
        if proof is None:
            raise Problem(401, "wrong_login", "wrong name or password")
        by = By(name, address, self.now())
        async with self.changing() as session:
            user = await self._still(session, name, proof)
            user.password = proof.new_hash or proof.kept
            made = await accounts.add_token(session, user, kind, by.at, by.at + 1000 * self.config.login_lasts_s)
            await accounts.record(session, by, Action.LOGIN, name, kind.value)
        return made

    async def change_password(self, grant: Grant, current: str, new: str, address: str) -> None:
        """Set one's own password, and end all other logins. Raises Problem."""
        name = grant.person.name
        proof = await self._prove(name, current, address)
        if proof is None:
            raise Problem(403, "wrong_login", "the current password is wrong")
        new_hash = await self.hash(new)
        async with self.changing(grant) as session:
            user = await self._still(session, name, proof)
            await accounts.set_password(session, By(name, address, self.now()), user, new_hash, grant.token_id)

    async def close(self) -> None:
        """Close the database."""
        self.passwords.close()
        await self.database.close()

    async def hash(self, password: str) -> str:
        """Return the hash of a password. Raises Problem."""
        try:
            return await self.passwords.hash(password)
        except Busy:
            raise _busy() from None

    async def _prove(self, name: str, password: str, address: str) -> _Proof | None:
        """Check a password, at a bounded rate. None: it is wrong, and that is recorded. Raises Problem."""
        if wait_ms := self._throttle.attempt(name, address, self._mono_ms()):
            wait_s = -(-wait_ms // 1000)
            text = f"too many wrong passwords; try again in {wait_s} s"
            raise Problem(429, "too_many_logins", text, {"Retry-After": str(wait_s)})
        try:
            async with self.database.reading() as session:
                user = await accounts.find_user(session, name)
            kept = user.password if user is not None and user.active else None
            verdict = await self.passwords.check(password, kept)
        except Busy:
            self._throttle.refund(name, address)
            raise _busy() from None
        except BaseException:
            self._throttle.refund(name, address)
            raise
        if verdict.right and kept is not None:
            self._throttle.welcome(name, address)
            return _Proof(kept, verdict.new_hash)
        async with self.database.writing() as session:
            # only names that exist: people type their password in place of the name
            shown = user.name if user is not None else ""
            await accounts.record(session, By(shown, address, self.now()), Action.LOGIN_FAILED, shown)
        return None

    async def _still(self, session: AsyncSession, name: str, proof: _Proof) -> User:
        """Return the user, unless the password was changed or the user deactivated while it was checked. Raises
        Problem."""
        user = await accounts.find_user(session, name)
        if user is None or not user.active or user.password != proof.kept:
            raise Problem(401, "wrong_login", "wrong name or password")
        return user


@contextlib.asynccontextmanager
async def opened(
    config: Config, wall_ms: Callable[[], int] = clock.wall_ms, mono_ms: Callable[[], int] = clock.mono_ms
) -> AsyncIterator[Identity]:
    """Open the database, which `prepare` has prepared, and watch it for changes. Raises Unusable."""
    identity = Identity(config, wall_ms, mono_ms)
    watching = asyncio.create_task(identity.grants.run())
    try:
        yield identity
    finally:
        identity.grants.stop()
        await watching
        await identity.close()


async def prepare(config: Config) -> str | None:
    """Bring the database up to date. Make the superuser that everything begins with, if nobody is there.

    Return that one's password if it was chosen here. Raises Unusable.
    """
    given = config.admin_password
    if given is not None and not SHORTEST <= len(given) <= LONGEST:
        raise Unusable(f"the password of {FIRST_USER} must have {SHORTEST} to {LONGEST} characters")
    identity = Identity(config, clock.wall_ms, clock.mono_ms)
    try:
        await identity.database.migrate()
        async with identity.database.reading() as session:
            if await _somebody(session):
                return None
        password = given or random_password()
        hashed = await identity.hash(password)
        async with identity.changing() as session:
            if await _somebody(session):  # another gateway that starts was faster
                return None
            by = By("", "", identity.now())
            await accounts.add_user(session, by, FIRST_USER, Role.OPERATOR, True, hashed)
        return None if given else password
    except DatabaseAway as error:
        raise Unusable(f"the database {identity.database} cannot be used: {error.reason}") from error
    finally:
        await identity.close()


async def reset_password(url: str | None, name: str) -> str:
    """Give a user a random password, and return it: for whoever runs the gateway. Raises Unusable."""
    database, passwords = Database(url), Passwords(PasswordCost())
    try:
        await database.migrate()
        password = random_password()
        hashed = await passwords.hash(password)
        async with database.changing() as (session, _):
            user = await accounts.the_user(session, name)
            await accounts.set_password(session, By("", "", clock.wall_ms()), user, hashed)
        return password
    except Problem as problem:
        raise Unusable(problem.detail) from problem
    finally:
        passwords.close()
        await database.close()


async def _somebody(session: AsyncSession) -> bool:
    return await session.scalar(select(User.id).limit(1)) is not None


def _busy() -> Problem:
    return Problem(503, "busy", "too many logins at once; try again", {"Retry-After": "1"})
