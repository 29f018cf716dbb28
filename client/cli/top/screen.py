"""The state of `top` at one moment, and its wishes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import NamedTuple, Union

from zjobs.client.cli.overview.snapshot import Overview
from zjobs.messages.records import JobStatus, TaskType
from zjobs.messages.requests.queries import LogReply, ShowReply

# Only the end of long output is shown; a terminal has no use for more.
MOST_CHARS = 200_000


class Mode(Enum):
    """The page that is shown."""

    QUEUE = "queue"
    JOB = "job"
    LOG = "log"
    HELP = "help"


# --- wishes: what only a client can do -----------------------------------------------------------------------


class Quit(NamedTuple):
    """End the program."""


class Refresh(NamedTuple):
    """Fetch what the page needs, because it is another one now."""


class Cancel(NamedTuple):
    """Cancel a job."""

    id: int


class Retry(NamedTuple):
    """Submit a copy of a job."""

    id: int


class Pause(NamedTuple):
    """Pause the queue: for `duration` seconds, until then, or until somebody resumes it."""

    reason: str
    duration: float | None = None
    until: datetime | None = None


class Resume(NamedTuple):
    """Lift one's own pauses, or everybody's."""

    all: bool = False


Wish = Union[Quit, Refresh, Cancel, Retry, Pause, Resume]


# --- questions, which take the keys until they are answered ---------------------------------------------------


class Confirm(NamedTuple):
    """A question to be answered by one of these keys; any other means no."""

    question: str
    answers: Mapping[str, Wish]


class End(NamedTuple):
    """The end of a pause, as far as it has been typed. `wrong`: why it is not valid, once it was tried."""

    text: str = ""
    wrong: str = ""


class Reason(NamedTuple):
    """The reason for a pause, as far as it has been typed; for the end, see `Pause`."""

    text: str = ""
    duration: float | None = None
    until: datetime | None = None


class Filter(NamedTuple):
    """The typing of the filter, which the screen has."""


Question = Union[Confirm, End, Reason, Filter]


# --- the screen ------------------------------------------------------------------------------------------------


class Printed(NamedTuple):
    """The output of a job, as far as it was fetched. `offset`: where it continues."""

    id: int
    run: int = 0
    offset: int = 0
    text: str = ""

    def add(self, piece: LogReply) -> Printed:
        """Add a piece; another run begins anew. A character cut in two is shown as escapes."""
        before = self if piece.run == self.run else Printed(self.id, piece.run)
        left_out = piece.offset > before.offset
        text = ("" if left_out else before.text) + piece.body.decode(errors="backslashreplace")
        return Printed(self.id, piece.run, piece.offset + len(piece.body), text[-MOST_CHARS:])


class Details(NamedTuple):
    """Everything about one job, and its type, if known."""

    reply: ShowReply
    kind: TaskType | None


class Screen(NamedTuple):
    """The state of the program. `heard_at`: when the overview was taken (monotonic). `lost`: why there is no broker,
    empty while there is one. `chosen`: the id of the job that keys act on, None for whichever is first. `scroll`: by
    how many lines; for output, counted from its end."""

    address: str
    overview: Overview | None = None
    heard_at: float = 0.0
    lost: str = ""
    mode: Mode = Mode.QUEUE
    chosen: int | None = None
    filter: str = ""
    question: Question | None = None
    message: str = ""
    details: Details | None = None
    printed: Printed | None = None
    scroll: int = 0

    def heard(self, overview: Overview, at: float) -> Screen:
        """Set a new overview. The chosen job stays chosen while it is there; after that, the one in its place is."""
        screen = self._replace(overview=overview, heard_at=at, lost="")
        if self.chosen is None or self.chosen in screen.ids or self.mode is not Mode.QUEUE:
            return screen
        return screen.choose(self.ids.index(self.chosen) if self.chosen in self.ids else 0)

    def choose(self, place: int) -> Screen:
        """Choose the job in this place, or the nearest one."""
        ids = self.ids
        return self._replace(chosen=ids[min(place, len(ids) - 1)] if ids and place > 0 else None)

    @property
    def jobs(self) -> list[JobStatus]:
        """The jobs of the page, in order."""
        filtered = self.filtered
        if filtered is None:
            return []
        running = [] if filtered.running is None else [filtered.running]
        return [*running, *filtered.next, *filtered.delayed, *filtered.ended]

    @property
    def ids(self) -> list[int]:
        """The ids of the jobs of the page."""
        return [job.id for job in self.jobs]

    @property
    def job(self) -> JobStatus | None:
        """The job that keys act on."""
        jobs = self.jobs
        return next((job for job in jobs if self.chosen in (None, job.id)), None)

    @property
    def filtered(self) -> Overview | None:
        """The overview, with only the jobs that pass the filter."""
        overview = self.overview
        if overview is None or not self.filter:
            return overview
        running = overview.running if overview.running is not None and self._fits(overview.running) else None
        coming, delayed, ended = (
            tuple(job for job in part if self._fits(job)) for part in (overview.next, overview.delayed, overview.ended)
        )
        return overview._replace(running=running, next=coming, delayed=delayed, ended=ended)

    def _fits(self, job: JobStatus) -> bool:
        """Return True if each word of the filter occurs in what is known of a job."""
        texts = (str(job.id), job.name, job.type, job.owner, job.submitter, job.state.value, job.message or "")
        said = " ".join(texts).lower()
        return all(word in said for word in self.filter.lower().split())
