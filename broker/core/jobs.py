"""A job, the arrows between its states, and what one turn of the broker writes down."""

from __future__ import annotations

from array import array
from enum import Enum
from typing import NamedTuple

from zjobs.messages.records import Attempt, Paused, TaskType
from zjobs.messages.states import FailReason, JobState
from zjobs.messages.units import JobId, Ms

# Everything before the body of a request, its sender's identity first; its reply begins with the same frames.
Envelope = tuple[bytes, ...]


class Step(str, Enum):
    """What can happen to a job."""

    DISPATCH = "dispatch"
    RETURN = "return"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"
    RERUN = "rerun"
    LOSE = "lose"


# Every arrow there is; a step that is not in here is a bug. To this table a job is in progress from its
# hand-over on: from then on the worker alone can say how it ends. People see `in_progress` once it began.
TRANSITIONS: dict[tuple[JobState, Step], JobState] = {
    (JobState.QUEUED, Step.DISPATCH): JobState.IN_PROGRESS,
    (JobState.QUEUED, Step.CANCEL): JobState.CANCELLED,
    (JobState.IN_PROGRESS, Step.RETURN): JobState.QUEUED,  # certainly not begun: back to its place, uncounted
    (JobState.IN_PROGRESS, Step.COMPLETE): JobState.COMPLETED,
    (JobState.IN_PROGRESS, Step.FAIL): JobState.FAILED,
    (JobState.IN_PROGRESS, Step.CANCEL): JobState.CANCELLED,
    (JobState.IN_PROGRESS, Step.RETRY): JobState.QUEUED,  # it failed, attempts < max_attempts
    (JobState.IN_PROGRESS, Step.RERUN): JobState.QUEUED,  # its worker was lost, reruns < max_reruns
    (JobState.IN_PROGRESS, Step.LOSE): JobState.FAILED,  # its worker was lost once too often
}


class Job(NamedTuple):
    """What the journal's table `job` holds. `state` is there `queued` until it is final: whether a queued job
    was handed over stands in the table `hand`, whether it began only the worker knows. `ready_at`: None, or when its
    delay ends or ended by the wall clock. `cancelling`: somebody wants it to end, and only the worker can say how it
    did. `run`: the number of the last run that ended; 0: none has. `ended_served_ms`: the journal's service then."""

    id: JobId
    type: str
    state: JobState
    attempts: int
    reruns: int
    version: int
    data_bytes: int
    submitted_at: Ms
    priority: int = 0
    ready_at: Ms | None = None
    time_limit_ms: Ms | None = None
    cancelling: bool = False
    retry_of: JobId | None = None
    owner: str = ""
    started_at: Ms | None = None
    ended_at: Ms | None = None
    elapsed_ms: Ms | None = None
    output_bytes: int = 0
    killed: int = 0
    reason: FailReason | None = None
    message: str | None = None
    run: int = 0
    ended_served_ms: Ms | None = None
    output_file: str | None = None
    left_behind: str = ""


class Printed(NamedTuple):
    """A piece of what run number `run` of a job printed. It drops what earlier runs did, and what this one did before
    `kept_from`, as far as that is in pieces of its own."""

    id: int
    run: int
    offset: int
    body: bytes
    kept_from: int = 0


class Submitted(NamedTuple):
    """A submit that was taken: whose it is, its request key, the ids it got, and a digest of its jobs."""

    owner: str
    request_key: str
    first_id: int
    count: int  # type: ignore[assignment]  # hides a tuple method that nobody calls
    digest: bytes


class Session(NamedTuple):
    """What the journal knows of its worker. Hand-over numbers below `next_n` were given out; reports up to
    `reports_done` are in the journal; `resume` is where the worker goes on after its last return. `began_n`: the number
    whose run was last told of as begun, and `began_at` when: in the journal, so that it is told the same for ever."""

    incarnation: str
    session: str
    next_n: int
    reports_done: int
    resume: int
    began_n: int = 0
    began_at: int = 0


class Service(NamedTuple):
    """For how long a journal has been in service, and the wall clock when that was so; 0: never."""

    served_ms: int = 0
    wall_ms: int = 0


class Counters(NamedTuple):
    """The journal's totals. Ids below `next_id` were given out; `change` counts changes of all jobs."""

    next_id: int = 1
    change: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class Loaded(NamedTuple):
    """A journal as the core takes it up. `ready` and `waiting` include the jobs in `handed`. `types` None: never
    announced. `waiting`: when a job is ready by the wall clock, its id, its priority, and how long its delay was."""

    journal: str
    counters: Counters
    ready: dict[int, array[int]]  # by priority, ids ascending
    waiting: list[tuple[int, int, int, int]]
    handed: dict[int, Job]
    session: Session | None
    types: dict[str, TaskType] | None
    paused: Paused | None
    owned: dict[str, int]  # how many jobs of each owner have not ended
    service: Service = Service()


class Changes:
    """What one turn writes down, in one commit. Empty lists and None: nothing of that kind."""

    def __init__(self) -> None:
        self.added: dict[int, Job] = {}  # as they were taken; what became of them meanwhile is in `changed`
        self.changed: dict[int, Job] = {}
        self.forgotten: set[int] = set()
        self.data: list[tuple[int, bytes]] = []
        self.data_copies: list[tuple[int, int]] = []  # (to, from)
        self.results: list[tuple[int, bytes]] = []
        self.outputs: list[Printed] = []
        self.attempts: list[tuple[int, Attempt]] = []
        self.submitted: dict[tuple[str, str], Submitted] = {}  # by owner and request key
        self.settled: list[tuple[int]] = []
        self.deliveries: list[tuple[int, int]] = []
        self.session: Session | None = None
        self.types: dict[str, TaskType] | None = None
        self.pauses: list[Paused | None] = []  # the last one holds
        self.counters: Counters | None = None
        self.service: Service | None = None

    def __bool__(self) -> bool:
        return any(vars(self).values())
