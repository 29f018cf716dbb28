"""Jobs as rows of a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from zjobs.client import text
from zjobs.messages.types import JobState, JobStatus

HEAD = ("ID", "STATE", "TYPE", "SUBMITTED", "TOOK", "MESSAGE")
TYPE_COLUMNS = 24


class Table:
    """Rows in columns. columns: the width of the terminal, None: there is none.

    For a terminal there is a head, and what is too wide is cut. The columns of later rows are at least as wide as
    those before: rows can be shown page by page.
    """

    def __init__(self, columns: int | None) -> None:
        self._columns = columns
        self._widths = [len(word) for word in HEAD[:-1]] if columns else [0] * (len(HEAD) - 1)
        self._begun = columns is None

    def lines(self, jobs: Sequence[JobStatus]) -> list[str]:
        rows = [self._cells(job) for job in jobs]
        for row in rows:
            self._widths = [max(width, text.width(cell)) for width, cell in zip(self._widths, row)]
        head = [] if self._begun else [HEAD]
        self._begun = True
        return [self._line(row) for row in (*head, *rows)]

    def _cells(self, job: JobStatus) -> tuple[str, ...]:
        kind = text.printable(job.type)
        took = "-" if job.elapsed_ms is None else text.seconds(job.elapsed_ms / 1000)
        return (
            str(job.id),
            _state(job),
            kind if self._columns is None else text.cut(kind, TYPE_COLUMNS),
            text.moment(job.submitted_at)[:19],
            took,
            text.printable(_message(job)),
        )

    def _line(self, row: Sequence[str]) -> str:
        padded = [cell + " " * (width - text.width(cell)) for width, cell in zip(self._widths, row)]
        line = "  ".join([*padded, row[-1]]).rstrip()
        return line if self._columns is None else text.cut(line, self._columns)


def _state(job: JobStatus) -> str:
    return "cancelling" if job.cancelling and not job.state.final else job.state.value


def _message(job: JobStatus) -> str:
    """What a task says of itself while it runs, else the (last) failure."""
    return text.progress(job).lstrip(", ") if job.state is JobState.IN_PROGRESS else job.message or ""
