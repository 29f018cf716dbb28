"""Data read back, whole and in part, by those who may; and what `list` is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.requests.contents import PIECE_BYTES
from zjobs.broker.requests.previews import PREVIEW_BYTES, STEP_BYTES
from zjobs.broker.requests.queries import Queries
from zjobs.messages.records import DataPreview, JobStatus
from zjobs.messages.requests.changes import NewJob, Submit
from zjobs.messages.requests.ops import Error, Request
from zjobs.messages.requests.queries import Data, DataReply, List, Queue, Show, Status
from zjobs.messages.states import ErrorCode, JobState, Role
from zjobs.messages.units import JobId, Ms

ALICE, BOB = Who("alice", Role.SUBMITTER), Who("bob", Role.SUBMITTER)
DATA = bytes(range(200))


def steps(bench: Any, request: Request, who: Who = ANYBODY) -> tuple[Any, int]:
    """The reply, and in how many steps it was made."""
    answer = Queries(bench.core, bench.journal, None, who, bench.now, None).answer(request)  # type: ignore[arg-type]
    count = 1
    while True:
        try:
            next(answer)
            count += 1
        except StopIteration as end:
            return end.value, count


def ask(bench: Any, request: Request, who: Who = ANYBODY) -> Any:
    return steps(bench, request, who)[0]


def submit(bench: Any, *jobs: NewJob, owner: str = "", submitter: str = "") -> None:
    bench.ask(Submit(bench.key(None), jobs, submitter=submitter), owner=owner)
    bench.turn()


def previews(bench: Any, request: Request, who: Who = ANYBODY) -> list[DataPreview | None]:
    reply = ask(bench, request, who)
    jobs: list[JobStatus] = [reply.job] if isinstance(request, Show) else reply.jobs
    return [job.data_preview for job in jobs]


def test_data_comes_in_pieces(bench: Any) -> None:
    """With the size of the whole; a job without data has none, and one that there is not is missing."""
    submit(bench, NewJob("once", bytes(PIECE_BYTES + 5)), NewJob("once"))
    first, second = ask(bench, Data(JobId(1))), ask(bench, Data(JobId(1), PIECE_BYTES))
    assert (first.size_bytes, len(first.body), second.offset, second.body) == (
        PIECE_BYTES + 5,
        PIECE_BYTES,
        PIECE_BYTES,
        bytes(5),
    )
    assert ask(bench, Data(JobId(2))) == DataReply("journal", JobId(2), 0, 0, b"")
    missing = ask(bench, Data(JobId(3)))
    assert isinstance(missing, Error) and missing.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize("asked", [Status((JobId(1),)), Show(JobId(1)), List(), Queue()])
def test_a_preview_is_the_beginning(bench: Any, asked: Any) -> None:
    """Where it is asked for, of a job that has data."""
    submit(bench, NewJob("once", DATA))
    assert previews(bench, asked) == [None]
    assert previews(bench, asked._replace(preview=True)) == [DataPreview(DATA[:PREVIEW_BYTES], len(DATA))]


def test_a_job_without_data_has_no_preview(bench: Any) -> None:
    """An empty text has data; none at all is another thing."""
    submit(bench, NewJob("once"), NewJob("once", b"\xa0"))
    assert previews(bench, Status((JobId(1), JobId(2)), preview=True)) == [None, DataPreview(b"\xa0", 1)]


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (Who("alice", Role.SUBMITTER), True),
        (Who("alice", Role.MEMBER), True),
        (Who("alice", Role.VIEWER), False),
        (Who("bob", Role.VIEWER), False),
        (Who("bob", Role.MEMBER), False),
        (Who("bob", Role.OPERATOR), True),
    ],
)
def test_a_preview_is_for_those_who_may_read_the_data(bench: Any, who: Who, may: bool) -> None:
    """Seeing a job is not reading it."""
    submit(bench, NewJob("once", DATA), owner="alice")
    wanted = [DataPreview(DATA[:PREVIEW_BYTES], len(DATA))] if may else [None]
    for request in (List(preview=True), Status((JobId(1),), True), Show(JobId(1), True), Queue(preview=True)):
        assert previews(bench, request, who) == wanted


def test_previews_of_large_data_are_read_few_at_a_time(bench: Any) -> None:
    """Others are served in between; small ones share a step."""
    submit(bench, *[NewJob("once", b"x")] * 50)
    assert steps(bench, List(preview=True))[1] == steps(bench, List())[1] + 1
    submit(bench, *[NewJob("once", bytes(STEP_BYTES // 2))] * 8)
    reply, count = steps(bench, List(preview=True))
    assert count == steps(bench, List())[1] + 5
    assert all(job.data_preview is not None for job in reply.jobs)


def ids(bench: Any, request: List, who: Who = ANYBODY) -> list[int]:
    """Of all pages."""
    found: list[int] = []
    while True:
        reply = ask(bench, request, who)
        found += [job.id for job in reply.jobs]
        if reply.before is None:
            return found
        request = request._replace(before=reply.before)


def test_list_by_texts(bench: Any) -> None:
    """By name, owner and submitter; with a state as well, and page by page."""
    submit(bench, NewJob("once", name="scan 1"), NewJob("once", name="dark"), submitter="alice@lab3")
    submit(bench, NewJob("once", name="scan 2"), owner="bob")
    bench.cancel(3)
    assert ids(bench, List(name="scan*")) == ids(bench, List(name="scan*", limit=1)) == [3, 1]
    assert ids(bench, List(owner="bob")) == ids(bench, List(), BOB) == [3] and ids(bench, List(), ALICE) == []
    assert ids(bench, List(submitter="alice@*")) == [2, 1]
    assert ids(bench, List(name="scan*", state=JobState.CANCELLED)) == [3]
    assert ids(bench, List(name="scan 1", state=JobState.CANCELLED)) == []


def test_list_since(bench: Any) -> None:
    """The list ends before the first job that is older, without looking at what is before it."""
    for _ in range(3):
        submit(bench, *[NewJob("once")] * 1_500)
        bench.mono_ms += 60_000
    recent, count = steps(bench, List(since_ms=Ms(90_000), limit=1_000))
    assert len(recent.jobs) == 1_000 and recent.before is not None
    rest, count = steps(bench, List(since_ms=Ms(90_000), limit=1_000, before=recent.before))
    assert (len(rest.jobs), rest.before) == (500, None) and count <= 4
    assert ask(bench, List(since_ms=Ms(59_000))).jobs == ()
