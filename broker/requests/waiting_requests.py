"""Requests that wait, mostly for the end of a job: when each is due, and which are answered early, so that their
number stays bounded.

A request is registered in the turn in which it found its jobs unfinished, before that turn's commit; and after every
commit `came` is called for each job that became final with it. So no end falls between the two.

A request that a method returns is no longer registered: the caller answers it now.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from zjobs.messages.units import Ms

Request = TypeVar("Request")
SPARE_DEADLINES = 1_000


@dataclass(frozen=True)
class _Waiting(Generic[Request]):  # Python 3.10 has no generic named tuples
    connection: bytes
    awaited: tuple[Hashable, ...]
    request: Request


class WaitingRequests(Generic[Request]):
    """A register of at most `of_connection` requests of one connection. All together wait for at most `most` jobs."""

    def __init__(self, of_connection: int, most: int) -> None:
        self._most_of_connection = of_connection
        self._most = most
        self._numbers = 0
        self._awaited = 0
        # By number, and so by age.
        self._waiting: dict[int, _Waiting[Request]] = {}
        self._by_awaited: dict[Hashable, dict[int, None]] = {}
        self._by_connection: dict[bytes, dict[int, None]] = {}
        self._deadlines: list[tuple[Ms, int]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def register(self, connection: bytes, awaited: Iterable[Hashable], until_ms: Ms, request: Request) -> list[Request]:
        """Have a request wait for the first of these. Return the requests that must be answered early because of
        it."""
        awaited = tuple(dict.fromkeys(awaited))
        number = self._numbers = self._numbers + 1
        self._waiting[number] = _Waiting(connection, awaited, request)
        self._awaited += len(awaited)
        for each in awaited:
            self._by_awaited.setdefault(each, {})[number] = None
        of_connection = self._by_connection.setdefault(connection, {})
        of_connection[number] = None
        heappush(self._deadlines, (until_ms, number))
        early = []
        if len(of_connection) > self._most_of_connection:
            early.append(self._remove(next(iter(of_connection))))
        while self._awaited > self._most:
            early.append(self._remove(next(iter(self._waiting))))
        return early

    def came(self, awaited: Hashable) -> list[Request]:
        """Remove the requests that wait for this, such as the end of a job, and return them."""
        return [self._remove(number) for number in tuple(self._by_awaited.get(awaited, ()))]

    def due(self, now_ms: Ms) -> list[Request]:
        """Remove the requests whose time is over, and return them."""
        due = []
        while self._deadlines and self._deadlines[0][0] <= now_ms:
            _, number = heappop(self._deadlines)
            if number in self._waiting:
                due.append(self._remove(number))
        return due

    def due_at_ms(self) -> Ms | None:
        """Return when the next request's time is over (monotonic), None without any."""
        while self._deadlines and self._deadlines[0][1] not in self._waiting:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def select(self, chosen: Callable[[Request], bool]) -> list[Request]:
        """Remove the requests that `chosen` accepts, such as all those of a revoked key, and return them."""
        numbers = [number for number, waiting in self._waiting.items() if chosen(waiting.request)]
        return [self._remove(number) for number in numbers]

    def connection_gone(self, connection: bytes) -> None:
        """Drop the requests of a connection that is gone."""
        for number in tuple(self._by_connection.get(connection, ())):
            self._remove(number)

    def _remove(self, number: int) -> Request:
        removed = self._waiting.pop(number)
        self._awaited -= len(removed.awaited)
        for each in removed.awaited:
            _discard(self._by_awaited, each, number)
        _discard(self._by_connection, removed.connection, number)
        if len(self._deadlines) > 2 * len(self._waiting) + SPARE_DEADLINES:
            self._deadlines = [each for each in self._deadlines if each[1] in self._waiting]
            heapify(self._deadlines)
        return removed.request


Place = TypeVar("Place")


def _discard(places: dict[Place, dict[int, None]], place: Place, number: int) -> None:
    numbers = places[place]
    del numbers[number]
    if not numbers:
        del places[place]
