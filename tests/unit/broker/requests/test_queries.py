"""What is answered to requests that change nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Any

import pytest

from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.requests.contents import PIECE_BYTES, Service
from zjobs.broker.requests.queries import Queries, warnings
from zjobs.messages import codec
from zjobs.messages.dispatch import Described, Ended, Output, Progress, Running, TakeOver
from zjobs.messages.records import Attempt, Limits, Missing, TaskType
from zjobs.messages.requests import ops
from zjobs.messages.requests.changes import Cancel, CancelReply, NewJob, Submit
from zjobs.messages.requests.ops import Reply
from zjobs.messages.requests.queries import (
    Backup,
    Hello,
    Info,
    List,
    Log,
    Queue,
    Result,
    Schema,
    SchemaReply,
    Show,
    Status,
    Types,
)
from zjobs.messages.states import ErrorCode, FailReason, JobState, Outcome, Role, WorkerState

SERVICE = Service(Limits(), "tcp://127.0.0.1:5571", "4.3.5", 400)


def ask(bench: Any, request: Any, who: Who = ANYBODY) -> Any:
    """The reply, which can be sent."""
    reply = finished(Queries(bench.core, bench.journal, SERVICE, who, bench.now, no_backup).answer(request))
    assert codec.decode(codec.encode(reply), ops.REPLIES) == reply
    return reply


def no_backup(request: Backup) -> Reply:
    raise AssertionError("nothing here makes a backup")


def finished(steps: Generator[None, None, Reply]) -> Reply:
    """What they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def done(delivery: int, result: bytes = b"\xa2ok") -> Ended:
    return Ended(delivery, Outcome.COMPLETED, 2_000_000, result)


def test_hello_tells_what_a_client_must_know(bench: Any) -> None:
    """The journal, the events and the limits."""
    reply = ask(bench, Hello())
    assert (reply.journal, reply.events, reply.limits) == ("journal", SERVICE.events, Limits())


def test_status_of_each_state(ready: Any) -> None:
    """Queued with the number ahead, in progress with the time it has been, final with the time it took."""
    ready.submit("once", "once", "once", "twice")
    ready.report(1, done(1))
    ready.report(2, Ended(2, Outcome.FAILED, 10, None, FailReason.RAISED, "no"))
    ready.taken = 3
    ready.heartbeat(running=Running(3, 3, 40))
    ready.mono_ms += 60
    reply = ask(ready, Status((4, 3, 2, 1)))
    assert [(s.id, s.state, s.ahead, s.elapsed_ms) for s in reply.jobs] == [
        (4, JobState.QUEUED, 1, None),
        (3, JobState.IN_PROGRESS, None, 100),
        (2, JobState.FAILED, None, 0),
        (1, JobState.COMPLETED, None, 2000),
    ]
    assert (reply.jobs[1].started_at, reply.jobs[1].progress) == (ready.now.wall_ms - 100, 1)
    assert (reply.jobs[2].reason, reply.jobs[2].message) == (FailReason.RAISED, "no")
    assert (reply.queued, reply.worker) == (1, WorkerState.READY)


def test_missing_jobs_are_not_found_or_expired(ready: Any) -> None:
    """Never given, or dropped since: ids below the next one were given."""
    ready.submit("once", "once")
    ready.journal._db.connection.execute("DELETE FROM job WHERE id = 1")
    ready.restart()
    assert ask(ready, Status((1, 2, 3))).missing == (
        Missing(1, ErrorCode.EXPIRED),
        Missing(3, ErrorCode.NOT_FOUND),
    )
    for request in (Result(1), Show(1)):
        assert ask(ready, request).code is ErrorCode.EXPIRED
    for request in (Result(3), Show(3)):
        assert ask(ready, request).code is ErrorCode.NOT_FOUND


def test_status_without_ids_is_of_no_job(ready: Any) -> None:
    """What was asked for is what is told, nothing included."""
    ready.submit(*["once"] * 3)
    reply = ask(ready, Status(()))
    assert (reply.jobs, reply.missing, reply.queued) == ((), (), 3)


