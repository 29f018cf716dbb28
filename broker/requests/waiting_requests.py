"""Requests that wait for the end of a job: which end when, and which are answered before, so that they stay bounded.

A request is registered in the turn in which it saw its jobs unended, before the commit of that turn; and every commit
is followed by `job_ended` for each job that is final with it. So no end falls between the two.

Whatever a method returns is no longer registered: it is to be answered now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Generic, NamedTuple, TypeVar

from zjobs.messages.units import JobId, Ms

Request = TypeVar("Request")
SPARE_DEADLINES = 1_000


class _Waiting(NamedTuple, Generic[Request]):
    connection: bytes
    ids: tuple[JobId, ...]
    request: Request


class WaitingRequests(Generic[Request]):
    """At most `of_connection` requests of one connection; all together name at most `jobs` jobs."""

    def __init__(self, of_connection: int, jobs: int) -> None:
        self._most_of_connection = of_connection
        self._most_jobs = jobs
        self._numbers = 0
        self._jobs = 0
        # By number, and so by age.
        self._waiting: dict[int, _Waiting[Request]] = {}
        self._by_job: dict[JobId, dict[int, None]] = {}
        self._by_connection: dict[bytes, dict[int, None]] = {}
        self._deadlines: list[tuple[Ms, int]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def register(self, connection: bytes, ids: Iterable[JobId], until_ms: Ms, request: Request) -> list[Request]:
        """Have a request wait for the first of these jobs. Return those that are answered early because of it."""
        ids = tuple(dict.fromkeys(ids))
        number = self._numbers = self._numbers + 1
        self._waiting[number] = _Waiting(connection, ids, request)
        self._jobs += len(ids)
        for job_id in ids:
            self._by_job.setdefault(job_id, {})[number] = None
        of_connection = self._by_connection.setdefault(connection, {})
        of_connection[number] = None
        heappush(self._deadlines, (until_ms, number))
        early = []
        if len(of_connection) > self._most_of_connection:
            early.append(self._remove(next(iter(of_connection))))
        while self._jobs > self._most_jobs:
            early.append(self._remove(next(iter(self._waiting))))
        return early

    def job_ended(self, job_id: JobId) -> list[Request]:
        """The job is final, or gone."""
        return [self._remove(number) for number in tuple(self._by_job.get(job_id, ()))]

    def due(self, now_ms: Ms) -> list[Request]:
        """The time of these is over."""
        due = []
        while self._deadlines and self._deadlines[0][0] <= now_ms:
            _, number = heappop(self._deadlines)
            if number in self._waiting:
                due.append(self._remove(number))
        return due

    def due_at_ms(self) -> Ms | None:
        """When the time of the next one is over."""
        while self._deadlines and self._deadlines[0][1] not in self._waiting:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def select(self, chosen: Callable[[Request], bool]) -> list[Request]:
        """Those that are `chosen`, such as all of a key that was revoked."""
        numbers = [number for number, waiting in self._waiting.items() if chosen(waiting.request)]
        return [self._remove(number) for number in numbers]

    def connection_gone(self, connection: bytes) -> None:
        """Drop what waits for nobody."""
        for number in tuple(self._by_connection.get(connection, ())):
            self._remove(number)

    def _remove(self, number: int) -> Request:
        connection, ids, request = self._waiting.pop(number)
        self._jobs -= len(ids)
        for job_id in ids:
            _discard(self._by_job, job_id, number)
        _discard(self._by_connection, connection, number)
        if len(self._deadlines) > 2 * len(self._waiting) + SPARE_DEADLINES:
            self._deadlines = [each for each in self._deadlines if each[1] in self._waiting]
            heapify(self._deadlines)
        return request


Place = TypeVar("Place")


def _discard(places: dict[Place, dict[int, None]], place: Place, number: int) -> None:
    numbers = places[place]
    del numbers[number]
    if not numbers:
        del places[place]
