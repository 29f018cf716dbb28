"""The worker's state machine: every input against every state, then the rules one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

from zjobs.messages.dispatch import (
    Ack,
    CancelRun,
    Describe,
    Described,
    DispatchedJob,
    Ended,
    Heartbeat,
    Jobs,
    Output,
    Piece,
    PipeMessage,
    Progress,
    Recall,
    Received,
    Rejected,
    Reports,
    Returned,
    Sent,
    Started,
    StartSession,
    TakeOver,
)
from zjobs.messages.records import BrokerName, TaskType
from zjobs.messages.states import FailReason, Outcome
from zjobs.worker.core import core as c
from zjobs.worker.core import effects as e
from zjobs.worker.core import outbox, session
from zjobs.worker.core.core import HURRY_MS, RETRY_SPOOL_MS
from zjobs.worker.core.interfaces import Spool
from zjobs.worker.core.run import LOOK_MS, PIECE_BYTES, STUCK_MS, Seen
from zjobs.worker.core.session import OUTPUT_UNACKNOWLEDGED_BYTES
from zjobs.worker.core.states import TABLE as TRANSITIONS
from zjobs.worker.core.states import Action, Signal, State

OUTPUT_BYTES = 1 << 20

OWN, NEXT, SESSION = "own", "next", "session"
BROKER = BrokerName("host", "tcp://127.0.0.1:5570", "journal")
DIGEST = "00112233aabbccdd"
TYPES = (TaskType("t", schema_digest=DIGEST), TaskType("limited", time_limit_ms=5000, grace_ms=300))


class Worker:
    """A core with a task process that begins each job as soon as it is offered and ends it when the test says so."""

    def __init__(self) -> None:
        self.core = c.WorkerCore(OWN, TYPES, "host", 17, schemas={DIGEST: b"{}"})
        self.now = 1000
        self.at_task: list[int] = []
        self.sent: list[Any] = []
        self.done: list[e.Effect] = []
        self.seen = Seen(None, None, 0)
        self.turn()

    def turn(self, after_ms: int = 0) -> list[e.Effect]:
        """One turn of the loop; returns all effects, and notes what was sent."""
        self.now += after_ms
        turn: list[e.Effect] = []
        while effects := self.core.turn(self.now):
            turn += effects
            for effect in effects:
                if isinstance(effect, e.Offer):
                    self.at_task.append(effect.delivery)
                elif isinstance(effect, e.RecallUnbegun):
                    self.core.on_recalled(self.at_task[1:], self.now)
                    del self.at_task[1:]
                elif isinstance(effect, e.Look):
                    assert effect.delivery == self.at_task[0]
                    self.core.on_seen(self.seen, self.now)
                elif isinstance(effect, e.Renew):
                    self.at_task.clear()
        self.sent = [effect.message for effect in turn if isinstance(effect, e.Publish)]
        self.done += turn
        return turn

    def pipe(self, message: Any) -> list[e.Effect]:
        self.core.on_pipe(message, self.now, NEXT)
        return self.turn()

    def session(self) -> Worker:
        self.pipe(StartSession(OWN, SESSION, BROKER, 1000, OUTPUT_BYTES))
        return self

    def jobs(self, first: int, count: int) -> list[e.Effect]:
        return self.pipe(jobs(first, count))

    def end(self, result: bytes = b"\xc0", outcome: Outcome = Outcome.COMPLETED) -> list[e.Effect]:
        self.core.on_ended(ended(self.at_task.pop(0), result)._replace(outcome=outcome, id=0), self.now)
        return self.turn()

    def die(self) -> list[e.Effect]:
        """The task process dies while running a job."""
        self.core.on_task_process_died(self.at_task[:1], self.at_task[1:], "it died", self.now)
        self.at_task.clear()
        return self.turn()

    def reports(self) -> list[Any]:
        """What the last turn reported."""
        return [report for message in self.sent if isinstance(message, Reports) for report in message.reports]

    def spooled(self) -> list[Spool]:
        """What was to be kept for the next worker, each time."""
        return [effect.spool for effect in self.done if isinstance(effect, e.SaveSpool)]

    def progress(self) -> list[Progress]:
        return [message for message in self.sent if isinstance(message, Progress)]

    def heartbeats(self) -> list[Heartbeat]:
        return [message for message in self.sent if isinstance(message, Heartbeat)]


def jobs(first: int, count: int, session: str = SESSION) -> Jobs:
    return Jobs(session, first, tuple(DispatchedJob(100 + first + i, "t", None, 1) for i in range(count)))


def ended(delivery: int, result: bytes = b"\xc0") -> Ended:
    """As it is reported; the task process does not tell the id."""
    return Ended(delivery, Outcome.COMPLETED, 5, result, id=100 + delivery)


# --- every input against every state -------------------------------------------------------------------


def no_session() -> Worker:
    return Worker()


def idle() -> Worker:
    return Worker().session()


def running() -> Worker:
    """Number 1 has ended, 2 runs, 3 is behind it; report 1 is not acknowledged."""
    worker = idle()
    worker.jobs(1, 3)
    worker.end()
    return worker


def returning() -> Worker:
    """2 runs, 3 was returned by report 2."""
    worker = running()
    worker.turn(50)
    return worker


def stopping() -> Worker:
    """2 runs, 3 was returned by report 2, and no more will be taken."""
    worker = running()
    worker.core.stop(worker.now)
    worker.turn()
    return worker


def at_once() -> Worker:
    """2 is being killed."""
    worker = stopping()
    worker.core.stop(worker.now)
    worker.turn()
    return worker


def giving_up() -> Worker:
    """2 is being killed, and nobody is waited for."""
    worker = at_once()
    worker.core.stop(worker.now)
    worker.turn()
    return worker


def exited() -> Worker:
    """It had nothing to tell."""
    worker = no_session()
    worker.core.stop(worker.now)
    worker.turn()
    return worker


STATES = [no_session, idle, running, returning, stopping, at_once, giving_up]
REACHED = {
    State.NO_SESSION: no_session,
    State.TAKING: running,
    State.RETURNING: returning,
    State.STOPPING: stopping,
    State.KILLING: at_once,
    State.GIVING_UP: giving_up,
    State.EXITED: exited,
}
MEANT_FOR_IT = (
    StartSession(OWN, "new", BROKER, 1000, OUTPUT_BYTES),
    Jobs(SESSION, 4, (DispatchedJob(104, "t", None, 1),), 5),
    Piece(SESSION, 5, 4, 0, b"data"),
    Ack(SESSION, 1),
    Rejected(SESSION, 1, "it is too large"),
    Sent(SESSION, 5, 9),
    CancelRun(SESSION, 2),
    Recall(SESSION),
    Describe(OWN, (DIGEST,)),
    TakeOver(OWN),
)


@pytest.mark.parametrize("state", State, ids=lambda state: state.name.lower())
@pytest.mark.parametrize("heard", [*MEANT_FOR_IT, *Signal], ids=lambda heard: type(heard).__name__)
def test_every_message_in_every_state(state: State, heard: Any) -> None:
    """What the table names happens and leads to the state it names; whatever it does not name changes nothing."""
    worker = REACHED[state]()
    assert worker.core.state is state
    before = snapshot(worker)
    worker.now += 1
    if heard is Signal.STOP:
        worker.core.stop(worker.now)
    elif heard is Signal.SUBSCRIPTION:
        worker.core.on_subscription(worker.now)
    else:
        worker.core.on_pipe(heard, worker.now, NEXT)
    found = TRANSITIONS.get((state, heard if isinstance(heard, Signal) else type(heard)))
    changed = snapshot(worker) != before
    if found is None:
        assert not changed and worker.turn() == []
    else:
        action, after = found
        assert worker.core.state is after
        assert changed, f"the table names {action}, and nothing came of it"


def test_every_message_is_fed() -> None:
    """To each state, and each action has its place in the table."""
    assert {type(message) for message in MEANT_FOR_IT} == set(get_args(PipeMessage))
    assert {action for action, _ in TRANSITIONS.values()} == set(Action)
    assert set(REACHED) == set(State)


INPUTS: dict[str, Any] = {
    "session": StartSession(OWN, "new", BROKER, 1000, OUTPUT_BYTES),
    "session of another": StartSession("other", "new", BROKER, 1000, OUTPUT_BYTES),
    "take_over": TakeOver(OWN),
    "take_over of another": TakeOver("other"),
    "next jobs": "next",
    "jobs known in part": "overlap",
    "jobs after a gap": "gap",
    "jobs known": "known",
    "jobs of another": jobs(1, 9, "other"),
    "ack": Ack(SESSION, 1, 4),
    "ack of the return": Ack(SESSION, 2, 10),
    "ack of nothing": Ack(SESSION, 0, 1),
    "ack of the future": Ack(SESSION, 99, 10),
    "ack of another": Ack("other", 1, 4),
    "cancel_run of the running": CancelRun(SESSION, 2),
    "cancel_run of one behind": CancelRun(SESSION, 3),
    "cancel_run of one ended": CancelRun(SESSION, 1),
    "cancel_run of one coming": CancelRun(SESSION, 99),
    "cancel_run of another": CancelRun("other", 2),
    "recall": Recall(SESSION),
    "describe": Describe(OWN, ("unknown", DIGEST)),
    "describe of another": Describe("other", (DIGEST,)),
    "return_jobs of another": Recall("other"),
    "sent, and more than came": Sent(SESSION, 5, 9),
    "sent of another": Sent("other", 5, 9),
    "rejected": Rejected(SESSION, 1, "it is too large"),
    "piece of the next": "piece",
}

STOPPING = ("stopping", "at_once", "giving_up")
# What happens; all that is not here is dropped: nothing changes and nothing is sent.
TABLE: dict[tuple[str, str], str] = {
    ("no_session", "session"): "starts session",
    **{(state.__name__, "take_over"): "starts anew" for state in STATES},
    **{(state.__name__, "describe"): "describes" for state in STATES},
    **{(state, "next jobs"): "takes 2" for state in ("idle", "running")},
    **{(state, "jobs known in part"): "takes 1" for state in ("idle", "running")},
    **{(state, "ack"): "forgets report" for state in ("running", "returning", *STOPPING)},
    **{(state, "ack of the return"): "resumes" for state in ("returning", *STOPPING)},
    **{(state, "cancel_run of the running"): "ends 2" for state in ("running", "returning", "stopping")},
    ("running", "cancel_run of one behind"): "returns 3",
    ("running", "cancel_run of one coming"): "returns 3",
    **{("idle", name): "returns 1" for name in INPUTS if name.startswith("cancel_run") and not name.endswith("other")},
    ("running", "recall"): "returns 3",
    **{(state.__name__, "sent, and more than came"): "asks for it" for state in STATES if state is not no_session},
    **{(state.__name__, "rejected"): "says so" for state in STATES if state is not no_session},
    **{(state, "piece of the next"): "keeps it" for state in ("idle", "running")},
}


def message_for(worker: Worker, message: Any) -> Any:
    """The jobs messages depend on the last number taken."""
    after = worker.core.session.inbox.taken + 1
    made = {"next": jobs(after, 2), "gap": jobs(after + 1, 2), "overlap": jobs(max(1, after - 3), min(4, after))}
    if message == "piece":
        return Piece(SESSION, 5, after, 0, b"data")
    if message == "known":
        return jobs(1, max(0, after - 1))
    return made.get(message, message) if isinstance(message, str) else message


def snapshot(worker: Worker) -> dict[str, Any]:
    core = worker.core
    parts = (
        core,
        core.session,
        core.session.outbox,
        core.session.run,
        core.session.returning,
        core._farewell,
        core.session.inbox,
        core.session.inbox._arrivals,
    )
    return {f"{type(part).__name__}.{name}": repr(value) for part in parts for name, value in vars(part).items()}


def dropped(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether nothing has changed but how much has arrived, which is counted whatever becomes of it."""
    return {name for name in after if after[name] != before[name]} <= {
        f"Arrivals.{name}" for name in ("_round", "_count", "_unconfirmed_bytes")
    }


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("name", INPUTS)
def test_every_input_in_every_state(state: Callable[[], Worker], name: str) -> None:
    """What the table says happens, and whatever it does not mention changes nothing."""
    worker = state()
    before, before_state = snapshot(worker), worker.core.state
    taken, acked = worker.core.session.inbox.taken, worker.core.session.outbox.acked
    effects = worker.pipe(message_for(worker, INPUTS[name]))
    match TABLE.get((state.__name__, name), "drop"):
        case "drop":
            assert set(effects) <= {e.Publish(one) for one in received(worker)} and dropped(before, snapshot(worker))
        case "starts session":
            assert worker.core.session.id == "new" and worker.heartbeats()[0].session == "new"
        case "starts anew":
            assert e.Renew(NEXT) in effects
            assert (worker.core.incarnation, worker.core.session.id, worker.core.session.inbox.taken) == (NEXT, None, 0)
            assert worker.heartbeats()[0].incarnation == NEXT
            assert (e.Exit() in effects) == worker.core.state.stopping
        case "describes":
            assert [each for each in worker.sent if isinstance(each, Described)] == [Described(OWN, DIGEST, b"{}")]
        case "forgets report":
            assert (worker.core.session.outbox.acked, worker.core.session.inbox.taken) == (acked + 1, taken)
        case "resumes":
            assert worker.core.session.inbox.taken == 9 and worker.reports() == []
            assert worker.core.state is (State.TAKING if state is returning else before_state)
        case "asks for it":
            assert received(worker) == [Received(SESSION, taken, 5, 0, 0, again=True)]
        case "says so":
            assert effects == [e.Say("the broker rejected report 1: it is too large")]
        case "keeps it":
            assert received(worker)[0].held_bytes == len(b"data")
        case "ends 2":
            assert e.EndTask(2) in effects and (e.RecallUnbegun() in effects) == (state is running)
            assert worker.reports() == ([Returned(3, False)] if state is running else [])
        case "returns 3":
            assert worker.reports() == [Returned(3, False)] and e.EndTask(2) not in effects
        case "returns 1":
            assert worker.reports() == [Returned(1, False)]
        case takes:
            assert worker.core.session.inbox.taken == taken + int(takes.split()[1])


