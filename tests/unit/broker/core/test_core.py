"""The queue and the hand-over, rule by rule; docs/protocol.md, part 2, is what must hold."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from zjobs.broker.core.admission import Rules
from zjobs.broker.core.lifecycle import LOST
from zjobs.broker.storage.api import StorageError
from zjobs.messages.dispatch import (
    Ack,
    Ended,
    Invalid,
    Piece,
    Received,
    Rejected,
    Returned,
    Running,
    Started,
    StartSession,
    TakeOver,
)
from zjobs.messages.records import BrokerName, TaskType
from zjobs.messages.requests.changes import NewJob, Submit, SubmitReply
from zjobs.messages.requests.ops import Error
from zjobs.messages.states import ErrorCode, FailReason, JobState, Outcome, WorkerState


def done(delivery: int, elapsed_us: int = 10) -> Ended:
    return Ended(delivery, Outcome.COMPLETED, elapsed_us, b"\xa2ok")


def failed(delivery: int, reason: FailReason = FailReason.RAISED) -> Ended:
    return Ended(delivery, Outcome.FAILED, 10, None, reason, "ValueError: no", "Traceback")


# --- submit ------------------------------------------------------------------------------------------------


def test_ids_count_up_in_the_order_of_the_request(bench: Any) -> None:
    """The jobs of a request get consecutive ids, those of the next request the ones after."""
    assert bench.submit("twice", "once") == SubmitReply("journal", 1, 2, False)
    assert bench.submit("again") == SubmitReply("journal", 3, 1, False)
    assert [bench.job(delivery).type for delivery in (1, 2, 3)] == ["twice", "once", "again"]


def test_a_key_stands_for_its_jobs(bench: Any) -> None:
    """The same request again, even in the same turn or after a restart, gets the same ids and makes no job."""
    first = bench.submit("twice", "twice", data=b"x", key="k")
    assert bench.submit("twice", "twice", data=b"x", key="k") == first
    bench.restart()
    assert bench.submit("twice", "twice", data=b"x", key="k") == first
    assert bench.core.counters.next_id == 3


def test_each_owner_has_request_keys_of_its_own(bench: Any) -> None:
    """However they are spelt: nobody can take one that another owner will use, in the same turn or before."""
    jobs = (NewJob("once"),)
    takers = [("", "alice/x"), ("alice", "x"), ("", "x"), ("alice/x", "x"), ("alice", "x/x")]
    for _ in range(2):
        for owner, request_key in takers:
            bench.ask(Submit(request_key, jobs), owner=owner)
        replies = [reply for _, reply in bench.turn().replies]
        assert replies == [SubmitReply("journal", delivery, 1, False) for delivery in range(1, 6)]
        assert [bench.job(delivery).owner for delivery in range(1, 6)] == [owner for owner, _ in takers]
        bench.restart()


def test_a_key_repeated_within_a_turn_makes_one_job(bench: Any) -> None:
    """A request that comes twice before the commit is known the second time."""
    for client in (b"1", b"2"):
        bench.ask(Submit("k", (NewJob("once"),)), (client, b""))
    replies = [reply for _, reply in bench.turn().replies]
    assert replies == [SubmitReply("journal", 1, 1, False)] * 2


@pytest.mark.parametrize(
    ("types", "data"),
    [(("once",), b"y"), (("once",), None), (("twice",), b"x"), (("once", "once"), b"x"), (("once",), b"")],
)
def test_a_key_with_other_jobs_is_a_conflict(bench: Any, types: tuple[str, ...], data: bytes | None) -> None:
    """Another type, other data (none is not the same as empty) or another number of jobs is another request."""
    bench.submit("once", data=b"x", key="k")
    reply = bench.submit(*types, data=data, key="k")
    assert isinstance(reply, Error) and reply.code is ErrorCode.KEY_CONFLICT
    assert bench.core.counters.next_id == 2


def test_no_two_lists_of_jobs_look_alike(bench: Any) -> None:
    """Where one job's data ends and the next job's type begins is part of what a key stands for."""
    lists = [
        (NewJob("a", b"b"), NewJob("c", b"")),
        (NewJob("a", b""), NewJob("bc", b"")),
        (NewJob("ab"), NewJob("c")),
        (NewJob("a", b"1 0 c"),),
        (NewJob("a", b""), NewJob("c")),
    ]
    codes = []
    for jobs in lists:
        bench.ask(Submit("k", jobs))
        ((_, reply),) = bench.turn().replies
        codes.append(getattr(reply, "code", None))
    assert codes == [None, *[ErrorCode.KEY_CONFLICT] * 4]


def test_any_type_is_taken_until_a_worker_has_named_its_own(ready: Any, make: Any) -> None:
    """Before: taken, `checked` false. After: unknown types are refused, with the known ones in the message."""
    assert make().submit("no such") == SubmitReply("journal", 1, 1, False)
    reply = ready.submit("once", "no such")
    assert reply.code is ErrorCode.UNKNOWN_TYPE
    assert "jobs[1]" in reply.message and "'no such'" in reply.message and "again, later, once, twice" in reply.message
    assert ready.core.counters.next_id == 1, "all or none"
    assert ready.submit("once") == SubmitReply("journal", 1, 1, True)


def test_limits_refuse_the_whole_request(make: Any) -> None:
    """One byte, one job too many: refused, and nothing of the request is taken."""
    bench = make(data_bytes=3, request_jobs=2, queued_jobs=3)
    assert bench.submit("x", "x", "x").code is ErrorCode.TOO_LARGE
    assert bench.submit("x", data=b"1234").code is ErrorCode.TOO_LARGE
    assert isinstance(bench.submit("x", "x", data=b"123"), SubmitReply)
    assert bench.submit("x", "x").code is ErrorCode.QUEUE_FULL
    assert isinstance(bench.submit("x"), SubmitReply)
    assert bench.submit("x").code is ErrorCode.QUEUE_FULL
    assert bench.core.queued == 3


def test_jobs_handed_over_count_as_queued_jobs(make: Any) -> None:
    """The limit is on all that has not ended."""
    bench = make(queued_jobs=1)
    bench.worker()
    bench.submit("once")
    assert bench.handed == [(1, 1)]
    assert bench.submit("once").code is ErrorCode.QUEUE_FULL


# --- heartbeats: the five cases -----------------------------------------------------------------------------------


def test_nothing_is_handed_over_before_a_beat(bench: Any) -> None:
    """Not to nobody, and not by a restarted broker that has not heard its worker yet."""
    bench.submit("once", "once")
    assert bench.handed == []
    bench.worker()
    assert bench.handed == [(1, 1)]
    bench.restart()
    bench.turn()
    assert bench.handed == [] and bench.core.worker.state is WorkerState.ABSENT


def test_fresh_a_session_is_committed_and_sent(bench: Any) -> None:
    """A worker without a session gets one; nothing is handed over before it names it."""
    bench.submit("once")
    effects = bench.heartbeat(session=None)
    (start,) = bench.sent(StartSession)
    assert (start.incarnation, start.session) == ("A", "session 1")
    assert effects.changes.session == ("A", "session 1", 1, 0, 1, 0, 0)
    assert bench.handed == []


def test_known_new_the_same_session_is_sent_again(bench: Any) -> None:
    """A worker that did not get its session gets the same again, even from a restarted broker."""
    bench.heartbeat(session=None)
    bench.restart()
    bench.heartbeat(session=None)
    (start,) = bench.sent(StartSession)
    assert start.session == "session 1"
    assert bench.journal.load().session.session == "session 1"


def test_known_goes_on_after_a_restart_of_the_broker(ready: Any) -> None:
    """Numbers, jobs in doubt and reports go on where they were."""
    ready.submit("once", "once")
    ready.taken = 1
    ready.restart()
    ready.heartbeat(running=Running(1, 1, 40))
    assert ready.handed == [] and ready.core.running.id == 1
    ready.report(1, done(1))
    assert ready.job(1).state is JobState.COMPLETED and ready.handed == [(2, 2)]


def test_fresh_puts_jobs_in_doubt_back_and_counts(ready: Any) -> None:
    """What a lost worker had been given goes back to its place with `reruns` + 1, under new numbers."""
    ready.learn("again")
    ready.submit("again", "again", "again")
    assert ready.handed == [(2, 2), (3, 3), (4, 4)]
    ready.worker("B")
    assert [ready.job(delivery).reruns for delivery in (2, 3, 4)] == [1, 1, 1]
    assert ready.handed == [(1, 2)], "a job once in doubt travels alone"
    assert ready.core.next_ids(9) == [2, 3, 4]
    (attempt,) = ready.details(2).attempts
    assert (attempt.outcome, attempt.reason) == (Outcome.INTERRUPTED, FailReason.WORKER_LOST)


def test_fresh_a_job_that_may_not_run_again_fails(ready: Any) -> None:
    """max_reruns 0: its worker was lost, so it is failed as worker_lost and never handed over again."""
    ready.submit("once", "once")
    ready.worker("B")
    job = ready.job(1)
    assert (job.state, job.reason, job.message) == (JobState.FAILED, FailReason.WORKER_LOST, LOST)
    assert ready.handed == [(1, 2)]


def test_reruns_are_bounded(ready: Any) -> None:
    """After max_reruns lost workers the next one is the last."""
    ready.submit("twice")
    for incarnation, state in (("B", JobState.QUEUED), ("C", JobState.QUEUED), ("D", JobState.FAILED)):
        ready.worker(incarnation)
        assert ready.job(1).state is state
    assert ready.job(1).reruns == 3


def test_fresh_goes_by_the_types_of_the_lost_worker(ready: Any) -> None:
    """A worker started without its --tasks must not fail what its predecessor was running."""
    ready.submit("twice")
    ready.incarnation = "B"
    ready.heartbeat(session=None, types=(TaskType("once"),))
    assert ready.job(1).state is JobState.QUEUED
    ready.heartbeat(types=(TaskType("once"),))
    assert ready.handed == [] and "'twice'" in ready.core.worker.warning


def test_repeats_for_a_lost_worker_do_not_reach_its_successor(ready: Any) -> None:
    """The last heartbeats of the one and the first of the other in one turn: nothing leaves under old numbers."""
    ready.submit("twice")
    ready.heartbeat()
    ready.heartbeat(turn=False)
    ready.incarnation = "B"
    ready.heartbeat(session=None)
    assert ready.handed == []


def test_ours_but_unknown_is_taken_over(ready: Any, bench: Any) -> None:
    """A session, or numbers, that the journal does not know: the journal was replaced."""
    ready.submit("once")
    for fields in ({"session": "other"}, {"taken": 2}, {"acked": 1}):
        ready.heartbeat(**fields)
        assert ready.sent(TakeOver) == [TakeOver("A")], fields
        assert not ready.core.worker.in_session
    ready.incarnation = "Z"
    ready.heartbeat(session="other")
    assert ready.sent(TakeOver) == [TakeOver("Z")]


@pytest.mark.parametrize("other", [None, BrokerName("there", "tcp://127.0.0.1:5570", "journal")])
def test_foreign_gets_nothing_and_is_named(ready: Any, other: BrokerName | None) -> None:
    """Another broker's worker is neither taken over nor given jobs; `note` says whose it is."""
    ready.incarnation = "Z"
    ready.heartbeat(session="other", broker=other)
    ready.submit("once")
    assert ready.handed == [] and ready.sent(TakeOver) == []
    assert ready.core.worker.state is WorkerState.FOREIGN
    assert ("there" in ready.core.worker.warning) == (other is not None)


