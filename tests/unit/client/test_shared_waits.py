"""Many waits in few requests: bounded, each told once, and nobody who waits is forgotten."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import example, given
from hypothesis import strategies as st

from zjobs.client.errors import NotPermitted
from zjobs.client.protocol.shared_waits import MOST_REPLACED, MOST_REQUESTS, SharedWaits, Told
from zjobs.messages.fields import MAX_WAIT_IDS
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import Wait, WaitReply
from zjobs.messages.states import JobState

SECONDS = 10.0


def reply(*ids: int) -> WaitReply:
    """That these jobs have ended."""
    return WaitReply("j", tuple(JobStatus(job_id, "t", JobState.COMPLETED, 3, 0, 0, 1, 0) for job_id in ids), ())


def sent(waits: SharedWaits[str], now: float = 0.0) -> dict[int, Wait]:
    """All that is to be sent now."""
    requests = {}
    while (request := waits.next(now)) is not None:
        requests[request[0]] = request[1]
    return requests


def waiters(told: Iterable[Told[str]]) -> list[str]:
    return sorted(waiter for waiter, _ in told)


def test_waits_that_begin_together_share_a_request() -> None:
    """With the results when one of them wants its own."""
    waits: SharedWaits[str] = SharedWaits(SECONDS)
    waits.add("a", [1], result=False)
    waits.add("b", [2], result=True)
    ((number, request),) = sent(waits).items()
    assert request == Wait((1, 2), 10_000, True)
    assert waiters(waits.replied(number, reply(2), 1.0)) == ["b"]
    ((number, request),) = sent(waits).items()
    assert request == Wait((1,), 10_000, False)


def test_10_000_waits_need_50_requests() -> None:
    """And each reply has only its own jobs asked for again."""
    waits: SharedWaits[str] = SharedWaits(SECONDS)
    for job_id in range(1, 10_001):
        waits.add(str(job_id), [job_id], result=True)
    requests = sent(waits)
    assert len(requests) == 50 == 10_000 // MAX_WAIT_IDS
    number, request = next(iter(requests.items()))
    assert waiters(waits.replied(number, reply(*request.ids[:150]), 1.0)) == sorted(map(str, request.ids[:150]))
    (again,) = sent(waits).values()
    assert again.ids == request.ids[150:]


def test_waits_that_begin_one_by_one_are_put_together() -> None:
    """Each is asked for at once, and the requests stay below what a connection may have."""
    waits: SharedWaits[str] = SharedWaits(SECONDS)
    asked = {}
    for job_id in range(1, MOST_REQUESTS + MOST_REPLACED + 1):
        waits.add(str(job_id), [job_id], result=False)
        requests = sent(waits)
        assert any(job_id in request.ids for request in requests.values())
        asked.update(requests)
    assert len(asked) == MOST_REQUESTS + MOST_REPLACED
    waits.add("one more", [10**6], result=False)
    assert sent(waits) == {}  # it stands in the line until a request is answered
    number = min(asked)
    waits.replied(number, reply(), 0.1)  # replaced, and answered early by the broker
    assert any(10**6 in request.ids for request in sent(waits).values())


def test_who_is_answered_early_asks_for_less_at_once() -> None:
    """So a bound of the broker that is lower than ours does not have us ask without end."""
    bound = 3
    waits: SharedWaits[str] = SharedWaits(SECONDS)
    for job_id in range(1, 2_001):
        waits.add(str(job_id), [job_id], result=False)
    open_requests: list[int] = []
    steps = 0
    while (request := waits.next(0.0)) is not None:
        open_requests.append(request[0])
        if len(open_requests) > bound:
            waits.replied(open_requests.pop(0), reply(), 0.0)
        steps += 1
        assert steps < 100, "it asks without end"
    assert len(open_requests) <= bound


def test_a_reply_at_its_time_is_asked_again() -> None:
    """And lets more requests be sent."""
    waits: SharedWaits[str] = SharedWaits(SECONDS)
    waits.add("a", [1], result=False)
    (number,) = sent(waits)
    assert waits.replied(number, reply(), SECONDS) == []
    assert [request.ids for request in sent(waits, SECONDS).values()] == [(1,)]


def test_a_refusal_is_told_to_its_own_job_alone() -> None:
    """One job of a request that is not ours must not spoil the others: they are asked for one by one."""
    waits: SharedWaits[str] = SharedWaits(SECONDS)
    for waiter, job_id in (("mine", 1), ("theirs", 2)):
        waits.add(waiter, [job_id], result=False)
    (number,) = sent(waits)
    assert waits.failed(number, NotPermitted("job 2 is not yours"), refused=True) == []
    requests = {request.ids: number for number, request in sent(waits).items()}
    assert set(requests) == {(1,), (2,)}
    assert waiters(waits.failed(requests[2,], NotPermitted("job 2 is not yours"), refused=True)) == ["theirs"]
    assert waiters(waits.replied(requests[1,], reply(1), 1.0)) == ["mine"]


def test_a_lost_broker_is_told_to_all() -> None:
    """Each of them has its own patience."""
    waits: SharedWaits[str] = SharedWaits(SECONDS)
    waits.add("a", [1], result=False)
    waits.add("b", [1, 2], result=False)
    (number,) = sent(waits)
    assert waiters(waits.failed(number, ConnectionError(), refused=False)) == ["a", "b"]
    assert sent(waits) == {}


def test_who_waits_no_more_is_not_asked_for_again() -> None:
    """A task that was cancelled."""
    waits: SharedWaits[str] = SharedWaits(SECONDS)
    waits.add("a", [1, 2], result=False)
    waits.add("b", [2], result=False)
    (number,) = sent(waits)
    waits.drop("a")
    assert waits.replied(number, reply(1), 1.0) == []
    assert [request.ids for request in sent(waits).values()] == [(2,)]


Steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.frozensets(st.integers(1, 30), min_size=1, max_size=3)),
        st.tuples(st.just("drop"), st.integers(0, 40)),
        st.tuples(st.just("end"), st.integers(1, 30)),
        st.tuples(st.just("early"), st.integers(0, 9)),
        st.tuples(st.just("refuse"), st.integers(0, 9)),
    ),
    max_size=80,
)


@example([("add", frozenset({1, 29})), ("early", 0), ("refuse", 0), ("end", 29)])  # each alone, with room for one
@given(Steps)
def test_whoever_waits_is_told_of_an_end(steps: list[tuple[str, object]]) -> None:
    """Played against a broker without bounds: ends answer the requests that name them, now or when they come."""
    waits: SharedWaits[int] = SharedWaits(SECONDS)
    ended: set[int] = set()
    open_requests: dict[int, Wait] = {}
    waiting: dict[int, frozenset[int]] = {}

    def hear(told: list[Told[int]]) -> None:
        for waiter, _ in told:
            assert waiting.pop(waiter) is not None

    def settle() -> None:
        while True:
            while (request := waits.next(0.0)) is not None:
                open_requests[request[0]] = request[1]
            answered = [number for number, request in open_requests.items() if ended.intersection(request.ids)]
            if not answered:
                return
            for number in answered:
                request = open_requests.pop(number)
                hear(waits.replied(number, reply(*ended.intersection(request.ids)), 0.0))

    for number, (kind, what) in enumerate(steps):
        if kind == "add":
            assert isinstance(what, frozenset)
            waits.add(number, what, result=False)
            waiting[number] = what
        elif kind == "drop" and what in waiting:
            assert isinstance(what, int)
            waits.drop(what)
            del waiting[what]
        elif kind == "end":
            assert isinstance(what, int)
            ended.add(what)
        elif kind in ("early", "refuse") and open_requests:
            assert isinstance(what, int)
            chosen = sorted(open_requests)[what % len(open_requests)]
            open_requests.pop(chosen)
            if kind == "early":
                hear(waits.replied(chosen, reply(), 0.0))
            else:
                hear(waits.failed(chosen, NotPermitted("no"), refused=True))
        settle()
        assert not any(ids & ended for ids in waiting.values()), "an end was missed"
        named = {job_id for request in open_requests.values() for job_id in request.ids}
        in_line = set(waits._line) | set(waits._alone)
        assert {job_id for ids in waiting.values() for job_id in ids} <= named | in_line
