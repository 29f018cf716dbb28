"""Remarks on the jobs of the queue: their places, when they start or ended, what they wait for. Pure."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.client.cli.overview.snapshot import Overview
from zjobs.client.cli.show import format
from zjobs.client.cli.show.styled import BLANK, Line, Span, Style, line
from zjobs.client.wording import estimate, text
from zjobs.messages.records import Estimate, JobStatus
from zjobs.messages.states import Awaited, JobState

OUTCOMES = {JobState.COMPLETED: Style.GOOD, JobState.FAILED: Style.BAD, JobState.CANCELLED: Style.WARNING}


class Entry(NamedTuple):
    """A job that is not running. place: among those that are next; 0 if it has none. awaits: True if `what` is what it
    waits for."""

    job: JobStatus
    place: int
    when: Line
    what: Line
    awaits: bool = False


class Entries(NamedTuple):
    """All entries, as the overview has them."""

    coming: list[Entry]
    delayed: list[Entry]
    ended: list[Entry]


def entries(overview: Overview, now_s: float, later_s: float) -> Entries:
    """Return the entries at the wall clock time `now_s`, which is `later_s` after the overview was taken."""
    return Entries(
        [_coming(job, overview, now_s, later_s) for job in overview.next],
        [_delayed(job, now_s, later_s) for job in overview.delayed],
        [_ended(job, now_s) for job in overview.ended],
    )


def _coming(job: JobStatus, overview: Overview, now_s: float, later_s: float) -> Entry:
    runs = overview.info.worker.running is not None
    place = 0 if job.ahead is None else job.ahead + (not runs)
    what = line(Span("being cancelled", Style.WARNING)) if job.cancelling else _attempt(job) or line(_limit(job))
    return Entry(job, place, _start(job.estimate, now_s, later_s), what)


def _start(start: Estimate | None, now_s: float, later_s: float) -> Line:
    """Return when a job starts, as far as that is known."""
    if start is None or (estimate.is_unknown(start) and start.after is not Awaited.RESUME):
        return BLANK
    told = estimate.start(start, now_s, later_s).removeprefix("starts ").removeprefix("start unknown, ")
    return line(Span(told, Style.PLAIN if start.after is None else Style.WARNING))


def _delayed(job: JobStatus, now_s: float, later_s: float) -> Entry:
    if job.held:
        return Entry(job, 0, line(Span("held", Style.WARNING)), line("its release"), True)
    if job.after or job.after_any:
        return Entry(job, 0, BLANK, line(f"job {format.awaited(job)}"), True)
    left = text.whole_seconds((job.ready_at or 0) / 1000 - now_s)
    start = _start(job.estimate, now_s, later_s) or line(f"in {left}")
    what = f"its delay: {left}" if job.start_at is None else f"its time: {format.clock(job.start_at)}"
    again = _attempt(job, f" in {left}")
    return Entry(job, 0, start, again or line(", ".join(filter(None, (what, _limit(job))))), not again)


def _limit(job: JobStatus) -> str:
    """Return by when a job is cancelled if it has not started."""
    return "" if job.start_by is None or job.run else f"cancelled unless started by {format.clock(job.start_by)}"


def _attempt(job: JobStatus, left: str = "") -> Line:
    """Return, for a job that failed and is tried again, which attempt is next, when, and why."""
    if not job.attempts:
        return BLANK
    after = f", after {text.printable(job.message)}" if job.message else ""
    return line(f"attempt {job.attempts + 1} of {job.max_attempts}{left}{after}")


def _ended(job: JobStatus, now_s: float) -> Entry:
    if job.state is JobState.COMPLETED:
        outcome = "completed" if job.elapsed_ms is None else f"took {text.seconds(job.elapsed_ms / 1000)}"
    else:
        outcome = text.printable(job.message or "") or job.state.value
    style = Style.PLAIN if job.state is JobState.COMPLETED else OUTCOMES[job.state]
    when = line(f"{text.age(now_s - (job.ended_at or 0) / 1000)} ago")
    return Entry(job, 0, when, line(Span(outcome, style)))