@pytest.mark.parametrize("limit", [1, 20, 1000])
def test_the_queue_is_the_running_job_and_the_next(ready: Any, limit: int) -> None:
    """The running one first, and beside those asked for; without one, the next alone."""
    ready.submit(*["once"] * 30)
    assert [s.id for s in ask(ready, Queue(limit)).jobs] == list(range(1, min(30, limit) + 1))
    ready.taken = 1
    ready.heartbeat(running=Running(1, 1, 0))
    reply = ask(ready, Queue(limit))
    assert [s.id for s in reply.jobs] == list(range(1, min(30, limit + 1) + 1))
    assert (reply.queued, reply.worker, reply.paused) == (29, WorkerState.READY, False)


def test_the_queue_tells_of_delayed_jobs(ready: Any) -> None:
    """As many as asked for, soonest first, with the time when each is ready; a submitter's own alone."""
    for owner, request_key, delay_ms in (("alice", "a", 900), ("bob", "b", 300), ("alice", "c", 600)):
        ready.ask(Submit(request_key, (NewJob("once", delay_ms=delay_ms),)), owner=owner)
    ready.turn()
    for limit, ids in ((0, []), (2, [2, 3]), (9, [2, 3, 1])):
        reply = ask(ready, Queue(delayed_limit=limit))
        assert ([s.id for s in reply.delayed], reply.jobs) == (ids, ())
    assert [s.ready_at for s in reply.delayed] == [ready.now.wall_ms + after for after in (300, 600, 900)]
    assert [s.id for s in ask(ready, Queue(delayed_limit=9), Who("alice", Role.SUBMITTER)).delayed] == [3, 1]


def test_ids_that_are_named_twice(ready: Any) -> None:
    """status and cancel answer for each mention, in the order asked; retry copies for each; forget drops once."""
    ready.submit("once")
    ready.report(1, done(1))
    ready.submit("once")
    for request in (Status((2, 1, 2)), Cancel((2, 1, 2))):
        assert [s.id for s in ask(ready, request).jobs] == [2, 1, 2]
    assert [m.id for m in ask(ready, Status((9, 9))).missing] == [9, 9]
    assert ready.retry(1, 1).count == 2
    assert ready.forget(1, 1).forgotten == (1,)


def test_output_beyond_its_end(ready: Any) -> None:
    """An empty piece that begins at the end, for one who asks again as more is printed."""
    ready.submit("once")
    ready.report(1, done(1)._replace(output=b"printed", output_bytes=7))
    for offset in (7, 8, 2**63 - 1):
        reply = ask(ready, Log(1, offset))
        assert (reply.id, reply.size_bytes, reply.offset, reply.body) == (1, 7, 7, b"")
    assert ask(ready, Result(1, 99))[4:6] == (99, b"") and ask(ready, Log(1, 3)).body == b"nted"


def test_a_wish_to_end_keeps_the_place_of_progress(ready: Any) -> None:
    """A cancel of the running job is a change of the job, and no new run: `progress` goes on."""
    ready.submit("once")
    ready.heartbeat(running=Running(1, 1, 5))
    ready.core.on_progress(Progress(ready.core.session_name, 1, 1, 4, 0.5, None), ready.now)
    ready.turn()
    (before,) = ask(ready, Status((1,))).jobs
    ready.cancel(1)
    (after,) = ask(ready, Status((1,))).jobs
    assert (after.version, after.progress, after.fraction) == (before.version + 1, before.progress, 0.5)


def test_a_cancel_of_a_job_that_the_worker_has(ready: Any) -> None:
    """It is not cancelled at once: queued and cancelling, until the worker says what became of it; it may complete."""
    ready.submit("once")
    ready.cancel(1)
    (told,) = ask(ready, Cancel((1,))).jobs
    assert (told.state, told.cancelling) == (JobState.QUEUED, True)
    ready.report(1, done(1))
    assert ask(ready, Status((1,))).jobs[0].state is JobState.COMPLETED


def test_the_queue_as_a_submitter_sees_it(ready: Any) -> None:
    """Of the same jobs, its own alone."""
    for owner, request_key in (("alice", "a"), ("bob", "b"), ("alice", "c")):
        ready.ask(Submit(request_key, (NewJob("once"),)), owner=owner)
    ready.turn()
    for who, ids in ((Who("alice", Role.SUBMITTER), [1, 3]), (Who("eve", Role.VIEWER), [1, 2, 3])):
        assert [s.id for s in ask(ready, Queue(), who).jobs] == ids


