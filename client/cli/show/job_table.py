"""Jobs as rows of a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from zjobs.client.cli.show import format, text
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState

HEAD = ("ID", "STATE", "TYPE", "OWNER", "SUBMITTED", "TOOK", "MESSAGE")
OWNER = HEAD.index("OWNER")
TYPE_COLUMNS = 24


class Table:
    """Rows in columns. columns: the width of the terminal, None: there is none.

    For a terminal there is a head, and what is too wide is cut. The columns of later rows are at least as wide as
    those before: rows can be shown page by page. There are owners where the broker has keys: the first page tells.
    """

    def __init__(self, columns: int | None) -> None:
        self._columns = columns
        self._owners: bool | None = None
        self._head: tuple[str, ...] = ()
        self._widths: list[int] = []

    def lines(self, jobs: Sequence[JobStatus]) -> list[str]:
        """Return a line for each job, the heading first."""
        begins = self._owners is None
        if self._owners is None:
            self._owners = any(job.owner for job in jobs)
            self._head = self._visible(HEAD)
            self._widths = [len(word) if self._columns else 0 for word in self._head[:-1]]
        rows = [self._cells(job) for job in jobs]
        for row in rows:
            self._widths = [max(width, text.width(cell)) for width, cell in zip(self._widths, row)]
        head = [self._head] if begins and self._columns is not None else []
        return [self._line(row) for row in (*head, *rows)]

    def _cells(self, job: JobStatus) -> tuple[str, ...]:
        kind = text.printable(job.type)
        took = "-" if job.elapsed_ms is None else text.seconds(job.elapsed_ms / 1000)
        cells = (
            str(job.id),
            _state(job),
            kind if self._columns is None else text.cut(kind, TYPE_COLUMNS),
            text.printable(job.owner) or "-",
            text.moment(job.submitted_at)[:19],
            took,
            text.printable(_message(job)),
        )
        return self._visible(cells)

    def _visible(self, row: tuple[str, ...]) -> tuple[str, ...]:
        return row if self._owners else (*row[:OWNER], *row[OWNER + 1 :])

    def _line(self, row: Sequence[str]) -> str:
        padded = [cell + " " * (width - text.width(cell)) for width, cell in zip(self._widths, row)]
        line = "  ".join([*padded, row[-1]]).rstrip()
        return line if self._columns is None else text.cut(line, self._columns)


def _state(job: JobStatus) -> str:
    return "cancelling" if job.cancelling and not job.state.final else job.state.value


def _message(job: JobStatus) -> str:
    """What a task says of itself while it runs, else the (last) failure."""
    return format.progress(job).lstrip(", ") if job.state is JobState.IN_PROGRESS else job.message or ""
