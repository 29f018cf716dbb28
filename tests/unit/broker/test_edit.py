"""Holding, releasing and editing jobs before they start, wherever they are."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.broker.core.people.who import Who
from zjobs.messages.dispatch import Ended, Recall, Returned, Running, Started
from zjobs.messages.records import Missing
from zjobs.messages.requests.changes import Edit, EditReply
from zjobs.messages.states import ErrorCode, FailReason, JobState, Outcome, Role

ANN = Who("ann", Role.OPERATOR)
CLIENT = (b"client", b"")  # see `Bench`


def done(delivery: int) -> Ended:
    return Ended(delivery, Outcome.COMPLETED, 10, b"\xa2ok")


def edit(bench: Any, *ids: int, who: Who = ANN, **fields: Any) -> EditReply:
    bench.ask(Edit(ids)._replace(**fields), who=who)
    reply = bench.reply()
    assert isinstance(reply, EditReply)
    return reply


def hold(bench: Any, *ids: int) -> EditReply:
    return edit(bench, *ids, held=True)


def release(bench: Any, *ids: int) -> EditReply:
    return edit(bench, *ids, held=False)


def last_audit(bench: Any) -> tuple[str, str, str, str]:
    entry = bench.journal.audit(1 << 60, 0, None, 1)[0]
    return entry.op, entry.who, entry.jobs, entry.text


def test_a_held_job_does_not_start_and_holds_up_nobody(bench: Any) -> None:
    """It takes its old place when it is released; a restart changes nothing of that."""
    bench.submit("once", "once", "once")
    assert hold(bench, 1, 9) == EditReply("journal", (1,), (), (), (Missing(9, ErrorCode.NOT_FOUND),))
    assert bench.job(1).held and bench.job(1).version == 1
    assert last_audit(bench) == ("edit", "ann", "1", "held")
    bench.restart()
    bench.worker()
    assert bench.handed == [(1, 2)] and bench.core.ahead(bench.job(1)) is None
    assert (bench.core.queued, bench.core.waiting, bench.core.unended) == (2, 1, 3)
    assert release(bench, 1).changed == (1,)
    assert last_audit(bench) == ("edit", "ann", "1", "released")
    bench.report(1, done(1))
    assert bench.handed == [(2, 1)] and bench.core.waiting == 0


def test_a_delay_goes_on_while_a_job_is_held(ready: Any) -> None:
    """Released before its end the job is delayed, after it ready; also when the broker was restarted meanwhile."""
    ready.submit("once", "once", delay_ms=500)
    hold(ready, 1, 2)
    ready.after(200)
    release(ready, 1)
    assert ready.core.ready_at(ready.job(1), ready.now) == ready.job(1).ready_at
    ready.restart()
    ready.worker("A")
    ready.after(299)
    assert ready.handed == []
    ready.after(1)
    assert ready.handed == [(1, 1)]
    release(ready, 2)
    ready.report(1, done(1))
    assert ready.handed == [(2, 2)]


def test_a_held_job_is_cancelled_as_any_other(ready: Any) -> None:
    """And nothing of it is left."""
    ready.core.on_gone()
    ready.submit("once")
    hold(ready, 1)
    ready.cancel(1)
    assert ready.job(1).state is JobState.CANCELLED and ready.core.unended == 0
    assert hold(ready, 1).late == (1,)


def test_an_edit_moves_a_job_and_survives(bench: Any) -> None:
    """Priority, time limit, name and comment; what is not named stays."""
    bench.submit("once", "once", name="first", comment="a")
    assert edit(bench, 2, priority=5, time_limit_ms=700, comment="").changed == (2,)
    assert bench.core.next_ids(9) == [2, 1]
    bench.restart()
    assert bench.core.next_ids(9) == [2, 1]
    job = bench.job(2)
    assert (job.priority, job.time_limit_ms, job.name, job.comment) == (5, 700, "first", "")
    edit(bench, 2, time_limit_ms=0, name="x")
    assert bench.job(2).time_limit_ms is None and bench.job(2).name == "x" and bench.job(2).priority == 5
    assert last_audit(bench)[3] == "the type's time limit, name 'x'"


def test_what_runs_or_has_ended_is_not_changed(ready: Any) -> None:
    """Nor what was told to end; the reply says so."""
    ready.submit("once", "once")
    ready.taken = 1
    ready.heartbeat(running=Running(1, 1, 5))
    assert edit(ready, 1, priority=5) == EditReply("journal", (), (1,), (), ())
    assert ready.job(1).priority == 0 and not ready.last.changes
    ready.report(1, done(1))
    assert edit(ready, 1, priority=5).late == (1,)
    ready.cancel(2)
    assert edit(ready, 2, priority=5).late == (2,), "it is with the worker, and cancelled"


def pending(bench: Any, **fields: Any) -> None:
    """Three jobs are with the worker, and an edit of the last two is not decided."""
    bench.learn("twice")
    bench.submit("twice", "twice", "twice")
    assert [job_id for _, job_id in bench.handed] == [2, 3, 4]
    reply = edit(bench, 3, 4, **fields)
    assert reply == EditReply("journal", (), (), (3, 4), ()) and bench.sent(Recall)
    bench.taken = 4


def test_what_the_worker_has_is_recalled_and_then_held(ready: Any) -> None:
    """The edit is committed in the turn of the return, and only then told; what is not returned yet is asked for."""
    pending(ready, held=True)
    assert not ready.last.changes and ready.last.edits_decided == []
    ready.heartbeat(running=Running(2, 2, 5))
    assert ready.sent(Recall), "with every heartbeat"
    ready.report(2, Returned(3, False))
    assert ready.last.edits_decided == [(CLIENT, 3), (CLIENT, 4)]
    assert ready.core.edit_outcomes == {(CLIENT, 3): True, (CLIENT, 4): True}
    assert ready.job(3).held and ready.job(4).held and last_audit(ready) == ("edit", "ann", "4", "held")
    ready.report(3, done(2))
    assert ready.handed == [] and ready.core.waiting == 2
    ready.heartbeat()
    assert not ready.sent(Recall), "everything is decided"


@pytest.mark.parametrize("how", ["started", "running", "completed", "failed"])
def test_an_edit_comes_too_late_for_what_has_started(ready: Any, how: str) -> None:
    """However that shows: nothing is changed, and who asked is told so."""
    pending(ready, held=True)
    ready.report(2, done(2))
    if how == "running":
        ready.heartbeat(running=Running(3, 3, 5))
    elif how == "completed":
        ready.report(3, done(3))
    elif how == "failed":
        ready.report(3, Ended(3, Outcome.FAILED, 10, None, FailReason.BAD_DATA, "no"))
    else:
        ready.core.on_started(Started(ready.core.session_name, 3, 3), ready.now)
        ready.turn()
    assert ready.core.edit_outcomes == {(CLIENT, 3): False} and not ready.job(3).held
    assert ready.last.edits_decided == [(CLIENT, 3)]


def test_a_job_that_is_tried_again_is_edited_after_all(ready: Any) -> None:
    """It failed once, and waits for its next attempt: that has not started."""
    pending(ready, priority=7)
    ready.report(2, done(2))
    ready.report(3, Ended(3, Outcome.FAILED, 10, None, FailReason.RAISED, "no"))
    assert ready.core.edit_outcomes[CLIENT, 3] and ready.job(3).priority == 7


def test_a_lost_worker_decides_too(ready: Any) -> None:
    """What it may have run goes back to its place, changed."""
    pending(ready, held=True)
    ready.worker("B")
    assert ready.job(3).held and ready.job(4).held and ready.handed[0][1] == 2


def test_an_undecided_edit_does_not_outlive_the_broker(ready: Any) -> None:
    """Nobody was told that it was made."""
    pending(ready, held=True)
    ready.restart()
    ready.heartbeat()
    ready.report(2, Returned(2, False))
    assert not ready.job(3).held and ready.core.waiting == 0


def test_the_records_of_many_edited_jobs_are_not_kept(bench: Any) -> None:
    """They are read again when their turn comes."""
    for _ in range(20):
        bench.submit(*["once"] * 100)
    for first in range(1, 2_001, 200):
        edit(bench, *range(first, first + 200), name="x")
    assert len(bench.core._jobs) < 1_000
