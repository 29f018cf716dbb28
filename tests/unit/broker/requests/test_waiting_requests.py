"""Requests that wait for the end of a job: each is answered once, when its time has come, and they stay bounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from zjobs.broker.requests.waiting_requests import SPARE_DEADLINES, WaitingRequests

A, B = b"connection a", b"connection b"


def waiting(of_connection: int = 10, jobs: int = 100) -> WaitingRequests[str]:
    return WaitingRequests(of_connection, jobs)


def test_the_first_of_its_jobs_that_ends_answers_a_request() -> None:
    """A request for several jobs is answered by the first end, and not again by the next one."""
    requests = waiting()
    assert requests.register(A, (3, 5), 1_000, "r") == []
    assert requests.came(4) == []
    assert requests.came(5) == ["r"]
    assert requests.came(3) == []
    assert len(requests) == 0


def test_one_end_answers_all_that_wait_for_the_job() -> None:
    """Of several connections too, and in the order in which they began to wait."""
    requests = waiting()
    for connection, request in ((A, "first"), (B, "second"), (A, "third")):
        requests.register(connection, (7,), 1_000, request)
    assert requests.came(7) == ["first", "second", "third"]


def test_the_time_of_a_request_runs_out() -> None:
    """`due_at_ms` names the next deadline of those that still wait."""
    requests = waiting()
    requests.register(A, (1,), 300, "late")
    requests.register(A, (2,), 100, "soon")
    assert requests.due_at_ms() == 100
    assert requests.due(99) == []
    assert requests.due(100) == ["soon"]
    assert requests.due_at_ms() == 300
    requests.came(1)
    assert requests.due_at_ms() is None
    assert requests.due(10_000) == []


def test_beyond_the_bound_of_a_connection_its_oldest_is_answered_early() -> None:
    """Others are left alone."""
    requests = waiting(of_connection=2)
    requests.register(B, (1,), 1_000, "of another")
    requests.register(A, (1,), 1_000, "oldest")
    requests.register(A, (2,), 1_000, "second")
    assert requests.register(A, (3,), 1_000, "third") == ["oldest"]
    assert requests.came(1) == ["of another"]


def test_beyond_the_bound_of_all_the_oldest_are_answered_early() -> None:
    """As many as it takes; a request that names more jobs than all may is answered itself."""
    requests = waiting(jobs=10)
    requests.register(A, range(1, 5), 1_000, "oldest")
    requests.register(B, range(1, 5), 1_000, "second")
    assert requests.register(B, range(20, 28), 1_000, "third") == ["oldest", "second"]
    assert requests.register(A, range(30, 60), 1_000, "too many") == ["third", "too many"]
    assert len(requests) == 0


def test_a_job_named_twice_counts_once() -> None:
    """Its end answers the request once."""
    requests = waiting(jobs=2)
    assert requests.register(A, (1, 1, 2), 1_000, "r") == []
    assert requests.came(1) == ["r"]


def test_what_waits_for_a_lost_connection_is_dropped() -> None:
    """Nobody would read its answer."""
    requests = waiting()
    requests.register(A, (1,), 1_000, "gone")
    requests.register(B, (1,), 1_000, "here")
    requests.connection_gone(A)
    requests.connection_gone(A)
    assert requests.came(1) == ["here"]


def test_some_can_be_chosen() -> None:
    """Those of a revoked key, or all when the broker stops."""
    requests = waiting()
    for request in ("mine", "yours"):
        requests.register(A, (1,), 1_000, request)
    assert requests.select(lambda request: request == "yours") == ["yours"]
    assert requests.select(lambda request: True) == ["mine"]
    assert len(requests) == 0


def test_deadlines_of_answered_requests_do_not_pile_up() -> None:
    """A client that asks again and again with a long time leaves nothing behind."""
    requests = waiting()
    for job_id in range(1, 10 * SPARE_DEADLINES):
        requests.register(A, (job_id,), 60_000, "r")
        requests.came(job_id)
    assert len(requests._deadlines) <= 2 * SPARE_DEADLINES


Steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("register"), st.sampled_from((A, B)), st.frozensets(st.integers(1, 6), min_size=1, max_size=4)
        ),
        st.tuples(st.just("ended"), st.integers(1, 6)),
        st.tuples(st.just("due"), st.integers(0, 50)),
        st.tuples(st.just("gone"), st.sampled_from((A, B))),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(Steps)
def test_each_request_is_answered_at_most_once_and_none_is_forgotten(steps: list[tuple[object, ...]]) -> None:
    """Whatever happens: bounds hold, and who neither was answered nor lost its connection still waits."""
    requests: WaitingRequests[int] = WaitingRequests(3, 9)
    open_requests: dict[int, tuple[bytes, frozenset[int]]] = {}
    for number, step in enumerate(steps):
        kind, first, *rest = step
        if kind == "register":
            assert isinstance(first, bytes) and isinstance(rest[0], frozenset)
            open_requests[number] = first, rest[0]
            answered = requests.register(first, rest[0], number, number)
        elif kind == "ended":
            assert isinstance(first, int)
            answered = requests.came(first)
            assert set(answered) == {each for each, (_, ids) in open_requests.items() if first in ids}
        elif kind == "due":
            assert isinstance(first, int)
            answered = requests.due(first)
            assert set(answered) == {each for each in open_requests if each <= first}
        else:
            assert isinstance(first, bytes)
            requests.connection_gone(first)
            answered = [each for each, (connection, _) in open_requests.items() if connection == first]
        for each in answered:
            del open_requests[each]
        assert len(requests) == len(open_requests)
        assert sum(len(ids) for _, ids in open_requests.values()) <= 9
        for connection in (A, B):
            assert sum(each == connection for each, _ in open_requests.values()) <= 3
    assert sorted(requests.select(lambda each: True)) == sorted(open_requests)
