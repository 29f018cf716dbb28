"""Distributions of how long the runs of a type take and its jobs wait: small histograms. Pure.

The bounds of the bars are 1, 2 and 5 times the powers of ten, so that a few of them cover anything from milliseconds to
days.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState

_BOUNDS_MS = tuple(factor * 10**power for power in range(10) for factor in (1, 2, 5))
# Fewer bars than this look like no distribution at all.
FEWEST_BARS = 6
LOWEST = 8.0


class Bar(NamedTuple):
    """A count of values from `low_ms` to below `high_ms`. Its place and size are percentages of the picture."""

    low_ms: int
    high_ms: int
    number: int
    left: float
    width: float
    height: float


class Spread(NamedTuple):
    """The distribution of a number of durations. `most_ms`: nine of ten are not longer."""

    bars: tuple[Bar, ...]
    number: int
    median_ms: int
    most_ms: int


class TypeSpreads(NamedTuple):
    """Distributions of how long jobs of a type run, and wait before."""

    type: str
    runs: Spread
    waits: Spread


def spreads(jobs: Iterable[JobStatus]) -> list[TypeSpreads]:
    """Return the distributions of each type with completed jobs among these, the most frequent type first."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for job in jobs:
        if job.state is JobState.COMPLETED and job.started_at is not None and job.ended_at is not None:
            found[job.type].append((job.ended_at - job.started_at, job.started_at - job.submitted_at))
    return [
        TypeSpreads(type, spread([ran for ran, _ in times]), spread([waited for _, waited in times]))
        for type, times in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def spread(durations_ms: Sequence[int]) -> Spread:
    """Return the distribution of at least one duration. Clocks differ: what seems negative is 0."""
    ordered = sorted(max(0, each) for each in durations_ms)
    counts = [0] * (len(_BOUNDS_MS) + 1)
    for each in ordered:
        counts[bisect_right(_BOUNDS_MS, each)] += 1
    first = bisect_right(_BOUNDS_MS, ordered[0])
    last = bisect_right(_BOUNDS_MS, ordered[-1])
    while last - first + 1 < FEWEST_BARS:
        first, last = max(0, first - 1), min(len(counts) - 1, last + 1)
    highest = max(counts)
    edges = (0, *_BOUNDS_MS, 10 * _BOUNDS_MS[-1])
    places = range(first, last + 1)
    width = round(100 / len(places), 2)
    bars = [
        Bar(edges[n], edges[n + 1], counts[n], round((n - first) * width, 2), width, _height(counts[n] / highest))
        for n in places
    ]
    most = ordered[-(-9 * len(ordered) // 10) - 1]
    return Spread(tuple(bars), len(ordered), round(statistics.median(ordered)), most)


def _height(share: float) -> float:
    """A bar that stands for something is seen."""
    return round(max(LOWEST, 100 * share), 1) if share else 0.0