def test_a_spooled_session_settles_what_is_with_the_worker(ready: Any) -> None:
    """A worker that delivers the spool of the one before is known, and given nothing; the next incarnation finds all
    settled, so that nothing is in doubt."""
    ready.learn("twice")
    ready.submit("twice", "twice", "once")
    ready.core.on_gone()
    ready.turn()
    ready.taken = 3
    ready.heartbeat(stopping=True, spooled=True)
    assert ready.handed == [] and ready.core.worker.state is WorkerState.STOPPING
    ready.report(2, done(2), Returned(3, True))
    assert ready.ack == (3, 4) and ready.job(2).state is JobState.COMPLETED and ready.handed == []
    ready.worker("B")
    assert (ready.job(3).reruns, ready.job(4).reruns) == (0, 0) and ready.core.running is None
    assert [job_id for _, job_id in ready.handed] == [3]


@pytest.mark.parametrize("other", [None, BrokerName("there", "tcp://127.0.0.1:5570", "journal")])
def test_a_spooled_session_of_another_journal_is_refused(ready: Any, other: BrokerName | None) -> None:
    """Whoever it served: nobody is served by it any more, so the worker is told to give it up."""
    ready.incarnation = "Z"
    ready.heartbeat(session="other", broker=other, stopping=True, spooled=True)
    assert ready.sent(TakeOver) == [TakeOver("Z")] and ready.core.worker.state is not WorkerState.FOREIGN


