"""Stopping the line: by people, and by itself."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.messages.dispatch import Ended, Recall, Returned, Running
from zjobs.messages.records import Paused, QueuePause
from zjobs.messages.requests.changes import Pause, PauseReply, Resume, ResumeReply
from zjobs.messages.states import FailReason, JobState, Outcome


def done(delivery: int) -> Ended:
    return Ended(delivery, Outcome.COMPLETED, 10, b"\xa2ok")


def failed(delivery: int, reason: FailReason = FailReason.RAISED) -> Ended:
    return Ended(delivery, Outcome.FAILED, 10, None, reason, "ValueError: no", "Traceback")


def test_nothing_new_starts_until_resume(ready: Any) -> None:
    """The running job goes on, the queue grows; `resume` says what it ended and hands over in the same turn."""
    ready.submit("once")
    paused = Paused(ready.now.wall_ms, "looking")
    told = (QueuePause("", "looking", ready.now.wall_ms),)
    assert ready.pause("looking") == PauseReply("journal", paused, None, (1,), told)
    ready.submit("once")
    ready.report(1, done(1))
    assert ready.job(1).state is JobState.COMPLETED and ready.handed == []
    ready.after(60_000)
    ready.heartbeat()
    assert ready.handed == [] and ready.core.paused == paused
    assert ready.resume() == ResumeReply("journal", paused, told)
    assert ready.handed == [(2, 2)]
    assert ready.resume() == ResumeReply("journal", None) and not ready.last.changes


def test_the_reply_names_what_runs_and_what_may_start(ready: Any) -> None:
    """Everything that the worker was given and has not reported; also when it was lost, or the broker was restarted."""
    ready.learn("twice")
    ready.submit("twice", "twice", "twice", "once")
    ready.taken = 4
    ready.heartbeat(running=Running(2, 2, 5))
    assert ready.pause()[2:4] == (2, (3, 4)) and ready.core.dispatched == 3
    ready.core.on_gone()
    assert ready.pause()[2:4] == (2, (3, 4))
    ready.restart()
    assert ready.pause()[2:4] == (None, (2, 3, 4)), "which of them runs is not known yet"
    ready.heartbeat(running=Running(2, 2, 50))
    ready.report(2, done(2), Returned(3, False))
    assert ready.pause()[2:4] == (None, ()) and ready.core.dispatched == 0
    ready.after(60_000)
    assert ready.handed == []


def test_a_pause_is_kept_over_a_restart(ready: Any) -> None:
    """With its time and reason; so is its end."""
    ready.pause("looking")
    paused = ready.core.paused
    ready.submit("once")
    ready.restart()
    assert ready.core.paused == paused
    ready.heartbeat()
    assert ready.handed == []
    ready.core.on_gone()
    ready.resume()
    ready.restart()
    ready.heartbeat()
    assert ready.core.paused is None and ready.handed == [(1, 1)]


def test_a_second_pause_changes_the_reason(ready: Any) -> None:
    """Of the same pause: one resume ends it."""
    ready.pause("first")
    ready.mono_ms += 10
    ready.pause("second")
    assert ready.core.paused == Paused(ready.now.wall_ms, "second")
    assert ready.journal.load().pauses == (QueuePause("", "second", ready.now.wall_ms),)
    ready.resume()
    assert ready.core.paused is None


def test_pause_and_resume_in_one_turn(ready: Any) -> None:
    """Nothing of it is left."""
    ready.ask(Pause("a moment"))
    ready.ask(Resume())
    ready.turn()
    assert ready.journal.load().pauses == ()


def test_what_has_not_begun_is_called_back(ready: Any) -> None:
    """At once and with every heartbeat, while something is with the worker that does not run."""
    ready.learn("twice")
    ready.submit("twice", "twice", "twice")
    assert [job_id for _, job_id in ready.handed] == [2, 3, 4]
    ready.pause()
    asked = [Recall(ready.core.session_name)]
    assert ready.sent(Recall) == asked
    ready.taken = 4
    ready.heartbeat(running=Running(2, 2, 5))
    assert ready.sent(Recall) == asked
    ready.report(2, Returned(3, False))
    ready.heartbeat(running=Running(2, 2, 5))
    assert ready.sent(Recall) == [], "what runs goes on"
    ready.report(3, done(2))
    assert ready.handed == [] and ready.core.next_ids(9) == [3, 4]
    ready.resume()
    assert [job_id for _, job_id in ready.handed] == [3, 4]


def test_a_restarted_broker_calls_back_too(ready: Any) -> None:
    """The pause was committed, what it asked the worker may be lost."""
    ready.learn("twice")
    ready.submit("twice", "twice")
    ready.pause()
    ready.restart()
    ready.taken = 3
    ready.heartbeat(running=Running(2, 2, 5))
    assert ready.sent(Recall) == [Recall(ready.core.session_name)]


def test_a_pause_asks_nobody_when_nothing_is_out(ready: Any) -> None:
    """Nor when the worker is not there."""
    ready.pause()
    assert ready.sent(Recall) == []
    ready.resume()
    ready.submit("once")
    ready.core.on_gone()
    ready.pause()
    assert ready.sent(Recall) == []


@pytest.mark.parametrize(
    ("pause_on", "fails", "loses"), [("never", False, False), ("lost", False, True), ("failed", True, True)]
)
def test_it_pauses_by_itself(make: Any, pause_on: str, fails: bool, loses: bool) -> None:
    """When the operator wants it: after a failure for good, after a lost worker; the reason names the job."""
    bench = make(pause_on)
    bench.worker()
    bench.submit("once", "once")
    bench.report(1, failed(1))
    assert (bench.core.paused is not None) is fails
    if fails:
        assert bench.core.paused.reason == "job 1 failed: ValueError: no" and bench.handed == []
        bench.resume()
    assert bench.handed == [(2, 2)]
    bench.worker("B")
    assert (bench.core.paused is not None) is loses
    if loses:
        assert bench.core.paused.reason == "job 2: the worker died while running it"
        assert bench.journal.load().pauses == bench.core.pauses


def test_a_failure_that_is_tried_again_pauses_nothing(make: Any) -> None:
    """Only the last one does."""
    bench = make("failed")
    bench.worker()
    bench.submit("twice")
    bench.report(1, failed(1))
    assert bench.core.paused is None and bench.handed == [(2, 1)]
    bench.report(2, failed(2))
    assert bench.core.paused is not None


def test_a_job_put_back_pauses_when_its_worker_was_lost(make: Any) -> None:
    """Though it will run again: the instrument shall be looked at first."""
    bench = make("lost")
    bench.worker()
    bench.submit("twice")
    bench.worker("B")
    assert bench.job(1).state is JobState.QUEUED and bench.handed == [] and bench.core.paused is not None


def test_the_first_reason_stands(make: Any) -> None:
    """What fails in a pause was begun before it; and what a person wrote is not overwritten."""
    bench = make("failed")
    bench.worker()
    bench.submit("once")
    bench.pause("lunch")
    bench.report(1, failed(1))
    assert bench.core.paused.reason == "lunch"
