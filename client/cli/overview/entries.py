"""What is said of each job of the queue beside what it is: its place, when it starts or ended, what else. Pure."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.client.cli.overview.snapshot import Overview
from zjobs.client.cli.show import text
from zjobs.client.cli.show.styled import BLANK, Line, Span, Style, line
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState

OUTCOMES = {JobState.COMPLETED: Style.GOOD, JobState.FAILED: Style.BAD, JobState.CANCELLED: Style.WARNING}


class Entry(NamedTuple):
    """A job that does not run. place: its place among those that are next, 0: it has none."""

    job: JobStatus
    place: int
    when: Line
    what: Line


class Entries(NamedTuple):
    """All of them, as the overview has them."""

    coming: list[Entry]
    delayed: list[Entry]
    ended: list[Entry]


def entries(overview: Overview, now_s: float) -> Entries:
    """The jobs of the overview, at this wall clock time."""
    return Entries(
        [_coming(job, overview) for job in overview.next],
        [_delayed(job, now_s) for job in overview.delayed],
        [_ended(job, now_s) for job in overview.ended],
    )


def _coming(job: JobStatus, overview: Overview) -> Entry:
    runs = overview.info.worker.running is not None
    place = 0 if job.ahead is None else job.ahead + (not runs)
    what = line(Span("being cancelled", Style.WARNING)) if job.cancelling else _attempt(job)
    return Entry(job, place, BLANK, what)


def _delayed(job: JobStatus, now_s: float) -> Entry:
    left_s = (job.ready_at or 0) / 1000 - now_s
    return Entry(job, 0, line(f"in {text.whole_seconds(left_s)}"), _attempt(job) or line("its delay"))


def _attempt(job: JobStatus) -> Line:
    """Of a job that failed and is tried again: which attempt is next, and why."""
    if not job.attempts:
        return BLANK
    after = f", after {text.printable(job.message)}" if job.message else ""
    return line(f"attempt {job.attempts + 1} of {job.max_attempts}{after}")


def _ended(job: JobStatus, now_s: float) -> Entry:
    if job.state is JobState.COMPLETED:
        outcome = "completed" if job.elapsed_ms is None else f"took {text.seconds(job.elapsed_ms / 1000)}"
    else:
        outcome = text.printable(job.message or "") or job.state.value
    style = Style.PLAIN if job.state is JobState.COMPLETED else OUTCOMES[job.state]
    when = line(f"{text.age(now_s - (job.ended_at or 0) / 1000)} ago")
    return Entry(job, 0, when, line(Span(outcome, style)))
