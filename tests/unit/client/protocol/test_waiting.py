"""Waiting as flows, without sockets and clocks: what is asked, and what becomes of each answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from zjobs.client import errors
from zjobs.client.config.settings import Settings
from zjobs.client.protocol.actions import WAIT_S, Action, Ask, Await, Flow, Sleep
from zjobs.client.protocol.job import JobHandle
from zjobs.client.protocol.waiting import GLANCE_S, LOST_PAUSE_S, LOST_TIMEOUT_S, Ends, result
from zjobs.messages.fields import MAX_WAIT_IDS
from zjobs.messages.records import JobStatus, Missing
from zjobs.messages.requests.queries import Result, ResultReply, Status, StatusReply, WaitReply
from zjobs.messages.states import ErrorCode, FailReason, JobState, WorkerState
from zjobs.messages.units import JobId, Ms
from zjobs.program import inside

PATIENCE_S = 60.0
TIMEOUT_S = 5.0


@pytest.fixture
def to() -> Settings:
    """A client's settings, without a key."""
    return Settings("tcp://127.0.0.1:5570", TIMEOUT_S, PATIENCE_S, "", None)


class Broker:
    """Performs a flow's actions: time passes as it sleeps, and each request gets the next of `answers`."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[Ask | Await] = []
        self.now = 1_000.0
        self._answers = list(answers)

    def run(self, flow: Flow[Any]) -> Any:
        """The flow's result. A wait without an end takes its time, up to the longest of a request."""
        outcome: Any = None
        try:
            while True:
                if isinstance(outcome, Exception):
                    outcome = self._perform(flow.throw(outcome))
                else:
                    outcome = self._perform(flow.send(outcome))
        except StopIteration as done:
            return done.value

    def _perform(self, action: Action) -> Any:
        if isinstance(action, Sleep):
            self.now += action.seconds
            return self.now
        assert isinstance(action, (Ask, Await))
        self.asked.append(action)
        answer = self._answers.pop(0)
        if isinstance(action, Await) and unended(answer):
            self.now += min(action.seconds, WAIT_S)
        return answer

    @property
    def waits(self) -> list[Await]:
        """The requests that waited."""
        return [action for action in self.asked if isinstance(action, Await)]


def unended(answer: Any) -> bool:
    if isinstance(answer, ResultReply):
        return not answer.state.final
    return isinstance(answer, WaitReply) and not answer.jobs and not answer.missing


def status(id: int, state: JobState = JobState.COMPLETED, **fields: Any) -> JobStatus:
    return JobStatus(JobId(id), "swap", state, 1, 0, Ms(1), 1, 0, **fields)


def of_result(body: bytes, offset: int = 0, size: int | None = None, journal: str = "j") -> ResultReply:
    return ResultReply(journal, JobId(7), JobState.COMPLETED, len(body) if size is None else size, offset, body)


def not_yet(state: JobState = JobState.QUEUED, journal: str = "j") -> ResultReply:
    return ResultReply(journal, JobId(7), state, 0, 0, b"", job=status(7, state))


def ended(*ids: int, journal: str = "j") -> WaitReply:
    return WaitReply(journal, tuple(map(status, ids)), ())


def lost(connected: bool = True) -> errors.BrokerUnreachable:
    return errors.BrokerUnreachable("tcp://127.0.0.1:5570", TIMEOUT_S, "", connected)


# --- one result ----------------------------------------------------------------------------------------------


def test_a_result_is_one_request(to: Settings) -> None:
    """Which waits as long as the caller would."""
    broker = Broker(of_result(b"\x07"))
    assert broker.run(result(to, JobHandle(to, 7, "j"), 30)) == 7
    assert broker.asked == [Await(Result(JobId(7)), ResultReply, 30, TIMEOUT_S)]


def test_a_large_result_comes_in_pieces(to: Settings) -> None:
    """The first is in the answer to the wait; the others are asked for."""
    broker = Broker(of_result(b"\xa3a", size=4), of_result(b"b", 2, 4), of_result(b"c", 3, 4))
    assert broker.run(result(to, JobHandle(to, 7, "j"), None)) == "abc"
    assert [action.request.offset for action in broker.asked] == [0, 2, 3]


def test_a_broker_that_answers_early_is_asked_again(to: Settings) -> None:
    """It bounds what waits; so the time is the client's to keep."""
    broker = Broker(not_yet(), not_yet(JobState.IN_PROGRESS), of_result(b"\x07"))
    assert broker.run(result(to, JobHandle(to, 7, "j"), None)) == 7
    assert len(broker.waits) == 3 and broker.waits[0].seconds == float("inf")


def test_when_the_time_is_over_the_last_status_is_told(to: Settings) -> None:
    """It needs no request of its own."""
    broker = Broker(not_yet(JobState.IN_PROGRESS))
    with pytest.raises(errors.WaitTimeout) as caught:
        broker.run(result(to, JobHandle(to, 7, "j"), WAIT_S))
    assert caught.value.status.state is JobState.IN_PROGRESS and len(broker.asked) == 1


@pytest.mark.parametrize(
    ("state", "error"), [(JobState.FAILED, errors.JobFailed), (JobState.CANCELLED, errors.JobCancelled)]
)
def test_an_end_without_a_result_is_an_exception(to: Settings, state: JobState, error: type[Exception]) -> None:
    """The status is in the answer."""
    with pytest.raises(error):
        Broker(not_yet(state)).run(result(to, JobHandle(to, 7, "j"), None))