def test_table_is_of_this_test() -> None:
    """No entry of the table is misspelt, so none of them is idle."""
    assert {state for state, _ in TABLE} <= {state.__name__ for state in STATES}
    assert {name for _, name in TABLE} <= set(INPUTS)


def test_schemas_do_not_hold_up_heartbeats() -> None:
    """Of much that is asked for only so much is told at a time; the broker asks for the rest again."""
    worker = idle()
    schemas = {f"{number:016x}": b"x" * (100 << 10) for number in range(9)}
    worker.core.on_ready(TYPES, worker.now, schemas)
    worker.pipe(Describe(OWN, tuple(schemas)))
    assert [each.digest for each in worker.sent if isinstance(each, Described)] == list(schemas)[:3]


# --- heartbeats ---------------------------------------------------------------------------------------------


def test_beats_each_second_and_on_a_subscription() -> None:
    """A heartbeat a second, at once for whoever subscribes, and none in between."""
    worker = idle()
    assert worker.core.next_deadline_ms() == worker.now + c.HEARTBEAT_MS
    assert worker.turn(c.HEARTBEAT_MS - 1) == []
    worker.turn(1)
    assert len(worker.heartbeats()) == 1
    worker.core.on_subscription(worker.now)
    worker.turn()
    assert len(worker.heartbeats()) == 1


