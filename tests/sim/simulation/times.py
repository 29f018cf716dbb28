"""The promises about start times: no job is handed over before one or after the other, whatever the wall clock does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zjobs.broker.core.records.jobs import Instant, Job, Loaded
from zjobs.messages.states import JobState


class TimePromises:
    """Which jobs wait for a time by the wall clock, as of the last turn that could notice that it has come."""

    def __init__(self, hold: Callable[[bool, str], None], time: Callable[[], Instant], counts: dict[str, int]) -> None:
        self._hold = hold
        self._time = time
        self._counts = counts
        self._waits: dict[int, int] = {}  # for which time
        self._late: dict[int, int] = {}  # since when it is known that it has not started by its time

    def loads(self, loaded: Loaded) -> None:
        """Over a restart only the wall clock counts."""
        self._waits = {each[1]: each[0] for each in loaded.waiting if each[3] is None}
        self._waits |= {
            job.id: job.ready_at for job in loaded.parked if job.ready_at is not None and job.delay_ms is None
        }
        for job in loaded.in_flight.values():  # it was ready once
            self._waits.pop(job.id, None)

    def changes(self, before: Job | None, job: Job) -> None:
        """A job as of this commit."""
        if job.state.final or job.ready_at is None or job.ready_at != job.start_at:
            self._waits.pop(job.id, None)
        elif before is None or before.ready_at != job.ready_at:
            self._waits[job.id] = job.ready_at
        late = (job.message or "").startswith("it had not started by")
        if job.state is JobState.CANCELLED and late:
            self._counts["cancelled late"] += 1
            self._hold(job.start_by is not None and job.start_by <= self._wall_ms, f"job {job.id} is not late")
            self._hold(job.run == 0, f"job {job.id} had started by then")

    def looks(self, jobs: Iterable[Job]) -> None:
        """A turn begins, or has ended: what is ready now stays so, even if the clock is set back."""
        for job in jobs:
            parked = job.held or job.after or job.after_any
            if not parked and self._waits.get(job.id, self._wall_ms + 1) <= self._wall_ms:
                del self._waits[job.id]
            if job.state.final or job.start_by is None or job.start_by > self._wall_ms:
                self._late.pop(job.id, None)
            else:
                self._late.setdefault(job.id, self._time().mono_ms)

    def is_ready(self, job: Job) -> bool:
        return self._waits.get(job.id, 0) <= self._wall_ms

    def handed_over(self, job: Job) -> None:
        self._counts["start times"] += job.start_at is not None
        self._hold(self.is_ready(job), f"job {job.id} was to start at {job.start_at}, and it is {self._wall_ms}")
        in_time = job.start_by is None or job.start_by > self._wall_ms or job.run > 0
        self._hold(in_time, f"job {job.id} was to start by {job.start_by}, and it is {self._wall_ms}")

    def nobody_is_late(self, jobs: Iterable[Job], begun: Callable[[int], bool], since_ms: int, most_ms: int) -> None:
        """With nothing in the way, whatever has not started by its time is cancelled soon."""
        now_ms = self._time().mono_ms
        for job in jobs:
            if job.id in self._late and not job.state.final and not job.run and not begun(job.id):
                late_ms = now_ms - max(self._late[job.id], since_ms)
                self._hold(late_ms < most_ms, f"job {job.id} has not started by its time, for {late_ms} ms")

    @property
    def _wall_ms(self) -> int:
        return self._time().wall_ms
