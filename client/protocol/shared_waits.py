"""Many waits in few requests, without I/O: which jobs the next request names, and which waiters a reply concerns.

A job stands in line until a request names it. When that request is answered, those of its jobs that have not ended go
back into the line. So however many waits there are, the requests are bounded, and each end answers only the request
that names its job.

If there are too many requests, the broker answers the oldest early. Then fewer are sent at once, until replies again
come with an end or at their time. So the broker's bounds need not be known, and may be used up by others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar, Union

from zjobs.messages.fields import MAX_WAIT_IDS
from zjobs.messages.requests.queries import Wait, WaitReply
from zjobs.messages.units import JobId, Ms

MOST_REQUESTS = 64
# Requests that were sent again with more jobs; they are answered when one of their jobs ends, or early.
MOST_REPLACED = 24
EARLY_S = 0.5

Waiter = TypeVar("Waiter")


# A waiter, and its outcome: a reply or an error. (Python 3.10 has no generic named tuples.)
Told = tuple[Waiter, Union[WaitReply, Exception]]


class _Request(NamedTuple):
    ids: tuple[JobId, ...]
    until: float
    replaced: bool = False


class SharedWaits(Generic[Waiter]):
    """The waits of one client. `add` a waiter, send what `next` returns, and pass in each reply; `drop` a waiter that
    gives up."""

    def __init__(self, seconds: float) -> None:
        """Begin without waits. `seconds`: how long the broker is asked to wait."""
        self._seconds = seconds
        self._line: dict[JobId, None] = {}
        self._alone: deque[JobId] = deque()  # jobs whose request was refused, perhaps because of another job in it
        self._asked: dict[int, _Request] = {}
        self._waiters: dict[JobId, dict[Waiter, None]] = {}
        self._wants: dict[Waiter, tuple[JobId, ...]] = {}
        self._results: dict[Waiter, None] = {}
        self._pending: set[JobId] = set()  # jobs in the line or in a request
        self._most = MOST_REQUESTS
        self._replaced = 0
        self._numbers = 0

    def add(self, waiter: Waiter, ids: Iterable[JobId], result: bool) -> None:
        """Add a waiter for the first of these jobs to end. `result`: it wants the result, too."""
        ids = self._wants[waiter] = tuple(ids)
        if result:
            self._results[waiter] = None
        for job_id in ids:
            self._waiters.setdefault(job_id, {})[waiter] = None
            if job_id not in self._pending:
                self._pending.add(job_id)
                self._line[job_id] = None

    def drop(self, waiter: Waiter) -> None:
        """Remove a waiter."""
        self._results.pop(waiter, None)
        for job_id in self._wants.pop(waiter, ()):
            waiters = self._waiters[job_id]
            del waiters[waiter]
            if not waiters:
                del self._waiters[job_id]

    def next(self, now: float) -> tuple[int, Wait] | None:
        """Return the next request to send, with its number; None if there is none."""
        asked = len(self._asked) - self._replaced
        ids = self._next_alone() if asked < MOST_REQUESTS else ()
        if not ids:
            ids = self._from_line() if asked < self._most else self._with_smallest()
        if not ids:
            return None
        self._numbers += 1
        self._asked[self._numbers] = _Request(ids, now + self._seconds)
        results = any(waiter in self._results for job_id in ids for waiter in self._waiters[job_id])
        return self._numbers, Wait(ids, Ms(int(self._seconds * 1000)), results)

    def replied(self, number: int, reply: WaitReply, now: float) -> list[Told[Waiter]]:
        """Record the reply to this request. Return the waiters that it concerns, each with its outcome."""
        request = self._asked.pop(number)
        ended = {job.id for job in reply.jobs} | {missing.id for missing in reply.missing}
        if request.replaced:
            self._replaced -= 1
        elif ended or now > request.until - EARLY_S:
            self._most = min(self._most + 1, MOST_REQUESTS)
        else:
            self._most = max(1, min(self._most, len(self._asked) - self._replaced))
        self._pending -= ended
        told = self._told(ended, reply)
        if not request.replaced:
            self._back(job_id for job_id in request.ids if job_id not in ended)
        return told

    def failed(self, number: int, error: Exception, refused: bool) -> list[Told[Waiter]]:
        """Record an error. Return the waiters that it concerns. `refused`: from the broker, perhaps because of only one
        of the jobs."""
        request = self._asked.pop(number)
        if request.replaced:
            self._replaced -= 1
            return []
        if refused and len(request.ids) > 1:
            self._alone.extend(request.ids)
            return []
        self._pending.difference_update(request.ids)
        return self._told(request.ids, error)

    def _told(self, ids: Iterable[JobId], outcome: WaitReply | Exception) -> list[Told[Waiter]]:
        """Remove all waiters for these jobs, and return them with this outcome."""
        waiters = dict.fromkeys(waiter for job_id in ids for waiter in self._waiters.get(job_id, ()))
        for waiter in waiters:
            self.drop(waiter)
        return [(waiter, outcome) for waiter in waiters]

    def _back(self, ids: Iterable[JobId]) -> None:
        """Put the jobs that somebody still waits for back into the line."""
        for job_id in ids:
            if job_id in self._waiters:
                self._line[job_id] = None
            else:
                self._pending.discard(job_id)

    def _next_alone(self) -> tuple[JobId, ...]:
        """Return the next such job. It cannot share a request, so it gets its own even when fewer are sent at once."""
        while self._alone:
            job_id = self._alone.popleft()
            if job_id in self._waiters:
                return (job_id,)
            self._pending.discard(job_id)
        return ()

    def _from_line(self) -> tuple[JobId, ...]:
        ids: list[JobId] = []
        while self._line and len(ids) < MAX_WAIT_IDS:
            job_id = next(iter(self._line))
            del self._line[job_id]
            if job_id in self._waiters:
                ids.append(job_id)
            else:
                self._pending.discard(job_id)
        return tuple(ids)

    def _with_smallest(self) -> tuple[JobId, ...]:
        """Return the line, together with the jobs of the request that names the fewest."""
        if not self._line or self._replaced >= MOST_REPLACED:
            return ()
        candidates = ((len(request.ids), number) for number, request in self._asked.items() if not request.replaced)
        size, number = min(candidates)
        if size + len(self._line) > MAX_WAIT_IDS:
            return ()
        request = self._asked[number]
        self._asked[number] = request._replace(replaced=True)
        self._replaced += 1
        self._line |= dict.fromkeys(request.ids)
        return self._from_line()