def test_beat_tells_what_runs() -> None:
    """A heartbeat tells the running job and since when, whom the worker serves, and what it has taken."""
    worker = running()
    worker.turn(20)
    worker.core.on_subscription(worker.now)
    worker.turn()
    heartbeat = worker.heartbeats()[0]
    assert heartbeat.running == (2, 102, 20, None)
    assert heartbeat[:5] == (OWN, SESSION, 3, 0, False) and heartbeat[6:10] == (TYPES, BROKER, "host", 17)


def test_new_types_are_told() -> None:
    """A task process with other types than the last makes for a heartbeat."""
    worker = idle()
    worker.die()
    worker.core.on_ready((), worker.now)
    worker.turn()
    assert worker.heartbeats()[0].types == ()


# --- starts and reports ----------------------------------------------------------------------------------


def test_start_is_told_when_it_is_not_implied() -> None:
    """The first job after idleness is announced once it has run for a moment; one that follows an end is not."""
    worker = idle()
    worker.jobs(1, 2)
    assert worker.sent == [] and worker.core.next_deadline_ms() == worker.now + session.START_AFTER_MS
    worker.turn(session.START_AFTER_MS)
    assert worker.sent == [Started(SESSION, 1, 101)]
    worker.end()
    assert worker.sent == [Reports(SESSION, 1, (ended(1),))]
    worker.end()
    worker.jobs(3, 1)
    worker.turn(session.START_AFTER_MS)
    assert worker.sent == [Started(SESSION, 3, 103)]


def test_reports_of_a_turn_go_together() -> None:
    """What ends between two turns goes out as one message."""
    worker = idle()
    worker.jobs(1, 3)
    for delivery in (1, 2, 3):
        worker.core.on_ended(ended(delivery), worker.now)
    worker.turn()
    assert worker.sent == [Reports(SESSION, 1, (ended(1), ended(2), ended(3)))]


def test_many_reports_go_in_messages_that_the_broker_takes_one_by_one() -> None:
    """Between two of them it answers requests."""
    worker = idle()
    worker.jobs(1, 2 * outbox.GATHER + 1)
    for delivery in range(1, 2 * outbox.GATHER + 2):
        worker.core.on_ended(ended(delivery), worker.now)
    worker.turn()
    assert [(message.first, len(message.reports)) for message in worker.sent] == [
        (1, outbox.GATHER),
        (1 + outbox.GATHER, outbox.GATHER),
        (1 + 2 * outbox.GATHER, 1),
    ]


def test_reports_are_repeated_until_acknowledged() -> None:
    """On a subscription, and when the broker says that some were lost, all that is not acknowledged goes out again."""
    worker = running()
    worker.end()
    worker.core.on_subscription(worker.now)
    worker.turn()
    assert Reports(SESSION, 1, (ended(1), ended(2)), 1) in worker.sent
    worker.pipe(Ack(SESSION, 1, 4, 1, 0, again=True))
    assert Reports(SESSION, 2, (ended(2),), 2) in worker.sent
    worker.pipe(Ack(SESSION, 1, 4, 1, 0, again=True))
    assert worker.sent == [], "it is on its way again"
    worker.pipe(Ack(SESSION, 2, 4, 2, 1))
    worker.core.on_subscription(worker.now)
    worker.turn()
    assert worker.reports() == []


