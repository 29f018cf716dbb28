"""What is answered to requests that change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.broker.queries import NEXT_SHOWN, PIECE_BYTES, Service, answer
from zjobs.messages import wire
from zjobs.messages.types import (
    Ended,
    ErrorCode,
    FailReason,
    Hello,
    Info,
    JobState,
    Limits,
    Missing,
    Outcome,
    Result,
    Running,
    Show,
    Status,
    Types,
    WorkerState,
)

SERVICE = Service(Limits(), "tcp://127.0.0.1:5571", "4.3.5", 400)


def ask(bench: Any, request: Any) -> Any:
    """The reply, which can be sent."""
    reply = answer(request, bench.core, bench.journal, SERVICE, bench.now)
    assert wire.decode(wire.encode(reply), wire.REPLIES) == reply
    return reply


def done(n: int, result: bytes = b"\xa2ok") -> Ended:
    return Ended(n, Outcome.COMPLETED, 2_000_000, result)


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
    ready.beat(running=Running(3, 3, 40))
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
    ready.journal._db.execute("DELETE FROM job WHERE id = 1")
    assert ask(ready, Status((1, 2, 3))).missing == (
        Missing(1, ErrorCode.EXPIRED),
        Missing(3, ErrorCode.NOT_FOUND),
    )
    for request in (Result(1), Show(1)):
        assert ask(ready, request).code is ErrorCode.EXPIRED
    for request in (Result(3), Show(3)):
        assert ask(ready, request).code is ErrorCode.NOT_FOUND


def test_status_without_ids_is_the_running_job_and_the_next(ready: Any) -> None:
    """The running one first; without one, the next alone."""
    ready.submit(*["once"] * 30)
    assert [s.id for s in ask(ready, Status()).jobs] == list(range(1, NEXT_SHOWN + 1))
    ready.taken = 1
    ready.beat(running=Running(1, 1, 0))
    assert [s.id for s in ask(ready, Status()).jobs] == list(range(1, NEXT_SHOWN + 2))


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
    assert (shown.key, shown.data_bytes, shown.result_bytes) == ("mine", 0, 3)
    assert [(a.number, a.outcome, a.detail) for a in shown.attempts] == [(1, Outcome.FAILED, "Traceback")]
    assert (ask(ready, Show(2)).key, ask(ready, Show(2)).data_bytes) == ("other", None)


@pytest.mark.parametrize("known", [False, True])
def test_types_are_known_once_a_worker_has_announced_them(bench: Any, known: bool) -> None:
    """Sorted by name; none and not known before."""
    if known:
        bench.worker()
    reply = ask(bench, Types())
    assert (reply.known, [t.name for t in reply.types]) == (known, ["again", "once", "twice"] if known else [])


def test_info_counts_every_job_once(ready: Any) -> None:
    """In progress, queued, completed, failed: together all there are."""
    ready.submit("once", "once", "once", "twice")
    ready.report(1, done(1))
    ready.report(2, Ended(2, Outcome.FAILED, 10, None, FailReason.RAISED, "no"))
    ready.beat(running=Running(3, 3, 0), taken=3)
    info = ask(ready, Info())
    assert (info.queued, info.in_progress, info.completed, info.failed, info.cancelled) == (1, 1, 1, 1, 0)
    assert (info.worker.running, info.worker.host, info.worker.note) == (3, "here", None)
    assert info.uptime_ms == 600 and info.journal_file == ":memory:" and info.journal_bytes > 0
