"""How long a run takes, and what is left of one: a table of cases. All in seconds here."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zjobs.broker.core.estimates.spans import NOTHING, UNKNOWN, Progress, Remaining, Span, remaining, span_of_run
from zjobs.messages.states import Origin

S = 1_000_000
PROGRESS = Origin.PROGRESS


def history(likely_s: float, upper_s: float, runs: int) -> Span:
    return Span(int(likely_s * S), int(upper_s * S), Origin.HISTORY, runs)


def limit(upper_s: float) -> Span:
    return Span(0, int(upper_s * S), Origin.LIMIT, at_least=True)


def us(seconds: tuple[float, ...]) -> list[int]:
    return [int(each * S) for each in seconds]


@pytest.mark.parametrize(
    ("runs_s", "limit_s", "expected"),
    [
        ((), None, UNKNOWN),
        ((), 600, limit(600)),
        ((5,), None, history(5, 5, 1)),
        ((4, 6), None, history(5, 6, 2)),
        ((1, 2, 3, 4, 5), None, history(3, 4, 5)),
        ((5, 4, 3, 2, 1), None, history(3, 4, 5)),
        ((1, 1, 1, 1, 101), None, history(1, 21, 5)),  # many of these take 21 s each, which no percentile says
        ((10, 20, 30), 15, history(15, 15, 3)),
        ((10, 20, 30), 25, history(20, 25, 3)),
        ((10, 20, 30), 600, history(20, 30, 3)),
    ],
)
def test_a_run_that_has_not_begun(runs_s: tuple[float, ...], limit_s: float | None, expected: Span) -> None:
    """The median and the 80th percentile, else the limit, else nothing; never more than the limit."""
    assert span_of_run(us(runs_s), None if limit_s is None else int(limit_s * S)) == expected


@pytest.mark.parametrize(
    ("why", "runs_s", "limit_s", "run", "expected"),
    [
        ("its own word comes first", (9,), None, Progress(10 * S, 0.5, 10 * S), Span(10 * S, 10 * S, PROGRESS)),
        ("time goes on", (), None, Progress(14 * S, 0.5, 10 * S), Span(6 * S, 14 * S, PROGRESS)),
        ("never beyond its limit", (), 15, Progress(10 * S, 0.5, 10 * S), Span(5 * S, 5 * S, PROGRESS)),
        ("nothing done yet says nothing", (9,), None, Progress(4 * S, 0.0, S), history(5, 5, 1)),
        ("said at once, no pace", (9,), None, Progress(4 * S, 0.5, 0), history(5, 5, 1)),
        ("it has begun", (1, 2, 3, 4, 5), None, Progress(0), history(3, 4, 5)),
        ("the shorter ones are out", (1, 2, 13, 14, 15), None, Progress(10 * S), history(4, 5, 3)),
        ("a second makes no difference", (5, 5, 5, 5, 5), None, Progress(int(5.5 * S)), history(0, 0, 5)),
        ("never beyond its limit", (20, 30), 15, Progress(10 * S), history(5, 5, 2)),
        ("it has no history", (), 15, Progress(10 * S), limit(5)),
        ("it has nothing", (), None, Progress(10 * S), UNKNOWN),
        ("it is to end", (20, 30), None, Progress(10 * S, grace_us=2 * S), history(2, 2, 2)),
        ("it is to end, nothing known", (), None, Progress(10 * S, grace_us=2 * S), limit(2)),
    ],
)
def test_a_run_in_progress(
    why: str, runs_s: tuple[float, ...], limit_s: float | None, run: Progress, expected: Span
) -> None:
    """What is left of it, as its progress, longer runs or its limit say."""
    assert remaining(us(runs_s), None if limit_s is None else int(limit_s * S), run) == (expected, 0), why


@pytest.mark.parametrize(
    ("why", "runs_s", "limit_s", "run", "expected"),
    [
        ("no run was so long", (5, 5), None, Progress(10 * S), Remaining(UNKNOWN, 5 * S)),
        ("its limit is left", (5, 5), 15, Progress(10 * S), Remaining(limit(5), 5 * S)),
        ("few were so long", (*[5] * 10, 60), None, Progress(12 * S), Remaining(UNKNOWN, 2 * S)),
        (
            "a tenth was so long",
            (*[5] * 16, 60, 60),
            None,
            Progress(20 * S),
            Remaining(history(40, 40, 2), 80 * S // 9 + 1),
        ),
        (
            "its progress said so",
            (),
            None,
            Progress(16 * S, 0.75, 9 * S),
            Remaining(Span(0, 16 * S // 3, PROGRESS), 4 * S),
        ),
        ("it says that all is done", (), None, Progress(14 * S, 1.0, 8 * S), Remaining(Span(0, 0, PROGRESS), 6 * S)),
        ("nothing killed it", (), 5, Progress(10 * S), Remaining(UNKNOWN, 5 * S)),
    ],
)
def test_a_run_that_is_overdue(
    why: str, runs_s: tuple[float, ...], limit_s: float | None, run: Progress, expected: Remaining
) -> None:
    """It says by how much, and estimates what it can."""
    assert remaining(us(runs_s), None if limit_s is None else int(limit_s * S), run) == expected, why


durations = st.integers(0, 10**9)
spans = st.builds(span_of_run, st.lists(durations, max_size=5), st.none() | durations)


@settings(deadline=None)
@given(st.lists(spans, max_size=5))
def test_sums_are_honest(parts: list[Span]) -> None:
    """A sum has a bound if each part has one, and is certain if each part is."""
    total = NOTHING
    for part in parts:
        total = total.plus(part)
    assert total.likely_us == sum(part.likely_us for part in parts)
    assert (total.upper_us is None) == any(part.upper_us is None for part in parts)
    assert total.at_least == any(part.at_least for part in parts)
    assert total.upper_us is None or total.upper_us >= total.likely_us
    assert total.runs == min((part.runs for part in parts if part.runs), default=0)


@settings(deadline=None)
@given(spans, st.integers(0, 100))
def test_many_alike_are_as_many_alone(part: Span, count: int) -> None:
    """`count` times is the same as one by one."""
    total = NOTHING
    for _ in range(count):
        total = total.plus(part)
    assert NOTHING.plus(part, count) == total


@settings(deadline=None)
@given(st.lists(durations, min_size=1, max_size=60))
def test_no_bound_is_below_the_mean(runs: list[int]) -> None:
    """So a long sum of bounds is not passed by what usually comes."""
    span = span_of_run(runs, None)
    assert span.upper_us is not None and span.upper_us >= sum(runs) // len(runs) and span.likely_us <= max(runs)