def test_reports_are_never_repeated_because_time_has_passed() -> None:
    """They may still be on their way, however long it takes; heartbeats tell how many were sent."""
    worker = running()
    worker.end()
    for _ in range(100):
        worker.turn(c.HEARTBEAT_MS)
        assert worker.reports() == []
        assert (worker.heartbeats()[0].round, worker.heartbeats()[0].sent) == (0, 2)


def test_beat_tells_how_much_of_a_large_result_was_sent_before_it() -> None:
    """So that the broker sees what is missing, and what is just late."""
    worker = idle()
    worker.jobs(1, 1)
    worker.end(bytes(10 << 20))
    pieces = [message for message in worker.sent if isinstance(message, Piece)]
    assert pieces and worker.reports() == []
    worker.turn(c.HEARTBEAT_MS)
    assert worker.heartbeats()[0].sent == len(pieces)


def test_progress_is_told_when_there_is_room() -> None:
    """News that nobody needs never queue up in front of a slow link: what was printed meanwhile waits, too."""
    worker = idle()
    worker.jobs(1, 2)
    worker.end(bytes(10 << 20))
    worker.core.on_output(2, b"one ")
    worker.turn(LOOK_MS)
    worker.core.on_seen(Seen(0.5, None, worker.now), worker.now)
    assert worker.turn(1) == [] or worker.progress() == []
    worker.core.on_output(2, b"two")
    worker.core.on_subscription(worker.now)  # whatever frees the way
    worker.core.session.outbox.flow.begin_round()
    worker.core.on_seen(Seen(0.5, None, worker.now), worker.now)
    worker.turn(1)
    assert [message.fraction for message in worker.progress()] == [0.5]
    assert b"".join(piece.body for piece in worker.core.session.run.output(2, 102, 9)) == b"one two"


# --- data in pieces --------------------------------------------------------------------------------------


def piece(number: int, offset: int, body: bytes, round: int = 7) -> Piece:
    return Piece(SESSION, round, number, offset, body)


def tail(number: int, data: bytes, data_from: int, round: int = 7) -> Jobs:
    return Jobs(SESSION, number, (DispatchedJob(100 + number, "t", data, 1, None, data_from),), round)


def received(worker: Worker) -> list[Received]:
    return [message for message in worker.sent if isinstance(message, Received)]


def test_data_is_put_together() -> None:
    """Pieces in order, then the job with the rest; each is confirmed with how much is held."""
    worker = idle()
    worker.pipe(piece(1, 0, b"one"))
    assert received(worker) == [Received(SESSION, 0, 7, 1, 3)]
    worker.pipe(piece(1, 3, b"two"))
    assert received(worker) == [Received(SESSION, 0, 7, 2, 6)]
    effects = worker.pipe(tail(1, b"three", 6))
    assert [effect.job.data for effect in effects if isinstance(effect, e.Offer)] == [b"onetwothree"]
    assert worker.core.session.inbox.taken == 1


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [piece(1, 3, b"two")],
        [piece(1, 0, b"one")],
        [piece(2, 0, b"onetwo")],
    ],
    ids=["none", "a later one", "one of two", "of another"],
)
def test_a_job_without_the_beginning_of_its_data_is_not_taken(pieces: list[Piece]) -> None:
    """It is asked for again, and so it is when it comes again without."""
    worker = idle()
    for one in pieces:
        worker.pipe(one)
    worker.pipe(tail(1, b"three", 6))
    assert worker.core.session.inbox.taken == 0 and worker.at_task == []
    assert received(worker)[0].again


def test_a_repeated_piece_changes_nothing() -> None:
    """Of what comes twice the second is dropped."""
    worker = idle()
    for one in (piece(1, 0, b"one"), piece(1, 0, b"one"), piece(1, 3, b"two", 8), piece(1, 0, b"one", 8)):
        worker.pipe(one)
    worker.pipe(tail(1, b"three", 6, 8))
    assert worker.core.session.inbox[1].data == b"onetwothree"


def test_what_was_lost_on_the_way_is_asked_for_at_once() -> None:
    """The broker tells how many messages it sent before; fewer came."""
    worker = idle()
    worker.pipe(Sent(SESSION, 7, 0))
    assert received(worker) == []
    worker.jobs(1, 1)
    worker.pipe(Sent(SESSION, 0, 1))
    assert received(worker) == []
    worker.pipe(Sent(SESSION, 0, 2))
    assert received(worker) == [Received(SESSION, 1, 0, 0, 0, again=True)]
    worker.pipe(Sent("other", 0, 3))
    worker.pipe(Sent(SESSION, 7, 1))
    assert received(worker) == [Received(SESSION, 1, 7, 0, 0, again=True)]


def test_many_small_jobs_are_confirmed_now_and_then() -> None:
    """Each 32 KiB of them, so that the broker goes on; never one by one."""
    worker = idle()
    confirmed = 0
    for delivery in range(1, 2001):
        worker.pipe(jobs(delivery, 1))
        confirmed += len(received(worker))
    assert confirmed == 1


def test_nothing_starts_above_the_bound() -> None:
    """With too much unacknowledged the jobs behind are taken back and kept, and go on after the acknowledgement."""
    worker = idle()
    worker.jobs(1, 4)
    worker.end(b"x" * (session.UNACKNOWLEDGED_BYTES + 1))
    assert worker.at_task == [2]
    worker.end()
    assert worker.at_task == [] and worker.core.session.inbox.taken == 4
    worker.pipe(Ack(SESSION, 1, 5))
    assert worker.at_task == [3, 4]
    assert e.Publish(Started(SESSION, 3, 103)) in worker.turn(session.START_AFTER_MS)


# --- return ------------------------------------------------------------------------------------------------


def test_long_job_returns_what_is_behind_it() -> None:
    """After 50 ms what has not begun goes back, once, and not a moment earlier."""
    worker = running()
    assert worker.core.next_deadline_ms() == worker.now + session.RETURN_AFTER_MS
    worker.turn(session.RETURN_AFTER_MS - 1)
    assert worker.reports() == []
    worker.turn(1)
    assert worker.reports() == [Returned(3, False)]
    assert worker.core.next_deadline_ms() > worker.now


