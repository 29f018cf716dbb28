"""The strip, and how long jobs run and wait: pure functions, by tables of cases."""

from __future__ import annotations

import random
from typing import Any

import pytest

from zjobs.gateway.pages.elements.spread import FEWEST_BARS, spread, spreads
from zjobs.gateway.pages.elements.strip import (
    LOWEST,
    MERGED,
    MOST_BLOCKS,
    THINNEST,
    WINDOWS,
    Run,
    Stretch,
    run_of,
    strip,
)
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState

HOUR = 3_600_000
NOW = 1_000 * HOUR
START = NOW - HOUR
PERCENT = HOUR // 100

COMPLETED, FAILED, CANCELLED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED


def run(start: float, end: float | None, state: JobState = COMPLETED, job_id: int = 1) -> Run:
    """A run between two places of a lane of an hour."""
    return Run(job_id, "measure", "", state, at(start), None if end is None else at(end))


def at(place: float) -> int:
    return START + int(place * PERCENT)


def job(**changed: Any) -> JobStatus:
    fields: dict[str, Any] = {
        "id": 1,
        "type": "measure",
        "state": COMPLETED,
        "version": 1,
        "progress": 0,
        "submitted_at": at(0),
        "attempts": 1,
        "reruns": 0,
        "started_at": at(10),
        "ended_at": at(20),
    }
    return JobStatus(**fields | changed)


def places(*runs: Run) -> list[tuple[float, float]]:
    return [tuple(block.place) for block in strip(runs, [], "1h", NOW).blocks]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([run(10, 20)], [(10, 10)]),
        ([run(30, 40), run(10, 20)], [(10, 10), (30, 10)]),
        ([run(-5, 10)], [(0, 10)]),  # began before the lane
        ([run(-5, -1)], []),
        ([run(90, None, JobState.IN_PROGRESS)], [(90, 10)]),
        ([run(90, 110)], [(90, 10)]),  # the worker's clock is ahead
        ([run(50, 50)], [(50 - THINNEST, THINNEST)]),
        ([run(0, 0)], [(0, THINNEST)]),
        ([run(10, 20), run(20, 20.1)], [(10, 10), (20.1 - THINNEST, THINNEST)]),  # covers the end of the long one
    ],
)
def test_where_blocks_are(runs: list[Run], expected: list[tuple[float, float]]) -> None:
    """From the beginning to the end, inside the lane, in order, and never too thin to be seen."""
    assert places(*runs) == [pytest.approx(place, abs=0.01) for place in expected]


@pytest.mark.parametrize(
    ("runs", "groups"),
    [
        ([run(10, 10.2), run(10.3, 10.6)], [2]),
        ([run(10, 10.2), run(10.9, 11.1)], [1, 1]),  # together longer than MERGED
        ([run(10, 10.2), run(10.2, 30)], [1, 1]),
        ([run(10, 30), run(30, 30.2)], [1, 1]),
        ([run(99, 99.2), run(99.3, None, JobState.IN_PROGRESS)], [1, 1]),
    ],
)
def test_what_is_one_block(runs: list[Run], groups: list[int]) -> None:
    """Short runs beside each other; the one in progress always stands alone."""
    assert [len(block.runs) for block in strip(runs, [], "1h", NOW).blocks] == groups


@pytest.mark.parametrize(
    ("states", "state", "height"),
    [
        ([COMPLETED, COMPLETED, FAILED, CANCELLED], COMPLETED, 7),
        ([FAILED, FAILED, COMPLETED], FAILED, 18),
        ([FAILED], FAILED, 0),
        ([COMPLETED] * 9 + [FAILED], COMPLETED, LOWEST),
        ([COMPLETED, CANCELLED, CANCELLED], CANCELLED, 0),
    ],
)
def test_what_a_block_of_several_says(states: list[JobState], state: JobState, height: int) -> None:
    """How most ended; and a failure among others is not lost."""
    runs = [run(10, 10.1, state, job_id) for job_id, state in enumerate(states, 5)]
    (block,) = strip(runs, [], "1h", NOW).blocks
    assert (block.state, block.failed_height) == (state, height)
    assert (block.first_id, block.last_id) == (5, 4 + len(states))


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([run(10, 20, FAILED, 7)._replace(name="lamp")], "#7 lamp: failed after 6 min 0 s"),
        ([run(90, None, JobState.IN_PROGRESS, 7)], "#7 measure: running"),
        ([run(10, 10.1), run(10.1, 10.2, FAILED, 2)], "2 jobs from #1 to #2: 1 completed, 1 failed"),
    ],
)
def test_what_a_block_tells(runs: list[Run], words: str) -> None:
    """The job and how it ended, or of several how many ended how."""
    (block,) = strip(runs, [], "1h", NOW).blocks
    assert block.words == words