def test_a_warning_of_the_worker_is_shown(ready: Any) -> None:
    """Unless there is something worse to tell."""
    ready.heartbeat(warning="a spool was set aside")
    assert ready.core.worker.warning == "a spool was set aside" and ready.core.worker.state is WorkerState.READY
    ready.incarnation = "Z"
    ready.heartbeat(session="other", broker=None, warning="a spool was set aside")
    assert "a broker it does not name" in ready.core.worker.warning


def test_the_last_number_and_report_of_the_journal_are_known(ready: Any) -> None:
    """`taken` and `acked` at their bounds are known; beyond, they are not (see above)."""
    ready.submit("once", "once")
    ready.report(1, done(1))
    ready.taken, ready.acked = 2, 1
    ready.heartbeat()
    assert ready.core.worker.in_session and ready.sent(TakeOver) == []


# --- hand-overs ------------------------------------------------------------------------------------------------


def test_a_hand_over_is_in_the_same_commit(ready: Any) -> None:
    """What leaves under a number is journaled under it."""
    ready.learn("twice")
    ready.submit("twice", "twice")
    assert ready.handed == [(2, 2), (3, 3)]
    assert {delivery: job.id for delivery, job in ready.journal.load().in_flight.items()} == {2: 2, 3: 3}
    assert ready.journal.load().session.next_delivery == 4


def test_what_was_lost_is_handed_over_again_under_the_same_numbers(ready: Any) -> None:
    """Repeating is not re-running: the same numbers, nothing counted. Beats without progress alone mean nothing: it may
    still be on its way."""
    ready.learn("twice")
    ready.submit("twice", "twice", "twice")
    ready.taken = 2
    for _ in range(5):
        ready.heartbeat()
        assert ready.handed == [] and not ready.last.resend
    ready.core.on_received(Received(ready.core.session_name, 2, 0, 0, 0, again=True), True, ready.now)
    ready.turn()
    assert ready.handed == [(3, 3), (4, 4)] and ready.last.resend
    assert not ready.last.changes


def test_a_worker_that_comes_back_is_handed_what_it_does_not_have(ready: Any) -> None:
    """After a lost connection, and after a restart of the broker, on the first heartbeat."""
    ready.learn("twice")
    ready.submit("twice", "twice", "twice")
    ready.taken = 3
    ready.core.on_gone()
    ready.turn()
    ready.heartbeat()
    assert ready.handed == [(4, 4)] and ready.last.resend
    ready.restart()
    ready.heartbeat()
    assert ready.handed == [(4, 4)] and ready.last.resend


# --- results in pieces -----------------------------------------------------------------------------------


