"""Estimates as text for people: `starts 14:31–14:36`, `3–6 min left (from 14 runs)`. Pure."""

from __future__ import annotations

import time

from zjobs.client.wording.text import whole_seconds
from zjobs.messages.records import Estimate
from zjobs.messages.states import Awaited, Origin
from zjobs.messages.units import Ms

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
CLOCK_S = 120  # nearer times are given as durations

_AWAITED = {Awaited.RESUME: "after resume", Awaited.WORKER: "once a worker is ready"}


def start(estimate: Estimate, now_s: float) -> str:
    """When a queued job starts: `starts 14:31–14:36`, `starts in at least 5 min`, `starts 3–6 min after resume`.

    now_s: the time by the clock, of which hours and minutes are told.
    """
    after = "" if estimate.after is None else _AWAITED[estimate.after]
    if is_unknown(estimate):
        return f"start unknown, {after}" if after else "start unknown"
    if not estimate.likely_ms and not estimate.upper_ms and not estimate.at_least:
        return f"starts {after or 'next'}"
    if after:
        return f"starts {span(estimate)} {after}"
    if estimate.at_least or estimate.likely_ms is None or (estimate.upper_ms or 0) < CLOCK_S * 1000:
        return f"starts in {span(estimate)}"
    first = _clock(now_s + estimate.likely_ms / 1000, now_s)
    last = _clock(now_s + (estimate.upper_ms or 0) / 1000 + 59, now_s)
    return f"starts {first}" if first == last else f"starts {first}–{last}"


def end(estimate: Estimate, later_s: float = 0.0) -> str:
    """Return when the run in progress ends: `3–6 min left (from 14 runs)`, `overdue by 2 min`; "" if unknown.

    later_s: how long ago the estimate was received.
    """
    later_ms = int(later_s * 1000)
    if estimate.overdue_ms:
        return f"overdue by {whole_seconds((estimate.overdue_ms + later_ms) / 1000)}"
    if is_unknown(estimate):
        return ""
    likely_ms, upper_ms = (None if ms is None else Ms(max(0, ms - later_ms)) for ms in estimate[:2])
    left = estimate._replace(likely_ms=likely_ms, upper_ms=upper_ms)
    return f"{span(left)} left{_in_brackets(source(estimate))}"


def span(estimate: Estimate) -> str:
    """Return how long something takes: `3–6 min`, `at least 5 min`, `at most 10 min`, `unknown`."""
    likely_ms, upper_ms = estimate.likely_ms, estimate.upper_ms
    if upper_ms is None:
        return "unknown" if likely_ms is None else f"at least {_rounded(likely_ms)}"
    if estimate.at_least and likely_ms:
        return f"at least {_rounded(likely_ms)}, at most {_rounded(upper_ms)}"
    size, unit = _unit(upper_ms)
    first, last = (likely_ms or 0) // (size * 1000), -(-upper_ms // (size * 1000))
    if first == last:
        return f"{last} {unit}"
    return f"{first}–{last} {unit}" if first else f"at most {last} {unit}"


def source(estimate: Estimate) -> str:
    """Return what the estimate rests on, if that is worth saying: `from 14 runs`."""
    if estimate.origin is Origin.HISTORY:
        return f"from {estimate.runs} run{'s' if estimate.runs != 1 else ''}"
    return "by its time limit" if estimate.origin is Origin.LIMIT else ""


def is_unknown(estimate: Estimate) -> bool:
    """Return True if nothing at all is known."""
    return estimate.likely_ms is None and estimate.upper_ms is None


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _rounded(duration_ms: int) -> str:
    size, unit = _unit(duration_ms)
    return f"{round(duration_ms / size / 1000)} {unit}"


def _unit(duration_ms: int) -> tuple[int, str]:
    """Return the unit for a duration: the largest of which there are at least two."""
    return next((unit for unit in _UNITS if duration_ms >= 2000 * unit[0]), _UNITS[-1])


def _clock(at_s: float, now_s: float) -> str:
    """Hours and minutes, with the day if it is not today."""
    at, now = time.localtime(at_s), time.localtime(now_s)
    if at[:3] == now[:3]:
        return time.strftime("%H:%M", at)
    return time.strftime("%a %H:%M" if at_s - now_s < 6 * 86_400 else "%Y-%m-%d %H:%M", at)
