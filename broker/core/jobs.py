"""A job, the arrows between its states, and what one turn of the broker writes down and leads to."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from zjobs.messages.dispatch import PipeMessage
from zjobs.messages.records import Attempt, Paused, TaskType
from zjobs.messages.requests import Reply
from zjobs.messages.states import FailReason, JobState
from zjobs.messages.units import DeliveryNumber, JobId, Ms

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
    next_n: DeliveryNumber
    reports_done: int
    resume: DeliveryNumber
    began_n: DeliveryNumber = DeliveryNumber(0)
    began_at: Ms = Ms(0)


class Service(NamedTuple):
    """For how long a journal has been in service, and the wall clock when that was so; 0: never."""

    served_ms: Ms = Ms(0)
    wall_ms: Ms = Ms(0)


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
    handed: dict[DeliveryNumber, Job]
    session: Session | None
    types: dict[str, TaskType] | None
    paused: Paused | None
    owned: dict[str, int]  # how many jobs of each owner have not ended
    service: Service = Service()
    schemas: frozenset[str] = frozenset()  # the digests of those that are kept


class EndedJob(NamedTuple):
    """A job as it ended, and its packed result."""

    job: Job
    result: bytes


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
        self.settled: list[tuple[DeliveryNumber]] = []
        self.deliveries: list[tuple[DeliveryNumber, JobId]] = []
        self.session: Session | None = None
        self.types: dict[str, TaskType] | None = None
        self.schemas: dict[str, bytes | None] = {}  # by digest; None: it is dropped
        self.pauses: list[Paused | None] = []  # the last one holds
        self.counters: Counters | None = None
        self.service: Service | None = None

    def __bool__(self) -> bool:
        return any(vars(self).values())


class JobTable:
    """The records that the core works with, by id; None for an id that was read and has no job. During a turn this is
    the only home of a job's current record.

    Between turns it keeps the jobs in flight, and some of those that start next. Whatever else a turn looks up is named
    and read before it (`Core.needs`); to look up anything else is a bug, and raises KeyError. So a decision never waits
    for storage, and a turn costs one round trip of reads.
    """

    def __init__(self, in_flight: Iterable[Job]) -> None:
        self._jobs: dict[int, Job | None] = {job.id: job for job in in_flight}
        self._added: dict[int, Job] = {}
        self._written: dict[int, None] = {}
        self._forgotten: set[int] = set()
        self._touched: set[int] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._jobs

    def __getitem__(self, job_id: int) -> Job:
        """The record of a job that exists. Raises KeyError."""
        job = self._jobs[job_id]
        if job is None:
            raise KeyError(job_id)
        return job

    def get(self, job_id: int) -> Job | None:
        """The record, or None if there is no such job. Raises KeyError for an id that was not read."""
        return self._jobs[job_id]

    def read(self, ids: Sequence[int], jobs: Mapping[int, Job]) -> None:
        """Adds the committed records of these jobs."""
        self._jobs.update((job_id, jobs.get(job_id)) for job_id in ids)
        self._touched.update(ids)

    def add(self, job: Job) -> None:
        """A new job, which this turn inserts into the journal."""
        self._jobs[job.id] = self._added[job.id] = job
        self._touched.add(job.id)

    def write(self, job: Job) -> None:
        """A changed record, which this turn writes down."""
        self._jobs[job.id] = job
        self._written[job.id] = None
        self._touched.add(job.id)

    def keep(self, job: Job) -> None:
        """A changed record, which nobody has to write down."""
        self._jobs[job.id] = job
        self._touched.add(job.id)

    def forget(self, job_id: int) -> bool:
        """Drops a job from the journal. Returns False, and does nothing, if this turn has written or dropped it."""
        if job_id in self._written or job_id in self._added or self._jobs[job_id] is None:
            return False
        self._jobs[job_id] = None
        self._forgotten.add(job_id)
        self._touched.add(job_id)
        return True

    def prune(self, stays: Callable[[int], bool]) -> None:
        """Makes room: drops every record that does not stay and that this turn has not touched."""
        self._jobs = {job_id: job for job_id, job in self._jobs.items() if job_id in self._touched or stays(job_id)}

    def end_turn(self, changes: Changes, stays: Callable[[Job], bool]) -> None:
        """Puts what is to be written down into `changes`, and drops every record of this turn that does not stay."""
        changes.added = self._added
        changes.changed = {job_id: self[job_id] for job_id in self._written}
        changes.forgotten = self._forgotten
        for job_id in self._touched:
            job = self._jobs[job_id]
            if job is None or not stays(job):
                del self._jobs[job_id]
        self._added, self._written, self._forgotten, self._touched = {}, {}, set(), set()


class Dispatched(NamedTuple):
    delivery: DeliveryNumber
    job: Job


class JobChange(NamedTuple):
    """A job as it was after a change; `change` None: it began or told of its progress, which is not journaled."""

    job: Job
    change: int | None


class Effects:
    """What a turn leads to. `changes` must be on disk before anything else of it leaves the process. `resend`: all that
    the worker may still need is in `dispatched`, and whatever was on its way to it before is void."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.replies: list[tuple[Envelope, Reply]] = []
        self.pipe: list[PipeMessage] = []
        self.dispatched: list[Dispatched] = []
        self.resend = False
        self.job_changes: list[JobChange] = []
        self.warnings: list[str] = []
        self.rejections: list[str] = []
