"""Dropping old jobs as the operator decided, in steps so small that no request waits for them."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.broker.core.core import Core
from zjobs.broker.core.jobs import Job, Service
from zjobs.broker.core.needs import Read
from zjobs.broker.core.worker_status import Instant

STEP_JOBS = 100
STEP_BYTES = 16 << 20
STEP_LOOKED_AT = 500
STEP_EVERY_MS = 20
SWEEP_EVERY_MS = 10_000
STEP_PAGES = 256
RECORD_SERVICE_MS = 3_600_000


class Keep(NamedTuple):
    """None: for ever, all. `jobs`: how many ended jobs at most; `for_ms`: how long after their end, by the journal's
    service (see `Core.service`)."""

    for_ms: int | None = None
    jobs: int | None = None


class Retention:
    """Sweeps over the journal by id, again and again. What ended in another order than it was submitted in may be kept
    for one sweep longer.

    A step looks at a page of ended jobs. If some of them are to go, the next turn, which comes at once, reads how much
    is kept of them, and drops so many that no request waits for it.
    """

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._keeps_all = keep == Keep()
        self._after = 0
        self._page: list[int] = []
        self._after_page = 0
        self._due_ms = 0
        self._recorded_ms: int | None = None

    def due_at_ms(self) -> int | None:
        """When the next step is due (monotonic); None: never."""
        return None if self._keeps_all else self._due_ms

    def needs(self, now: Instant) -> tuple[list[int], tuple[int, int] | None]:
        """What `step` will look up: jobs, with what is kept of them; or a page of ended jobs, as in `TurnNeeds`."""
        if not self._is_due(now):
            return [], None
        return (self._page, None) if self._page else ([], (self._after, STEP_LOOKED_AT))

    def step(self, core: Core, read: Read, now: Instant) -> int:
        """Has the core drop a few jobs, if it is time and there are any. Returns how many pages the journal's file
        shall give back."""
        if not self._is_due(now):
            return 0
        if self._page:
            self._go_on(self._drop(core, read, now), now)
            return STEP_PAGES
        assert read.ended is not None
        ended, after = read.ended
        self._record_service(core, now)
        if ended and (self._too_many(core) or any(self._too_old(job, core.service(now)) for job in ended)):
            self._page, self._after_page, self._due_ms = [job.id for job in ended], after, now.mono_ms
            return 0
        self._go_on(after, now)
        return STEP_PAGES

    def postpone(self, now: Instant) -> None:
        """The journal failed: the next step is not due at once again."""
        self._page = []
        self._due_ms = now.mono_ms + SWEEP_EVERY_MS

    def _is_due(self, now: Instant) -> bool:
        return not self._keeps_all and now.mono_ms >= self._due_ms

    def _go_on(self, after: int, now: Instant) -> None:
        """The next step begins after this id; 0: a sweep is over."""
        self._page, self._after = [], after
        self._due_ms = now.mono_ms + (STEP_EVERY_MS if after else SWEEP_EVERY_MS)

    def _drop(self, core: Core, read: Read, now: Instant) -> int:
        """Drops what is to go of the page. Returns the id to go on after."""
        dropped = dropped_bytes = 0
        for job_id in self._page:
            job = read.found.jobs.get(job_id)
            if job is not None and (self._too_many(core) or self._too_old(job, core.service(now))):
                dropped += core.drop(job)
                dropped_bytes += read.found.kept_bytes.get(job_id, 0)
            if dropped == STEP_JOBS or dropped_bytes >= STEP_BYTES:
                return job_id
        return self._after_page

    def _too_many(self, core: Core) -> bool:
        counters = core.counters
        return (
            self._keep.jobs is not None and counters.completed + counters.failed + counters.cancelled > self._keep.jobs
        )

    def _too_old(self, job: Job, service: Service) -> bool:
        """Jobs that ended before the service was counted are as old as that."""
        return self._keep.for_ms is not None and (job.ended_served_ms or 0) < service.served_ms - self._keep.for_ms

    def _record_service(self, core: Core, now: Instant) -> None:
        """Each hour, though nothing happens: of a break only a day is counted."""
        if self._recorded_ms is None:
            self._recorded_ms = now.mono_ms
        elif now.mono_ms - self._recorded_ms >= RECORD_SERVICE_MS:
            self._recorded_ms = now.mono_ms
            core.record_service(now)
