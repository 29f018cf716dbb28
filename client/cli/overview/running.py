"""The running job as a few lines: what it is, its progress, its times, its task's note. Pure."""

from __future__ import annotations

from zjobs.client.cli.overview.snapshot import Limit
from zjobs.client.cli.show import format
from zjobs.client.cli.show.styled import Glyphs, Line, Span, Style, bar, cut, flowed, line
from zjobs.client.wording import estimate, text
from zjobs.messages.records import JobStatus
from zjobs.messages.states import WorkerState

MOST_BAR_COLUMNS = 60
PERCENT_COLUMNS = 6


def running_lines(
    job: JobStatus, worker: WorkerState, limit: Limit | None, columns: int, glyphs: Glyphs, later_s: float
) -> list[Line]:
    """Return the lines of the running job. later_s: how long ago its status was received."""
    lines = [cut(_title(job, worker, glyphs), columns, glyphs.cut)]
    lines += _bar(job, columns - 2, glyphs)
    lines += flowed(_times(job, limit, later_s), columns - 2, glyphs.between)
    if job.note:
        lines.append(cut(line(text.printable(job.note)), columns - 2, glyphs.cut))
    first, *more = lines
    return [first, *(line("  ", *each) for each in more)]


def _title(job: JobStatus, worker: WorkerState, glyphs: Glyphs) -> Line:
    lost = worker is not WorkerState.READY
    style = Style.WARNING if lost or job.cancelling or job.stuck_ms is not None else Style.ACTIVE
    parts = [
        Span(text.printable(job.name), Style.STRONG),
        Span(text.printable(job.type)),
        Span(format.whose(job)),
        Span(f"priority {job.priority}" if job.priority else ""),
    ]
    parts += [Span("worker lost" if worker is WorkerState.ABSENT else "", Style.BAD)]
    parts += [Span("being cancelled" if job.cancelling else "", Style.WARNING), Span(format.preview(job), Style.FAINT)]
    said = [part for part in parts if part.text]
    between = Span(f" {glyphs.between} ", Style.FAINT)
    spans = [span for part in said for span in (between, part)][1:]
    return line(Span(glyphs.runs, style), " ", Span(str(job.id), Style.STRONG), "  ", *spans)


def _bar(job: JobStatus, columns: int, glyphs: Glyphs) -> list[Line]:
    if job.fraction is None:
        return []
    drawn = bar(job.fraction, min(MOST_BAR_COLUMNS, columns - PERCENT_COLUMNS), glyphs, Style.ACTIVE)
    return [line(*drawn, f"{text.percent(job.fraction):>{PERCENT_COLUMNS}}")]


def _times(job: JobStatus, limit: Limit | None, later_s: float) -> list[Line]:
    elapsed = "" if job.elapsed_ms is None else f"{text.whole_seconds(job.elapsed_ms / 1000 + later_s)} so far"
    return [line(elapsed), *remarks(job, limit, later_s)]


def remarks(job: JobStatus, limit: Limit | None, later_s: float) -> list[Line]:
    """Return further remarks on the run, each on its own."""
    end = None if job.estimate is None or job.estimate.after else job.estimate
    left = "" if end is None else estimate.end(end, later_s)
    parts = [line(Span(left, Style.WARNING if end is not None and end.overdue_ms else Style.PLAIN))]
    if limit is not None:
        limited = "no limit" if limit.limit_ms is None else f"limit {text.exact(limit.limit_ms)}"
        parts.append(line(Span(limited, Style.FAINT)))
    if job.attempts:
        parts.append(line(f"attempt {job.attempts + 1} of {job.max_attempts}"))
    if job.output_bytes:
        parts.append(line(Span(f"{text.byte_count(job.output_bytes)} printed", Style.FAINT)))
    if job.stuck_ms is not None:
        silent = text.whole_seconds(job.stuck_ms / 1000 + later_s)
        parts.append(line(Span(f"no liveness for {silent}", Style.BAD)))
    return parts