def piece(ready: Any, number: int, offset: int, body: bytes, round: int = 0) -> Any:
    ready.core.on_piece(Piece(ready.core.session_name, round, number, offset, body), ready.now)
    return ready.turn()


def rest(result: bytes) -> Ended:
    return Ended(1, Outcome.COMPLETED, 10, result)


def ack(ready: Any) -> Ack:
    (message,) = ready.sent(Ack)
    return message


def test_a_result_is_put_together_and_committed_whole(ready: Any) -> None:
    """Pieces in order, each acknowledged and none of them journaled, then the report with the rest."""
    ready.submit("twice")
    assert not piece(ready, 1, 0, b"one").changes
    assert ack(ready) == Ack(ready.core.session_name, 0, None, 0, 1, 3)
    piece(ready, 1, 3, b"two")
    assert ready.result(1) == (0, b"")
    ready.report(1, rest(b"three")._replace(result_from=6))
    assert ready.result(1) == (11, b"onetwothree")
    assert ready.ack == (1, None) and ack(ready).held_bytes == 0


@pytest.mark.parametrize("lost", ["a piece", "all"])
def test_a_result_without_its_beginning_is_not_taken(ready: Any, lost: str) -> None:
    """The job goes on, and the worker is told to send again."""
    ready.submit("twice")
    if lost == "a piece":
        piece(ready, 1, 0, b"one")
    ready.report(1, rest(b"three")._replace(result_from=6))
    assert ready.ack == (0, None) and ack(ready).again
    assert ready.job(1).state is JobState.QUEUED and not ready.last.changes.results


def test_a_restarted_broker_has_nothing_of_a_partial_result(ready: Any) -> None:
    """It says so when it hears how much was sent, and takes the result when it comes from the beginning."""
    ready.submit("twice")
    piece(ready, 1, 0, b"one")
    ready.restart()
    ready.taken = 1
    ready.heartbeat(sent=1)
    assert ack(ready) == Ack(ready.core.session_name, 0, None, 0, 0, 0, again=True)
    piece(ready, 1, 0, b"one", 1)
    ready.report(1, rest(b"two")._replace(result_from=3))
    assert ready.result(1) == (6, b"onetwo")


def test_a_beat_that_comes_after_everything_asks_for_nothing(ready: Any) -> None:
    """As many messages came as were sent before it."""
    ready.submit("twice")
    piece(ready, 1, 0, b"one")
    ready.heartbeat(sent=1)
    assert not ack(ready).again and ack(ready).count == 1
    ready.heartbeat(sent=2)
    assert ack(ready).again
    ready.heartbeat(round=1, sent=0)
    assert ready.sent(Ack) == []


def test_a_result_in_pieces_is_bounded(make: Any) -> None:
    """A worker that sends more than a result may have is not followed."""
    ready = make(result_bytes=10)
    ready.worker()
    ready.submit("twice")
    piece(ready, 1, 0, b"12345")
    piece(ready, 1, 5, b"123456")
    assert ack(ready).held_bytes == 5


def test_pieces_are_a_sign_of_life(ready: Any) -> None:
    """A worker whose heartbeats are late because the link is full is not silent."""
    ready.submit("twice")
    for offset in range(5):
        ready.after(2_000)
        piece(ready, 1, offset, b"x")
        assert ready.core.worker.state is WorkerState.READY


def test_jobs_start_in_the_order_of_their_ids_and_come_back_to_their_place(ready: Any) -> None:
    """A job that failed and may be tried again goes before those submitted after it."""
    ready.submit("twice", "once")
    ready.submit("once")
    ready.report(1, failed(1))
    assert ready.handed == [(2, 1)]
    ready.report(2, failed(2))
    assert ready.handed == [(3, 2)]


def test_a_job_that_may_not_run_twice_travels_alone(ready: Any) -> None:
    """One poison job must not take its neighbours along: neither before nor behind one with max_reruns 0."""
    ready.learn("twice", "once")
    ready.submit("twice", "once", "twice", "twice")
    assert [job_id for _, job_id in ready.handed] == [3]
    ready.report(3, done(3))
    assert [job_id for _, job_id in ready.handed] == [4]
    ready.report(4, done(4))
    assert [job_id for _, job_id in ready.handed] == [5, 6]


def test_a_type_that_the_worker_lacks_stops_the_hand_over_there(ready: Any) -> None:
    """No job is failed for it, none overtakes, a note says why; it goes on with a worker that has the type."""
    ready.submit("twice", "again")
    few = (TaskType("twice", max_attempts=2, max_reruns=2),)
    ready.heartbeat(types=few)
    ready.report(1, done(1))
    assert ready.handed == [] and "'again'" in ready.core.worker.warning
    ready.heartbeat()
    assert ready.handed == [(2, 2)] and ready.core.worker.warning is None


def test_types_are_remembered_by_the_journal(ready: Any) -> None:
    """What a worker announced holds for a restarted broker before any heartbeat."""
    ready.restart()
    assert ready.submit("no such").code is ErrorCode.UNKNOWN_TYPE


