"""Replies that many viewers may see: after a change each page that is open asks, and the broker is asked once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, NamedTuple

from zjobs.gateway.identity.grants import Person
from zjobs.messages.requests.queries import Info, Log, Show, Types
from zjobs.messages.states import Role
from zjobs.program import clock

# Times in a reply grow old, so it is asked for anew after this time even if nothing has happened.
LASTS_MS = 1_000
# How many are remembered, for pages that are asked for while the broker is away.
MOST_KEPT = 300


def audience(person: Person, request: Any) -> tuple[str, str]:
    """Return who gets the same reply to this request as this person: a role, with the name where that matters.

    The broker's rules: a submitter sees only their own jobs, and members read the contents of theirs alone.
    """
    role = Role(person.role)
    if isinstance(request, (Info, Types)):
        return "", ""
    has_contents = isinstance(request, (Show, Log)) or getattr(request, "preview", False)
    if role is Role.SUBMITTER or (role is Role.MEMBER and has_contents):
        return role, person.name
    return (role if has_contents else ""), ""


class Reply(NamedTuple):
    """A reply, and the time when it was asked for. `number`: how many were asked for before."""

    number: int
    at: int
    value: Any


class _Making(NamedTuple):
    """A reply to come, or that has come. `event`: the last one before it was asked for."""

    number: int
    event: str
    at: int
    result: asyncio.Future[Any]

    def serves(self, arrived: int, event: str) -> bool:
        """Return True if it knows what has happened up to now, for somebody who came when `arrived` were begun."""
        if self.number >= arrived:
            return True
        lasts = not self.result.done() or (not _failed(self.result) and clock.wall_ms() - self.at < LASTS_MS)
        return lasts and self.event == event


class _Kept:
    """The reply that was asked for last, and the last one that came."""

    making: _Making | None = None
    reply: Reply | None = None


class Replies:
    """Replies, and what is made of them, by what they depend on."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.changes = 0  # by pages: whoever has changed something sees it, even before its event comes
        self._most = most
        self._begun = 0
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    async def get(self, key: Hashable, last_event: Callable[[], str], make: Callable[[], Awaitable[Any]]) -> Reply:
        """Return what `make` makes, begun after the last event: now, or for somebody else. Raises what it raises."""
        arrived = self._begun
        while True:
            making = self._under(key).making
            if making is None or (making.result.done() and not making.serves(arrived, last_event())):
                making = self._begin(self._under(key), last_event(), make)
            if making.serves(arrived, last_event()):
                return Reply(
                    making.number, making.at, await asyncio.shield(making.result)
                )  # it goes on if this browser goes away
            await asyncio.wait([making.result])  # all who wait share the next one, however much happens

    def last(self, key: Hashable) -> Reply | None:
        """Return what was made last, however old it is."""
        kept = self._kept.get(key)
        return None if kept is None else kept.reply

    def _under(self, key: Hashable) -> _Kept:
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return kept

    def _begin(self, kept: _Kept, event: str, make: Callable[[], Awaitable[Any]]) -> _Making:
        making = _Making(self._begun, event, clock.wall_ms(), asyncio.ensure_future(make()))
        self._begun += 1
        kept.making = making

        def keep(result: asyncio.Future[Any]) -> None:
            if not _failed(result):
                kept.reply = Reply(making.number, making.at, result.result())

        making.result.add_done_callback(keep)
        return making


def _failed(result: asyncio.Future[Any]) -> bool:
    return result.cancelled() or result.exception() is not None
