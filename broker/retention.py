"""The deletion of old jobs that `--keep` and `--keep-jobs` ask for, in steps so small that no request waits for
them."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.broker.core.core import Core
from zjobs.broker.core.records.jobs import Instant, Job, Service
from zjobs.broker.core.records.needs import Read
from zjobs.messages.units import JobId

STEP_JOBS = 100
STEP_BYTES = 16 << 20
STEP_LOOKED_AT = 500
STEP_EVERY_MS = 20
SWEEP_EVERY_MS = 10_000
STEP_PAGES = 256
RECORD_SERVICE_MS = 3_600_000


class Keep(NamedTuple):
    """The jobs to keep. `jobs`: at most this many ended jobs, None for all. `for_ms`: this long after their end, in
    time that the journal was in service (see `Core.service`), None for ever."""

    for_ms: int | None = None
    jobs: int | None = None


class Retention:
    """Sweeps over the journal by id, again and again. A job that ended out of order may be kept one sweep longer.

    A step reads a batch of ended jobs. If some must go, the next turn follows at once, reads how many bytes each has,
    and drops as many as take a few milliseconds.
    """

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._keeps_all = keep == Keep()
        self._after = JobId(0)
        self._batch: list[JobId] = []
        self._after_batch = JobId(0)
        self._due_ms = 0
        self._recorded_ms: int | None = None

    def due_at_ms(self) -> int | None:
        """Return when the next step is due (monotonic), None if all jobs are kept."""
        return None if self._keeps_all else self._due_ms

    def needs(self, now: Instant) -> tuple[list[JobId], tuple[JobId, int] | None]:
        """Name the records that `step` will read: jobs with their sizes, or a batch of ended jobs (see `TurnNeeds`)."""
        if not self._is_due(now):
            return [], None
        return (self._batch, None) if self._batch else ([], (self._after, STEP_LOOKED_AT))

    def step(self, core: Core, read: Read, now: Instant) -> int:
        """Drop a few old jobs if a step is due. Return how many pages the journal's file should give back."""
        if not self._is_due(now):
            return 0
        if self._batch:
            self._go_on(self._drop(core, read, now), now)
            return STEP_PAGES
        assert read.ended is not None
        ended, after = read.ended
        self._record_service(core, now)
        if ended and (self._too_many(core) or any(self._too_old(job, core.service(now)) for job in ended)):
            self._batch, self._after_batch, self._due_ms = [job.id for job in ended], after, now.mono_ms
            return 0
        self._go_on(after, now)
        return STEP_PAGES

    def postpone(self, now: Instant) -> None:
        """Put the next step off, because the journal failed."""
        self._batch = []
        self._due_ms = now.mono_ms + SWEEP_EVERY_MS

    def _is_due(self, now: Instant) -> bool:
        return not self._keeps_all and now.mono_ms >= self._due_ms

    def _go_on(self, after: JobId, now: Instant) -> None:
        """Schedule the next step, which begins after this id; 0 ends the sweep."""
        self._batch, self._after = [], after
        self._due_ms = now.mono_ms + (STEP_EVERY_MS if after else SWEEP_EVERY_MS)

    def _drop(self, core: Core, read: Read, now: Instant) -> JobId:
        """Drop the old jobs of the batch, up to the bounds of a step. Return the id to continue after."""
        dropped = dropped_bytes = 0
        for job_id in self._batch:
            job = read.found.jobs.get(job_id)
            if job is not None and (self._too_many(core) or self._too_old(job, core.service(now))):
                dropped += core.drop(job)
                dropped_bytes += read.found.kept_bytes.get(job_id, 0)
            if dropped == STEP_JOBS or dropped_bytes >= STEP_BYTES:
                return job_id
        return self._after_batch

    def _too_many(self, core: Core) -> bool:
        counters = core.counters
        return (
            self._keep.jobs is not None and counters.completed + counters.failed + counters.cancelled > self._keep.jobs
        )

    def _too_old(self, job: Job, service: Service) -> bool:
        """True if the job ended longer than `for_ms` ago. One without a time counts from the start of service."""
        return self._keep.for_ms is not None and (job.ended_served_ms or 0) < service.served_ms - self._keep.for_ms

    def _record_service(self, core: Core, now: Instant) -> None:
        """Record the time in service once an hour, so that a long idle period does not count as a break."""
        if self._recorded_ms is None:
            self._recorded_ms = now.mono_ms
        elif now.mono_ms - self._recorded_ms >= RECORD_SERVICE_MS:
            self._recorded_ms = now.mono_ms
            core.record_service(now)