def test_a_job_alone_returns_nothing() -> None:
    """A long job with nothing behind it is no reason to return."""
    worker = idle()
    worker.jobs(1, 1)
    assert e.RecallUnbegun() not in worker.turn(500)


def test_all_begun_returns_nothing() -> None:
    """When the task process has begun everything, there is nothing to return, and it is not asked again and again."""
    worker = running()
    worker.now += session.RETURN_AFTER_MS
    assert e.RecallUnbegun() in worker.core.turn(worker.now)
    worker.core.on_recalled([], worker.now)
    assert worker.core.turn(worker.now) == ()
    assert worker.core.next_deadline_ms() > worker.now


def test_resume() -> None:
    """After the acknowledgement of a return the worker takes the number the broker names, and no other."""
    worker = returning()
    worker.pipe(Ack(SESSION, 2, 10))
    worker.jobs(4, 1)
    assert worker.core.session.inbox.taken == 9
    worker.end()
    worker.jobs(10, 2)
    assert worker.at_task == [10, 11]


def test_job_after_a_long_wait_is_returned_at_once() -> None:
    """What arrives behind a job that has run for long goes back at once."""
    worker = idle()
    worker.jobs(1, 1)
    worker.turn(500)
    worker.jobs(2, 1)
    assert worker.reports() == [Returned(2, False)]


# --- death of the task process ----------------------------------------------------------------------------


def test_death_fails_one_job() -> None:
    """The job that ran fails with task_died; those behind it are offered to the next process, and it is told."""
    worker = running()
    worker.turn(3)
    worker.die()
    report = worker.reports()[0]
    assert (report.delivery, report.outcome, report.reason, report.message) == (
        2,
        Outcome.FAILED,
        FailReason.TASK_DIED,
        "it died",
    )
    assert report.elapsed_us == 3000 and worker.at_task == []
    worker.core.on_ready(TYPES, worker.now)
    worker.turn()
    assert worker.at_task == [3]
    assert e.Publish(Started(SESSION, 3, 103)) in worker.turn(session.START_AFTER_MS)


def test_nothing_is_offered_to_a_dead_process() -> None:
    """Jobs that come while there is no task process wait for it."""
    worker = idle()
    worker.die()
    worker.jobs(1, 2)
    assert worker.at_task == []
    worker.core.on_ready(TYPES, worker.now)
    worker.turn()
    assert worker.at_task == [1, 2]


def test_take_over_waits_for_the_next_process() -> None:
    """After a take-over a new session may come at once; its jobs wait for a process of the new incarnation."""
    worker = running()
    worker.pipe(TakeOver(OWN))
    worker.pipe(StartSession(NEXT, "new", BROKER, 1000, OUTPUT_BYTES))
    worker.pipe(jobs(1, 1, "new"))
    assert worker.at_task == []
    worker.core.on_task_process_died([], [], "killed", worker.now)
    worker.core.on_ready(TYPES, worker.now)
    worker.turn()
    assert worker.at_task == [1]


def test_an_acknowledgement_that_does_not_say_where_to_go_on_is_dropped() -> None:
    """Once the return were acknowledged, nobody would say it again."""
    worker = returning()
    worker.pipe(Ack(SESSION, 2))
    assert worker.core.session.outbox.acked == 0
    worker.pipe(Ack(SESSION, 1))
    assert worker.core.session.outbox.acked == 1
    worker.pipe(Ack(SESSION, 2, 10))
    assert (worker.core.session.outbox.acked, worker.core.session.inbox.taken) == (2, 9)


def test_a_rejected_report_is_told_to_people() -> None:
    """What is to be done about it the broker has done."""
    worker = running()
    (said,) = worker.pipe(Rejected(SESSION, 1, "it is too large"))
    assert isinstance(said, e.Say) and "report 1: it is too large" in said.sentence
    assert worker.pipe(Rejected("another", 1, "it is too large")) == []


# --- stop ------------------------------------------------------------------------------------------------


def test_stop_without_session() -> None:
    """Nothing to finish, nobody to tell: exit at once."""
    worker = no_session()
    worker.core.stop(worker.now)
    assert worker.turn()[-1] == e.Exit()


def test_stop_finishes_the_running_job() -> None:
    """The rest is returned at once, the running job ends, and the exit waits for the acknowledgement of all."""
    worker = running()
    worker.core.stop(worker.now)
    worker.turn()
    assert worker.reports() == [Returned(3, True)] and worker.heartbeats()[0].stopping
    worker.end()
    worker.pipe(Ack(SESSION, 2, 10))
    assert e.Exit() not in worker.done
    worker.pipe(Ack(SESSION, 3, 10))
    assert worker.done[-1] == e.Exit()


def test_stop_while_returning() -> None:
    """The broker is told again, from the same number, now that no more will be taken."""
    worker = returning()
    worker.core.stop(worker.now)
    worker.turn()
    assert worker.reports() == [Returned(3, True)]


def test_what_nobody_acknowledges_is_spooled() -> None:
    """The farewell time begins anew with each acknowledgement; when it is over, the rest is kept, all of it."""
    worker = running()
    worker.core.stop(worker.now)
    worker.turn()
    worker.end()
    worker.turn(c.FAREWELL_MS - 1)
    worker.pipe(Ack(SESSION, 1, 4))
    worker.turn(c.FAREWELL_MS - 1)
    assert worker.core.next_deadline_ms() <= worker.now + 1 and e.Exit() not in worker.done
    worker.turn(1)
    spool = worker.spooled()[-1]
    assert spool.reports == (Returned(3, True), ended(2)) and worker.done[-1] != e.Exit()
    assert (spool.heartbeat.session, spool.heartbeat.taken, spool.heartbeat.acked, spool.heartbeat.running) == (
        SESSION,
        3,
        1,
        None,
    )
    worker.core.on_spooled()
    assert worker.turn() == [e.Exit()]


def test_a_return_alone_is_spooled() -> None:
    """It settles what the broker handed over and the worker never saw."""
    worker = idle()
    worker.core.stop(worker.now)
    worker.turn()
    worker.turn(c.FAREWELL_MS)
    assert worker.spooled()[-1].reports == (Returned(1, True),)