def test_a_result_comes_in_pieces_and_as_often_as_asked(ready: Any) -> None:
    """Each piece bounded; put together they are the result."""
    body = bytes(range(256)) * 3_000
    ready.submit("once", "once")
    assert ask(ready, Result(1)).code is ErrorCode.NOT_FINISHED
    ready.report(1, done(1, body))
    ready.report(2, Ended(2, Outcome.FAILED, 10, None, FailReason.RAISED, "no"))
    for _ in range(2):
        together = b""
        while len(together) < ask(ready, Result(1)).size_bytes:
            piece = ask(ready, Result(1, len(together)))
            assert 0 < len(piece.body) <= PIECE_BYTES
            together += piece.body
        assert together == body
    assert ask(ready, Result(1, len(body) + 5)).body == b""
    none = ask(ready, Result(2))
    assert (none.state, none.size_bytes, none.body, none.reason) == (JobState.FAILED, 0, b"", FailReason.RAISED)


def test_show_tells_the_key_the_sizes_and_the_runs(ready: Any) -> None:
    """Data of no bytes is not the same as no data."""
    ready.submit("twice", data=b"", key="mine")
    ready.submit("once", key="other")
    ready.report(1, Ended(1, Outcome.FAILED, 10, None, FailReason.RAISED, "no", "Traceback"))
    ready.report(2, done(2))
    shown = ask(ready, Show(1))
    assert (shown.request_key, shown.data_bytes, shown.result_bytes) == ("mine", 0, 3)
    assert [(a.number, a.outcome, a.detail) for a in shown.attempts] == [(1, Outcome.FAILED, "Traceback")]
    assert (ask(ready, Show(2)).request_key, ask(ready, Show(2)).data_bytes) == ("other", None)


@pytest.mark.parametrize("known", [False, True])
def test_types_are_known_once_a_worker_has_announced_them(bench: Any, known: bool) -> None:
    """Sorted by name; none and not known before."""
    if known:
        bench.worker()
    reply = ask(bench, Types())
    assert (reply.known, [t.name for t in reply.types]) == (known, ["again", "later", "once", "twice"] if known else [])


def test_a_schema_is_told_when_it_is_there(bench: Any) -> None:
    """Before that, its digest; of a type without one, that there is none; of no type, which there are."""
    schema = b'{"type":"object"}'
    digest = hashlib.sha256(schema).hexdigest()[:16]
    assert ask(bench, Schema("measure")) == SchemaReply("journal", None, None)
    bench.worker()
    bench.heartbeat(types=(TaskType("measure", schema_digest=digest), TaskType("plain")))
    assert ask(bench, Schema("measure")) == SchemaReply("journal", digest, None)
    bench.core.on_described(Described("A", digest, schema))
    bench.turn()
    assert ask(bench, Schema("measure")) == SchemaReply("journal", digest, schema)
    assert ask(bench, Schema("plain")) == SchemaReply("journal", "", None)
    assert ask(bench, Types()).types[0].schema_digest == digest
    error = ask(bench, Schema("no such"))
    assert error.code is ErrorCode.UNKNOWN_TYPE and error.message.endswith("it has: measure, plain")


def test_info_counts_every_job_once(ready: Any) -> None:
    """In progress, queued, completed, failed: together all there are."""
    ready.submit("once", "once", "once", "twice")
    ready.report(1, done(1))
    ready.report(2, Ended(2, Outcome.FAILED, 10, None, FailReason.RAISED, "no"))
    ready.heartbeat(running=Running(3, 3, 0), taken=3)
    info = ask(ready, Info())
    assert (info.queued, info.in_progress, info.completed, info.failed, info.cancelled) == (1, 1, 1, 1, 0)
    assert (info.worker.running, info.worker.host, info.worker.warning) == (3, "here", None)
    assert info.uptime_ms == 600 and info.journal_file == ":memory:" and info.journal_bytes > 0


# --- cancel -----------------------------------------------------------------------------------------------------------


def test_cancel_answers_with_what_each_job_has_become(ready: Any) -> None:
    """Cancelled, cancelling, ended before, or missing."""
    ready.submit("once", "once", "twice")
    ready.report(1, done(1))
    ready.taken = 2
    ready.heartbeat(running=Running(2, 2, 40))
    ready.cancel(1, 2, 3, 9)
    reply = ask(ready, Cancel((1, 2, 3, 9)))
    assert isinstance(reply, CancelReply) and reply.missing == (Missing(9, ErrorCode.NOT_FOUND),)
    assert [(s.id, s.state, s.cancelling) for s in reply.jobs] == [
        (1, JobState.COMPLETED, False),
        (2, JobState.IN_PROGRESS, True),
        (3, JobState.CANCELLED, False),
    ]


