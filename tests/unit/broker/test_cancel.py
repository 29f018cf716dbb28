"""Cancel, wherever a job is; and what a time limit leads to."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.messages.dispatch import CancelRun, Ended, Reports, Returned, Running
from zjobs.messages.requests.changes import NewJob, Submit
from zjobs.messages.states import FailReason, JobState, Outcome


def done(delivery: int) -> Ended:
    return Ended(delivery, Outcome.COMPLETED, 10, b"\xa2ok")


def cancelled(delivery: int) -> Ended:
    return Ended(delivery, Outcome.CANCELLED, 5_000, message="it was told to end", detail="Traceback", output=b"bye")


def failed(delivery: int, reason: FailReason = FailReason.RAISED) -> Ended:
    return Ended(delivery, Outcome.FAILED, 10, None, reason, "ValueError: no", "Traceback")


def test_a_queued_job_is_cancelled_at_once(bench: Any) -> None:
    """Final in the same turn, counted, told; the others move up."""
    bench.submit("once", "once", "once")
    bench.cancel(2)
    job = bench.job(2)
    assert (job.state, job.ended_at, job.cancelling, job.version) == (JobState.CANCELLED, bench.now.wall_ms, False, 1)
    assert [(change.job.id, change.job.state) for change in bench.last.job_changes] == [(2, JobState.CANCELLED)]
    assert bench.core.next_ids(9) == [1, 3] and bench.core.ahead(bench.job(3)) == 1
    assert (bench.core.queued, bench.core.counters.cancelled, bench.core.ahead(job)) == (2, 1, None)
    bench.restart()
    assert bench.core.next_ids(9) == [1, 3]


def test_a_waiting_job_is_cancelled_at_once(ready: Any) -> None:
    """It does not come back when its time has come."""
    ready.submit("once", delay_ms=500)
    ready.cancel(1)
    assert ready.job(1).state is JobState.CANCELLED and ready.core.waiting == 0
    assert ready.after(1_000).dispatched == []
    assert ready.core.queued == 0


def test_a_job_submitted_in_the_same_turn_can_be_cancelled(ready: Any) -> None:
    """Before it was ever committed; it is not handed over."""
    ready.ask(*_submit("once"))
    ready.cancel(1)
    assert ready.job(1).state is JobState.CANCELLED and ready.handed == []


def _submit(*types: str) -> tuple[Any, Any]:
    return Submit("k", tuple(map(NewJob, types))), ()


def test_a_job_with_the_worker_is_told_to_end(ready: Any) -> None:
    """The wish is written down; the worker is told in this turn and with every heartbeat until it reports the end."""
    ready.submit("twice")
    ready.cancel(1)
    assert ready.sent(CancelRun) == [CancelRun(ready.core.session_name, 1)]
    job = ready.job(1)
    assert (job.state, job.cancelling, job.version) == (JobState.QUEUED, True, 1)
    ready.taken = 1
    ready.heartbeat(running=Running(1, 1, 5))
    assert ready.sent(CancelRun) == [CancelRun(ready.core.session_name, 1)]
    ready.report(1, cancelled(1))
    job = ready.job(1)
    assert (job.state, job.cancelling, job.reason, job.message) == (JobState.CANCELLED, False, None, None)
    assert (job.elapsed_ms, job.output_bytes, ready.output(1, 1)) == (5, 0, (3, 0, b"bye", 1))
    (attempt,) = ready.details(1).attempts
    assert (attempt.number, attempt.outcome, attempt.reason, attempt.detail) == (
        1,
        Outcome.CANCELLED,
        None,
        "Traceback",
    )
    ready.heartbeat(acked=1)
    assert ready.sent(CancelRun) == [] and ready.core.counters.cancelled == 1


def test_a_second_cancel_changes_nothing(ready: Any) -> None:
    """Neither while it ends nor afterwards; nor does one of an id that there is not."""
    ready.submit("twice", "once")
    ready.cancel(1, 1)
    assert ready.job(1).version == 1
    assert not ready.cancel(1, 99).changes
    ready.report(1, cancelled(1))
    assert not ready.cancel(1).changes and ready.job(1).version == 2


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (done(1), JobState.COMPLETED),
        (failed(1), JobState.FAILED),
        (failed(1, FailReason.TIMED_OUT), JobState.FAILED),
        (cancelled(1), JobState.CANCELLED),
        (Ended(1, Outcome.INTERRUPTED, 10), JobState.CANCELLED),
        (Returned(1, False), JobState.CANCELLED),
    ],
)
def test_a_cancel_that_races_the_end_has_one_outcome(ready: Any, end: Any, state: JobState) -> None:
    """What the worker says it came to; but it is not tried again, whatever attempts or reruns are left."""
    ready.submit("later")
    ready.cancel(1)
    ready.report(1, end)
    assert ready.job(1).state is state and not ready.job(1).cancelling
    assert (ready.core.queued, ready.core.waiting) == (0, 0) and ready.handed == []


def test_an_end_in_the_turn_of_the_cancel_stands(ready: Any) -> None:
    """The report was there first."""
    ready.submit("once")
    ready.core.on_reports(_reports(ready, done(1)._replace(id=1)), ready.now)
    ready.cancel(1)
    assert ready.job(1).state is JobState.COMPLETED and ready.sent(CancelRun) == []


def _reports(bench: Any, *reports: Any) -> Any:
    return Reports(bench.core.session_name, 1, reports)


def test_a_job_handed_over_and_not_begun_is_cancelled_when_it_comes_back(ready: Any) -> None:
    """It never began: no run is on record. What was behind it is handed over again."""
    ready.learn("twice")
    ready.submit("twice", "twice", "twice")
    ready.cancel(3)
    assert ready.sent(CancelRun) == [CancelRun(ready.core.session_name, 3)]
    ready.report(2, Returned(3, False))
    assert ready.job(3).state is JobState.CANCELLED and ready.details(3).attempts == ()
    ready.report(3, done(2))
    assert [job_id for _, job_id in ready.handed] == [4]


@pytest.mark.parametrize("restarted", [False, True])
def test_the_wish_outlives_broker_and_worker(ready: Any, restarted: bool) -> None:
    """A job in doubt that was to be cancelled is cancelled when the next worker comes, though it might run again."""
    ready.submit("twice")
    ready.core.on_gone()
    ready.turn()
    ready.cancel(1)
    assert ready.sent(CancelRun) == [], "there is nobody to tell"
    assert ready.job(1).state is JobState.QUEUED and ready.job(1).cancelling
    if restarted:
        ready.restart()
    ready.worker("B")
    job = ready.job(1)
    assert (job.state, job.reruns, job.reason) == (JobState.CANCELLED, 1, None) and ready.handed == []


def test_the_wish_is_told_after_a_restart_of_the_broker(ready: Any) -> None:
    """With the first heartbeat of a worker that still has the job."""
    ready.submit("twice")
    ready.cancel(1)
    ready.restart()
    ready.taken = 1
    ready.heartbeat()
    assert ready.sent(CancelRun) == [CancelRun(ready.core.session_name, 1)]


def test_a_cancelled_job_keeps_no_reason_of_an_earlier_run(ready: Any) -> None:
    """It did not fail; the failure stays in the record of its run."""
    ready.submit("later")
    ready.report(1, failed(1))
    assert ready.job(1).reason is FailReason.RAISED
    ready.cancel(1)
    job = ready.job(1)
    assert (job.state, job.reason, job.message) == (JobState.CANCELLED, None, None)
    assert [attempt.reason for attempt in ready.details(1).attempts] == [FailReason.RAISED]


def test_a_cancelled_second_run_has_a_record_without_the_reason_of_the_first(ready: Any) -> None:
    """Each run has its own."""
    ready.submit("twice")
    ready.report(1, failed(1))
    ready.cancel(1)
    ready.report(2, cancelled(2))
    assert [(one.number, one.outcome, one.reason) for one in ready.details(1).attempts] == [
        (1, Outcome.FAILED, FailReason.RAISED),
        (2, Outcome.CANCELLED, None),
    ]


def test_a_run_past_its_time_limit_is_a_failure(ready: Any) -> None:
    """It counts as an attempt and is tried again like one; the last one is failed as timed_out."""
    ready.submit("twice")
    ready.report(1, failed(1, FailReason.TIMED_OUT))
    assert (ready.job(1).state, ready.job(1).attempts, ready.job(1).reruns) == (JobState.QUEUED, 1, 0)
    ready.report(2, failed(2, FailReason.TIMED_OUT))
    assert (ready.job(1).state, ready.job(1).reason) == (JobState.FAILED, FailReason.TIMED_OUT)


def test_a_time_limit_goes_with_the_job(ready: Any) -> None:
    """As it was submitted, to the worker and to its copies."""
    ready.submit("once", time_limit_ms=700)
    ((_, job),) = ready.last.dispatched
    assert job.time_limit_ms == ready.job(1).time_limit_ms == 700
    ready.report(1, done(1))
    ready.retry(1)
    assert ready.job(2).time_limit_ms == 700
