"""Jobs that start at a time, or by a time, whatever happens to the wall clock."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.broker.core.timing.deadlines import LOOK_AGAIN_MS, utc
from zjobs.messages.dispatch import Ended, Recall, Returned, Running
from zjobs.messages.requests.changes import Edit, EditReply, NewJob, Submit
from zjobs.messages.requests.ops import Error
from zjobs.messages.states import ErrorCode, FailReason, JobState, Outcome

HOUR_MS = 3_600_000


def set_clock(bench: Any, ms: int) -> None:
    """The wall clock is set, and the broker notices in its next turn."""
    bench.wall_ms += ms
    bench.turn()


def later(bench: Any, ms: int) -> None:
    """So much later the worker is still heard."""
    bench.mono_ms += ms
    bench.heartbeat()


def edit(bench: Any, *ids: int, **fields: Any) -> EditReply:
    bench.ask(Edit(ids)._replace(**fields))
    reply = bench.reply()
    assert isinstance(reply, EditReply)
    return reply


def test_a_start_time_is_a_delay_that_ends_then(ready: Any) -> None:
    """The job holds up nobody; it is ready at that time, and clients are told which it is."""
    at = ready.now.wall_ms + 500
    ready.submit("once", "once", start_at=at)
    job = ready.job(1)
    assert (job.start_at, job.ready_at, ready.core.ready_at(job, ready.now)) == (at, at, at)
    assert ready.core.waiting == 2 and ready.core.next_deadline_ms(ready.mono_ms) == ready.mono_ms + 500
    ready.after(499)
    assert ready.handed == []
    ready.after(1)
    assert ready.handed == [(1, 1)]


@pytest.mark.parametrize("parked", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("step", [-HOUR_MS, HOUR_MS])
def test_a_start_time_follows_the_wall_clock(ready: Any, step: int, restarted: bool, parked: bool) -> None:
    """Set back, the job waits longer; set forward, less: unlike a delay. The same over a restart, and while held."""
    at = ready.now.wall_ms + 2 * HOUR_MS
    ready.submit("once", start_at=at)
    ready.submit("once", delay_ms=4 * HOUR_MS)
    if parked:
        edit(ready, 1, held=True)
    if restarted:
        ready.wall_ms += step
        ready.restart()
        ready.worker("A")
    else:
        set_clock(ready, step)
    if parked:
        edit(ready, 1, held=False)
    assert ready.core.ready_at(ready.job(1), ready.now) == at
    later(ready, 2 * HOUR_MS - step - 1)
    assert ready.handed == []
    later(ready, 1)
    assert ready.handed == [(1, 1)], "at its time, and the delay is not over"


def test_a_clock_that_is_set_is_noticed_in_time(bench: Any) -> None:
    """Also with nothing else to do."""
    bench.submit("once", start_at=bench.now.wall_ms + HOUR_MS)
    assert bench.core.next_deadline_ms(bench.mono_ms) == bench.mono_ms + LOOK_AGAIN_MS
    bench.submit("once", start_by=bench.now.wall_ms + HOUR_MS)
    assert bench.core.next_deadline_ms(bench.mono_ms) == bench.mono_ms + LOOK_AGAIN_MS


def test_a_start_time_that_is_over_means_at_once(ready: Any) -> None:
    """A request may take long to arrive."""
    ready.submit("once", start_at=ready.now.wall_ms - 1)
    assert ready.handed == [(1, 1)]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"start_at": 1 << 41, "delay_ms": 5}, "start_at and delay_ms exclude each other"),
        ({"start_by": 5}, "start_by is over"),
        ({"start_at": 1 << 41, "start_by": 1 << 41}, "start_by must come after start_at"),
    ],
)
def test_times_that_cannot_be(bench: Any, fields: dict[str, int], why: str) -> None:
    """Refused, all or none, with the place; a repeated request is known first."""
    assert bench.submit("once", **fields) == Error(ErrorCode.BAD_REQUEST, why)
    bench.ask(Submit("k", (NewJob("once"), NewJob("once")._replace(**fields))))
    assert bench.reply() == Error(ErrorCode.BAD_REQUEST, f"jobs[1]: {why}") and bench.core.unended == 0


def test_a_repeated_submit_whose_time_is_over_is_the_same_submit(bench: Any) -> None:
    """And with another time it is not."""
    by = bench.now.wall_ms + 100
    first = bench.submit("once", key="k", start_by=by)
    bench.after(200)
    assert bench.submit("once", key="k", start_by=by) == first
    again = bench.submit("once", key="k", start_by=by + 1)
    assert isinstance(again, Error) and again.code is ErrorCode.KEY_CONFLICT


@pytest.mark.parametrize("where", ["ready", "delayed", "held", "behind another"])
@pytest.mark.parametrize("restarted", [False, True])
def test_what_has_not_started_by_its_time_is_cancelled(bench: Any, where: str, restarted: bool) -> None:
    """Wherever it waits, by a new broker, too; its message says why, and others are told of the end."""
    by = bench.now.wall_ms + 1_000
    bench.submit("once")
    fields = {"delay_ms": HOUR_MS} if where == "delayed" else {"after": (1,)} if where == "behind another" else {}
    bench.submit("once", start_by=by, **fields)
    if where == "held":
        edit(bench, 2, held=True)
    bench.submit("once", after=(2,))
    bench.after(999)
    if restarted:
        bench.restart()
    bench.turn()
    assert bench.job(2).state is JobState.QUEUED
    assert bench.core.next_deadline_ms(bench.mono_ms) in (bench.mono_ms, bench.mono_ms + 1)
    bench.after(1)
    job = bench.job(2)
    assert (job.state, job.message) == (JobState.CANCELLED, f"it had not started by {utc(by)}")
    bench.turn()
    assert bench.job(3).cancelled_by == 2 and bench.core.unended == 1
    assert bench.core.next_deadline_ms(bench.mono_ms) is None


def test_nothing_starts_after_its_time_however_many_are_over(bench: Any) -> None:
    """They are cancelled a few hundred to a turn; what is not yet among them is not dispatched meanwhile."""
    for _ in range(3):
        bench.submit(*["once"] * 100, start_by=bench.now.wall_ms + 1_000)
    bench.submit("once")
    bench.mono_ms += 1_000
    bench.restart()
    bench.worker()
    for _ in range(4):
        assert bench.handed in ([], [(1, 301)])
        bench.turn()
        bench.heartbeat()
    assert bench.core.counters.cancelled == 300 and bench.core.next_ids(1) == [301]


def with_worker(bench: Any) -> int:
    """Three jobs are with the worker, one of which is known to run; the last two shall start by a time."""
    bench.learn("twice")
    by = bench.now.wall_ms + 1_000
    bench.submit("twice", "twice", "twice", start_by=by)
    assert [job_id for _, job_id in bench.handed] == [2, 3, 4]
    bench.taken = 4
    bench.heartbeat(running=Running(2, 2, 5))
    return int(by)


def test_what_the_worker_has_is_recalled_first(ready: Any) -> None:
    """Only once it is back is it certain that it has not started; the job that runs goes on."""
    with_worker(ready)
    ready.after(1_000)
    assert ready.sent(Recall) and ready.job(3).state is JobState.QUEUED
    assert ready.core.next_deadline_ms(ready.mono_ms) != ready.mono_ms, "it waits for the worker"
    ready.heartbeat(running=Running(2, 2, 5))
    assert ready.sent(Recall), "with every heartbeat"
    ready.report(2, Returned(3, False))
    assert [ready.job(job_id).state for job_id in (3, 4)] == [JobState.CANCELLED] * 2
    ready.report(3, Ended(2, Outcome.COMPLETED, 10, b"\xa2ok"))
    assert ready.job(2).state is JobState.COMPLETED and ready.core.unended == 0
    ready.heartbeat()
    assert not ready.sent(Recall)


@pytest.mark.parametrize("how", ["running", "failed"])
def test_what_started_in_time_or_before_it_came_back_goes_on(ready: Any, how: str) -> None:
    """A job that is tried again has started, too."""
    with_worker(ready)
    ready.after(1_000)
    ready.report(2, Ended(2, Outcome.COMPLETED, 10, b"\xa2ok"))
    if how == "running":
        ready.heartbeat(running=Running(3, 3, 5))
    else:
        ready.report(3, Ended(3, Outcome.FAILED, 10, None, FailReason.RAISED, "no"))
    ready.after(5_000)
    assert ready.job(3).state is JobState.QUEUED and not ready.job(3).cancelling
    ready.worker("B")
    assert ready.job(3).state is JobState.QUEUED, "it had started"
    ready.heartbeat()
    assert not ready.sent(Recall), "all is decided"


def test_a_recall_lasts_until_a_worker_can_tell(ready: Any) -> None:
    """A worker that is lost may have run what it had: that counts as started."""
    with_worker(ready)
    ready.after(1_000)
    ready.restart()
    ready.turn()
    assert ready.job(3).state is JobState.QUEUED
    ready.worker("B")
    assert [ready.job(job_id).reruns for job_id in (2, 3)] == [1, 1] and ready.core.counters.cancelled == 0


def test_times_are_edited(ready: Any) -> None:
    """A start time takes the place of a delay; 0 takes a time away. Each takes effect at once, and survives."""
    ready.submit("once", delay_ms=HOUR_MS)
    ready.submit("once", start_by=ready.now.wall_ms + 100, delay_ms=HOUR_MS)
    at = ready.now.wall_ms + 2 * HOUR_MS
    assert edit(ready, 1, 2, start_at=at, start_by=at + 5).changed == (1, 2)
    entry = ready.journal.audit(1 << 60, 0, None, 1)[0]
    assert entry.text == f"start at {utc(at)}, start by {utc(at + 5)}"
    ready.restart()
    ready.worker("A")
    later(ready, HOUR_MS)
    assert ready.handed == [] and ready.job(2).start_by == at + 5 and ready.core.waiting == 2
    edit(ready, 2, start_at=0, start_by=0)
    assert ready.handed == [(1, 2)] and ready.job(2)[-2:] == (None, None)
    assert edit(ready, 1, start_by=ready.now.wall_ms).changed == (1,)
    ready.turn()
    assert ready.job(1).state is JobState.CANCELLED, "that time is over"


def test_an_edit_in_time_saves_a_job(ready: Any) -> None:
    """Of a job that the worker has, the edit is made when the worker has returned it, before its end is decided."""
    with_worker(ready)
    ready.after(999)
    assert edit(ready, 4, start_by=0).pending == (4,)
    ready.after(1)
    ready.report(2, Returned(3, False))
    assert [ready.job(job_id).state for job_id in (3, 4)] == [JobState.CANCELLED, JobState.QUEUED]


def test_a_copy_has_no_times(ready: Any) -> None:
    """Whoever retries a job wants it now."""
    ready.submit("once", start_by=ready.now.wall_ms + 1_000, start_at=ready.now.wall_ms + 500)
    ready.cancel(1)
    ready.retry(1)
    assert ready.job(2)[-2:] == (None, None) and ready.handed == [(1, 2)]