def test_nothing_goes_to_a_worker_that_is_stopping_silent_or_gone(ready: Any) -> None:
    """Each of them takes nothing, and a heartbeat of a ready worker mends it."""
    ready.heartbeat(stopping=True)
    ready.submit("once")
    assert ready.handed == [] and ready.core.worker.state is WorkerState.STOPPING
    ready.core.on_gone()
    ready.turn()
    assert ready.handed == [] and ready.core.worker.state is WorkerState.ABSENT
    ready.heartbeat(turn=False)
    ready.mono_ms += 3_000
    ready.turn()
    assert ready.handed == [] and ready.core.worker.state is WorkerState.SILENT
    ready.heartbeat()
    assert ready.handed == [(1, 1)]


def test_the_next_deadline_is_when_the_worker_counts_as_silent(ready: Any) -> None:
    """3 s after its last heartbeat, and none once that was noticed."""
    ready.heartbeat()
    assert ready.core.next_deadline_ms(ready.mono_ms) == ready.mono_ms + 3_000
    ready.mono_ms += 3_000
    ready.turn()
    assert ready.core.next_deadline_ms(ready.mono_ms) is None


def test_more_jobs_than_are_fetched_at_once_all_get_their_turn(ready: Any) -> None:
    """The records of waiting jobs come from the journal in portions; order and content are as submitted."""
    ready.learn("twice")
    ready.submit(*["twice"] * 1500, data=b"d")
    handed = ready.handed
    while handed[-1][1] < 1501:
        before = len(handed)
        ready.report(handed[0][0], *(done(delivery) for delivery, _ in handed))
        handed += ready.handed
        while ready.core.next_deadline_ms(ready.mono_ms) == ready.mono_ms:  # it lacks records: the next turn has them
            handed += ready.turn() and ready.handed
        assert len(handed) > before
    ids = [job_id for _, job_id in handed]
    assert ids == list(range(2, 1502))


# --- reports -----------------------------------------------------------------------------------------------------


def test_a_report_is_committed_and_acknowledged_once(ready: Any) -> None:
    """The result is stored, the job is final, the acknowledgement leaves in the same turn."""
    ready.submit("once")
    ready.report(1, done(1))
    job = ready.job(1)
    assert (job.state, job.attempts, job.version) == (JobState.COMPLETED, 1, 1)
    assert ready.result(1) == (3, b"\xa2ok")
    assert ready.ack == (1, None)
    assert ready.core.counters.completed == 1


def test_a_repeated_report_changes_nothing_and_is_acknowledged(ready: Any) -> None:
    """Also when new ones stand behind it in the same message."""
    ready.submit("once", "once")
    ready.report(1, done(1))
    ready.report(1, done(1))
    assert ready.ack == (1, None) and not ready.last.changes.changed and not ready.last.changes.results
    ready.report(1, done(1), failed(2))
    assert ready.ack == (2, None) and ready.job(2).state is JobState.FAILED
    assert ready.core.counters.completed == 1


def test_a_report_after_a_gap_waits_for_those_before_it(ready: Any) -> None:
    """Only the next one is taken; the acknowledgement says up to where."""
    ready.learn("twice")
    ready.submit("twice", "twice")
    ready.report(3, done(3))
    assert ready.ack == (1, None) and ready.job(3).state is JobState.QUEUED
    ready.report(2, done(2), done(3))
    assert ready.ack == (3, None) and ready.job(3).state is JobState.COMPLETED


def test_reports_of_another_session_are_dropped(ready: Any) -> None:
    """Neither taken nor acknowledged."""
    ready.submit("once")
    ready.report(1, done(1), session="session 0")
    assert ready.ack is None and ready.job(1).state is JobState.QUEUED


def test_reports_before_a_beat_are_dropped(ready: Any) -> None:
    """A restarted broker believes nothing before it has heard who is there; the worker repeats it."""
    ready.submit("once")
    ready.restart()
    ready.report(1, done(1))
    assert ready.ack is None
    ready.heartbeat()
    ready.report(1, done(1))
    assert ready.ack == (1, None)


def test_an_end_out_of_turn_means_a_replaced_journal(ready: Any) -> None:
    """A number that is not the next to end cannot be: the worker is taken over and nothing is committed."""
    ready.learn("twice")
    ready.submit("twice", "twice")
    ready.report(2, done(3))
    assert ready.sent(TakeOver) == [TakeOver("A")] and ready.last.warnings
    assert [ready.job(delivery).state for delivery in (2, 3)] == [JobState.QUEUED] * 2
    assert ready.journal.load().session.reports_done == 1


def test_an_end_of_another_job_means_a_replaced_journal(ready: Any) -> None:
    """The number is the next to end, but this journal gave it to another job: nothing is settled."""
    ready.submit("twice", "twice")
    ready.report(1, done(1)._replace(id=2))
    assert ready.sent(TakeOver) == [TakeOver("A")] and "job 2" in ready.last.warnings[0]
    assert ready.job(1).state is JobState.QUEUED and ready.ack == (0, None)


def test_a_beat_that_runs_another_job_means_a_replaced_journal(ready: Any) -> None:
    """Seen before that job ends."""
    ready.submit("twice", "twice")
    ready.taken = 1
    ready.heartbeat(running=Running(1, 2, 5))
    assert ready.sent(TakeOver) == [TakeOver("A")] and ready.core.running is None
    ready.report(1, done(1))
    assert ready.ack is None, "not believed before it is known again"


