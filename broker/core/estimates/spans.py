"""Estimates of how long a run takes, and how much of it is left: from its progress, its limit, and finished runs.

All durations here are microseconds: a queue may hold a million jobs of a few hundred each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zjobs.messages.states import Origin

SLACK_US = 1_000_000  # no run is overdue sooner: reports take time, and equal runs differ a little
TELLING = 10  # earlier runs count only if at least a tenth of them lasted longer than the one in progress

_RANK = {origin: rank for rank, origin in enumerate(Origin)}


class Span(NamedTuple):
    """An estimated duration. `likely_us`: of what is known. `upper_us`: its bound, None without one. `runs`: how many
    finished runs it rests on. `at_least`: a part of unknown length is missing from `likely_us`."""

    likely_us: int = 0
    upper_us: int | None = 0
    origin: Origin = Origin.NOTHING_AHEAD
    runs: int = 0
    at_least: bool = False

    def plus(self, other: Span, count: int = 1) -> Span:
        """Return this span followed by `count` times the other."""
        if not count:
            return self
        bounded = self.upper_us is not None and other.upper_us is not None
        return Span(
            self.likely_us + count * other.likely_us,
            self.upper_us + count * other.upper_us if bounded else None,  # type: ignore[operator]
            max(self.origin, other.origin, key=_RANK.__getitem__),
            min(self.runs or other.runs, other.runs or self.runs),
            self.at_least or other.at_least,
        )

    def not_before(self, us: int) -> Span:
        """Return this span, ending no sooner than `us`."""
        upper_us = None if self.upper_us is None else max(us, self.upper_us)
        return self._replace(likely_us=max(us, self.likely_us), upper_us=upper_us)

    def at_most(self, us: int | None) -> Span:
        """Return this span, cut off after `us`; None leaves it as it is."""
        if us is None:
            return self
        if self.origin is Origin.UNKNOWN:
            return Span(0, us, Origin.LIMIT, at_least=True)
        upper_us = us if self.upper_us is None else min(us, self.upper_us)
        return self._replace(likely_us=min(us, self.likely_us), upper_us=upper_us)


NOTHING = Span()
UNKNOWN = Span(0, None, Origin.UNKNOWN, at_least=True)


class Progress(NamedTuple):
    """A run in progress. `fraction`: last reported by its task, `reported_us` after it began; None if nothing was
    reported. `grace_us`: how long it may go on after it was told to end; None if it was not told."""

    elapsed_us: int
    fraction: float | None = None
    reported_us: int = 0
    grace_us: int | None = None


class Remaining(NamedTuple):
    """The time left of a run in progress, and by how much it has exceeded what was expected."""

    span: Span
    overdue_us: int = 0


def span_of_run(runs: Sequence[int], limit_us: int | None) -> Span:
    """Estimate a run that has not begun. `runs`: how long finished ones took. `limit_us`: when it is killed."""
    return (_spread(runs) if runs else UNKNOWN).at_most(limit_us)


def remaining(runs: Sequence[int], limit_us: int | None, run: Progress) -> Remaining:
    """Estimate what is left of a run in progress."""
    elapsed_us = run.elapsed_us
    if limit_us is not None and elapsed_us > limit_us + SLACK_US:  # its limit should have ended it, and did not
        return Remaining(UNKNOWN, elapsed_us - limit_us)
    if run.fraction and run.reported_us:
        expected_us = int(run.reported_us / run.fraction)
        upper_us = int(elapsed_us * (1 - run.fraction) / run.fraction)
        span = Span(max(0, expected_us - elapsed_us), upper_us, Origin.PROGRESS)
    else:
        expected_us = (_spread(runs).upper_us if runs else None) or elapsed_us
        longer = [duration_us for duration_us in runs if duration_us + SLACK_US > elapsed_us]
        tell = bool(longer) and len(longer) * TELLING >= len(runs)
        span = _spread([max(0, duration_us - elapsed_us) for duration_us in longer]) if tell else UNKNOWN
    span = span.at_most(None if limit_us is None else max(0, limit_us - elapsed_us)).at_most(run.grace_us)
    overdue_us = elapsed_us - expected_us
    return Remaining(span, overdue_us if overdue_us > SLACK_US else 0)


def _spread(runs: Sequence[int]) -> Span:
    """Return the median and the 80th percentile, but no less than the mean: many such jobs together take the mean of
    each."""
    ordered = sorted(runs)
    count = len(ordered)
    median = (ordered[(count - 1) // 2] + ordered[count // 2]) // 2
    upper = max(ordered[(4 * count + 4) // 5 - 1], sum(ordered) // count)
    return Span(median, upper, Origin.HISTORY, count)
