"""Jobs that start after others: when they become ready, when they are cancelled, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.core.waits import MOST_AWAITED, TOLD_A_TURN
from zjobs.messages.dispatch import Ended
from zjobs.messages.requests.changes import Edit, NewJob, Retry, RetryReply, Submit, SubmitReply
from zjobs.messages.requests.ops import Error
from zjobs.messages.states import Awaited, ErrorCode, FailReason, JobState, Outcome, Role

QUEUED, CANCELLED = JobState.QUEUED, JobState.CANCELLED


def done(delivery: int) -> Ended:
    return Ended(delivery, Outcome.COMPLETED, 10, b"\xa2ok")


def failed(delivery: int) -> Ended:
    return Ended(delivery, Outcome.FAILED, 10, None, FailReason.BAD_DATA, "no")


def settle(bench: Any) -> int:
    """Turns until nothing is due at once; how many."""
    turns = 0
    while bench.core.next_deadline_ms(bench.mono_ms) == bench.mono_ms:
        bench.turn()
        turns += 1
    return turns


def test_a_job_starts_once_all_that_it_waits_for_have_completed(ready: Any) -> None:
    """Not before, whatever its priority; it holds up nobody, and a restart changes nothing."""
    ready.submit("once", "once")
    ready.submit("once", after=(1, 2), priority=9)
    ready.submit("once")
    assert ready.job(3).after == (1, 2) and ready.core.ahead(ready.job(3)) is None
    assert ready.core.forecast(ready.now).start(ready.job(3)).after is Awaited.JOBS
    assert (ready.core.queued, ready.core.waiting, ready.core.delayed_ids(9)) == (3, 1, [3])
    ready.report(1, done(1))
    settle(ready)
    assert ready.job(3).after == (2,) and ready.job(3).version == 1
    ready.restart()
    ready.heartbeat()
    ready.report(2, done(2))
    settle(ready)
    assert ready.job(3).after == () and ready.core.next_ids(9) == [3, 4]


@pytest.mark.parametrize("restart", [False, True])
def test_a_job_is_cancelled_when_one_that_it_waits_for_fails(ready: Any, restart: bool) -> None:
    """And those that wait for it in turn, each with a reason that names the one before; also after a crash in between.
    What only waits for an end starts."""
    ready.submit("once")
    ready.submit("once", after=(1,))
    ready.submit("once", after=(2,))
    ready.submit("once", after_any=(3,))
    ready.report(1, failed(1))
    if restart:
        ready.restart()
        ready.heartbeat()
    settle(ready)
    two, three = ready.job(2), ready.job(3)
    assert (two.state, two.message, two.cancelled_by) == (CANCELLED, "it was to start after job 1, which failed", 1)
    assert (three.message, three.cancelled_by) == ("it was to start after job 2, which was cancelled", 2)
    assert ready.job(4).after_any == () and ready.core.next_ids(9) == [4]
    assert ready.core.counters.cancelled == 2 and ready.core.waiting == 0 and not ready.core._dependents


def test_a_chain_of_any_length_is_cancelled_without_recursion(bench: Any) -> None:
    """Link by link."""
    bench.submit("once")
    for before in range(1, 300):
        bench.submit("once", after=(before,))
    bench.cancel(1)
    assert settle(bench) < 400
    assert bench.core.counters.cancelled == 300 and bench.core.unended == 0


@pytest.mark.parametrize(("thousands", "crash"), [(10, False), (1, True)])
def test_many_dependents_are_told_in_bounded_turns(bench: Any, thousands: int, crash: bool) -> None:
    """A few hundred in each, also when the broker is restarted halfway; the job is kept until all have been told."""
    bench.submit("once")
    for _ in range(thousands):
        bench.submit(*["once"] * 1_000, after=(1,))
    bench.cancel(1)
    for _ in range(3):
        bench.turn()
        assert 0 < len(bench.last.changes.changed) <= TOLD_A_TURN
    assert bench.forget(1).kept == (1,)
    if crash:
        bench.restart()
    turns = 0
    while bench.core.next_deadline_ms(bench.mono_ms) == bench.mono_ms:
        bench.turn()
        turns += 1
        assert len(bench.last.changes.changed) <= TOLD_A_TURN and len(bench.core._jobs) <= 2 * TOLD_A_TURN
    assert turns <= thousands * 1_000 / TOLD_A_TURN + 2
    assert bench.core.counters.cancelled == thousands * 1_000 + 1 and bench.core.unended == 0
    assert bench.forget(1).forgotten == (1,)


def test_a_dependent_may_be_held_delayed_and_cancelled(ready: Any) -> None:
    """Each is a wait of its own."""
    ready.submit("once")
    ready.submit("once", after=(1,))
    ready.submit("once", after=(1,), delay_ms=500)
    ready.submit("once", after=(1,))
    ready.ask(Edit((2,), held=True, priority=4))
    ready.turn()
    ready.cancel(4)
    ready.report(1, done(1))
    settle(ready)
    assert ready.job(2).held and ready.job(2).after == () and ready.core.next_ids(9) == []
    assert ready.core.ready_at(ready.job(3), ready.now) == ready.job(3).ready_at
    ready.after(500)
    assert ready.handed == [(2, 3)] and ready.core.waiting == 1
    assert ready.job(4).cancelled_by is None


def test_what_has_ended_is_not_waited_for(ready: Any) -> None:
    """A completed job counts at once, and a failed one where any end will do."""
    ready.submit("once", "once")
    ready.report(1, done(1))
    ready.report(2, failed(2))
    assert isinstance(ready.submit("once", after=(1,), after_any=(2, 1)), SubmitReply)
    assert ready.handed == [(3, 3)] and ready.job(3).after == ready.job(3).after_any == ()


def test_a_wish_that_cannot_be_fulfilled_is_refused(ready: Any) -> None:
    """All of the request."""
    ready.submit("once", "once")
    ready.report(1, failed(1))
    ready.forget(1)
    refused = {
        (1,): (ErrorCode.EXPIRED, "there is no job 1 to start after"),
        (9,): (ErrorCode.NOT_FOUND, "there is no job 9 to start after"),
    }
    for after, error in refused.items():
        assert ready.submit("once", after=after)[:2] == error
    ready.report(2, failed(2))
    error = ready.submit("once", after=(2,))
    assert isinstance(error, Error) and error.code is ErrorCode.NOT_COMPLETED
    assert ready.core.unended == 0


def test_how_much_one_request_may_wait_for_is_bounded(bench: Any) -> None:
    """Different jobs, which are read together, and all of them."""
    for _ in range(12):
        bench.submit(*["once"] * 100)
    ids = range(1, MOST_AWAITED + 2)
    jobs = tuple(NewJob("once", after=tuple(ids[first : first + 100])) for first in range(0, len(ids), 100))
    bench.ask(Submit("k", jobs))
    assert bench.reply().code is ErrorCode.TOO_LARGE
    assert bench.submit(*["once"] * 201, after=tuple(range(1, 101))).code is ErrorCode.TOO_LARGE
    assert isinstance(bench.submit(*["once"] * 200, after=tuple(range(1, 101))), SubmitReply)


def test_a_submitter_waits_for_its_own_jobs_alone(bench: Any) -> None:
    """The state of others' is not for its eyes; a member may."""
    bench.ask(Submit("k", (NewJob("once"),)), owner="ann")
    bench.turn()
    for role, permitted in ((Role.SUBMITTER, False), (Role.MEMBER, True)):
        bench.ask(Submit(role.value, (NewJob("once", after=(1,)),)), who=Who("bob", role))
        assert isinstance(bench.reply(), SubmitReply) is permitted