def test_a_lost_acknowledgement_is_sent_again_on_a_beat(ready: Any) -> None:
    """A heartbeat whose `acked` is behind gets one."""
    ready.submit("once")
    ready.report(1, done(1))
    ready.taken = 1
    ready.heartbeat(acked=0)
    assert ready.ack == (1, None)
    ready.heartbeat(acked=1)
    assert ready.ack is None


# --- reports that cannot be believed -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "report",
    [
        Invalid(True, 1, 1, "outcome must be …"),
        Invalid(True, 0, 0, "n must be …"),
        Ended(1, Outcome.COMPLETED, 7, b"\xda" + b"x" * 1000, id=1),
    ],
    ids=["invalid", "unreadable", "too large"],
)
def test_an_end_that_cannot_be_kept_fails_its_job(make: Any, report: Ended | Invalid) -> None:
    """It is rejected by its number and acknowledged, so that it does not come again; those behind it go on."""
    bench = make(result_bytes=1000)
    bench.worker()
    bench.learn("twice")
    bench.submit("twice", "twice")
    number_1 = report._replace(delivery=2 if report.delivery else 0, id=2 if report.id else 0)
    bench.report(2, number_1, done(3))
    (rejected,) = bench.sent(Rejected)
    assert rejected[:2] == (bench.core.session_name, 2) and bench.ack == (3, None)
    assert bench.last.pipe.index(rejected) < len(bench.last.pipe) - 1, "before the acknowledgement"
    job = bench.job(2)
    assert (job.state, job.reason, job.message) == (JobState.FAILED, FailReason.BAD_RESULT, rejected.message)
    assert bench.job(3).state is JobState.COMPLETED and bench.sent(TakeOver) == []


def test_a_result_as_large_as_may_be_is_kept(make: Any) -> None:
    """The limit itself is allowed."""
    bench = make(result_bytes=1000)
    bench.worker()
    bench.submit("once")
    bench.report(1, done(1)._replace(result=b"\xc5\x03\xe5" + b"x" * 997))
    assert bench.job(1).state is JobState.COMPLETED and bench.sent(Rejected) == []


@pytest.mark.parametrize(
    "report",
    [Invalid(False, 0, 0, "it must be …"), Invalid(False, 1, 0, "stopping must be …"), Invalid(True, 9, 1, "x")],
    ids=repr,
)
def test_a_report_that_could_be_anything_means_a_broken_worker(ready: Any, report: Invalid) -> None:
    """Or one of another number than ends next: nothing of it is settled, the worker starts anew."""
    ready.submit("twice")
    ready.report(1, report)
    assert ready.sent(TakeOver) == [TakeOver("A")] and ready.last.warnings and ready.sent(Rejected) == []
    assert ready.job(1).state is JobState.QUEUED and ready.ack == (0, None)


# --- where to go on after a return, and standing still ---------------------------------------------------------


def test_where_to_go_on_is_said_until_the_worker_has_heard_it(ready: Any) -> None:
    """In each acknowledgement from the one that covers the return on, and in none that it could mislead."""
    ready.learn("twice")
    ready.submit("twice", "twice")
    ready.taken = 3
    ready.report(2, Returned(3, False))
    assert ready.ack == (2, 4)
    ready.report(3, done(2))
    assert ready.ack == (3, 4) and [delivery for delivery, _ in ready.handed] == [4]
    ready.heartbeat(acked=1)
    assert ready.ack == (3, 4), "it has not heard it yet"
    ready.heartbeat(acked=3, taken=3)
    ready.submit("twice")
    ready.report(4, done(4))
    assert ready.ack == (4, None)


def test_the_end_of_a_later_job_shows_that_it_was_heard(ready: Any) -> None:
    """No heartbeat is needed for that."""
    ready.learn("twice")
    ready.submit("twice", "twice")
    ready.report(2, Returned(3, False), done(2))
    assert ready.ack == (3, 4)
    ready.report(4, done(4))
    assert ready.ack == (4, None)


def test_a_broker_that_starts_says_where_to_go_on_if_it_may_not_have_been_heard(ready: Any) -> None:
    """It does not know which report returned: any that is not acknowledged may have."""
    ready.learn("twice")
    ready.submit("twice", "twice")
    ready.report(2, Returned(3, False))
    ready.restart()
    ready.heartbeat(acked=1, taken=3)
    assert ready.ack == (2, 4)
    ready.report(3, done(2))
    assert [delivery for delivery, _ in ready.handed] == [4]
    ready.restart()
    ready.heartbeat(acked=1, taken=4)
    assert ready.ack == (3, None), "it has taken the number at which it goes on"


def test_a_worker_that_does_not_go_on_is_named(ready: Any) -> None:
    """It says that it runs nothing, although it was given something, for several heartbeats: a sentence in `info`."""
    ready.submit("once")
    for taken, what in ((0, "taken job 1, number 1"), (1, "begun or reported the end of job 1, number 1")):
        for _ in range(6):
            assert ready.core.worker.warning is None
            ready.mono_ms += 1_000
            ready.heartbeat(taken=taken)
        assert what in ready.core.worker.warning and ready.core.worker.state is WorkerState.READY
        said = ready.core.worker.warning
        ready.mono_ms += 1_000
        ready.heartbeat(taken=taken)
        assert ready.core.worker.warning == said, "the log says it once"
        ready.mono_ms += 1_000
        ready.heartbeat(taken=1, running=Running(1, 1, 5))
        assert ready.core.worker.warning is None


