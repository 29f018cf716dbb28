"""Estimates as people read them: a table of cases."""

from __future__ import annotations

import time

import pytest

from zjobs.client.wording import estimate
from zjobs.messages.records import Estimate
from zjobs.messages.states import Awaited, Origin
from zjobs.messages.units import Ms

NOON = time.mktime((2026, 3, 2, 12, 0, 0, 0, 0, -1))  # a Monday
S, MIN, H = 1, 60, 3_600


def made(
    likely_s: float | None,
    upper_s: float | None,
    origin: Origin = Origin.HISTORY,
    runs: int = 0,
    at_least: bool = False,
    overdue_s: int = 0,
    after: Awaited | None = None,
) -> Estimate:
    likely, upper = (None if s is None else Ms(int(s * 1000)) for s in (likely_s, upper_s))
    return Estimate(likely, upper, origin, runs, at_least, Ms(overdue_s * 1000), after)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (made(31 * MIN, 36 * MIN), "starts 12:31–12:36"),
        (made(31 * MIN, 31 * MIN), "starts 12:31"),
        (made(13 * H, 25 * H), "starts Tue 01:00–Tue 13:00"),
        (made(8 * 24 * H, 8 * 24 * H), "starts 2026-03-10 12:00"),
        (made(20, 50), "starts in 20–50 s"),
        (made(0, 0, Origin.NOTHING_AHEAD), "starts next"),
        (made(0, 0, Origin.NOTHING_AHEAD, after=Awaited.RESUME), "starts after resume"),
        (made(0, 0, Origin.NOTHING_AHEAD, after=Awaited.WORKER), "starts once a worker is ready"),
        (made(3 * MIN, 6 * MIN, after=Awaited.RESUME), "starts 3–6 min after resume"),
        (made(3 * MIN, None, Origin.UNKNOWN, at_least=True), "starts 12:03 or later"),
        (made(3 * MIN, 9 * MIN, Origin.LIMIT, at_least=True), "starts 12:03 or later, by 12:09"),
        (made(None, 9 * MIN, Origin.LIMIT, at_least=True), "starts by 12:09"),
        (made(90, None, Origin.UNKNOWN, at_least=True), "starts in at least 90 s"),
        (made(60, 90, Origin.LIMIT, at_least=True), "starts in at least 60 s, at most 90 s"),
        (made(None, None, Origin.UNKNOWN, at_least=True), "start unknown"),
        (made(None, None, Origin.UNKNOWN, at_least=True, after=Awaited.RESUME), "start unknown, after resume"),
    ],
)
def test_when_a_job_starts(found: Estimate, told: str) -> None:
    """By the clock where that is far enough; no more than is known."""
    assert estimate.start(found, NOON) == told


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (made(31 * MIN, 36 * MIN), "starts 12:31–12:36"),
        (made(30, 50), "starts in 20–40 s"),
        (made(5, 8), "starts next"),
        (made(3 * MIN, 6 * MIN, after=Awaited.RESUME), "starts 3–6 min after resume"),
    ],
)
def test_a_start_stays_where_it_is(found: Estimate, told: str) -> None:
    """A while after it was heard; what counts from a moment to come does not begin before."""
    assert estimate.start(found, NOON + 10, later_s=10) == told


@pytest.mark.parametrize(
    ("found", "later_s", "told"),
    [
        (made(3 * MIN, 6 * MIN, runs=14), 0, "3–6 min left (from 14 runs)"),
        (made(3 * MIN, 6 * MIN, runs=1), 60, "2–5 min left (from 1 run)"),
        (made(3 * MIN, 6 * MIN, runs=14), 600, "0 s left (from 14 runs)"),
        (made(90, 90, Origin.PROGRESS), 0, "90 s left"),
        (made(None, 10 * MIN, Origin.LIMIT, at_least=True), 0, "at most 10 min left (by its time limit)"),
        (made(None, None, Origin.UNKNOWN, at_least=True), 0, ""),
        (made(None, None, Origin.UNKNOWN, at_least=True, overdue_s=150), 0, "overdue by 2 min 30 s"),
        (made(0, 9, Origin.PROGRESS, overdue_s=4), 1.0, "overdue by 5 s"),
    ],
)
def test_when_a_run_ends(found: Estimate, later_s: float, told: str) -> None:
    """What is left, a while after it was heard; how much too late it is."""
    assert estimate.end(found, later_s) == told


@pytest.mark.parametrize(
    ("likely_s", "upper_s", "told"),
    [
        (0.2, 0.9, "at most 1 s"),
        (100, 110, "100–110 s"),
        (50, 200, "at most 4 min"),
        (5 * MIN, 5 * H, "at most 5 h"),
        (30 * H, 47 * H, "30–47 h"),
        (50 * H, 99 * H, "2–5 d"),
        (0, 30, "at most 30 s"),
    ],
)
def test_ranges(likely_s: float, upper_s: float, told: str) -> None:
    """In one unit, rounded apart, so that the range keeps what it says."""
    assert estimate.span(made(likely_s, upper_s)) == told
