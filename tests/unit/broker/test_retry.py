"""Another try: by itself after a failure, with a delay that grows, and by copies of jobs that have ended."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.broker.core.lifecycle import LONGEST_RETRY_DELAY_MS
from zjobs.broker.storage.sqlite.opening import check_content
from zjobs.messages.dispatch import Ended, Returned
from zjobs.messages.records import TaskType
from zjobs.messages.requests.changes import Forget, Retry, RetryReply
from zjobs.messages.requests.ops import Error
from zjobs.messages.states import ErrorCode, FailReason, JobState, Outcome


def done(delivery: int) -> Ended:
    return Ended(delivery, Outcome.COMPLETED, 10, b"\xa2ok")


def failed(delivery: int, reason: FailReason = FailReason.RAISED) -> Ended:
    return Ended(delivery, Outcome.FAILED, 10, None, reason, "ValueError: no", "Traceback")


# --- by itself ---------------------------------------------------------------------------------------------------


def test_the_delay_doubles_with_each_failure(ready: Any) -> None:
    """1 s, 2 s, 4 s after the ends of the runs; the fourth failure is final."""
    ready.submit("later")
    for number, delay_ms in ((1, 1_000), (2, 2_000), (3, 4_000)):
        ready.report(number, failed(number))
        job = ready.job(1)
        assert (job.state, job.attempts, job.ready_at) == (JobState.QUEUED, number, ready.now.wall_ms + delay_ms)
        assert (
            ready.core.ready_at(job, ready.now) == job.ready_at and ready.core.waiting == 1 and ready.core.queued == 0
        )
        assert ready.core.ahead(job) is None
        assert ready.after(delay_ms - 1).dispatched == []
        assert ready.core.next_deadline_ms(ready.mono_ms) <= ready.mono_ms + 1
        assert [job.id for _, job in ready.after(1).dispatched] == [1] or ready.heartbeat().dispatched
    ready.report(4, failed(4))
    assert ready.job(1).state is JobState.FAILED and ready.job(1).attempts == 4
    assert [one.number for one in ready.details(1).attempts] == [1, 2, 3, 4]


def test_the_delay_is_an_hour_at_most(ready: Any) -> None:
    """However often it failed."""
    kind = TaskType("stubborn", max_attempts=100, retry_delay_ms=1_000_000)
    ready.heartbeat(types=(kind,))
    ready.submit("stubborn")
    for number in range(1, 60):
        ready.report(number, failed(number))
        delay_ms = ready.job(1).ready_at - ready.now.wall_ms
        assert delay_ms == min(1_000_000 << (number - 1), LONGEST_RETRY_DELAY_MS)
        ready.mono_ms += delay_ms
        ready.heartbeat(types=(kind,))
        assert ready.handed == [(number + 1, 1)]


def test_a_job_that_waits_for_its_retry_blocks_nobody(ready: Any) -> None:
    """The one behind it starts; when its time has come, it goes before those with greater ids."""
    ready.submit("later", "once", "once")
    ready.report(1, failed(1))
    assert [job_id for _, job_id in ready.handed] == [2]
    ready.mono_ms += 1_000
    ready.report(2, done(2))
    assert [job_id for _, job_id in ready.handed] == [1]


def test_a_delay_of_nothing_is_over_at_once(ready: Any) -> None:
    """The next attempt is handed over with the commit of the failure."""
    ready.submit("twice")
    ready.report(1, failed(1))
    assert ready.handed == [(2, 1)] and ready.core.waiting == 0


def test_a_restart_in_between_keeps_the_delay(ready: Any) -> None:
    """Neither shorter nor longer."""
    ready.submit("later")
    ready.report(1, failed(1))
    at = ready.job(1).ready_at
    ready.mono_ms += 400
    ready.restart()
    ready.heartbeat()
    assert ready.handed == [] and ready.core.waiting == 1 and ready.job(1).ready_at == at
    ready.mono_ms += 600
    ready.heartbeat()
    assert ready.handed == [(2, 1)]


def test_reruns_are_counted_apart_from_attempts(ready: Any) -> None:
    """Lost workers use up no attempts, failures no reruns; a lost worker's job waits for nothing."""
    ready.submit("later")
    ready.report(1, failed(1))
    ready.mono_ms += 1_000
    ready.heartbeat()
    assert ready.handed == [(2, 1)]
    ready.worker("B")
    job = ready.job(1)
    assert (job.attempts, job.reruns, job.ready_at) == (1, 1, None) and ready.handed == [(1, 1)]
    ready.worker("C")
    assert (ready.job(1).state, ready.job(1).reruns) == (JobState.QUEUED, 2)
    ready.worker("D")
    job = ready.job(1)
    assert (job.state, job.reason, job.attempts, job.reruns) == (JobState.FAILED, FailReason.WORKER_LOST, 1, 3)