def test_a_worker_without_jobs_or_with_a_long_one_is_not_named(ready: Any) -> None:
    """However long it takes."""
    for _ in range(9):
        ready.mono_ms += 1_000
        ready.heartbeat()
    ready.submit("once")
    for _ in range(9):
        ready.mono_ms += 1_000
        ready.heartbeat(taken=1, running=Running(1, 1, 5))
    assert ready.core.worker.warning is None


def test_attempts_are_bounded(ready: Any) -> None:
    """max_attempts 2: the first failure is tried again, the second is final, with both in the record."""
    ready.submit("twice")
    ready.report(1, failed(1))
    assert ready.job(1).state is JobState.QUEUED and ready.handed == [(2, 1)]
    ready.report(2, failed(2))
    job = ready.job(1)
    assert (job.state, job.attempts, job.reason) == (JobState.FAILED, 2, FailReason.RAISED)
    assert [a.number for a in ready.details(1).attempts] == [1, 2]
    assert ready.details(1).attempts[0].detail == "Traceback"


@pytest.mark.parametrize("reason", [FailReason.BAD_DATA, FailReason.BAD_RESULT])
def test_a_failure_that_would_come_again_is_not_tried_again(ready: Any, reason: FailReason) -> None:
    """Whatever max_attempts says."""
    ready.submit("twice")
    ready.report(1, failed(1, reason))
    assert ready.job(1).state is JobState.FAILED and ready.job(1).attempts == 1


def test_an_interrupted_run_counts_as_a_lost_worker(ready: Any) -> None:
    """Told to stop at once: back to its place if max_reruns allows it, else failed as worker_lost."""
    ready.submit("again", "once")
    ready.report(1, Ended(1, Outcome.INTERRUPTED, 10))
    assert (ready.job(1).state, ready.job(1).reruns, ready.job(1).attempts) == (JobState.QUEUED, 1, 0)
    ready.report(2, Ended(2, Outcome.INTERRUPTED, 10))
    assert (ready.job(1).state, ready.job(1).reason) == (JobState.FAILED, FailReason.WORKER_LOST)
    ready.report(3, Ended(3, Outcome.INTERRUPTED, 10))
    assert (ready.job(2).state, ready.job(2).reason) == (JobState.FAILED, FailReason.WORKER_LOST)


def test_a_completed_job_without_a_result_has_nil(ready: Any) -> None:
    """So that 'no result' and 'not completed' stay two things."""
    ready.submit("once")
    ready.report(1, Ended(1, Outcome.COMPLETED, 5))
    assert ready.result(1) == (1, b"\xc0")


def test_success_after_a_failure_leaves_no_reason(ready: Any) -> None:
    """The reason of an earlier run stays in its record alone."""
    ready.submit("twice")
    ready.report(1, failed(1))
    ready.report(2, done(2))
    job = ready.job(1)
    assert (job.state, job.reason, job.message, job.attempts) == (JobState.COMPLETED, None, None, 2)


# --- return ------------------------------------------------------------------------------------------------------


def test_returned_jobs_go_back_uncounted_and_their_numbers_are_void(ready: Any) -> None:
    """From n on, in flight too; `resume` is a number never given out, and comes with the acknowledgement."""
    ready.learn("twice")
    ready.submit("twice", "twice", "twice")
    assert ready.handed == [(2, 2), (3, 3), (4, 4)]
    ready.report(2, Returned(3, False))
    assert ready.ack == (2, 5) and ready.handed == []
    assert set(ready.journal.load().in_flight) == {2}
    assert [(ready.job(delivery).reruns, ready.job(delivery).attempts) for delivery in (3, 4)] == [(0, 0)] * 2


def test_nothing_is_handed_over_after_a_return_until_the_rest_is_settled(ready: Any) -> None:
    """Not even by a broker that was restarted in between."""
    ready.learn("twice")
    ready.submit("twice", "twice", "twice")
    ready.report(2, Returned(3, False))
    ready.taken = 4
    ready.heartbeat()
    assert ready.handed == []
    ready.restart()
    ready.heartbeat()
    assert ready.handed == []
    ready.report(3, done(2))
    assert ready.handed[0] == (5, 3)


def test_a_repeated_return_voids_nothing_new(ready: Any) -> None:
    """Its report number is known by then; the acknowledgement says the same `resume` again."""
    ready.learn("twice")
    ready.submit("twice", "twice")
    ready.report(2, Returned(2, False))
    assert ready.ack == (2, 4) and ready.handed[0] == (4, 2)
    ready.report(2, Returned(2, False))
    assert ready.ack == (2, 4) and 4 in ready.journal.load().in_flight


def test_a_worker_that_returns_because_it_stops_gets_nothing_more(ready: Any) -> None:
    """The report says it before any heartbeat does."""
    ready.learn("twice")
    ready.submit("twice", "twice")
    ready.report(2, Returned(2, True))
    assert ready.handed == [] and ready.core.worker.state is WorkerState.STOPPING


# --- what is said of jobs -----------------------------------------------------------------------------------------


