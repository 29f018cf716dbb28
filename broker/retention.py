"""Dropping old jobs as the operator decided, in steps so small that no request waits for them."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.broker.core.core import Core
from zjobs.broker.core.jobs import Job, Service
from zjobs.broker.core.needs import Needs
from zjobs.broker.core.worker_status import Instant
from zjobs.broker.storage.api import Journal

STEP_JOBS = 100
STEP_BYTES = 16 << 20
STEP_LOOKED_AT = 500
STEP_EVERY_MS = 20
SWEEP_EVERY_MS = 10_000
STEP_PAGES = 256
NOTE_SERVICE_MS = 3_600_000


class Keep(NamedTuple):
    """None: for ever, all. `jobs`: how many ended jobs at most; `for_ms`: how long after their end, by the journal's
    service (see `Core.service`)."""

    for_ms: int | None = None
    jobs: int | None = None


class Retention:
    """Sweeps over the journal by id, again and again. What ended in another order than it was submitted in may be kept
    for one sweep longer."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._after = 0
        self._due_ms = 0
        self._noted_ms: int | None = None

    def due_at_ms(self) -> int | None:
        """When `step` wants to be called next (monotonic); None: never."""
        return None if self._keep == Keep() else self._due_ms

    def step(self, core: Core, journal: Journal, now: Instant) -> None:
        """Has the core drop a few jobs, if it is time and there are any."""
        due = self.due_at_ms()
        if due is None or now.mono_ms < due:
            return
        self._due_ms = now.mono_ms + SWEEP_EVERY_MS  # also when the disk fails in here: not at once again
        ended, after = journal.ended(self._after, STEP_LOOKED_AT)
        wanted = [job.id for job in ended] if self._wants(ended, core, now) else []
        kept_bytes = journal.read(Needs(kept_bytes=wanted)).kept_bytes
        dropped = dropped_bytes = 0
        for job in ended:
            if self._too_many(core) or self._too_old(job, core.service(now)):
                dropped += core.drop(job)
                dropped_bytes += kept_bytes.get(job.id, 0)
            if dropped == STEP_JOBS or dropped_bytes >= STEP_BYTES:
                after = job.id
                break
        self._note_service(core, now)
        if journal.files is not None:
            journal.files.give_back_space(STEP_PAGES)
        self._after = after
        if after:
            self._due_ms = now.mono_ms + STEP_EVERY_MS

    def _wants(self, ended: list[Job], core: Core, now: Instant) -> bool:
        """Whether any of these is to go."""
        return self._too_many(core) or any(self._too_old(job, core.service(now)) for job in ended)

    def _too_many(self, core: Core) -> bool:
        counters = core.counters
        return (
            self._keep.jobs is not None and counters.completed + counters.failed + counters.cancelled > self._keep.jobs
        )

    def _too_old(self, job: Job, service: Service) -> bool:
        """Jobs that ended before the service was counted are as old as that."""
        return self._keep.for_ms is not None and (job.ended_served_ms or 0) < service.served_ms - self._keep.for_ms

    def _note_service(self, core: Core, now: Instant) -> None:
        """Each hour, though nothing happens: of a break only a day is counted."""
        if self._noted_ms is None:
            self._noted_ms = now.mono_ms
        elif now.mono_ms - self._noted_ms >= NOTE_SERVICE_MS:
            self._noted_ms = now.mono_ms
            core.note_service(now)