# --- list -------------------------------------------------------------------------------------------------------------


def pages(bench: Any, **fields: Any) -> list[list[int]]:
    """The ids of page after page."""
    found, before = [], None
    while True:
        reply = ask(bench, List(**fields, before=before))
        found.append([status.id for status in reply.jobs])
        before = reply.before
        if before is None:
            return found


def flat(found: list[list[int]]) -> list[int]:
    return [job_id for page in found for job_id in page]


def test_jobs_are_listed_newest_first_page_by_page(bench: Any) -> None:
    """Each once; the last page says that it is."""
    assert ask(bench, List()).jobs == ()
    bench.submit(*["once"] * 7)
    assert pages(bench, limit=3) == [[7, 6, 5], [4, 3, 2], [1]]
    assert pages(bench) == [[7, 6, 5, 4, 3, 2, 1]]
    assert [s.id for s in ask(bench, List(before=3)).jobs] == [2, 1]


def test_lists_are_filtered_by_state_and_type(ready: Any) -> None:
    """By the state people see: a running job is in progress and not queued."""
    ready.submit("once", "twice", "once", "twice", "once")
    ready.report(1, done(1))
    ready.report(2, Ended(2, Outcome.FAILED, 10, None, FailReason.BAD_DATA, "no"))
    ready.cancel(4)
    ready.heartbeat(running=Running(3, 3, 0), taken=3)
    by_state = {state: flat(pages(ready, state=state, limit=2)) for state in JobState}
    assert by_state == {
        JobState.QUEUED: [5],
        JobState.IN_PROGRESS: [3],
        JobState.COMPLETED: [1],
        JobState.FAILED: [2],
        JobState.CANCELLED: [4],
    }
    assert flat(pages(ready, type="once", limit=1)) == [5, 3, 1]
    assert flat(pages(ready, type="once", state=JobState.COMPLETED)) == [1]
    assert flat(pages(ready, type="none")) == []


