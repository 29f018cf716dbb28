"""The half of the core that answers questions: where each job is, and in which state the worker is.

A job that has not ended is in exactly one place: parked (`_parked`: it is held or waits for others), delayed
(`_delayed`), ready (`_queue`), or in flight (`_dispatch`, which also has sessions, delivery numbers and
acknowledgements). Its record is in `_jobs` (see `JobTable`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from zjobs.broker.core.estimates.history import History
from zjobs.broker.core.estimates.kinds import Kind, Kinds
from zjobs.broker.core.estimates.spans import Progress, Remaining, remaining
from zjobs.broker.core.forecast import Forecast, Spans, estimate, limit_of
from zjobs.broker.core.lifecycle import Moment
from zjobs.broker.core.people.pauses import Pauses
from zjobs.broker.core.ready import DelayedJob, DelayedJobs, Parked, Queue
from zjobs.broker.core.records.effects import JobTable
from zjobs.broker.core.records.jobs import CLOCK_SLACK_MS, Counters, Envelope, Instant, Job, Loaded, ParkedJob, Service
from zjobs.broker.core.timing.deadlines import LOOK_AGAIN_MS, Deadlines
from zjobs.broker.core.worker.dispatch import Dispatch
from zjobs.broker.core.worker.status import WorkerStatus
from zjobs.messages.records import BrokerName, Estimate, Limits, Paused, QueuePause, TaskType
from zjobs.messages.states import Awaited, ErrorCode, WorkerState
from zjobs.messages.units import DeliveryNumber, JobId, Ms

LONGEST_BREAK_MS = 24 * 3_600_000
CLOCK_SET_MS = 50  # so far from where it was, the wall clock was set, or has drifted enough


class QueueState:
    """The state of one queue. `types`: those last announced by a worker, None before."""

    def __init__(self, loaded: Loaded, limits: Limits, name: BrokerName, now: Instant) -> None:
        self.journal = loaded.journal
        self.types = loaded.types
        self._pauses = Pauses(loaded.pauses, now)
        self._totals = loaded.counters._asdict()
        self._dispatch = Dispatch(loaded, name, limits, now)
        self._jobs = JobTable(loaded.in_flight.values())
        self._queue = Queue(loaded.ready)
        self._delayed = DelayedJobs(_by_our_clock(loaded.waiting, now))
        self._parked = {job.id: _parked(job, now) for job in loaded.parked}
        self._dependents: dict[JobId, dict[JobId, None]] = {}  # the jobs that wait, by the job that they wait for
        self._edges = 0  # how many pairs of them there are
        self._offset_ms = now.wall_ms - now.mono_ms
        self._start_times = dict(_start_times(loaded))  # of the delayed and parked jobs that have one
        self._start_by = Deadlines(loaded.start_by)
        self._overdue: dict[JobId, None] = {}  # jobs that may not have started by their `start_by`
        self._recalled: dict[JobId, None] = {}  # those of them that the worker has
        for parked in loaded.parked:
            self._depends(parked.id, parked.awaited)
        self._due = dict.fromkeys(self._dependents)  # jobs that may have ended, and whose dependents have not been told
        self.edit_outcomes: dict[tuple[Envelope, JobId], bool] = {}  # whether the edit of a recalled job was made
        self._kinds = Kinds(loaded.kinds, _counted(loaded))
        self._history = History(loaded.history)
        self._began_ms = now.mono_ms
        self._served_before_ms = _served(loaded.service, now)
        self._lacks_record = True  # the record of the next job to dispatch may have to be read
        for job in loaded.in_flight.values():
            self._leave_place(job)

    @property
    def counters(self) -> Counters:
        """The journal's totals, as they will be after this turn."""
        return Counters(**self._totals)

    @property
    def paused(self) -> Paused | None:
        """The oldest pause in force: since when and why nothing starts. None if the queue runs."""
        return self._pauses.oldest

    @property
    def pauses(self) -> tuple[QueuePause, ...]:
        """All pauses in force, oldest first."""
        return self._pauses.for_clients

    @property
    def worker(self) -> WorkerStatus:
        """The status of the worker."""
        return self._dispatch.status

    def record(self, job_id: JobId) -> Job | None:
        """Return the committed record of a job that has not ended, if it is at hand."""
        return self._jobs.at_hand(job_id)

    @property
    def running(self) -> Job | None:
        """The job that the worker last said it is running."""
        job_id = self._dispatch.running_id
        return None if job_id is None else self._jobs[job_id]

    @property
    def running_started_at(self) -> Ms | None:
        """The start of the run in progress (ms since 1970). It never changes during the run."""
        delivery = self.worker.running
        return None if delivery is None else self._dispatch.began_at(delivery)

    def type_of(self, job: Job) -> TaskType:
        """Return the job's type as last announced, or with the defaults."""
        return (self.types or {}).get(job.type) or TaskType(job.type)

    @property
    def session_name(self) -> str:
        """The name of the present session. Nothing is dispatched without one."""
        return self._dispatch.session_name

    @property
    def queued(self) -> int:
        """The number of jobs that are ready, or in flight but not known to run."""
        return len(self._queue) + self.dispatched - (self._dispatch.running_id is not None)

    @property
    def dispatched(self) -> int:
        """The number of jobs in flight. Any of them may start at any moment, even while paused."""
        return len(self._dispatch.in_flight)

    @property
    def unended(self) -> int:
        """The number of jobs that have not ended."""
        return len(self._queue) + self.waiting + self.dispatched

    @property
    def waiting(self) -> int:
        """The number of delayed and parked jobs."""
        return len(self._delayed) + len(self._parked)

    def ahead(self, job: Job) -> int | None:
        """Return how many jobs must end before this one starts; None if it is not ready or has ended."""
        delivery = self._dispatch.in_flight.delivery_of(job.id)
        if delivery is not None:
            return self._dispatch.in_flight.ahead(delivery)
        if job.state.final or job.id in self._delayed or job.id in self._parked:
            return None
        return self.dispatched + self._queue.ahead(job.priority, job.id)

    def forecast(self, now: Instant) -> Forecast:
        """Return a forecast, made now, of when jobs start."""
        left = self._running_left(now)
        running = self._dispatch.running_id
        after = None
        if self._pauses.endless:
            after = Awaited.RESUME
        elif self.worker.state is not WorkerState.READY:
            after = Awaited.WORKER
        return Forecast(
            self._queue,
            self._delayed,
            {job_id: self._jobs[job_id] for job_id in self._dispatch.in_flight.ids},
            None if left is None or running is None else (running, left.span),
            Spans(self._history, self.types or {}),
            self._kinds,
            now.mono_ms,
            0 if self._pauses.endless else self._pauses.left_ms(now),
            after,
            self._parked,
        )

    def running_estimate(self, now: Instant) -> Estimate | None:
        """Return when the run in progress ends."""
        left = self._running_left(now)
        lost = self.worker.state in (WorkerState.ABSENT, WorkerState.SILENT)
        return None if left is None else estimate(left, Awaited.WORKER if lost else None)

    def _running_left(self, now: Instant) -> Remaining | None:
        job = self.running
        if job is None:
            return None
        report, since_ms = self.worker.report, self.worker.running_since_ms
        progress = Progress(
            max(0, now.mono_ms - since_ms) * 1000,
            report.fraction,
            max(0, report.fraction_at_ms - since_ms) * 1000,
            self.type_of(job).grace_ms * 1000 if job.cancelling else None,
        )
        limit_us = limit_of(self.type_of(job), job.time_limit_ms)
        return remaining(self._history.of(job.type), limit_us, progress)

    def ready_at(self, job: Job, now: Instant) -> Ms | None:
        """Return when the job's delay ends by the wall clock, None if it is not delayed.

        Delays are measured by the monotonic clock. The recorded time is repeated unless the clocks have diverged since.
        """
        at = self._delayed.ready_at(job.id)
        if at is None:
            return None
        present = Ms(max(0, now.wall_ms + at - now.mono_ms))
        recorded = job.ready_at
        return present if recorded is None or abs(present - recorded) > CLOCK_SLACK_MS else recorded

    def service(self, now: Instant) -> Service:
        """Return how long this journal has been in service, by which `--keep` measures the age of jobs.

        It counts the time in which a broker ran, and at most a day of each break. Only the wall clock tells how long a
        break was, and a clock that is wrong for a moment must not cost anybody their results.
        """
        return Service(Ms(self._served_before_ms + now.mono_ms - self._began_ms), now.wall_ms)

    def next_ids(self, count: int) -> list[JobId]:
        """Return the id of the running job, if any, then of the `count` jobs that start next."""
        running = self._dispatch.running_id
        ids = [job_id for job_id in self._dispatch.in_flight.ids if job_id != running][:count]
        ids += self._queue.first(count - len(ids))
        return ids if running is None else [running, *ids]

    def delayed_ids(self, count: int) -> list[JobId]:
        """Return the ids of the delayed jobs, the soonest ready first, then of parked ones; at most `count`."""
        ids = [JobId(job.job_id) for job in islice(self._delayed.soonest(), count)]
        return ids + list(islice(self._parked, count - len(ids)))

    def next_deadline_ms(self, now_ms: int) -> int | None:
        """Return when the next turn is due if nothing arrives (monotonic), None for never."""
        if self._lacks_record or self._due or self._overdue:
            return now_ms
        look_in_ms = self._start_by.due_in_ms(Ms(now_ms + self._offset_ms))
        if look_in_ms is None and self._start_times:
            look_in_ms = LOOK_AGAIN_MS
        look_at_ms = None if look_in_ms is None else now_ms + look_in_ms
        deadlines = (
            self.worker.silent_at_ms(),
            self._delayed.next_ready_at(),
            self._pauses.next_end_ms(),
            look_at_ms,
        )
        return min((at for at in deadlines if at is not None), default=None)

    def is_with_worker(self, delivery: DeliveryNumber) -> bool:
        """True if this delivery is in flight."""
        return delivery in self._dispatch.in_flight

    def why_missing(self, job_id: JobId) -> ErrorCode:
        """Return why there is no such job: `expired` if the id was used, else `not_found`."""
        return ErrorCode.EXPIRED if job_id < self._totals["next_id"] else ErrorCode.NOT_FOUND

    def moment(self, now: Instant) -> Moment:
        """Return the time as the journal records it."""
        return Moment(now.wall_ms, self.service(now).served_ms)

    def _put_in_place(self, job: Job, delay_ms: Ms, now: Instant) -> None:
        """Add a job to the parked jobs if it is held or waits for others, with a delay to the delayed, else to the
        ready ones."""
        kind = self._kinds.add(Kind(job.type, job.time_limit_ms))
        self._start_by.set(job.id, None if job.run else job.start_by)
        if delay_ms and job.start_at is not None and job.start_at == job.ready_at:
            self._start_times[job.id] = job.start_at
        if job.held or job.after or job.after_any:
            self._parked[job.id] = Parked(Ms(now.mono_ms + delay_ms), kind)
            self._depends(job.id, (*job.after, *job.after_any))
        elif delay_ms:
            self._delayed.add(DelayedJob(Ms(now.mono_ms + delay_ms), job.id, job.priority, kind))
        else:
            self._queue.add(job.priority, job.id, kind)

    def _leave_place(self, job: Job) -> None:
        """Remove a job from the parked, the delayed or the ready jobs."""
        self._start_times.pop(job.id, None)
        if job.id in self._parked:
            kind = self._parked.pop(job.id).kind
            for awaited in (*job.after, *job.after_any):
                self._no_longer_depends(job.id, awaited)
        elif job.id in self._delayed:
            kind = self._delayed.remove(job.id)
        else:
            kind = self._queue.remove(job.priority, job.id)
        self._kinds.remove(kind)

    def _follow_clock(self, now: Instant) -> None:
        """Move the start times if the wall clock was set: they are its times, and delays are not."""
        offset_ms = now.wall_ms - now.mono_ms
        if abs(offset_ms - self._offset_ms) < CLOCK_SET_MS:
            return
        self._offset_ms = offset_ms
        for job_id, start_at in self._start_times.items():
            ready_at = Ms(start_at - offset_ms)
            if job_id in self._parked:
                self._parked[job_id] = self._parked[job_id]._replace(ready_at=ready_at)
            else:
                self._delayed.move(job_id, ready_at)

    def _depends(self, job_id: JobId, awaited: Iterable[JobId]) -> None:
        for each in awaited:
            self._dependents.setdefault(each, {})[job_id] = None
            self._edges += 1

    def _no_longer_depends(self, job_id: JobId, awaited: JobId) -> None:
        dependents = self._dependents[awaited]
        del dependents[job_id]
        self._edges -= 1
        if not dependents:
            del self._dependents[awaited]

    def _delay_left(self, job: Job, now: Instant) -> Ms:
        """Return how long the delay of a parked or delayed job still lasts; 0 of a ready one."""
        parked = self._parked.get(job.id)
        at = self._delayed.ready_at(job.id) if parked is None else parked.ready_at
        return Ms(0 if at is None else max(0, at - now.mono_ms))


