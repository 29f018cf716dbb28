"""When the jobs of a real queue start: against adding up job by job, and what else a queue may be going through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from zjobs.broker.core.estimates.outlook import Delayed, Outlook
from zjobs.broker.core.estimates.spans import NOTHING, Remaining, Span
from zjobs.broker.core.forecast import estimate
from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.requests.contents import Service
from zjobs.broker.requests.job_status import job_event
from zjobs.broker.requests.queries import Queries
from zjobs.messages.dispatch import Progress, Running
from zjobs.messages.records import Estimate, Limits
from zjobs.messages.requests.changes import NewJob, Submit
from zjobs.messages.requests.queries import List, Queue, Show, Status
from zjobs.messages.states import Awaited, JobState, Origin, Role

LEARNT_US = {"twice": 1_000_000, "again": 3_000_000}


def estimates(bench: Any, *ids: int) -> list[Estimate | None]:
    forecast = bench.core.forecast(bench.now)
    return [forecast.start(bench.job(job_id)) for job_id in ids]


def history(seconds: int, runs: int = 1) -> Estimate:
    return Estimate(seconds * 1000, seconds * 1000, Origin.HISTORY, runs)  # type: ignore[arg-type]


def queue_of_three(bench: Any) -> None:
    """One of each known type and one of an unknown one; the first is in flight."""
    for name, elapsed_us in LEARNT_US.items():
        bench.learn(name, elapsed_us=elapsed_us)
    bench.submit("again", "twice", "once", "twice")


def test_what_is_ahead_is_added_up(ready: Any) -> None:
    """By the history of each type; from the first unknown one on, it is at least so long."""
    queue_of_three(ready)
    assert estimates(ready, 3, 4, 5, 6) == [
        Estimate(0, 0, Origin.NOTHING_AHEAD),
        history(3),
        history(4),
        Estimate(4_000, None, Origin.UNKNOWN, at_least=True),
    ]
    ready.cancel(5)
    assert estimates(ready, 5, 6) == [None, history(4)]


def test_nothing_is_known_behind_an_unknown_job(ready: Any) -> None:
    """No time is told, neither likely nor at most."""
    ready.submit("once", "once")
    assert estimates(ready, 1, 2)[1] == Estimate(None, None, Origin.UNKNOWN, at_least=True)


def test_the_history_outlives_the_broker(ready: Any) -> None:
    """It is in the journal, so a restarted broker tells the same, once it has a worker."""
    queue_of_three(ready)
    ready.restart()
    assert estimates(ready, 5) == [history(4)._replace(after=Awaited.WORKER)]


def test_paused_and_without_a_worker(ready: Any) -> None:
    """The times count from a moment that nobody knows."""
    queue_of_three(ready)
    ready.pause()
    assert estimates(ready, 4) == [history(3)._replace(after=Awaited.RESUME)]
    ready.resume()
    ready.core.on_gone()
    ready.turn()
    assert estimates(ready, 4) == [history(3)._replace(after=Awaited.WORKER)]


def test_a_pause_that_ends_by_itself(ready: Any) -> None:
    """Jobs start from its end on, as far as they do not wait longer for others; several together, from the last end."""
    queue_of_three(ready)
    ready.pause("adjusting", for_ms=10_000)
    ready.pause("adjusting", for_ms=2_000)
    ready.turn()
    assert estimates(ready, 3, 4) == [Estimate(10_000, 10_000, Origin.NOTHING_AHEAD), history(13, 1)]
    ready.after(2_000)
    assert estimates(ready, 4) == [history(11)]
    ready.pause("until somebody resumes", who=Who("boss", Role.OPERATOR))
    assert len(ready.core.pauses) == 2
    assert estimates(ready, 4) == [history(3)._replace(after=Awaited.RESUME)]


def test_the_running_job(ready: Any) -> None:
    """Its rest is ahead of the others: by its history, then by its progress; told to end, by its grace time."""
    queue_of_three(ready)
    (delivery, _), *_ = ready.handed
    ready.heartbeat(taken=delivery, running=Running(delivery, 3, 0))
    ready.mono_ms += 1_000
    assert ready.core.running_estimate(ready.now) == history(2) and estimates(ready, 4) == [history(2)]
    ready.core.on_progress(Progress(ready.core.session_name, delivery, 3, 2, 0.1, None), ready.now)
    ready.mono_ms += 1_000
    left = Estimate(8_000, 18_000, Origin.PROGRESS)
    assert ready.core.running_estimate(ready.now) == left and estimates(ready, 4) == [left]
    ready.cancel(3)
    assert ready.core.running_estimate(ready.now) == Estimate(2_000, 2_000, Origin.PROGRESS)
    ready.mono_ms += 60_000
    assert ready.core.running_estimate(ready.now).overdue_ms == 52_000


def test_replies_tell_it_and_events_of_the_running_job_alone(ready: Any) -> None:
    """`status`, `queue`, `list` and `show` of a queued job."""
    queue_of_three(ready)
    service = Service(Limits(), "tcp://127.0.0.1:5571", "4.3.5", 400)
    queries = Queries(ready.core, ready.journal, service, ANYBODY, ready.now, lambda request: None)

    def answered(request: Any) -> Any:
        steps = queries.answer(request)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    assert answered(Status((4,))).jobs[0].estimate == history(3)
    assert [job.estimate for job in answered(Queue()).jobs if job.id == 4] == [history(3)]
    assert [job.estimate for job in answered(List()).jobs if job.id in (1, 4)] == [history(3), None]
    assert answered(Show(4)).job.estimate == history(3)
    assert job_event(ready.core, ready.job(4), 1, ready.now).job.estimate is None
    (delivery, _), *_ = ready.handed
    ready.heartbeat(taken=delivery, running=Running(delivery, 3, 0))
    assert job_event(ready.core, ready.job(3), 1, ready.now).job.estimate == history(3)


# --- against adding up job by job ------------------------------------------------------------------------------------


new_jobs = st.builds(
    NewJob,
    st.sampled_from(("twice", "again", "once")),
    st.none(),
    st.sampled_from((-5, 0, 0, 7)),
    st.sampled_from((0, 0, 0, 2_000, 60_000)),
    st.sampled_from((None, None, 1_500)),
    after=st.just(()),
    after_any=st.just(()),
    start_at=st.none(),
    start_by=st.none(),
)


@examples(40)
@given(  # later than after 2.5 s, the worker would be silent
    st.lists(new_jobs, min_size=1, max_size=12), st.sets(st.integers(3, 14), max_size=4), st.integers(0, 2_500)
)
def test_counts_by_kind_are_as_good_as_jobs(
    make: Callable[[], Any], jobs: list[NewJob], cancelled: set[int], later_ms: int
) -> None:
    """Whatever was submitted and cancelled, and was delayed: each job starts when adding up job by job says so."""
    bench = make()
    bench.worker()
    for name, elapsed_us in LEARNT_US.items():
        bench.learn(name, elapsed_us=elapsed_us)
    bench.ask(Submit("key", tuple(jobs)))
    bench.turn()
    for job_id in cancelled:
        bench.cancel(job_id)
    bench.after(later_ms)
    ids = range(3, 3 + len(jobs))
    assert estimates(bench, *ids) == _job_by_job(bench, ids)


def _span(job: Any) -> Span:
    if job.cancelling:  # it is in flight, and will be returned
        return NOTHING
    limit_us = None if job.time_limit_ms is None else (job.time_limit_ms + 2_000) * 1000
    likely_us = LEARNT_US.get(job.type)
    if likely_us is None:
        return Span(0, limit_us, Origin.LIMIT if limit_us else Origin.UNKNOWN, at_least=True)
    return Span(likely_us, likely_us, Origin.HISTORY, 1).at_most(limit_us)


def _job_by_job(bench: Any, ids: range) -> list[Estimate | None]:
    core = bench.core
    jobs = [job for job in map(bench.job, ids) if job.state is JobState.QUEUED]
    flying = [job for job in jobs if core._dispatch.in_flight.delivery_of(job.id)]
    ready_us = {
        job.id: (core._delayed.ready_at(job.id) - bench.mono_ms) * 1000 for job in jobs if job.id in core._delayed
    }
    ready = sorted((-job.priority, job.id, job) for job in jobs if job not in flying and job.id not in ready_us)
    delayed = sorted(
        Delayed(ready_us[job.id], (-job.priority, job.id), _span(job)) for job in jobs if job.id in ready_us
    )
    waiting = [_span(job) for job in jobs if job not in flying]
    longest = max(waiting, key=lambda span: span.upper_us if span.upper_us is not None else 1 << 60, default=NOTHING)

    def total(spans: Any) -> Span:
        span = NOTHING
        for each in spans:
            span = span.plus(each)
        return span

    free = total(map(_span, flying))
    outlook = Outlook(free, 0, delayed, len(delayed), total(_span(job) for *_, job in ready), longest)
    found: dict[int, Span] = {}
    for place, job in enumerate(flying):
        found[job.id] = total(map(_span, flying[:place]))
    for job in jobs:
        if job not in flying:
            order = (-job.priority, job.id)
            ahead = total(_span(other) for *first, other in ready if tuple(first) < order)
            delay_us = ready_us.get(job.id)
            found[job.id] = (
                outlook.start(order, ahead) if delay_us is None else outlook.delayed_start(order, ahead, delay_us)
            )
    return [estimate(Remaining(found[job_id]), None) if job_id in found else None for job_id in ids]