def test_the_request_key_covers_what_jobs_wait_for(bench: Any) -> None:
    """The same again is the same job, other waits are another."""
    bench.submit("once", key="a")
    assert bench.submit("once", key="b", after=(1,)) == bench.submit("once", key="b", after=(1,))
    assert bench.submit("once", key="b", after_any=(1,)).code is ErrorCode.KEY_CONFLICT
    assert bench.submit("once", key="b").code is ErrorCode.KEY_CONFLICT


def retry(bench: Any, *ids: int, who: Who = ANYBODY, **fields: Any) -> RetryReply:
    bench.ask(Retry(bench.key(fields.pop("key", None)), ids)._replace(**fields), who=who)
    reply = bench.reply()
    assert isinstance(reply, RetryReply), reply
    return reply


def test_a_retry_with_dependents_copies_the_whole_tree(ready: Any) -> None:
    """The copies wait for each other; a repeat under the same key makes no others."""
    ready.submit("once", "once")
    ready.submit("once", after=(1, 2))
    ready.submit("once", after=(3,))
    ready.submit("once", after_any=(4, 2))
    ready.report(1, failed(1))
    settle(ready)
    assert retry(ready, 1, with_dependents=True, key="again") == RetryReply("journal", 6, 3)
    copies = [ready.job(job_id) for job_id in (6, 7, 8)]
    assert [(job.retry_of, job.after) for job in copies] == [(1, ()), (3, (6, 2)), (4, (7,))]
    assert retry(ready, 1, with_dependents=True, key="again") == RetryReply("journal", 6, 3)
    ready.ask(Retry("again", (1,)))
    assert ready.reply().code is ErrorCode.KEY_CONFLICT
    settle(ready)
    ready.report(2, done(2))
    settle(ready)
    assert ready.job(7).after == (6,) and ready.job(5).after_any == ()


def test_a_retry_alone_does_not_wait_for_what_cancelled_the_job(ready: Any) -> None:
    """Whoever copies it wants it to run. It still waits for the others, which may have ended badly by now."""
    ready.submit("once", "once", "once")
    ready.submit("once", after=(1, 2))
    ready.submit("once", after=(1, 3))
    ready.report(1, failed(1))
    settle(ready)
    ready.report(2, failed(2))
    assert retry(ready, 4, 5) == RetryReply("journal", 6, 2)
    settle(ready)
    assert ready.job(6).message == "it was to start after job 2, which failed"
    assert (ready.job(7).state, ready.job(7).after) == (QUEUED, (3,))


def test_a_copy_that_waits_for_a_forgotten_job_is_cancelled(ready: Any) -> None:
    """Whether that completed, nobody knows any more."""
    ready.submit("once", "once")
    ready.submit("once", after=(1, 2))
    ready.report(1, failed(1))
    settle(ready)
    ready.report(2, done(2))
    ready.forget(2)
    retry(ready, 3)
    settle(ready)
    assert ready.job(4).message == "it was to start after job 2, which is gone"


def test_dependents_of_others_are_copied_by_operators_alone(ready: Any) -> None:
    """Others copy their own."""
    ready.ask(Submit("a", (NewJob("once"),)), owner="ann")
    ready.turn()
    for owner in ("ann", "bob"):
        ready.ask(Submit(owner, (NewJob("once", after=(1,)),)), owner=owner)
    ready.turn()
    ready.report(1, failed(1))
    settle(ready)
    assert retry(ready, 1, who=Who("ann", Role.MEMBER), with_dependents=True).count == 2
    assert retry(ready, 1, who=Who("root", Role.OPERATOR), with_dependents=True).count == 3