def test_a_lost_broker_is_asked_again(to: Settings) -> None:
    """After a short pause, and with a short time for an answer, so that its return is noticed soon."""
    broker = Broker(lost(), lost(), of_result(b"\x07"))
    assert broker.run(result(to, JobHandle(to, 7, "j"), None)) == 7
    assert [wait.timeout for wait in broker.waits] == [TIMEOUT_S, LOST_TIMEOUT_S, LOST_TIMEOUT_S]
    assert broker.now == 1_000 + 2 * LOST_PAUSE_S


def test_a_broker_that_was_never_reached_is_not_waited_for(to: Settings) -> None:
    """Most likely its address is wrong."""
    with pytest.raises(errors.BrokerUnreachable):
        Broker(lost(connected=False)).run(result(to, JobHandle(to, 7, "j"), None))


def test_patience_counts_from_the_loss(to: Settings) -> None:
    """An answer in between begins it anew."""
    tries = int(PATIENCE_S / LOST_PAUSE_S) - 1
    broker = Broker(*[lost()] * tries, not_yet(), *[lost()] * tries, of_result(b"\x07"))
    assert broker.run(result(to, JobHandle(to, 7, "j"), None)) == 7
    with pytest.raises(errors.BrokerUnreachable):
        Broker(*[lost()] * (tries + 10)).run(result(to, JobHandle(to, 7, "j"), None))


def test_another_journal_is_noticed(to: Settings) -> None:
    """Its job 7 is another one: as an answer, and where it says that there is none."""
    with pytest.raises(errors.BrokerChanged):
        Broker(of_result(b"\x07", journal="other")).run(result(to, JobHandle(to, 7, "j"), None))
    nothing = StatusReply("other", (), (), 0, WorkerState.READY, False)
    broker = Broker(errors.NotFound("there is no job 7"), nothing)
    with pytest.raises(errors.BrokerChanged):
        broker.run(result(to, JobHandle(to, 7, "j"), None))
    assert isinstance(broker.asked[-1].request, Status)


def test_inside_a_task_only_a_glance_is_waited_for(to: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal tells whether the job is of the same service, which runs one job at a time: then it cannot end."""
    monkeypatch.setenv(inside.VARIABLE, "j")
    broker = Broker(not_yet())
    with pytest.raises(errors.WouldDeadlock):
        broker.run(result(to, JobHandle(to, 7, None), None))
    assert [wait.seconds for wait in broker.waits] == [GLANCE_S]
    elsewhere = Broker(not_yet(journal="other"), of_result(b"\x07", journal="other"))
    assert elsewhere.run(result(to, JobHandle(to, 7, None), 30)) == 7
    assert elsewhere.waits[0].seconds == GLANCE_S and elsewhere.waits[1].seconds > 29


# --- many ends -----------------------------------------------------------------------------------------------


def test_ends_are_told_as_they_come(to: Settings) -> None:
    """A request for all that have not ended, as often as some have."""
    ends, broker = Ends(to, [3, 1, 2], "j", None), Broker(ended(1), ended(3, 2))
    assert [job.id for job in broker.run(ends.next())] == [1]
    assert list(ends.unfinished) == [3, 2]
    assert [job.id for job in broker.run(ends.next())] == [3, 2]
    assert broker.run(ends.next()) == [] and sorted(ends.ended) == [1, 2, 3]
    assert [action.request.ids for action in broker.asked] == [(3, 1, 2), (3, 2)]


def test_a_request_names_a_bounded_number_of_jobs(to: Settings) -> None:
    """The first of them in order; the others follow when these have ended."""
    ids = range(1, MAX_WAIT_IDS + 3)
    broker = Broker(ended(*ids[:MAX_WAIT_IDS]), ended(*ids[MAX_WAIT_IDS:]))
    assert list(broker.run(Ends(to, ids, "j", None).all())) == list(ids)
    assert [len(action.request.ids) for action in broker.asked] == [MAX_WAIT_IDS, 2]


def test_an_end_that_was_not_asked_for_is_dropped(to: Settings) -> None:
    """Nor is it taken for an answer."""
    broker = Broker(ended(9), ended(1))
    assert list(broker.run(Ends(to, [1], "j", None).all())) == [1]


@pytest.mark.parametrize(
    ("code", "error"), [(ErrorCode.NOT_FOUND, errors.NotFound), (ErrorCode.EXPIRED, errors.Expired)]
)
def test_a_missing_job_ends_the_wait(to: Settings, code: ErrorCode, error: type[Exception]) -> None:
    """It will never end."""
    with pytest.raises(error):
        Broker(WaitReply("j", (), (Missing(JobId(1), code),))).run(Ends(to, [1, 2], "j", None).all())


def test_the_first_unfinished_job_is_named_when_the_time_is_over(to: Settings) -> None:
    """With its status, which is asked for."""
    now = StatusReply("j", (status(2, JobState.QUEUED, ahead=4),), (), 5, WorkerState.READY, False)
    broker = Broker(ended(1), WaitReply("j", (), ()), now)
    with pytest.raises(errors.WaitTimeout) as caught:
        broker.run(Ends(to, [1, 2, 3], "j", 10).all())
    assert caught.value.status.id == 2 and caught.value.status.ahead == 4


def test_failed_jobs_have_ended(to: Settings) -> None:
    """Of them, too, the status is returned."""
    failed = status(1, JobState.FAILED, reason=FailReason.RAISED, message="no")
    known: Sequence[JobStatus] = list(
        Broker(WaitReply("j", (failed,), ())).run(Ends(to, [1], "j", None).all()).values()
    )
    assert known == [failed]
