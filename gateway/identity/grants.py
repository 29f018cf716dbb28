"""The grants of tokens: each is read once from the database, and remembered until somebody's rights change.

Each change raises the number of the last change (see `Database.changing`). A grant is remembered with the number that
it was read with, and is valid while that is the newest number seen. Every second a gateway asks for the number, one
short query however many requests and streams there are, so a revocation by one gateway takes effect at all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from zjobs.gateway.identity.database import Database, DatabaseAway
from zjobs.gateway.identity.models import Kind, Revision, Token, User
from zjobs.messages.states import Role

ASKS_EVERY_S = 1.0
TRUSTED_MS = 10_000  # how long grants are believed that the database cannot confirm
USES_SAVED_EVERY_MS = 300_000
MOST_REMEMBERED = 10_000
_AT_ONCE = 500  # digests in one query
_PREFIX = "zj_"  # lets people, and programs that look for leaked secrets, see what it is
_LENGTH = len(_PREFIX) + 43

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Person:
    """The person a request is made for. `role` is the broker's; a superuser also manages users."""

    name: str
    role: str
    superuser: bool


@dataclass(frozen=True)
class Grant:
    """The rights that a token gives its holder, as read from the database."""

    person: Person
    kind: Kind
    token_id: int
    digest: str
    expires_at: int | None


ANONYMOUS = Person("anonymous", Role.VIEWER.value, False)


def new_token() -> str:
    """Return a token (256 random bits)."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Return what is kept of a token. No argon2: nobody guesses 256 bits, and requests must stay cheap."""
    return hashlib.sha256(token.encode()).hexdigest()


def csrf_of(token: str) -> str:
    """Return what a page must send beside the cookie: other sites can make a browser send the cookie, but not read
    this."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


class Grants:
    """The grants in use at this gateway."""

    def __init__(self, database: Database, wall_ms: Callable[[], int], mono_ms: Callable[[], int]) -> None:
        self._database = database
        self._wall_ms = wall_ms
        self._mono_ms = mono_ms
        self._number = self._checked = -1  # the newest change seen; the one after which streams were checked
        self._trusted_until = -1
        self._remembered: dict[str, tuple[int, Grant]] = {}
        self._watched: dict[object, tuple[Grant, Callable[[], None]]] = {}
        self._used: dict[int, int] = {}
        self._save_uses_at = mono_ms() + USES_SAVED_EVERY_MS
        self._look_now = asyncio.Event()
        self._away = self._stopped = False

    async def of(self, token: str) -> Grant | None:
        """Return what `token` grants now. Raises DatabaseAway."""
        if len(token) != _LENGTH or not token.startswith(_PREFIX) or not token.isascii():
            return None
        digest = digest_of(token)
        number, grant = self._remembered.get(digest, (-1, None))
        if grant is None or number != self._number or self._mono_ms() > self._trusted_until:
            grant = (await self._read([digest])).get(digest)
        if grant is None or self._expired(grant):
            return None
        self._used[grant.token_id] = self._wall_ms()
        return grant

    @contextlib.contextmanager
    def watch(self, grant: Grant, end: Callable[[], None]) -> Iterator[None]:
        """Watch a grant, for what lasts longer than a request: `end` is called once `grant` no longer holds
        unchanged. It may be called again."""
        watching = object()
        self._watched[watching] = (grant, end)
        self._checked = -1  # a change may have been seen since the grant was read
        try:
            yield
        finally:
            del self._watched[watching]

    def changed(self, number: int) -> None:
        """Record that this gateway made the change of that number: nothing remembered from before is valid any more."""
        self._number = max(self._number, number)
        self._look_now.set()

    async def run(self) -> None:
        """Ask for the number of the last change, again and again, until `stop`."""
        loop = asyncio.get_running_loop()
        while not self._stopped:
            await self._look_once()
            timer = loop.call_later(ASKS_EVERY_S, self._look_now.set)
            await self._look_now.wait()
            self._look_now.clear()
            timer.cancel()
        with contextlib.suppress(DatabaseAway):
            await self._save_uses()

    def stop(self) -> None:
        """End `run`; not by cancelling it, which would break a query off and cost its connection."""
        self._stopped = True
        self._look_now.set()

    async def _look_once(self) -> None:
        asked = self._mono_ms()
        try:
            async with self._database.reading() as session:
                self._saw(await session.scalar(select(Revision.number)) or 0, asked)
            if self._number != self._checked:
                await self._check_watched()
            if asked >= self._save_uses_at:
                await self._save_uses()
            self._away = False
        except Exception as error:  # whatever it is: without this loop, nothing revoked would end
            if self._mono_ms() > self._trusted_until:
                self._end_where(lambda _: True)
            if not self._away:
                if isinstance(error, DatabaseAway):
                    log.warning("the database does not answer: %s", error.reason)
                else:
                    log.exception("cannot look for changes")
            self._away = True
        self._end_where(self._expired)

    async def _check_watched(self) -> None:
        self._checked, watched = self._number, list(self._watched.values())
        try:
            holding = await self._read({grant.digest for grant, _ in watched})
        except DatabaseAway:
            self._checked = -1
            raise
        for grant, end in watched:
            if holding.get(grant.digest) != grant:
                end()

    def _end_where(self, over: Callable[[Grant], bool]) -> None:
        for grant, end in self._watched.values():
            if over(grant):
                end()

    async def _read(self, digests: Iterable[str]) -> dict[str, Grant]:
        """Read and remember the grants of those tokens that are valid."""
        found: dict[str, Grant] = {}
        wanted = list(digests)
        for start in range(0, len(wanted), _AT_ONCE):
            asked = self._mono_ms()
            async with self._database.reading() as session:
                for number, grant in await read_grants(session, wanted[start : start + _AT_ONCE]):
                    self._saw(number, asked)
                    self._remember(number, grant)
                    found[grant.digest] = grant
        return found

    def _saw(self, number: int, asked: int) -> None:
        self._number = max(self._number, number)
        self._trusted_until = max(self._trusted_until, asked + TRUSTED_MS)

    def _remember(self, number: int, grant: Grant) -> None:
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()  # rare, and costs each a query
        self._remembered[grant.digest] = (number, grant)

    def _expired(self, grant: Grant) -> bool:
        return grant.expires_at is not None and grant.expires_at <= self._wall_ms()

    async def _save_uses(self) -> None:
        used, self._used = self._used, {}
        self._save_uses_at = self._mono_ms() + USES_SAVED_EVERY_MS
        if used:
            async with self._database.writing() as session:
                for token_id, at in sorted(used.items()):
                    await session.execute(update(Token).where(Token.id == token_id).values(used_at=at))


async def read_grants(session: AsyncSession, digests: Sequence[str]) -> list[tuple[int, Grant]]:
    """Read what these tokens grant, each with the number of the last change; invalid ones grant nothing.

    One statement, so one state of the database: the number belongs to the grants.
    """
    rows = await session.execute(
        select(Revision.number, Token, User)
        .join(User, Token.user_id == User.id)
        .join(Revision, Revision.id == 1)
        .where(Token.digest.in_(digests), User.active)
    )
    return [(number, granted(token, user)) for number, token, user in rows]


def granted(token: Token, user: User) -> Grant:
    """Return what `token` of `user` grants. A program has its owner's role, and never manages users."""
    kind = Kind(token.kind)
    person = Person(user.name, user.role, user.superuser and kind is not Kind.PROGRAM)
    return Grant(person, kind, token.id, token.digest, token.expires_at)