def _counted(loaded: Loaded) -> Counter[int]:
    """Count the queued jobs of each kind, by the kind's number."""
    counts = Counter(kind for *_, kind in loaded.waiting)
    counts.update(job.kind for job in loaded.parked)
    for _, numbers in loaded.ready.values():
        for number in set(numbers):
            counts[number] += numbers.count(number)
    return counts


def _start_times(loaded: Loaded) -> Iterator[tuple[JobId, Ms]]:
    """Yield the jobs that wait for a time by the wall clock."""
    for ready_at, job_id, _, delay_ms, _ in loaded.waiting:
        if delay_ms is None:
            yield job_id, ready_at
    for job in loaded.parked:
        if job.ready_at is not None and job.delay_ms is None:
            yield job.id, job.ready_at


def _by_our_clock(waiting: Sequence[tuple[Ms, JobId, int, Ms | None, int]], now: Instant) -> Iterator[DelayedJob]:
    """Convert loaded delays to the monotonic clock."""
    for ready_at, job_id, priority, delay_ms, kind in waiting:
        yield DelayedJob(_mono_end(ready_at, delay_ms, now), job_id, priority, kind)


def _parked(job: ParkedJob, now: Instant) -> Parked:
    if job.ready_at is None:
        return Parked(now.mono_ms, job.kind)
    return Parked(_mono_end(job.ready_at, job.delay_ms, now), job.kind)


def _mono_end(ready_at: Ms, delay_ms: Ms | None, now: Instant) -> Ms:
    """Return when a loaded delay ends. The wall clock says how much is left: at most the whole delay; of a start time,
    whatever it says."""
    left_ms = ready_at - now.wall_ms
    return Ms(now.mono_ms + (left_ms if delay_ms is None else min(left_ms, max(0, delay_ms))))


def _served(service: Service, now: Instant) -> int:
    """Return the journal's time in service when a broker starts, with at most a day of the break before it."""
    break_ms = now.wall_ms - service.wall_ms if service.wall_ms else 0
    return service.served_ms + min(max(0, break_ms), LONGEST_BREAK_MS)
