"""The service as a few lines: its broker, its worker, its counts, and what is wrong. Pure."""

from __future__ import annotations

from zjobs.client.cli.show.pauses import paused_lines
from zjobs.client.cli.show.styled import Glyphs, Line, Span, Style, flowed, line, wrapped
from zjobs.client.wording import text
from zjobs.messages.requests.queries import InfoReply
from zjobs.messages.states import WorkerState

_WORKERS = {WorkerState.READY: Style.GOOD, WorkerState.STOPPING: Style.WARNING}


def service_lines(
    info: InfoReply, address: str, columns: int, glyphs: Glyphs, now_s: float, later_s: float
) -> list[Line]:
    """Return the lines of the service at the wall clock time `now_s`. later_s: how long ago its state was received."""
    parts = [line(Span(address, Style.STRONG)), _worker(info, later_s), *_counts(info)]
    lines = flowed(parts, columns, glyphs.between)
    for sentence in sentences(info, now_s):
        lines += [line(Span(each, Style.WARNING)) for each in wrapped(text.printable(sentence), columns)]
    return lines


def _worker(info: InfoReply, later_s: float) -> Line:
    worker = info.worker
    style = _WORKERS.get(worker.state, Style.BAD)
    since = "" if worker.state is WorkerState.READY else f" for {text.whole_seconds(worker.since_ms / 1000 + later_s)}"
    return line("worker ", Span(worker.state.value.replace("_", " ") + since, style))


def _counts(info: InfoReply) -> list[Line]:
    ended = ((info.completed, "completed"), (info.failed, "failed"), (info.cancelled, "cancelled"))
    return [
        line(f"{info.queued:,} queued"),
        line(f"{info.waiting:,} waiting" if info.waiting else ""),
        *(line(Span(f"{count:,} {word}", Style.FAINT)) for count, word in ended if count),
    ]


def sentences(info: InfoReply, now_s: float) -> list[str]:
    """Return what keeps jobs from starting, or soon will."""
    paused = paused_lines(info.paused, info.pauses, now_s)
    read_only = [] if info.read_only is None else [f"read only: {info.read_only}"]
    warnings = [*([] if info.worker.warning is None else [info.worker.warning]), *info.warnings]
    return [*paused, *read_only, *(f"warning: {sentence}" for sentence in warnings)]
