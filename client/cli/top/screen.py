"""What `top` shows at one moment, and what it may wish to be done. Pure."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Union

from zjobs.client.cli.overview.snapshot import Overview
from zjobs.messages.records import JobStatus, TaskType
from zjobs.messages.requests.queries import LogReply, ShowReply

# Of long output its end is shown; a terminal has no use for more.
MOST_CHARS = 200_000


class Mode(Enum):
    """Which page is shown."""

    QUEUE = "queue"
    JOB = "job"
    LOG = "log"
    HELP = "help"


# --- wishes: what only a client can do -----------------------------------------------------------------------


class Quit(NamedTuple):
    """End the program."""


class Refresh(NamedTuple):
    """Ask for what the page needs: it is another one now."""


class Cancel(NamedTuple):
    """Cancel a job."""

    id: int


class Retry(NamedTuple):
    """Submit a copy of a job."""

    id: int


class Pause(NamedTuple):
    """Pause the queue."""

    reason: str


class Resume(NamedTuple):
    """End the pause."""


Wish = Union[Quit, Refresh, Cancel, Retry, Pause, Resume]


# --- questions, which take the keys until they are answered ---------------------------------------------------


class Confirm(NamedTuple):
    """A question to be answered by y or n."""

    question: str
    wish: Wish


class Reason(NamedTuple):
    """Why the queue is to be paused, as far as it has been typed."""

    text: str = ""


class Filter(NamedTuple):
    """The filter is being typed; the screen has it."""


Question = Union[Confirm, Reason, Filter]


# --- the screen ------------------------------------------------------------------------------------------------


class Printed(NamedTuple):
    """What a job has printed, as far as it was fetched; `offset`: where it goes on."""

    id: int
    run: int = 0
    offset: int = 0
    text: str = ""

    def add(self, piece: LogReply) -> Printed:
        """With one more piece; another run begins anew. A character cut in two is shown as escapes."""
        before = self if piece.run == self.run else Printed(self.id, piece.run)
        left_out = piece.offset > before.offset
        text = ("" if left_out else before.text) + piece.body.decode(errors="backslashreplace")
        return Printed(self.id, piece.run, piece.offset + len(piece.body), text[-MOST_CHARS:])


class Details(NamedTuple):
    """Everything about one job, and its type if that is known."""

    reply: ShowReply
    kind: TaskType | None


class Screen(NamedTuple):
    """The state of the program. `heard_at`: when the overview was taken (monotonic). `lost`: why there is no broker,
    empty while there is. `chosen`: the id of the job that keys are about, None: the first one, whichever that is.
    `scroll`: by how many lines; of output, from its end."""

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
        """With a new overview. The chosen job stays chosen as long as it is there; else the one in its place is."""
        screen = self._replace(overview=overview, heard_at=at, lost="")
        if self.chosen is None or self.chosen in screen.ids or self.mode is not Mode.QUEUE:
            return screen
        return screen.choose(self.ids.index(self.chosen) if self.chosen in self.ids else 0)

    def choose(self, place: int) -> Screen:
        """With the job in this place chosen, or the nearest there is."""
        ids = self.ids
        return self._replace(chosen=ids[min(place, len(ids) - 1)] if ids and place > 0 else None)

    @property
    def jobs(self) -> list[JobStatus]:
        """The jobs of the page, in its order."""
        shown = self.shown
        if shown is None:
            return []
        running = [] if shown.running is None else [shown.running]
        return [*running, *shown.next, *shown.delayed, *shown.ended]

    @property
    def ids(self) -> list[int]:
        """Their ids."""
        return [job.id for job in self.jobs]

    @property
    def job(self) -> JobStatus | None:
        """The job that keys are about."""
        jobs = self.jobs
        return next((job for job in jobs if self.chosen in (None, job.id)), None)

    @property
    def shown(self) -> Overview | None:
        """The overview, with the jobs that the filter leaves."""
        overview = self.overview
        if overview is None or not self.filter:
            return overview
        running = overview.running if overview.running is not None and self._fits(overview.running) else None
        coming, delayed, ended = (
            tuple(job for job in part if self._fits(job)) for part in (overview.next, overview.delayed, overview.ended)
        )
        return overview._replace(running=running, next=coming, delayed=delayed, ended=ended)

    def _fits(self, job: JobStatus) -> bool:
        """Whether a job has each word of the filter in what is known of it."""
        texts = (str(job.id), job.name, job.type, job.owner, job.submitter, job.state.value, job.message or "")
        said = " ".join(texts).lower()
        return all(word in said for word in self.filter.lower().split())
