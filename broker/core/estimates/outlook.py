"""When queued jobs start, given what is ahead of each: the queue at one moment, as plain data.

One worker runs one job after another, and is never idle while a job is ready. So a ready job starts when everything
ahead of it has ended, and whatever becomes ready before then and goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from zjobs.broker.core.estimates.spans import NOTHING, UNKNOWN, Span

LOOKED_AT = 100  # delayed jobs, for one estimate

Order = tuple[int, int]  # (-priority, id): the smaller goes first


class Delayed(NamedTuple):
    """A delayed job: when it is ready, its place in the order, and how long it takes."""

    ready_us: int
    order: Order
    span: Span


class Outlook:
    """The queue at one moment. All times count from then.

    `in_flight`: what is left of the jobs that the worker has, together. `held_us`: when the pause ends. `delayed`: the
    delayed jobs, the soonest ready first; they are looked at as needed, of `delayed_count` as many as there come.
    `ready`: all ready jobs together. `longest`: of all jobs that are ready or delayed.
    """

    def __init__(
        self,
        in_flight: Span = NOTHING,
        held_us: int = 0,
        delayed: Iterable[Delayed] = (),
        delayed_count: int = 0,
        ready: Span = NOTHING,
        longest: Span = NOTHING,
    ) -> None:
        self._free = in_flight.not_before(held_us)
        self._delayed = iter(delayed)
        self._delayed_count = delayed_count
        self._looked_at: list[Delayed] = []
        self._ready = ready
        self._longest = longest

    def start(self, order: Order, ahead: Span) -> Span:
        """Estimate when a ready job starts. `ahead`: the ready jobs before it, together."""
        return self._joined(self._free.plus(ahead), order, 0, 0)

    def delayed_start(self, order: Order, ahead: Span, ready_us: int) -> Span:
        """Estimate when a delayed job starts, which is ready at `ready_us`. `ahead`: the ready jobs before it.

        When it is ready, a job behind it may have begun, and the same goes for each that is ready before it.
        """
        late_us = self._longest.upper_us if self._is_busy(ready_us) else 0
        start = self._joined(self._free.plus(ahead), order, ready_us, late_us).not_before(ready_us)
        if late_us is None or start.upper_us is None:
            return UNKNOWN._replace(likely_us=start.likely_us)
        return start._replace(upper_us=max(start.upper_us, ready_us + late_us))

    def _joined(self, start: Span, order: Order, ready_us: int, late_us: int | None) -> Span:
        """Add the delayed jobs that go first, because they will be ready in time. `late_us`: how long what has begun
        before may keep each of them waiting."""
        for job in self._soonest():
            if job is None:
                return UNKNOWN._replace(likely_us=start.likely_us)
            if late_us is None or start.upper_us is None:
                upper_us = None
            else:
                upper_us = max(start.upper_us, ready_us + late_us)
                if job.ready_us > upper_us:
                    break
            if job.order >= order:
                continue
            if job.ready_us <= max(start.likely_us, ready_us):
                start = start.not_before(job.ready_us)
                span = job.span
            else:  # it goes first only if others take long
                span = job.span._replace(likely_us=0, at_least=job.span.upper_us is None)
            if start.upper_us is not None and late_us:
                start = start._replace(upper_us=max(start.upper_us, job.ready_us + late_us))
            start = start.plus(span)
        return start

    def _is_busy(self, us: int) -> bool:
        """Whether the worker may be running something at that moment."""
        busy = self._free.plus(self._ready)
        for job in self._soonest():
            if busy.upper_us is None or job is None:
                return True
            if job.ready_us >= us:
                break
            busy = busy.not_before(job.ready_us).plus(job.span)
        return busy.upper_us is None or busy.upper_us > us

    def _soonest(self) -> Iterator[Delayed | None]:
        """The delayed jobs, each of which is taken from the queue once. None: there are more."""
        for place in range(self._delayed_count):
            if place == len(self._looked_at):
                job = None if place == LOOKED_AT else next(self._delayed, None)
                if job is None:
                    yield None
                    return
                self._looked_at.append(job)
            yield self._looked_at[place]
