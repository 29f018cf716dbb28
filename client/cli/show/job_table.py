"""Jobs as rows of a table. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence

from zjobs.client.cli.show import format
from zjobs.client.wording import estimate, text
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState

HEAD = ("ID", "STATE", "TYPE", "NAME", "OWNER", "SUBMITTED", "TOOK", "MESSAGE")
WIDEST = 24  # of names, types and owners on a terminal


class Table:
    """Jobs as rows in columns. columns: the width of the terminal, None if there is none.

    On a terminal there is a head, and cells that are too wide are cut. The columns of later rows are at least as wide
    as those before, so rows can be shown page by page. Names and owners have a column if jobs of the first page have
    them.
    """

    def __init__(self, columns: int | None) -> None:
        self._columns = columns
        self._places: list[int] | None = None  # the columns, by their places in HEAD
        self._widths: list[int] = []

    def lines(self, jobs: Sequence[JobStatus]) -> list[str]:
        """Return a line for each job, the heading first."""
        head = []
        if self._places is None:
            seldom = {"NAME": any(job.name for job in jobs), "OWNER": any(map(format.whose, jobs))}
            self._places = [place for place, word in enumerate(HEAD) if seldom.get(word, True)]
            named = [HEAD[place] for place in self._places]
            self._widths = [len(word) if self._columns else 0 for word in named[:-1]]
            head = [] if self._columns is None else [named]
        rows = [[cells[place] for place in self._places] for cells in map(self._cells, jobs)]
        for row in rows:
            self._widths = [max(width, text.width(cell)) for width, cell in zip(self._widths, row)]
        return [self._line(row) for row in (*head, *rows)]

    def _cells(self, job: JobStatus) -> tuple[str, ...]:
        took = "-" if job.elapsed_ms is None else text.seconds(job.elapsed_ms / 1000)
        return (
            str(job.id),
            _state(job),
            self._narrow(text.printable(job.type)),
            self._narrow(text.printable(job.name) or "-"),
            self._whose(job),
            text.second(job.submitted_at),
            took,
            _about(job),
        )

    def _whose(self, job: JobStatus) -> str:
        """Return the owner. The mark of an unverified name stays, however narrow the column."""
        who = self._narrow(format.whose(job) or "-")
        return who if job.owner or not job.submitter or who.endswith("?") else f"{who[:-1]}?"

    def _narrow(self, cell: str) -> str:
        return cell if self._columns is None else text.cut(cell, WIDEST)

    def _line(self, row: Sequence[str]) -> str:
        padded = [cell + " " * (width - text.width(cell)) for width, cell in zip(self._widths, row)]
        line = "  ".join([*padded, row[-1]]).rstrip()
        return line if self._columns is None else text.cut(line, self._columns)


def _state(job: JobStatus) -> str:
    return "cancelling" if job.cancelling and not job.state.final else job.state.value


def _about(job: JobStatus) -> str:
    """Return the cells of any length: what happened, the beginning of the data, the comment."""
    comment = f"# {text.printable(job.comment)}" if job.comment else ""
    return "  ".join(filter(None, (text.printable(_message(job)), format.preview(job), comment)))


def _message(job: JobStatus) -> str:
    """Return what a task reports while it runs and when it ends, else the (last) failure, or when the job starts."""
    if job.state is JobState.IN_PROGRESS:
        end = "" if job.estimate is None else estimate.end(job.estimate)
        return ", ".join(part for part in (format.progress(job).lstrip(", "), end) if part)
    if job.state is JobState.QUEUED and (job.after or job.after_any) and not job.held:
        return f"waits for {format.awaited(job)}"
    if job.message or job.estimate is None:
        return job.message or ""
    by = "" if job.start_by is None else f", cancelled unless started by {format.clock(job.start_by)}"
    return f"{estimate.start(job.estimate, time.time())}{by}"