def test_ahead_counts_what_must_end_first(ready: Any) -> None:
    """The running job included; handed over or not makes no difference."""
    ready.learn("twice")
    ready.submit("twice", "twice", "once", "twice")
    assert [ready.core.ahead(ready.job(delivery)) for delivery in (2, 3, 4, 5)] == [0, 1, 2, 3]
    assert ready.core.next_ids(9) == [2, 3, 4, 5]
    assert ready.core.next_ids(1) == [2]


def test_ahead_counts_jobs_and_not_numbers(ready: Any) -> None:
    """Behind a return there is a gap in them, across which even a restarted broker must not hand over."""
    ready.learn("twice")
    ready.submit("twice", "twice", "twice", "twice")
    ready.report(2, Returned(4, False))
    ready.restart()
    ready.taken = 5
    ready.heartbeat()
    ready.report(3, done(2))
    assert ready.handed == [] and set(ready.journal.load().in_flight) == {3}
    assert [ready.core.ahead(ready.job(delivery)) for delivery in (3, 4, 5)] == [0, 1, 2]
    ready.report(4, done(3))
    assert ready.handed == [(6, 4), (7, 5)]


def test_a_start_is_told_and_only_its_time_is_journaled(ready: Any) -> None:
    """From `started` or a heartbeat; the end of n says that n + 1 runs; each start is told once."""
    ready.learn("twice")
    ready.submit("twice", "twice")
    session = ready.core.session_name
    ready.core.on_started(Started(session, 3, 3), ready.now)
    assert ready.turn().job_changes == [], "3 is not the next"
    ready.core.on_started(Started("other", 2, 2), ready.now)
    assert ready.turn().job_changes == []
    ready.core.on_started(Started(session, 2, 2), ready.now)
    (change,) = ready.turn().job_changes
    assert (change.job.id, change.change, ready.core.running.id) == (2, None, 2)
    assert not ready.last.changes.changed and ready.last.changes.session.began_delivery == 2
    ready.taken = 3
    assert ready.heartbeat(running=Running(2, 2, 9)).job_changes == []
    ready.report(2, done(2))
    assert [(change.job.id, change.job.state, change.change is None) for change in ready.last.job_changes] == [
        (2, JobState.COMPLETED, False),
        (3, JobState.QUEUED, True),
    ]
    assert ready.core.running.id == 3 and ready.core.queued == 0


def test_every_journaled_change_is_told_with_the_next_change_number(ready: Any) -> None:
    """A listener to all jobs can see gaps: the numbers have none, over restarts too."""
    seen: list[int] = []

    def note() -> None:
        seen.extend(change.change for change in ready.last.job_changes if change.change is not None)

    ready.submit("twice", "once")
    note()
    ready.report(1, failed(1))
    note()
    ready.restart()
    ready.heartbeat()
    ready.report(2, done(2))
    note()
    assert seen == [1, 2, 3, 4] and ready.core.counters.change == 4


def test_the_version_of_a_job_grows_with_every_change(ready: Any) -> None:
    """Queued 0, retried 1, put back 2, completed 3."""
    ready.submit("twice")
    versions = [ready.job(1).version]
    ready.report(1, failed(1))
    versions.append(ready.job(1).version)
    ready.worker("B")
    versions.append(ready.job(1).version)
    ready.report(1, done(1))
    versions.append(ready.job(1).version)
    assert versions == [0, 1, 2, 3]


def test_an_interrupted_record_has_no_start_that_is_not_known(ready: Any) -> None:
    """A job in doubt that was not seen to begin has no start in its record, not that of an earlier run."""
    ready.submit("twice")
    ready.report(1, failed(1))
    ready.worker("B")
    first, second = ready.details(1).attempts
    assert first.started_at is not None and second.started_at is None


# --- the disk -------------------------------------------------------------------------------------------------------


def test_a_failed_commit_leaves_the_core_to_be_loaded_anew(ready: Any) -> None:
    """What was not committed is gone with the core: the ids and numbers are given to others, nothing is lost."""
    ready.submit("once")
    ready.journal._db.connection.set_authorizer(lambda action, what, *_: int(action == sqlite3.SQLITE_UPDATE))
    with pytest.raises(StorageError):
        ready.submit("once")
    ready.journal._db.connection.set_authorizer(lambda *_: 0)
    ready.restart()
    assert ready.core.counters.next_id == 2
    assert ready.submit("twice").first_id == 2


def test_jobs_that_the_journal_has_no_room_for_are_refused(bench: Any) -> None:
    """A submit and a retry alike, and what was admitted earlier in the same turn counts."""
    bench.rules = Rules(journal_bytes=bench.journal.used_bytes() + 20_000)
    bench.restart()
    assert bench.submit("x", data=bytes(19_800)).code is ErrorCode.QUEUE_FULL
    requests = [Submit(request_key, (NewJob("x", bytes(15_000)),)) for request_key in ("1", "2")]
    bench.read(*requests)
    for request in requests:
        bench.core.change(request, (), bench.now)
    (_, first), (_, second) = bench.turn().replies
    assert first.first_id == 1 and second.code is ErrorCode.QUEUE_FULL
    bench.cancel(1)
    assert bench.retry(1).code is ErrorCode.QUEUE_FULL
    bench.rules = Rules()
    bench.restart()
    assert bench.retry(1).first_id == 2