def test_a_spool_that_cannot_be_written_is_tried_again() -> None:
    """Meanwhile the broker may take the reports; a third signal gives them up, and says how many are lost."""
    for acknowledged in (True, False):
        worker = idle()
        worker.core.stop(worker.now)
        worker.turn()
        worker.turn(c.FAREWELL_MS)
        for count in (1, 2, 3):
            assert len(worker.spooled()) == count
            worker.core.on_spool_failed()
            assert worker.turn() == []
            worker.turn(RETRY_SPOOL_MS)
        worker.core.on_spool_failed()
        if acknowledged:
            worker.pipe(Ack(SESSION, 1, 1))
        else:
            worker.core.stop(worker.now)
            worker.core.stop(worker.now)
            worker.turn()
            worker.core.on_spool_failed()
            worker.turn()
        assert worker.done[-1] == e.Exit(lost=0 if acknowledged else 1)


def test_second_stop_interrupts() -> None:
    """The running job is killed and reported as interrupted, for the broker to put it back. The third is not waited."""
    worker = stopping()
    worker.core.stop(worker.now)
    assert worker.turn() == [e.KillTask()]
    worker.die()
    worker.turn(HURRY_MS - 1)
    assert worker.spooled() == []
    worker.core.stop(worker.now)
    worker.turn()
    (spool,) = worker.spooled()
    assert [getattr(report, "outcome", None) for report in spool.reports] == [
        Outcome.COMPLETED,
        None,
        Outcome.INTERRUPTED,
    ]


def test_second_stop_waits_for_the_broker_for_a_while() -> None:
    """What was interrupted is told, and the exit waits for the acknowledgement."""
    worker = stopping()
    worker.core.stop(worker.now)
    assert worker.turn() == [e.KillTask()]
    worker.die()
    assert [(report.delivery, report.outcome) for report in worker.reports()] == [(2, Outcome.INTERRUPTED)]
    worker.pipe(Ack(SESSION, 3, 10))
    assert worker.done[-1] == e.Exit()


def test_stop_at_once_from_running() -> None:
    """Both steps in one: the rest is returned, the running job killed."""
    worker = running()
    worker.core.stop(worker.now)
    worker.core.stop(worker.now)
    assert e.KillTask() in worker.turn()
    assert worker.reports() == [Returned(3, True)]
    worker.die()
    assert worker.reports()[0].outcome is Outcome.INTERRUPTED


def test_death_while_stopping() -> None:
    """A task process that dies by itself while the worker stops fails its job; the worker exits when that is taken."""
    worker = stopping()
    worker.die()
    assert worker.reports()[0].reason is FailReason.TASK_DIED
    worker.pipe(Ack(SESSION, 3, 10))
    assert worker.done[-1] == e.Exit()


# --- the end of the running job, wanted --------------------------------------------------------------------


def limited(limit_ms: int | None = None) -> Worker:
    """Number 1 runs, alone, of a type with a time limit of 5 s and a grace time of 0.3 s."""
    worker = idle()
    worker.pipe(Jobs(SESSION, 1, (DispatchedJob(101, "limited", None, 1, limit_ms),)))
    return worker


def test_cancel_takes_back_first() -> None:
    """What is behind the job goes back before its task is told, so that the signal hits nothing else."""
    worker = running()
    effects = worker.pipe(CancelRun(SESSION, 2))
    order = [type(effect) for effect in effects if isinstance(effect, (e.RecallUnbegun, e.EndTask))]
    assert order == [e.RecallUnbegun, e.EndTask] and worker.reports() == [Returned(3, False)]
    worker.end(outcome=Outcome.CANCELLED)
    assert [(report.delivery, report.outcome) for report in worker.reports()] == [(2, Outcome.CANCELLED)]


def test_cancel_of_what_has_ended_meanwhile() -> None:
    """When the answer to the take-back brings the end of the job, nobody is told to end."""
    worker = idle()
    worker.jobs(1, 1)
    worker.core.on_pipe(CancelRun(SESSION, 1), worker.now, NEXT)
    assert worker.core.turn(worker.now) == (e.RecallUnbegun(),)
    worker.core.on_ended(ended(1), worker.now)
    worker.core.on_recalled([], worker.now)
    worker.turn()
    assert worker.reports() == [ended(1)] and e.EndTask(1) not in worker.done
    worker.jobs(2, 1)
    assert e.Offer(2, DispatchedJob(102, "t", None, 1), 1000, BROKER) in worker.done


def test_cancel_of_one_that_has_begun_unheard() -> None:
    """A job that was thought to wait, but has begun, is told to end, and not returned."""
    worker = idle()
    worker.jobs(1, 2)
    worker.core.on_pipe(CancelRun(SESSION, 2), worker.now, NEXT)
    assert worker.core.turn(worker.now) == (e.RecallUnbegun(),)
    worker.core.on_ended(ended(1), worker.now)
    worker.core.on_recalled([], worker.now)
    worker.at_task.remove(1)
    assert e.EndTask(2) in worker.turn()
    assert worker.reports() == [ended(1)]


def test_cancel_of_one_that_is_still_coming() -> None:
    """Its data may take long to arrive: it goes back at once, and does not begin when the rest is here."""
    for worker, taken in ((idle(), 0), (running(), 4)):
        began = list(worker.at_task)
        worker.pipe(piece(taken + 1, 0, b"x" * 1000))
        worker.pipe(CancelRun(SESSION, taken + 1))
        assert worker.reports() == [Returned(3 if began else 1, False)] and worker.at_task == began[:1]
        worker.pipe(CancelRun(SESSION, taken + 1))
        worker.pipe(Jobs(SESSION, taken + 1, (DispatchedJob(1, "t", b"rest", 1, None, 1000),), 7))
        assert worker.reports() == [] and worker.at_task == began[:1]
        worker.pipe(Ack(SESSION, worker.core.session.outbox.reported, 9))
        worker.pipe(CancelRun(SESSION, taken + 1))
        assert worker.reports() == [] and worker.core.session.inbox.taken == 8
        worker.jobs(9, 1)
        assert worker.core.session.inbox.taken == 9