# --- a delay from the start, and the clock ------------------------------------------------------------------------


def test_a_delayed_job_starts_when_its_time_has_come(ready: Any) -> None:
    """It blocks nobody, is counted as waiting, and the core says when to look again."""
    ready.submit("once", delay_ms=500)
    ready.submit("once")
    assert [job_id for _, job_id in ready.handed] == [2]
    assert ready.core.waiting == 1
    assert [ready.core.ready_at(ready.job(delivery), ready.now) for delivery in (1, 2)] == [
        ready.now.wall_ms + 500,
        None,
    ]
    assert ready.core.next_deadline_ms(ready.mono_ms) == ready.mono_ms + 500
    ready.report(1, done(1))
    ready.after(499)
    assert ready.handed == []
    ready.after(1)
    assert ready.handed == [(2, 1)] and ready.core.waiting == 0


def test_delayed_jobs_line_up_by_priority_and_id_once_ready(bench: Any) -> None:
    """Not by when they became ready."""
    for delay_ms, priority in ((300, 0), (200, 0), (100, 0), (300, 1)):
        bench.submit("once", delay_ms=delay_ms, priority=priority)
    assert bench.core.next_ids(9) == []
    bench.after(150)
    assert bench.core.next_ids(9) == [3]
    bench.after(150)
    assert bench.core.next_ids(9) == [4, 1, 2, 3]
    assert [bench.core.ahead(bench.job(delivery)) for delivery in (1, 2, 3, 4)] == [1, 2, 3, 0]


def test_what_was_ready_stays_so_when_the_clock_is_set_back(ready: Any) -> None:
    """A job that came back from the worker does not wait a second time."""
    ready.learn("twice")
    ready.submit("twice", "twice", delay_ms=100)
    ready.after(100)
    ready.heartbeat()
    ready.wall_ms -= 60_000
    first = min(delivery for delivery in ready.journal.load().in_flight)
    ready.report(2, Returned(first, False))
    assert [job_id for _, job_id in ready.handed] == [2, 3]


# --- priorities ----------------------------------------------------------------------------------------------------


def test_greater_priority_overtakes_all_that_is_not_with_the_worker(ready: Any) -> None:
    """Then the order of submission; negative ones come last, over a restart too."""
    ready.submit("once")
    for priority in (0, -5, 5, 0, 5):
        ready.submit("once", priority=priority)
    order = [1, 4, 6, 2, 5, 3]
    assert ready.core.next_ids(9) == order
    assert [ready.core.ahead(ready.job(job_id)) for job_id in order] == list(range(6))
    ready.restart()
    assert ready.core.next_ids(9) == order
    ready.heartbeat()
    handed = []
    for number in range(1, 7):
        ready.report(number, done(number))
        handed += [job_id for _, job_id in ready.handed]
    assert handed == order[1:]


def test_each_job_of_mixed_priorities_leaves_with_its_own_record(ready: Any) -> None:
    """The ids that come next may look like a range by their first and last, and be none."""
    ready.learn("twice")
    for priority in (0, 9, 0, 0, 0, 0, 0):
        ready.submit("twice", priority=priority, data=b"%d" % priority, delay_ms=10)
    ready.cancel(4)
    ready.after(10)
    ids = [job_id for _, job_id in ready.handed]
    assert ids == [3, 2, 5, 6, 7, 8]
    assert [(job.id, job.priority) for _, job in ready.last.dispatched] == [
        (3, 9),
        *((delivery, 0) for delivery in ids[1:]),
    ]
    assert ready.data(*ids) == {3: b"9", **dict.fromkeys(ids[1:], b"0")}