def test_a_page_looks_at_a_bounded_number_of_jobs(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else waits for somebody's rare filter: a page may be empty and yet not the last."""
    monkeypatch.setattr("zjobs.broker.requests.queries.PAGE_LOOKED_AT", 4)
    bench.submit("twice", *["once"] * 10)
    assert pages(bench, type="twice") == [[], [], [1]]
    assert pages(bench, limit=3)[0] == [11, 10, 9]


# --- progress and output ----------------------------------------------------------------------------------------------


def running(bench: Any, delivery: int = 1) -> None:
    """Job number n runs."""
    bench.submit("once")
    bench.taken = delivery
    bench.heartbeat(running=Running(delivery, delivery, 0))


def tell(bench: Any, progress: int, delivery: int = 1, **fields: Any) -> Any:
    message = Progress(bench.core.session_name, delivery, delivery, progress, None, None)._replace(**fields)
    bench.core.on_progress(message, bench.now)
    return bench.turn()


def printed(bench: Any, number: int, offset: int, body: bytes, delivery: int = 1) -> Any:
    return bench.report(number, Output(delivery, delivery, number + 1, offset, body))


def log(bench: Any, offset: int = 0, job_id: int = 1) -> tuple[int, int, bytes]:
    reply = ask(bench, Log(job_id, offset))
    return (reply.size_bytes, reply.offset, reply.body)


def test_progress_is_told_and_not_journaled(ready: Any) -> None:
    """The fraction and the note; its counter orders the news of one version."""
    running(ready)
    effects = tell(ready, 2, fraction=0.25, note="page 1")
    assert [(change.job.id, change.change) for change in effects.job_changes] == [(1, None)] and not effects.changes
    (status,) = ask(ready, Status((1,))).jobs
    assert (status.fraction, status.note, status.progress) == (0.25, "page 1", 2)
    assert (status.version, status.state) == (0, JobState.IN_PROGRESS)


def test_news_of_another_run_is_dropped(ready: Any) -> None:
    """Of a number that does not run, of another session, of a job that has ended."""
    running(ready)
    assert tell(ready, 2, delivery=2, fraction=0.5).job_changes == []
    assert tell(ready, 2, session="other", fraction=0.5).job_changes == []
    ready.report(1, done(1))
    assert tell(ready, 3, fraction=0.5).job_changes == []
    assert ask(ready, Status((1,))).jobs[0].fraction is None


def test_the_next_run_begins_without_the_news_of_the_last(ready: Any) -> None:
    """Neither fraction nor output."""
    running(ready)
    tell(ready, 2, fraction=0.5)
    printed(ready, 1, 0, b"abc")
    ready.submit("once")
    ready.report(2, done(1)._replace(output_bytes=3))
    ready.heartbeat(running=Running(2, 2, 0), taken=2)
    (status,) = ask(ready, Status((2,))).jobs
    assert (status.fraction, status.output_bytes, status.progress) == (None, 0, 1)
    assert log(ready, job_id=2) == (0, 0, b"")


def test_output_is_journaled_and_told_piece_by_piece(ready: Any) -> None:
    """From any offset; past the end it is empty. It needs no new version of the job, but orders its news."""
    running(ready)
    effects = printed(ready, 1, 0, b"abc")
    assert [(change.job.output_bytes, change.change) for change in effects.job_changes] == [(3, None)]
    assert ready.ack == (1, None)
    tell(ready, 3, fraction=0.5)
    printed(ready, 2, 3, b"def")
    (status,) = ask(ready, Status((1,))).jobs
    assert (status.output_bytes, status.progress, status.fraction, status.version) == (6, 3, 0.5, 0)
    assert log(ready) == (6, 0, b"abcdef")
    assert log(ready, 4) == (6, 4, b"ef") and log(ready, 6) == (6, 6, b"") and log(ready, 99) == (6, 6, b"")


def test_output_is_there_after_a_restart_and_nothing_is_doubled(ready: Any) -> None:
    """Also while the job runs; a repeated report adds nothing, and the end adds what was not told before."""
    running(ready)
    printed(ready, 1, 0, b"abc")
    ready.restart()
    ready.heartbeat(running=Running(1, 1, 50))
    assert ask(ready, Status((1,))).jobs[0].output_bytes == 3
    printed(ready, 1, 0, b"abc")
    printed(ready, 2, 3, b"def")
    assert log(ready) == (6, 0, b"abcdef")
    ready.report(3, done(1)._replace(output=b"ghi", output_bytes=9, output_file="/logs/1"))
    assert log(ready) == (9, 0, b"abcdefghi") and ready.job(1).output_bytes == 9
    assert ask(ready, Show(1)).output_file == "/logs/1"


def test_output_of_a_job_that_does_not_run_next_is_not_believed(ready: Any) -> None:
    """As an end that is not expected: the worker is taken over."""
    running(ready)
    ready.report(1, Output(1, 77, 2, 0, b"abc"))
    assert ready.sent(TakeOver) and log(ready) == (0, 0, b"")


def test_output_with_a_gap_goes_on_behind_it(ready: Any) -> None:
    """A worker that printed much while nobody listened has dropped some: the size counts all."""
    running(ready)
    printed(ready, 1, 0, b"abc")
    printed(ready, 2, 10, b"xyz")
    assert log(ready) == (13, 0, b"abc") and log(ready, 3) == (13, 10, b"xyz") and log(ready, 11) == (13, 11, b"yz")


@pytest.mark.parametrize("ended", [False, True])
def test_of_much_output_the_end_is_kept(make: Any, ended: bool) -> None:
    """As much as the operator says, and the piece in which that begins; the reply has 64 KiB of it at most."""
    ready = make(output_bytes=100_000)
    ready.worker()
    running(ready)
    body = bytes(range(256)) * 800
    for number, place in enumerate(range(0, len(body), 1024), 1):
        printed(ready, number, place, body[place : place + 1024])
    if ended:
        ready.report(number + 1, done(1)._replace(output_bytes=len(body)))
    first = (len(body) - 100_000) // 1024 * 1024
    size, offset, piece = log(ready)
    assert (size, offset) == (len(body), first) and piece == body[first : first + (64 << 10)]
    assert log(ready, first + 70_000)[2] == body[first + 70_000 :]


@pytest.mark.parametrize("quiet", [False, True])
def test_output_of_a_lost_run_stays_until_the_next_one_prints_or_ends(ready: Any, quiet: bool) -> None:
    """What it printed before its worker was lost is what one wants to read then."""
    ready.submit("again")
    ready.taken = 1
    ready.heartbeat(running=Running(1, 1, 0))
    printed(ready, 1, 0, b"last words")
    ready.worker("B")
    assert log(ready) == (10, 0, b"last words") and ready.job(1).output_bytes == 10
    ready.taken = 1
    ready.heartbeat(running=Running(1, 1, 0))
    assert log(ready) == (0, 0, b"") and ask(ready, Status((1,))).jobs[0].output_bytes == 0
    if quiet:
        ready.report(1, done(1))
        assert log(ready) == (0, 0, b"")
    else:
        printed(ready, 1, 0, b"more")
        assert log(ready) == (4, 0, b"more")


def test_output_of_the_last_run_stays(ready: Any) -> None:
    """Over a restart of the broker; that of a run before a silent one is not shown as its own."""
    ready.submit("twice")
    assert log(ready) == (0, 0, b"")
    ready.report(1, Ended(1, Outcome.FAILED, 9, None, FailReason.RAISED, "no", output=b"first", output_bytes=5))
    ready.restart()
    assert log(ready) == (5, 0, b"first")
    ready.heartbeat()
    ready.report(2, Ended(2, Outcome.FAILED, 9, None, FailReason.RAISED, "no"))
    assert log(ready) == (0, 0, b"")
    assert ask(ready, Log(9)).code is ErrorCode.NOT_FOUND


def test_a_stuck_task_is_shown_and_left_alone(ready: Any) -> None:
    """From the heartbeats; a sign of life ends it."""
    running(ready)
    ready.heartbeat(running=Running(1, 1, 9_000, 4_000))
    assert ask(ready, Status((1,))).jobs[0].stuck_ms == 4_000
    ready.heartbeat(running=Running(1, 1, 10_000))
    assert ask(ready, Status((1,))).jobs[0].stuck_ms is None


# --- what else people see ---------------------------------------------------------------------------------------------


def test_a_waiting_job_has_a_time_and_no_position(ready: Any) -> None:
    """One that is ready has a position; its delay is over and not shown."""
    ready.submit("once", delay_ms=500, priority=4)
    (status,) = ask(ready, Status((1,))).jobs
    assert (status.ahead, status.ready_at, status.priority) == (None, ready.now.wall_ms + 500, 4)
    assert (ask(ready, Info()).queued, ask(ready, Info()).waiting) == (0, 1)
    ready.core.on_gone()
    ready.after(500)
    (status,) = ask(ready, Status((1,))).jobs
    assert (status.ahead, status.ready_at) == (0, None)


def test_show_links_copies_and_lists_every_run(ready: Any) -> None:
    """Runs that were cancelled too."""
    ready.submit("twice", time_limit_ms=90)
    ready.report(1, Ended(1, Outcome.FAILED, 10, None, FailReason.TIMED_OUT, "too long"))
    ready.cancel(1)
    ready.report(2, Ended(2, Outcome.CANCELLED, 10, message="told"))
    ready.retry(1, 1)
    shown = ask(ready, Show(1))
    assert (shown.retry_of, shown.retried_as, shown.time_limit_ms) == (None, (2, 3), 90)
    at = ready.now.wall_ms
    assert shown.attempts == (
        Attempt(1, Outcome.FAILED, at, at, FailReason.TIMED_OUT, "too long", ""),
        Attempt(2, Outcome.CANCELLED, at, at, None, "told", ""),
    )
    assert ask(ready, Show(3)).retry_of == 1


def test_info_shows_the_pause(ready: Any) -> None:
    """With its reason."""
    assert ask(ready, Info()).paused is None
    ready.pause("looking")
    assert ask(ready, Info()).paused == (ready.now.wall_ms, "looking")


def test_a_blocked_worker_is_given_nothing(ready: Any) -> None:
    """`info` says what is in the way; when it is gone the job is handed over."""
    ready.heartbeat(obstacle="sleep (pid 17) cannot be killed")
    ready.submit("twice")
    assert ready.handed == [] and ask(ready, Info()).worker.state is WorkerState.BLOCKED
    assert ask(ready, Info()).worker.warning == "sleep (pid 17) cannot be killed"
    ready.heartbeat()
    assert ready.handed == [(1, 1)] and ask(ready, Info()).worker.warning is None


def test_show_tells_how_many_processes_were_killed(ready: Any) -> None:
    """Of the last run; the journal keeps it."""
    ready.submit("twice")
    assert ask(ready, Show(1)).killed == 0
    ready.report(1, done(1)._replace(killed=3))
    ready.restart()
    assert ask(ready, Show(1)).killed == 3


def test_a_missing_type_is_a_state_of_the_worker(ready: Any) -> None:
    """`info` says which job stands there; it goes when the job does."""
    few = tuple(kind for kind in ready.core.types.values() if kind.name != "once")
    ready.submit("twice", "once")
    ready.heartbeat(types=few)
    ready.report(1, done(1))
    assert ask(ready, Queue()).worker is WorkerState.LACKS_TYPE
    assert "job 2" in ask(ready, Info()).worker.warning and "'once'" in ask(ready, Info()).worker.warning
    ready.cancel(2)
    assert ask(ready, Queue()).worker is WorkerState.READY and ask(ready, Info()).worker.warning is None


def test_a_run_goes_by_its_number_and_keeps_its_start(ready: Any) -> None:
    """`run` counts runs; `started_at` of one stays, whatever the clock, the heartbeats and restarts do."""
    ready.submit("twice")
    (status,) = ask(ready, Status((1,))).jobs
    assert (status.run, status.max_attempts, status.started_at) == (0, 2, None)
    ready.mono_ms += 5
    ready.heartbeat(running=Running(1, 1, 3))
    (first,) = ask(ready, Status((1,))).jobs
    assert (first.run, first.started_at) == (1, ready.now.wall_ms - 3)
    ready.mono_ms += 1_000
    ready.wall_ms += 70_000
    ready.heartbeat(running=Running(1, 1, 950))
    assert ask(ready, Status((1,))).jobs[0].started_at == first.started_at
    ready.restart()
    ready.heartbeat(running=Running(1, 1, 990))
    assert ask(ready, Status((1,))).jobs[0].started_at == first.started_at
    ready.report(1, Ended(1, Outcome.FAILED, 1_000_000, None, FailReason.RAISED, "no", output=b"one", output_bytes=3))
    (again,) = ask(ready, Status((1,))).jobs
    assert (again.run, again.started_at, ask(ready, Log(1)).run) == (1, first.started_at, 1)
    ready.heartbeat(running=Running(2, 1, 0))
    (second,) = ask(ready, Status((1,))).jobs
    assert (second.run, second.ended_at, ask(ready, Log(1))[3:]) == (2, None, (0, 0, b"", 2))
    ready.report(2, Ended(2, Outcome.CANCELLED, 10))
    assert ask(ready, Status((1,))).jobs[0].run == ask(ready, Log(1)).run == 2
    assert [attempt.number for attempt in ask(ready, Show(1)).attempts] == [1, 2]


def test_a_lost_run_leaves_what_it_was_heard_to_print(ready: Any) -> None:
    """The output belongs to the run that is told with it, and the start is known over a restart of the broker."""
    ready.submit("once")
    ready.heartbeat(running=Running(1, 1, 10))
    started_at = ask(ready, Status((1,))).jobs[0].started_at
    printed(ready, 1, 0, b"printed")
    ready.mono_ms += 500
    ready.incarnation = "B"
    ready.heartbeat(session=None)
    (lost,) = ask(ready, Status((1,))).jobs
    assert (lost.state, lost.run, lost.started_at, lost.output_bytes) == (JobState.FAILED, 1, started_at, 7)
    assert ask(ready, Log(1))[3:] == (7, 0, b"printed", 1)


@pytest.mark.parametrize(
    ("used", "most", "disk", "told"),
    [
        (89, 100, None, []),
        (90, 100, None, ["the journal has 90 of the 100 bytes"]),
        (90, None, (2 << 30, 1 << 40), []),
        (90, None, (1 << 29, 1 << 40), ["the disk has"]),
        (90, None, (50, 1_000), ["the disk has 50 bytes left"]),
        (90, None, (200, 1_000), []),
        (99, 100, (50, 1_000), ["the journal", "the disk"]),
    ],
)
def test_info_warns_before_there_is_no_room(
    used: int, most: int | None, disk: tuple[int, int] | None, told: list[str]
) -> None:
    """Of the journal's own bound from nine tenths on, of the disk's from a tenth or a gibibyte."""
    said = warnings(lambda: used, most, disk)
    assert len(said) == len(told)
    assert all(sentence.startswith(begin) for sentence, begin in zip(said, told))
