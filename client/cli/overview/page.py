"""The whole queue as lines of a given width: the service, the running job, the next ones, those that ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zjobs.client.cli.overview.entries import OUTCOMES, Entry, entries
from zjobs.client.cli.overview.running import running_lines
from zjobs.client.cli.overview.service import service_lines
from zjobs.client.cli.overview.snapshot import Overview
from zjobs.client.cli.show import format
from zjobs.client.cli.show.grid import Column, Grid
from zjobs.client.cli.show.styled import BLANK, Glyphs, Line, Span, Style, cut, line, spelled
from zjobs.client.wording import text
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState

# Room for both the name and the type of a job. With less, a job with a name is shown without its type, and people
# without their host.
WIDE_COLUMNS = 100
MOST_OWNER_COLUMNS = 24
MOST_DATA_COLUMNS = 40

_KINDS = (
    Column(right=True),  # its place, or how it ended
    Column(right=True),  # id
    Column(least=12),  # name
    Column(least=8),  # type
    Column(least=16, leaves=3),  # the beginning of its data
    Column(leaves=1),  # owner
    Column(right=True, leaves=2),  # priority
    Column(),  # when
    Column(),  # what else
)
_NEXT = ("#", "ID", "NAME", "TYPE", "DATA", "OWNER", "PRIO", "STARTS", "WAITS FOR")
_ENDED = ("", "", "", "", "", "", "", "ENDED", "OUTCOME")


class Row(NamedTuple):
    """A line of the page. `job`: the id of the job that it is about, if any."""

    line: Line
    job: int | None = None


def page(overview: Overview, columns: int, glyphs: Glyphs, now_s: float, later_s: float = 0.0) -> list[Row]:
    """Return the page at the wall clock time `now_s`, which is `later_s` after the overview was taken."""
    head = service_lines(overview.info, overview.address, columns, glyphs, now_s, later_s)
    rows = [*map(Row, head), Row(BLANK), *body(overview, columns, glyphs, now_s, later_s)]
    return [Row(cut(row.line, columns, glyphs.cut), row.job) for row in rows]


def body(
    overview: Overview, columns: int, glyphs: Glyphs, now_s: float, later_s: float, counted: bool = True
) -> list[Row]:
    """Return only the jobs. counted: say how many more there are, and whether nothing runs."""
    running = _running(overview, columns, glyphs, later_s) if counted or overview.running is not None else ()
    rows = [*running, *_table(overview, columns, glyphs, now_s, later_s, counted)]
    return [Row(spelled(row.line, glyphs), row.job) for row in rows]


def _running(overview: Overview, columns: int, glyphs: Glyphs, later_s: float) -> Iterator[Row]:
    job, worker = overview.running, overview.info.worker
    if job is not None:
        for each in running_lines(job, worker.state, overview.limit, columns, glyphs, later_s):
            yield Row(each, job.id)
    elif worker.running is not None:
        yield Row(line(Span(f"job {worker.running} of somebody else runs", Style.FAINT)))
    else:
        yield Row(line(Span("nothing runs", Style.FAINT)))


def _table(
    overview: Overview, columns: int, glyphs: Glyphs, now_s: float, later_s: float, counted: bool
) -> Iterator[Row]:
    coming, delayed, ended = entries(overview, now_s, later_s)
    heads = [_head(words, columns) for words, some in ((_NEXT, coming or delayed), (_ENDED, ended)) if some]
    cells = {entry.job.id: _cells(entry, columns, glyphs) for entry in (*coming, *delayed, *ended)}
    grid = Grid(_KINDS, heads, list(cells.values()), columns, glyphs)
    rows = {job_id: Row(grid.line(row), job_id) for job_id, row in cells.items()}
    if coming or delayed:
        yield from (Row(BLANK), Row(grid.line(heads[0])))
        yield from (rows[entry.job.id] for entry in coming)
        yield from _more(overview.info.queued - len(coming) if counted else 0, "", glyphs)
        yield from (rows[entry.job.id] for entry in delayed)
        yield from _more(overview.info.waiting - len(delayed) if counted else 0, " waiting", glyphs)
    if ended:
        yield from (Row(BLANK), Row(grid.line(heads[-1])))
        yield from (rows[entry.job.id] for entry in ended)


def _more(count: int, kind: str, glyphs: Glyphs) -> Iterator[Row]:
    if count > 0:
        yield Row(line(Span(f"{glyphs.cut} {count:,} more{kind}", Style.FAINT)))


def _head(words: Sequence[str], columns: int) -> list[Line]:
    narrow = {"NAME": "JOB"} if columns < WIDE_COLUMNS else {}
    return [line(Span(narrow.get(word, word), Style.FAINT)) for word in words]


def _cells(entry: Entry, columns: int, glyphs: Glyphs) -> list[Line]:
    job = entry.job
    name, kind = line(text.printable(job.name)), line(text.printable(job.type))
    if columns < WIDE_COLUMNS:
        name, kind = name or kind, BLANK
    owner = line(_owner(job, columns < WIDE_COLUMNS, glyphs))
    priority = line(str(job.priority) if job.priority else "")
    data = line(format.preview(job, MOST_DATA_COLUMNS))
    return [_mark(entry, glyphs), line(str(job.id)), name, kind, data, owner, priority, entry.when, entry.what]


def _owner(job: JobStatus, narrow: bool, glyphs: Glyphs) -> str:
    """Return who submitted the job. The mark of an unverified name stays, however narrow the column."""
    who, most = format.whose(job), MOST_OWNER_COLUMNS
    mark = "?" if who.endswith("?") and not job.owner else ""
    if narrow:
        who, most = who.partition("@")[0].removesuffix(mark) + mark, most // 2
    return who if text.width(who) <= most else text.cut(who, most - 1 - len(mark)) + glyphs.cut + mark


def _mark(entry: Entry, glyphs: Glyphs) -> Line:
    state = entry.job.state
    if state is JobState.QUEUED:
        return line(str(entry.place) if entry.place else glyphs.delayed)
    return line(Span(getattr(glyphs, state.value), OUTCOMES[state]))
