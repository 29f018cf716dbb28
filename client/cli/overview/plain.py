"""The whole queue as text for programs: every column is always there. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from zjobs.client.cli.overview.entries import Entry, entries
from zjobs.client.cli.overview.running import remarks
from zjobs.client.cli.overview.service import sentences
from zjobs.client.cli.overview.snapshot import Overview
from zjobs.client.cli.show import format
from zjobs.client.cli.show.styled import plain
from zjobs.client.wording import text
from zjobs.messages.records import JobStatus

HEAD = ("PLACE", "ID", "STATE", "NAME", "TYPE", "OWNER", "PRIORITY", "WHEN", "DATA", "REMARK")


def plain_lines(overview: Overview, now_s: float) -> list[str]:
    """Return the service, a line for each fact, then the table with its head."""
    rows = [HEAD, *_rows(overview, now_s)]
    widths = [max(text.width(row[place]) for row in rows) for place in range(len(HEAD) - 1)]
    return [*_facts(overview, now_s), *(_aligned(row, widths) for row in rows)]


def _facts(overview: Overview, now_s: float) -> Iterator[str]:
    info = overview.info
    yield f"broker: {overview.address}"
    yield f"worker: {info.worker.state.value}"
    yield f"queued: {info.queued}"
    yield f"waiting: {info.waiting}"
    yield from (text.printable(sentence) for sentence in sentences(info, now_s))


def _rows(overview: Overview, now_s: float) -> Iterator[tuple[str, ...]]:
    job = overview.running
    if job is not None:
        for_how_long = "" if job.elapsed_ms is None else f"for {text.seconds(job.elapsed_ms / 1000)}"
        told = [format.progress(job).removeprefix(", "), *(plain(each) for each in remarks(job, overview.limit, 0.0))]
        yield _row(job, "0", job.state.value, for_how_long, ", ".join(filter(None, told)))
    coming, delayed, ended = entries(overview, now_s, 0.0)
    yield from (_entry(entry, "queued") for entry in coming)
    yield from (_entry(entry, "waiting") for entry in delayed)
    yield from (_entry(entry, entry.job.state.value) for entry in ended)


def _entry(entry: Entry, state: str) -> tuple[str, ...]:
    remark = f"waits for {plain(entry.what)}" if entry.awaits else plain(entry.what)
    return _row(entry.job, str(entry.place or ""), state, plain(entry.when), remark)


def _row(job: JobStatus, place: str, state: str, when: str, remark: str) -> tuple[str, ...]:
    named = (text.printable(job.name), text.printable(job.type), format.whose(job))
    cells = (place, str(job.id), state, *named, str(job.priority), when, format.preview(job), remark)
    return tuple(cell or "-" for cell in cells)


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    padded = [cell + " " * (wide - text.width(cell)) for cell, wide in zip(row, widths)]
    return "  ".join([*padded, row[-1]])
