"""Estimates of when queued jobs start, from the queue at one moment, given as plain data.

One worker runs one job after another, and is never idle while a job is ready, unless the queue is paused. So a ready
job starts when the pause is over and everything ahead of it has ended, including what becomes ready before then and
goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from zjobs.broker.core.estimates.spans import NOTHING, UNKNOWN, Span

LOOKED_AT = 100  # delayed jobs that one estimate considers at most

Order = tuple[int, int]  # (-priority, id): the smaller one goes first


class Delayed(NamedTuple):
    """A delayed job: when it is ready, its place in the order, and how long it takes."""

    ready_us: int
    order: Order
    span: Span


class Outlook:
    """The queue at one moment. All times count from then.

    `in_flight`: what is left of all jobs that the worker has. `paused_us`: when the pause ends. `delayed`: the delayed
    jobs, the soonest ready first, read as needed; it may yield fewer than `delayed_count`. `ready`: all ready jobs
    together. `longest`: the longest of all ready and delayed jobs.
    """

    def __init__(
        self,
        in_flight: Span = NOTHING,
        paused_us: int = 0,
        delayed: Iterable[Delayed] = (),
        delayed_count: int = 0,
        ready: Span = NOTHING,
        longest: Span = NOTHING,
    ) -> None:
        self._free = in_flight.not_before(paused_us)
        self._paused_us = paused_us
        self._delayed = iter(delayed)
        self._delayed_count = delayed_count
        self._looked_at: list[Delayed] = []
        self._ready = ready
        self._longest = longest

    def start(self, order: Order, ahead: Span) -> Span:
        """Estimate when a ready job starts. `ahead`: all ready jobs before it."""
        return self._joined(self._free.plus(ahead), order, 0, 0)

    def delayed_start(self, order: Order, ahead: Span, ready_us: int) -> Span:
        """Estimate when a delayed job starts that is ready at `ready_us`. `ahead`: the ready jobs before it.

        A job behind it may be running when it becomes ready. The same goes for each delayed job that goes first.
        """
        late_us = self._longest.upper_us if self._is_busy(ready_us) else 0
        start = self._joined(self._free.plus(ahead), order, ready_us, late_us).not_before(ready_us)
        if late_us is None or start.upper_us is None:
            return UNKNOWN._replace(likely_us=start.likely_us)
        return start._replace(upper_us=max(start.upper_us, ready_us + late_us))

    def _joined(self, start: Span, order: Order, ready_us: int, late_us: int | None) -> Span:
        """Add the delayed jobs that will be ready in time to go first. `late_us`: how long a job that is already
        running may keep each of them waiting."""
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
        """True if the worker may be running something at that moment that keeps others waiting after the pause."""
        if us < self._paused_us:
            return False
        busy = self._free.plus(self._ready)
        for job in self._soonest():
            if busy.upper_us is None or job is None:
                return True
            if job.ready_us >= us:
                break
            busy = busy.not_before(job.ready_us).plus(job.span)
        return busy.upper_us is None or busy.upper_us > us

    def _soonest(self) -> Iterator[Delayed | None]:
        """Yield the delayed jobs, each read from the queue once; then None if there are more."""
        for place in range(self._delayed_count):
            if place == len(self._looked_at):
                job = None if place == LOOKED_AT else next(self._delayed, None)
                if job is None:
                    yield None
                    return
                self._looked_at.append(job)
            yield self._looked_at[place]
