"""Estimates as text for people: `starts 14:31–14:36`, `3–6 min left (from 14 runs)`. Pure."""

from __future__ import annotations

from zjobs.client.wording.text import near, whole_seconds
from zjobs.messages.records import Estimate
from zjobs.messages.states import Awaited, Origin
from zjobs.messages.units import Ms

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
CLOCK_S = 120  # nearer times are given as durations

_AWAITED = {Awaited.RESUME: "after resume", Awaited.WORKER: "once a worker is ready"}
_UNTIMED = {Awaited.RELEASE: "held", Awaited.JOBS: "waits for other jobs"}


def start(estimate: Estimate, now_s: float, later_s: float = 0.0) -> str:
    """Return when a queued job starts: `starts 14:31–14:36`, `starts 14:31 or later`, `starts 3–6 min after resume`.

    now_s: the present time, for hours and minutes. later_s: how long ago the estimate was received.
    """
    if estimate.after in _UNTIMED:
        return _UNTIMED[estimate.after]
    if estimate.after is None:
        estimate = _later(estimate, later_s)
    after = "" if estimate.after is None else _AWAITED[estimate.after]
    if is_unknown(estimate):
        return f"start unknown, {after}" if after else "start unknown"
    if not estimate.likely_ms and not estimate.upper_ms and not estimate.at_least:
        return f"starts {after or 'next'}"
    if after:
        return f"starts {span(estimate)} {after}"
    if max(estimate.likely_ms or 0, estimate.upper_ms or 0) < CLOCK_S * 1000:
        return f"starts in {span(estimate)}"
    return f"starts {_by_the_clock(estimate, now_s)}"


def end(estimate: Estimate, later_s: float = 0.0) -> str:
    """Return when the run in progress ends: `3–6 min left (from 14 runs)`, `overdue by 2 min`; "" if unknown.

    later_s: how long ago the estimate was received.
    """
    if estimate.overdue_ms:
        return f"overdue by {whole_seconds(estimate.overdue_ms / 1000 + later_s)}"
    if is_unknown(estimate):
        return ""
    return f"{span(_later(estimate, later_s))} left{_in_brackets(source(estimate))}"


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


def _by_the_clock(estimate: Estimate, now_s: float) -> str:
    """Return times of day: `14:31–14:36`, `14:31 or later`, `by 14:36`; the end rounded up."""
    likely_ms, upper_ms = estimate.likely_ms, estimate.upper_ms
    first = "" if likely_ms is None else near(now_s + likely_ms / 1000, now_s, "%H:%M")
    last = "" if upper_ms is None else near(now_s + upper_ms / 1000 + 59, now_s, "%H:%M")
    if not first:
        return f"by {last}"
    if estimate.at_least:
        return f"{first} or later" + (f", by {last}" if last else "")
    return first if first == last else f"{first}–{last}"


def _later(estimate: Estimate, later_s: float) -> Estimate:
    """Return what is left of the times after a while."""
    likely_ms, upper_ms = (None if ms is None else Ms(max(0, int(ms - later_s * 1000))) for ms in estimate[:2])
    return estimate._replace(likely_ms=likely_ms, upper_ms=upper_ms)


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _rounded(duration_ms: int) -> str:
    size, unit = _unit(duration_ms)
    return f"{round(duration_ms / size / 1000)} {unit}"


def _unit(duration_ms: int) -> tuple[int, str]:
    """Return the unit for a duration: the largest of which there are at least two."""
    return next((unit for unit in _UNITS if duration_ms >= 2000 * unit[0]), _UNITS[-1])
