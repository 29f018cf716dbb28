"""A forecast, made at one moment, of when the jobs of a queue start.

Each page of a reply has its own. For each job it adds up what is ahead, by kind rather than job by job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, reduce
from operator import attrgetter

from zjobs.broker.core.estimates.history import History
from zjobs.broker.core.estimates.kinds import Kind
from zjobs.broker.core.estimates.outlook import Delayed, Outlook
from zjobs.broker.core.estimates.spans import NOTHING, UNKNOWN, Remaining, Span
from zjobs.broker.core.ready import Counts, DelayedJobs, Queue
from zjobs.broker.core.records.jobs import Job
from zjobs.messages.records import Estimate, TaskType
from zjobs.messages.states import Awaited, Origin
from zjobs.messages.units import JobId, Ms

_kind = attrgetter("type", "time_limit_ms", "cancelling")


class Spans:
    """The expected durations of jobs, from the history of their types and from their limits."""

    def __init__(self, history: History, types: Mapping[str, TaskType]) -> None:
        self._history = history
        self._types = types

    def of(self, kind: Kind | None) -> Span:
        """Return how long a job of this kind takes."""
        if kind is None:
            return UNKNOWN
        task_type = self._types.get(kind.type) or TaskType(kind.type)
        return self._history.span_of(kind.type, limit_of(task_type, kind.time_limit_ms))


class Forecast:
    """A forecast of when jobs start. `in_flight`: the jobs that the worker has, in order. `running`: the first of them,
    if it runs, and what is left of its run. `kinds`: the kinds of queued jobs, by number. `paused_ms`: for how long
    nothing else starts. Nothing is computed before it is needed."""

    def __init__(
        self,
        queue: Queue,
        delayed: DelayedJobs,
        in_flight: Mapping[JobId, Job],
        running: tuple[JobId, Span] | None,
        spans: Spans,
        kinds: Iterable[tuple[int, Kind | None]],
        mono_ms: int,
        paused_ms: int,
        after: Awaited | None,
        parked: Container[JobId],
    ) -> None:
        self._queue = queue
        self._delayed = delayed
        self._in_flight = in_flight
        self._running = running
        self._spans_of = spans
        self._kinds = kinds
        self._mono_ms = mono_ms
        self._paused_us = paused_ms * 1000
        self._after = after
        self._parked = parked
        self._above: dict[int, Span] = {}  # by priority: the ready jobs of greater priorities

    @cached_property
    def _spans(self) -> dict[int, Span]:
        """The expected duration of a job of each kind."""
        return {number: self._spans_of.of(kind) for number, kind in self._kinds}

    @cached_property
    def _outlook(self) -> Outlook:
        ready = NOTHING
        for priority, counts in self._queue.kinds():
            self._above[priority] = ready
            ready = self._plus(ready, counts)
        longest = max(self._spans.values(), key=_upper, default=NOTHING)
        in_flight = self._after_jobs(NOTHING, list(self._in_flight.values()))
        return Outlook(in_flight, self._paused_us, self._soonest(), len(self._delayed), ready, longest)

    @cached_property
    def _starts_in_flight(self) -> dict[JobId, Span]:
        starts = {}
        start = NOTHING
        for job_id, job in self._in_flight.items():
            starts[job_id] = start.not_before(self._paused_us)
            start = self._after_jobs(start, [job])
        return starts

    def _after_jobs(self, span: Span, jobs: Sequence[Job]) -> Span:
        """Return when these jobs in flight have ended, begun at `span`. While the queue is paused, the worker returns
        those that have not begun; a cancelled one of them takes no time."""
        running = self._running
        if running is not None and jobs and jobs[0].id == running[0]:
            span, jobs = span.plus(running[1]), jobs[1:]
        for (job_type, time_limit_ms, cancelling), count in Counter(map(_kind, jobs)).items():
            if not cancelling:
                span = span.not_before(self._paused_us).plus(self._spans_of.of(Kind(job_type, time_limit_ms)), count)
        return span

    def start(self, job: Job) -> Estimate | None:
        """Return when a queued job starts, None if it has ended."""
        if job.state.final:
            return None
        if job.id in self._parked:
            return Estimate(None, None, Origin.UNKNOWN, after=Awaited.RELEASE if job.held else Awaited.JOBS)
        return estimate(Remaining(self._start(job)), self._after)

    def _start(self, job: Job) -> Span:
        if job.id in self._in_flight:
            return self._starts_in_flight[job.id]
        outlook = self._outlook
        ahead = self._plus(self._above_of(job.priority), self._queue.kinds_ahead(job.priority, job.id))
        order = (-job.priority, job.id)
        ready_at = self._delayed.ready_at(job.id)
        if ready_at is None:
            return outlook.start(order, ahead)
        return outlook.delayed_start(order, ahead, self._us_until(ready_at))

    def _above_of(self, priority: int) -> Span:
        """Return how long the ready jobs of greater priorities take."""
        if priority not in self._above:  # no job of this priority is ready: this one is delayed
            counted = (counts for other, counts in self._queue.kinds() if other > priority)
            self._above[priority] = reduce(self._plus, counted, NOTHING)
        return self._above[priority]

    def _plus(self, span: Span, counts: Counts) -> Span:
        for kind, count in counts.items():
            if count:
                span = span.plus(self._spans[kind], count)
        return span

    def _soonest(self) -> Iterator[Delayed]:
        for job in self._delayed.soonest():
            yield Delayed(self._us_until(job.ready_at), (-job.priority, job.job_id), self._spans[job.kind])

    def _us_until(self, mono_ms: int) -> int:
        return max(0, mono_ms - self._mono_ms) * 1000


def limit_of(task_type: TaskType, time_limit_ms: Ms | None) -> int | None:
    """Return after how many microseconds a run is killed, None without a limit. `time_limit_ms`: the job's own."""
    limit_ms = task_type.time_limit_ms if time_limit_ms is None else time_limit_ms
    return None if limit_ms is None else (limit_ms + task_type.grace_ms) * 1000


def estimate(left: Remaining, after: Awaited | None) -> Estimate:
    """Return an estimate in the form that clients receive."""
    span, overdue_us = left
    unknown = span.at_least and not span.likely_us
    return Estimate(
        None if unknown else Ms(span.likely_us // 1000),
        None if span.upper_us is None else Ms(-(-span.upper_us // 1000)),
        span.origin,
        span.runs if span.origin is Origin.HISTORY else 0,
        span.at_least,
        Ms(overdue_us // 1000),
        after,
    )


def _upper(span: Span) -> float:
    return float("inf") if span.upper_us is None else span.upper_us