def test_a_job_is_not_looked_at_while_it_may_have_ended() -> None:
    """Taking back brings its end when it has ended meanwhile, so a look that is due as well waits for the answer."""
    worker = running()
    worker.now += 60_000
    effects = worker.core.turn(worker.now)
    assert e.RecallUnbegun() in effects and e.Look(worker.at_task[0]) not in effects


def test_cancel_of_one_returned_is_forgotten() -> None:
    """A cancelled job that was returned leaves no wish behind that could hit the job that runs."""
    worker = running()
    worker.pipe(CancelRun(SESSION, 3))
    assert worker.reports() == [Returned(3, False)]
    worker.turn(60_000)
    assert not any(isinstance(effect, e.EndTask) for effect in worker.done)
    assert not worker.core.session.cancels


def test_grace_is_not_restarted() -> None:
    """The wish is repeated with every heartbeat; the task is told once, and killed when its own grace time is over."""
    worker = limited()
    worker.pipe(CancelRun(SESSION, 1))
    for _ in range(2):
        worker.turn(100)
        worker.pipe(CancelRun(SESSION, 1))
    assert e.KillTask() not in worker.done and worker.core.next_deadline_ms() <= worker.now + 100
    worker.turn(100)
    worker.pipe(CancelRun(SESSION, 1))
    worker.turn(1000)
    assert [type(effect) for effect in worker.done].count(e.EndTask) == 1
    assert worker.done.count(e.KillTask()) == 1
    worker.die()
    report = worker.reports()[0]
    assert (report.outcome, report.reason) == (Outcome.CANCELLED, None)
    assert report.message == "its process was killed 0.3 s after it was told to end"


def test_result_in_the_grace_time() -> None:
    """A task that returns its value after all has completed; the kill is called off, and the next job runs."""
    worker = limited()
    worker.pipe(CancelRun(SESSION, 1))
    worker.end()
    assert worker.reports() == [ended(1)] and not worker.core.session.cancels
    worker.jobs(2, 1)
    worker.turn(1000)
    assert e.KillTask() not in worker.done and worker.at_task == [2]


def test_nothing_is_offered_while_a_job_is_ending() -> None:
    """What comes behind a job that is to end waits, or goes back; it never reaches the process that may be killed."""
    worker = limited()
    worker.pipe(CancelRun(SESSION, 1))
    worker.jobs(2, 1)
    assert worker.at_task == [1]
    worker.turn(50)
    assert worker.reports() == [Returned(2, False)]


@pytest.mark.parametrize(
    ("own_ms", "limit_ms", "text"), [(None, 5000, "5 s"), (1500, 1500, "1.5 s"), (9000, 9000, "9 s")]
)
def test_time_limit(own_ms: int | None, limit_ms: int, text: str) -> None:
    """The job's own limit, or else its type's, counts from its begin; it ends like a cancel and is a failure."""
    worker = limited(own_ms)
    worker.turn(limit_ms - 1)
    assert e.EndTask(1) not in worker.done and worker.core.next_deadline_ms() <= worker.now + 1
    worker.turn(1)
    assert e.EndTask(1) in worker.done
    worker.end(outcome=Outcome.CANCELLED)
    report = worker.reports()[0]
    assert (report.outcome, report.reason) == (Outcome.FAILED, FailReason.TIMED_OUT)
    assert report.message == f"it ran longer than its time limit of {text}"


def test_time_limit_by_force() -> None:
    """Killed after the grace time it has failed as timed_out all the same, and the detail tells of the kill."""
    worker = limited()
    worker.turn(5000)
    worker.turn(300)
    assert e.KillTask() in worker.done
    worker.die()
    report = worker.reports()[0]
    assert report.reason is FailReason.TIMED_OUT and "was killed 0.3 s after" in report.detail


def test_time_limit_of_the_next() -> None:
    """Each job of a stream has its own time: that of the one before does not count."""
    worker = idle()
    worker.pipe(Jobs(SESSION, 1, tuple(DispatchedJob(100 + delivery, "limited", None, 1) for delivery in (1, 2))))
    worker.turn(40)
    worker.end()
    worker.turn(4999)
    assert not any(isinstance(effect, e.EndTask) for effect in worker.done)
    worker.turn(1)
    assert e.EndTask(2) in worker.done


def test_stop_at_once_in_the_grace_time() -> None:
    """The wish to cancel stands: the job is killed at once, and it is cancelled, not interrupted."""
    worker = limited()
    worker.pipe(CancelRun(SESSION, 1))
    worker.core.stop(worker.now)
    worker.core.stop(worker.now)
    assert e.KillTask() in worker.turn()
    worker.die()
    assert worker.reports()[-1].outcome is Outcome.CANCELLED


def test_cancel_after_stop() -> None:
    """A worker that waits for its last job to end can be helped by a cancel."""
    worker = stopping()
    worker.pipe(CancelRun(SESSION, 2))
    assert e.EndTask(2) in worker.done


def test_return_jobs_without_a_process() -> None:
    """Jobs that wait for a task process to come up go back on request."""
    worker = idle()
    worker.die()
    worker.jobs(1, 2)
    worker.pipe(Recall(SESSION))
    assert worker.reports() == [Returned(1, False)]


# --- what cannot be killed ---------------------------------------------------------------------------------------


def test_nothing_is_offered_beside_what_cannot_be_killed() -> None:
    """All that has not begun goes back, the heartbeat says why, and what is handed over meanwhile goes back, too."""
    worker = running()
    worker.core.on_task_process_died([2], [3], "it died", worker.now, killed=4)
    worker.at_task.clear()
    worker.core.on_obstacle("sleep is in the way", worker.now)
    turn = worker.turn()
    assert e.Say("sleep is in the way") in turn and worker.at_task == []
    assert [heartbeat.obstacle for heartbeat in worker.heartbeats()] == ["sleep is in the way"]
    assert [(report.delivery, getattr(report, "killed", None)) for report in worker.reports()] == [(2, 4), (3, None)]
    worker.core.on_ready(TYPES, worker.now)
    worker.pipe(Ack(SESSION, 3, 3))
    worker.jobs(3, 1)
    assert worker.reports() == [Returned(3, False)] and worker.at_task == []
    worker.core.on_obstacle(None, worker.now)
    worker.turn()
    assert [heartbeat.obstacle for heartbeat in worker.heartbeats()] == [None]
    worker.pipe(Ack(SESSION, 4, 3))
    worker.jobs(3, 1)
    assert worker.at_task == [3]


