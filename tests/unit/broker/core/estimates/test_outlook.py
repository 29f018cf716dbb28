"""When jobs start: a table of cases, and a simulation of one worker that takes one job after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from zjobs.broker.core.estimates.outlook import LOOKED_AT, Delayed, Outlook
from zjobs.broker.core.estimates.spans import NOTHING, UNKNOWN, Span
from zjobs.messages.states import Origin


def seen(
    in_flight: Span = NOTHING,
    paused_us: int = 0,
    delayed: Sequence[Delayed] = (),
    ready: Span = NOTHING,
    longest: Span = NOTHING,
) -> Outlook:
    return Outlook(in_flight, paused_us, delayed, len(delayed), ready, longest)


FIVE = Span(5, 8, Origin.HISTORY, 10)
ONE = Span(1, 2, Origin.HISTORY, 3)
LIMIT = Span(0, 60, Origin.LIMIT, at_least=True)
HERE = (0, 50)
BEFORE = (-1, 90)
BEHIND = (0, 51)


def history(likely: int, upper: int | None, runs: int) -> Span:
    return Span(likely, upper, Origin.HISTORY, runs)


@pytest.mark.parametrize(
    ("why", "outlook", "ahead", "expected"),
    [
        ("nothing is ahead", seen(), NOTHING, NOTHING),
        ("one runs", seen(FIVE), NOTHING, FIVE),
        ("one runs, two are ready", seen(FIVE), ONE.plus(ONE), history(7, 12, 3)),
        ("nobody knows how long one takes", seen(FIVE), UNKNOWN, Span(5, None, Origin.UNKNOWN, 10, True)),
        ("its limit is known", seen(FIVE), LIMIT, Span(5, 68, Origin.LIMIT, 10, True)),
        ("the pause lasts longer", seen(FIVE, paused_us=6), ONE, history(7, 10, 3)),
        ("the pause lasts longer, nothing runs", seen(paused_us=6), NOTHING, Span(6, 6)),
        ("a delayed one goes first", seen(FIVE, delayed=[Delayed(4, BEFORE, ONE)]), NOTHING, history(6, 10, 3)),
        (
            "it goes first if others are slow",
            seen(FIVE, delayed=[Delayed(7, BEFORE, ONE)]),
            NOTHING,
            history(5, 10, 3),
        ),
        ("it comes too late", seen(FIVE, delayed=[Delayed(9, BEFORE, UNKNOWN)]), NOTHING, FIVE),
        ("it goes behind", seen(FIVE, delayed=[Delayed(1, BEHIND, UNKNOWN)]), NOTHING, FIVE),
        (
            "one delays it until the next is ready",
            seen(FIVE, delayed=[Delayed(4, BEFORE, FIVE), Delayed(9, BEFORE, ONE)]),
            NOTHING,
            history(11, 18, 3)._replace(likely_us=11),
        ),
        (
            "as many as are looked at",
            seen(FIVE, delayed=[Delayed(1, BEHIND, ONE)] * LOOKED_AT),
            NOTHING,
            FIVE,
        ),
        (
            "not all of them come",
            Outlook(FIVE, 0, [Delayed(1, BEHIND, ONE)], 2),
            NOTHING,
            Span(5, None, Origin.UNKNOWN, at_least=True),
        ),
        (
            "too many to look at",
            seen(FIVE, delayed=[Delayed(1, BEHIND, ONE)] * (LOOKED_AT + 1)),
            NOTHING,
            Span(5, None, Origin.UNKNOWN, at_least=True),
        ),
    ],
)
def test_a_ready_job(why: str, outlook: Outlook, ahead: Span, expected: Span) -> None:
    """It starts when everything ahead has ended."""
    assert outlook.start(HERE, ahead) == expected, why


@pytest.mark.parametrize(
    ("why", "outlook", "ahead", "ready_us", "expected"),
    [
        ("nothing is there", seen(), NOTHING, 100, Span(100, 100)),
        ("all is done by then", seen(FIVE, ready=FIVE), FIVE, 100, history(100, 100, 10)),
        ("the queue is longer", seen(FIVE, ready=FIVE), FIVE, 7, history(10, 16, 10)),
        ("others may be running then", seen(ready=FIVE, longest=FIVE), NOTHING, 3, Span(3, 11)),
        (
            "others may be running, nobody knows how long",
            seen(ready=UNKNOWN, longest=UNKNOWN),
            NOTHING,
            3,
            Span(3, None, Origin.UNKNOWN, at_least=True),
        ),
        (
            "another delayed one may be running",
            seen(delayed=[Delayed(9, BEHIND, FIVE)], longest=FIVE),
            NOTHING,
            10,
            Span(10, 18),
        ),
        (
            "another is ready at the same time",
            seen(delayed=[Delayed(10, BEFORE, FIVE)], longest=FIVE),
            NOTHING,
            10,
            history(15, 18, 10),
        ),
        ("the pause lasts longer", seen(paused_us=20), NOTHING, 10, Span(20, 20)),
        ("the pause lasts longer, so nothing begins", seen(paused_us=20, longest=FIVE), NOTHING, 19, Span(20, 20)),
        ("one that runs outlasts the pause", seen(FIVE, 3, longest=ONE), NOTHING, 2, FIVE),
        (
            "after the pause others may be running",
            seen(paused_us=9, ready=FIVE, longest=FIVE),
            NOTHING,
            10,
            Span(10, 18),
        ),
    ],
)
def test_a_delayed_job(why: str, outlook: Outlook, ahead: Span, ready_us: int, expected: Span) -> None:
    """It starts when it is ready and everything ahead has ended; something else may be running by then."""
    assert outlook.delayed_start(HERE, ahead, ready_us) == expected, why


def test_delayed_jobs_are_looked_at_as_needed() -> None:
    """Most often the first of them shows that none matters."""
    taken: list[int] = []

    def soonest() -> Iterator[Delayed]:
        for ready_us in range(10, 1000):
            taken.append(ready_us)
            yield Delayed(ready_us, BEFORE, ONE)

    outlook = Outlook(FIVE, 0, soonest(), 1000)
    for _ in range(3):
        assert outlook.start(HERE, NOTHING) == FIVE
    assert taken == [10]


# --- against a worker that takes one job after another --------------------------------------------------------------


class Job(NamedTuple):
    order: tuple[int, int]
    ready_us: int
    likely_us: int
    upper_us: int

    @property
    def span(self) -> Span:
        return Span(self.likely_us, self.upper_us, Origin.HISTORY, 1)


@st.composite
def queues(draw: st.DrawFn) -> list[Job]:
    """Jobs in their order; about half of them are delayed."""
    fields = st.tuples(st.integers(-1, 1), st.integers(-15, 15), st.integers(0, 9), st.integers(0, 5))
    jobs = enumerate(draw(st.lists(fields, max_size=9)))
    return sorted(Job((first, job_id), max(0, at), likely, likely + more) for job_id, (first, at, likely, more) in jobs)


def started(jobs: Sequence[Job], free_us: int, durations: Sequence[int]) -> dict[tuple[int, int], int]:
    """When each starts: from `free_us` on, the worker takes the first ready one."""
    now, left, starts = free_us, dict(zip(jobs, durations)), {}
    while left:
        ready = [job for job in left if job.ready_us <= now]
        if not ready:
            now = min(job.ready_us for job in left)
            continue
        job = min(ready)
        starts[job.order] = now
        now += left.pop(job)
    return starts


def estimated(jobs: Sequence[Job], busy: Span, paused_us: int) -> dict[tuple[int, int], Span]:
    ready = NOTHING
    for job in jobs:
        ready = ready.plus(job.span, not job.ready_us)
    delayed = sorted(Delayed(job.ready_us, job.order, job.span) for job in jobs if job.ready_us)
    longest = max((job.span for job in jobs), key=lambda span: span.upper_us or 0, default=NOTHING)
    outlook = seen(busy, paused_us, delayed, ready, longest)
    starts, ahead = {}, NOTHING
    for job in jobs:
        if job.ready_us:
            starts[job.order] = outlook.delayed_start(job.order, ahead, job.ready_us)
        else:
            starts[job.order] = outlook.start(job.order, ahead)
            ahead = ahead.plus(job.span)
    return starts


@examples(150)
@given(queues(), st.integers(0, 9), st.integers(-20, 20))
def test_likely_starts_are_those_of_likely_durations(jobs: list[Job], busy_us: int, paused_us: int) -> None:
    """If each run takes its likely time, each ready job starts at its likely time, and no delayed one before it."""
    starts = started(jobs, max(busy_us, paused_us), [job.likely_us for job in jobs])
    for job in jobs:
        span = estimated(jobs, Span(busy_us, busy_us), max(0, paused_us))[job.order]
        assert span.likely_us == starts[job.order] if not job.ready_us else span.likely_us <= starts[job.order]


@examples(150)
@given(queues(), st.integers(0, 9), st.integers(-20, 20), st.data())
def test_no_job_starts_after_its_upper_bound(
    jobs: list[Job], busy_us: int, paused_us: int, data: st.DataObject
) -> None:
    """If no run takes longer than its upper bound, no job starts later than its own."""
    durations = [data.draw(st.integers(0, job.upper_us)) for job in jobs]
    starts = started(jobs, max(busy_us, paused_us), durations)
    for order, span in estimated(jobs, Span(busy_us, busy_us), max(0, paused_us)).items():
        assert span.upper_us is not None and starts[order] <= span.upper_us