def test_a_week_of_short_jobs() -> None:
    """Ever so many jobs make a bounded number of blocks, and none of them is lost."""
    length, *_ = WINDOWS["7d"]
    rng = random.Random(1)
    runs, time = [], NOW - length
    while time < NOW:
        took = rng.choice([1, 2_000, 2_000, 2_000, 900_000])
        runs.append(Run(len(runs) + 1, "t", "", rng.choice([COMPLETED, FAILED]), time, time + took))
        time += took + rng.choice([0, 0, 0, 2_000_000])
    rng.shuffle(runs)
    blocks = strip(runs, [], "7d", NOW).blocks
    assert 50 < len(blocks) <= MOST_BLOCKS
    assert sum(len(block.runs) for block in blocks) == len(runs)
    assert all(block.place.width <= MERGED + THINNEST for block in blocks if len(block.runs) > 1)


@pytest.mark.parametrize(
    ("pause", "expected"),
    [
        ((at(10), at(20)), [(10, 10)]),
        ((at(90), None), [(90, 10)]),
        ((at(-20), at(10)), [(0, 10)]),
        ((at(-20), at(-10)), []),
    ],
)
def test_pauses(pause: tuple[int, int | None], expected: list[tuple[float, float]]) -> None:
    """Where they are within the lane; one in force lasts until now."""
    assert [tuple(each) for each in strip([], [pause], "1h", NOW).pauses] == expected


@pytest.mark.parametrize(("window", "marks"), [("1h", 5), ("8h", 5), ("24h", 5), ("7d", 8)])
def test_marks(window: str, marks: int) -> None:
    """A few, from the beginning of the lane to now."""
    shown = strip([], [], window, NOW).marks
    assert len(shown) == marks
    assert (shown[0], shown[-1]) == ((0, WINDOWS[window][0]), (100, 0))


@pytest.mark.parametrize(
    ("listed_from", "expected"), [(None, None), (at(25), Stretch(0, 25)), (at(-1), None), (at(0), None)]
)
def test_what_was_not_listed(listed_from: int | None, expected: Stretch | None) -> None:
    """A part of the lane without blocks is not taken for a gap when nobody has looked there."""
    assert strip([], [], "1h", NOW, listed_from).unlisted == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, (at(10), at(20))),
        ({"state": JobState.IN_PROGRESS, "ended_at": None}, (at(10), None)),
        ({"state": JobState.QUEUED, "ended_at": None}, None),  # failed once, and waits for its next attempt
        ({"state": CANCELLED, "started_at": None}, None),
    ],
)
def test_which_jobs_have_a_run(changed: dict[str, Any], expected: tuple[int, int | None] | None) -> None:
    """Those that have begun; of those that will run again, nothing is shown until then."""
    found = run_of(job(**changed))
    assert (found and (found.start, found.end)) == expected


# --- distributions ---------------------------------------------------------------------------------------


def test_a_distribution() -> None:
    """Bars between round bounds, the highest as high as there is room."""
    told = spread([1_000, 1_500, 1_999, 2_000, 30_000])
    assert [(bar.low_ms, bar.number, bar.height) for bar in told.bars if bar.number] == [
        (1_000, 3, 100.0),
        (2_000, 1, 33.3),
        (20_000, 1, 33.3),
    ]
    assert all(left.high_ms == right.low_ms for left, right in zip(told.bars, told.bars[1:]))
    assert (told.number, told.median_ms, told.most_ms) == (5, 1_999, 30_000)


@pytest.mark.parametrize(
    ("durations", "median_ms", "most_ms"),
    [([5], 5, 5), ([-5], 0, 0), ([0, 10**12], 5 * 10**11, 10**12), (list(range(1, 11)), 6, 9)],
)
def test_any_durations(durations: list[int], median_ms: int, most_ms: int) -> None:
    """None is lost, and there are enough bars for a shape."""
    told = spread(durations)
    assert sum(bar.number for bar in told.bars) == len(durations)
    assert len(told.bars) >= FEWEST_BARS
    assert (told.median_ms, told.most_ms) == (median_ms, most_ms)


def test_distributions_of_types() -> None:
    """Of completed jobs, by type: how long they ran, how long they waited; the most frequent type first."""
    jobs = [job(type="rare"), job(), job(ended_at=at(10)), job(state=FAILED), job(started_at=None)]
    (first, second) = spreads(jobs)
    assert (first.type, first.runs.number, second.type) == ("measure", 2, "rare")
    assert first.waits.median_ms == 10 * PERCENT
    assert second.runs.median_ms == 10 * PERCENT