def test_an_obstacle_is_told_once() -> None:
    """Each look at it finds the same."""
    worker = idle()
    worker.core.on_obstacle("sleep", worker.now)
    worker.turn()
    worker.core.on_obstacle("sleep", worker.now)
    assert worker.turn() == []


# --- news ------------------------------------------------------------------------------------------------------


def test_progress_is_told_four_times_a_second() -> None:
    """News goes out at each look, a few times a second, numbered from 2, and not without news."""
    worker = idle()
    worker.jobs(1, 1)
    worker.seen = Seen(0.25, "a", 0)
    worker.turn(LOOK_MS - 1)
    assert worker.progress() == []
    worker.turn(1)
    assert worker.progress() == [Progress(SESSION, 1, 101, 2, 0.25, "a")]
    worker.turn(LOOK_MS)
    assert worker.progress() == []
    worker.core.on_output(1, b"out")
    worker.turn(LOOK_MS)
    assert worker.reports() == [Output(1, 101, 3, 0, b"out")]
    worker.core.on_output(1, b"put")
    worker.turn(LOOK_MS)
    assert worker.reports() == [Output(1, 101, 4, 3, b"put")] and worker.progress() == []


def test_output_is_in_the_report() -> None:
    """The end of a run tells what it printed, in whichever way it ended; the next job begins with nothing."""
    worker = idle()
    worker.jobs(1, 2)
    worker.core.on_output(1, b"printed")
    worker.end()
    assert (worker.reports()[0].output, worker.reports()[0].output_bytes) == (b"printed", 7)
    worker.core.on_output(2, b"last words")
    worker.die()
    assert (worker.reports()[0].output, worker.reports()[0].output_bytes) == (b"last words", 10)
    worker.core.on_ready(TYPES, worker.now)
    worker.jobs(3, 1)
    worker.end()
    assert worker.reports()[0].output is None


def test_more_output_than_a_report_has_goes_before_the_end() -> None:
    """In pieces, in order, and nothing twice; the file that has all of it is named."""
    worker = idle()
    worker.jobs(1, 1)
    body = bytes(range(256)) * 1024
    worker.core.on_output(1, body[:100_000])
    worker.turn(LOOK_MS)
    worker.core.on_output(1, body[100_000:], "/logs/1")
    worker.end()
    *pieces, end = worker.core.session.outbox.unacknowledged()
    assert [piece.offset for piece in pieces] == [
        *range(0, 100_000, PIECE_BYTES),
        *range(100_000, len(body) - PIECE_BYTES, PIECE_BYTES),
    ]
    assert b"".join(piece.body for piece in pieces) + end.output == body
    assert (end.output_bytes, end.output_file, len(end.output) <= PIECE_BYTES) == (len(body), "/logs/1", True)
    assert [piece.progress for piece in pieces] == list(range(2, 2 + len(pieces)))


def test_output_without_end() -> None:
    """Of what nobody takes, so much is kept as the broker would keep: the end; all of it is counted."""
    worker = idle()
    worker.jobs(1, 1)
    for _ in range(1000):
        worker.core.on_output(1, b"x" * 9_999 + b"\n")
        assert len(worker.core.session.run._output._untold) <= 2 * OUTPUT_BYTES
    for _ in range(100):
        worker.turn(LOOK_MS)
    assert worker.core.session.outbox.weight_bytes <= OUTPUT_UNACKNOWLEDGED_BYTES + PIECE_BYTES
    assert next(iter(worker.core.session.outbox.unacknowledged())).offset == 10_000_000 - OUTPUT_BYTES
    worker.core.on_output(1, b"y" * 10_000_000)
    worker.end()
    *pieces, end = worker.core.session.outbox.unacknowledged()
    last = b"".join(piece.body for piece in pieces if piece.offset >= 20_000_000 - OUTPUT_BYTES) + end.output
    assert (last, end.output_bytes) == (b"y" * OUTPUT_BYTES, 20_000_000)


def test_stuck_is_told_and_left_alone() -> None:
    """A process without signs of life shows in the heartbeat and is said once; nothing is done about it."""
    worker = idle()
    worker.jobs(1, 1)
    worker.seen = Seen(None, None, worker.now)
    stuck = []
    for _ in range(40):
        worker.turn(LOOK_MS)
        stuck += [heartbeat.running.stuck_ms for heartbeat in worker.heartbeats() if heartbeat.running]
    assert stuck[0] is None and stuck[-1] > STUCK_MS
    assert sum(isinstance(effect, e.Say) for effect in worker.done) == 1
    assert not any(isinstance(effect, (e.EndTask, e.KillTask, e.RecallUnbegun)) for effect in worker.done)
    worker.seen = Seen(None, None, worker.now + LOOK_MS)
    worker.turn(LOOK_MS)
    worker.core.on_subscription(worker.now)
    worker.turn()
    assert worker.heartbeats()[0].running.stuck_ms is None


def test_a_new_process_is_not_stuck() -> None:
    """What the last process did not say is not held against the next one."""
    worker = idle()
    worker.jobs(1, 1)
    worker.seen = Seen(None, None, worker.now)
    worker.turn(10_000)
    worker.die()
    worker.core.on_ready(TYPES, worker.now)
    worker.jobs(2, 1)
    worker.core.on_subscription(worker.now)
    worker.turn()
    assert worker.heartbeats()[0].running.stuck_ms is None


def test_reports_of_a_stream_gather() -> None:
    """While reports are on their way and many jobs are here, new ones wait for the acknowledgement or each other."""
    worker = idle()
    worker.jobs(1, 3 * outbox.GATHER)
    worker.end()
    assert len(worker.reports()) == 1
    worker.end()
    assert worker.reports() == []
    worker.pipe(Ack(SESSION, 1, 1))
    assert len(worker.reports()) == 1
    for delivery in range(3, 3 + outbox.GATHER):
        worker.core.on_ended(ended(delivery), worker.now)
    worker.turn()
    assert len(worker.reports()) == outbox.GATHER