# --- copies ----------------------------------------------------------------------------------------------------------


def test_retry_submits_copies(ready: Any) -> None:
    """New ids, the same type, data and priority; nothing of how the old one went; both know of each other."""
    ready.submit("once", data=b"d", priority=3)
    ready.report(1, failed(1))
    assert ready.retry(1) == RetryReply("journal", 2, 1)
    old, new = ready.job(1), ready.job(2)
    assert old.state is JobState.FAILED and ready.details(1).copies == (2,)
    assert new[:8] == (2, "once", JobState.QUEUED, 0, 0, 0, 1, ready.now.wall_ms)
    assert (new.priority, new.retry_of, new.reason, new.ended_at, new.ready_at) == (3, 1, None, None, None)
    assert ready.data(2) == {2: b"d"} and ready.handed == [(2, 2)]


def test_the_same_retry_again_makes_no_second_copy(ready: Any) -> None:
    """By its key, over a restart; with other ids, or as a submit, the key is in conflict."""
    ready.submit("once", "once", key="s")
    ready.cancel(1, 2)
    ready.report(1, done(1))
    first = ready.retry(1, 2, key="k")
    assert first == RetryReply("journal", 3, 2)
    ready.restart()
    assert ready.retry(1, 2, key="k") == first and ready.core.counters.next_id == 5
    for reply in (ready.retry(2, 1, key="k"), ready.submit("once", "once", key="k"), ready.retry(1, 2, key="s")):
        assert reply.code is ErrorCode.KEY_CONFLICT


@pytest.mark.parametrize(
    ("ids", "code", "word"),
    [
        ((1, 2), ErrorCode.NOT_FINISHED, "job 2 has not ended"),
        ((1, 99), ErrorCode.NOT_FOUND, "no job 99"),
        ((1, 3), ErrorCode.EXPIRED, "no job 3"),
        ((1, 4), ErrorCode.UNKNOWN_TYPE, "'gone'"),
    ],
)
def test_copies_are_made_all_or_none(bench: Any, ids: tuple[int, ...], code: ErrorCode, word: str) -> None:
    """The error names what is in the way."""
    bench.submit("once", "twice", "once", "gone")
    bench.cancel(1, 3, 4)
    bench.forget(3)
    bench.worker()
    reply = bench.retry(*ids)
    assert isinstance(reply, Error) and reply.code is code and word in reply.message
    assert bench.core.counters.next_id == 5


def test_copies_count_for_the_limit_of_queued_jobs(make: Any) -> None:
    """Waiting ones too."""
    bench = make(queued_jobs=2)
    bench.submit("once")
    bench.cancel(1)
    bench.submit("once", delay_ms=1_000)
    assert bench.retry(1, 1).code is ErrorCode.QUEUE_FULL
    assert bench.retry(1) == RetryReply("journal", 3, 1)


def test_copies_keep_to_the_limits_of_a_request(make: Any) -> None:
    """In jobs and in bytes, or one request would hold up everybody; a job by itself is copied whatever it has."""
    bench = make(request_jobs=3, request_bytes=10)
    for data in (b"123456", b"12345", b"12345", b"12345678901"):
        bench.submit("once", data=data)
    bench.cancel(1, 2, 3, 4)
    for ids, word in (((2, 2, 2, 2), "4 jobs"), ((1, 2), "11 bytes")):
        reply = bench.retry(*ids)
        assert isinstance(reply, Error) and reply.code is ErrorCode.TOO_LARGE and word in reply.message
    assert bench.retry(2, 3).count == 2 and bench.retry(4).count == 1


def test_a_job_is_copied_and_forgotten_in_one_turn(ready: Any) -> None:
    """The copy keeps the data."""
    ready.submit("once", data=b"d")
    ready.report(1, failed(1))
    ready.ask(Retry("k", (1,)))
    ready.ask(Forget((1,)))
    ready.turn()
    assert ready.forgotten(1) and ready.data(2) == {2: b"d"}
    check_content(ready.journal._db)
