"""A job, the transitions between its states, and the changes and effects of one turn of the broker."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from zjobs.broker.core.estimates.kinds import Kind
from zjobs.messages.dispatch import PipeMessage
from zjobs.messages.records import Attempt, AuditEntry, QueuePause, TaskType
from zjobs.messages.requests.ops import Reply
from zjobs.messages.states import FailReason, JobState
from zjobs.messages.units import DeliveryNumber, JobId, Ms

# All frames before the body of a request, the sender's identity first; the reply begins with the same frames.
Envelope = tuple[bytes, ...]


class Instant(NamedTuple):
    """The time, twice: `mono_ms` for intervals, `wall_ms` (since 1970, UTC) for what people see."""

    mono_ms: Ms
    wall_ms: Ms


CLOCK_SLACK_MS = 1_000  # a time clients were told stands while it is right to within a second


class Step(str, Enum):
    """A change of a job's state."""

    DISPATCH = "dispatch"
    RETURN = "return"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"
    RERUN = "rerun"
    LOSE = "lose"


# All transitions; any other step is a bug. In this table, a job is in progress as soon as it is dispatched, because
# from then on only the worker can say how it ends. Clients see `in_progress` once it has begun.
TRANSITIONS: dict[tuple[JobState, Step], JobState] = {
    (JobState.QUEUED, Step.DISPATCH): JobState.IN_PROGRESS,
    (JobState.QUEUED, Step.CANCEL): JobState.CANCELLED,
    (JobState.IN_PROGRESS, Step.RETURN): JobState.QUEUED,  # it certainly did not begin: back to its place, not counted
    (JobState.IN_PROGRESS, Step.COMPLETE): JobState.COMPLETED,
    (JobState.IN_PROGRESS, Step.FAIL): JobState.FAILED,
    (JobState.IN_PROGRESS, Step.CANCEL): JobState.CANCELLED,
    (JobState.IN_PROGRESS, Step.RETRY): JobState.QUEUED,  # it failed, attempts < max_attempts
    (JobState.IN_PROGRESS, Step.RERUN): JobState.QUEUED,  # its worker was lost, reruns < max_reruns
    (JobState.IN_PROGRESS, Step.LOSE): JobState.FAILED,  # its worker was lost once too often
}


class Job(NamedTuple):
    """A row of the journal's table `job`.

    `state` stays `queued` until it is final: the table `in_flight` says whether the job was dispatched, and only the
    worker knows whether it has begun. `ready_at`: when its delay ends or ended by the wall clock, None without one.
    `cancelling`: a cancel was requested, and the worker will say how the job ended. `run`: the number of the last run
    that ended, 0 before. `ended_served_ms`: how long the journal had been in service when the job ended. `owner` is
    proven by a key; `submitter`, of a job without one, is what the client said. `held`: it waits for its release.
    `after`, `after_any`: the jobs that it still waits for, or did when it was cancelled. `cancelled_by`: the one of
    them whose end cancelled it.
    """

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
    name: str = ""
    comment: str = ""
    submitter: str = ""
    held: bool = False
    after: tuple[JobId, ...] = ()
    after_any: tuple[JobId, ...] = ()
    cancelled_by: JobId | None = None


def next_state(job: Job, step: Step, state: JobState = JobState.IN_PROGRESS) -> JobState:
    """Return the state after `step`. `state`: the current one; the record of a job in flight does not have it."""
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise AssertionError(f"job {job.id}: no step {step.value} from {state.value}") from None


class Printed(NamedTuple):
    """A piece of what run `run` of a job printed. Saving it drops the output of earlier runs, and the pieces of this
    run that end before `kept_from`."""

    id: JobId
    run: int
    offset: int
    body: bytes
    kept_from: int = 0


class Submitted(NamedTuple):
    """An admitted submit: its owner, its request key, the ids it got, and a digest of its jobs."""

    owner: str
    request_key: str
    first_id: JobId
    count: int  # type: ignore[assignment]  # hides a tuple method that nobody calls
    digest: bytes

    @property
    def ids(self) -> Iterator[JobId]:
        """The ids, in the order of the jobs."""
        return map(JobId, range(self.first_id, self.first_id + self.count))


class Session(NamedTuple):
    """The journal's session with its worker. Delivery numbers below `next_delivery` are used up. Reports up to
    `reports_done` are in the journal. `resume`: the delivery with which the worker continues after its last return.
    `began_delivery` and `began_at`: the last delivery known to have begun, and when; journaled, so that its start time
    never changes."""

    incarnation: str
    session: str
    next_delivery: DeliveryNumber
    reports_done: int
    resume: DeliveryNumber
    began_delivery: DeliveryNumber = DeliveryNumber(0)
    began_at: Ms = Ms(0)


class Service(NamedTuple):
    """The time that a journal has been in service, and the wall clock when it was recorded; 0 for never."""

    served_ms: Ms = Ms(0)
    wall_ms: Ms = Ms(0)


class Counters(NamedTuple):
    """The journal's totals. Ids below `next_id` are used up; `change` counts the changes of all jobs."""

    next_id: JobId = JobId(1)
    change: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class ParkedJob(NamedTuple):
    """A job that is held or waits for others, as the journal has it. `ready_at`: by the wall clock, and `delay_ms`: how
    long its delay is; None without one. `kind`: its number. `awaited`: `after` and `after_any`."""

    id: JobId
    ready_at: Ms | None
    delay_ms: Ms | None
    kind: int
    awaited: tuple[JobId, ...] = ()


class Loaded(NamedTuple):
    """A journal as the core starts from it. `ready` and `waiting` include the jobs in `in_flight`. `types`: None if no
    worker has announced any. `waiting`: for each delayed job, when it is ready by the wall clock, its id, its priority,
    the length of its delay, and the number of its kind. `parked`: those that are held or wait for others, which are
    in none of the other two. `kinds`: the numbered kinds, from 1 (see `estimates.kinds`). `history`: how long the last
    runs of each type took, in microseconds."""

    journal: str
    counters: Counters
    ready: dict[int, tuple[array[int], bytearray]]  # by priority, ids ascending, and the number of each one's kind
    waiting: list[tuple[Ms, JobId, int, Ms, int]]
    in_flight: dict[DeliveryNumber, Job]
    session: Session | None
    types: dict[str, TaskType] | None
    pauses: tuple[QueuePause, ...]
    owned: dict[str, int]  # how many jobs of each owner have not ended
    service: Service = Service()
    schemas: frozenset[str] = frozenset()  # the digests of the schemas kept
    kinds: tuple[Kind, ...] = ()
    history: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    parked: Sequence[ParkedJob] = ()


class EndedJob(NamedTuple):
    """A job as it ended, and its packed result."""

    job: Job
    result: bytes


# What people ask of a job. It is written when it differs from what the job was submitted with; else, only what happens.
EDITED = ("held", "priority", "time_limit_ms", "name", "comment", "after", "after_any", "cancelled_by")


class Changes:
    """The changes that one turn writes in one commit. Empty or None: nothing of that kind."""

    def __init__(self) -> None:
        self.added: dict[JobId, Job] = {}  # as admitted; later changes are in `changed`
        self.changed: dict[JobId, Job] = {}  # what happened to jobs
        self.edited: dict[JobId, Job] = {}  # what was asked of jobs, see EDITED
        self.forgotten: set[JobId] = set()
        self.data: list[tuple[JobId, bytes]] = []
        self.data_copies: list[tuple[JobId, JobId]] = []  # (to, from)
        self.results: list[tuple[JobId, bytes]] = []
        self.outputs: list[Printed] = []
        self.attempts: list[tuple[JobId, Attempt]] = []
        self.submitted: dict[tuple[str, str], Submitted] = {}  # by owner and request key
        self.settled: list[tuple[DeliveryNumber]] = []
        self.deliveries: list[tuple[DeliveryNumber, JobId]] = []
        self.session: Session | None = None
        self.types: dict[str, TaskType] | None = None
        self.history: dict[str, tuple[int, ...]] = {}  # the last runs of each type that ran; (): drop them
        self.schemas: dict[str, bytes | None] = {}  # by digest; None: drop it
        self.audit: list[AuditEntry] = []
        self.pauses: list[tuple[QueuePause, ...]] = []  # each: all pauses in force; the last one counts
        self.counters: Counters | None = None
        self.service: Service | None = None

    def __bool__(self) -> bool:
        return any(vars(self).values())


class JobTable:
    """The records that the core works with, by id; None for an id that was read and has no job. During a turn only this
    table has a job's current record.

    Between turns it keeps the jobs in flight and some of those that start next. All other records that a turn needs are
    read before it (`Core.needs`); looking up any other is a bug and raises KeyError. So a decision never waits for
    storage, and a turn costs one round trip of reads.
    """

    def __init__(self, in_flight: Iterable[Job]) -> None:
        self._jobs: dict[JobId, Job | None] = {job.id: job for job in in_flight}
        self._added: dict[JobId, Job] = {}
        self._written: dict[JobId, None] = {}
        self._edited: set[JobId] = set()
        self._forgotten: set[JobId] = set()
        self._touched: set[JobId] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job_id: JobId) -> bool:
        return job_id in self._jobs

    def __getitem__(self, job_id: JobId) -> Job:
        """Return the record of a job. Raises KeyError if there is no such job, or it was not read."""
        job = self._jobs[job_id]
        if job is None:
            raise KeyError(job_id)
        return job

    def at_hand(self, job_id: JobId) -> Job | None:
        """Return the record, None if it is not in memory."""
        return self._jobs.get(job_id)

    def get(self, job_id: JobId) -> Job | None:
        """Return the record, None if there is no such job. Raises KeyError if the id was not read."""
        return self._jobs[job_id]

    def read(self, ids: Sequence[JobId], jobs: Mapping[JobId, Job]) -> None:
        """Add the committed records of these jobs."""
        self._jobs.update((job_id, jobs.get(job_id)) for job_id in ids)
        self._touched.update(ids)

    def add(self, job: Job) -> None:
        """Add a new job, which this turn inserts into the journal."""
        self._jobs[job.id] = self._added[job.id] = job
        self._touched.add(job.id)

    def write(self, job: Job) -> None:
        """Replace a record, and write it to the journal with this turn."""
        self._jobs[job.id] = job
        self._written[job.id] = None
        self._touched.add(job.id)

    def mark_edited(self, job_id: JobId) -> None:
        """Record that a job written in this turn was also changed on request."""
        self._edited.add(job_id)

    def keep(self, job: Job) -> None:
        """Replace a record without writing it to the journal."""
        self._jobs[job.id] = job
        self._touched.add(job.id)

    def forget(self, job_id: JobId) -> bool:
        """Drop a job from the journal. Return False, and do nothing, if this turn has written or dropped it."""
        if job_id in self._written or job_id in self._added or self._jobs[job_id] is None:
            return False
        self._jobs[job_id] = None
        self._forgotten.add(job_id)
        self._touched.add(job_id)
        return True

    def prune(self, stays: Callable[[JobId], bool]) -> None:
        """Drop every record that does not stay and that this turn has not touched."""
        self._jobs = {job_id: job for job_id, job in self._jobs.items() if job_id in self._touched or stays(job_id)}

    def end_turn(self, changes: Changes, stays: Callable[[Job], bool]) -> None:
        """Put this turn's changes into `changes`, and drop every record it touched that does not stay."""
        changes.added = self._added
        changes.changed = {job_id: self[job_id] for job_id in self._written}
        changes.edited = {job_id: self[job_id] for job_id in self._edited}
        changes.forgotten = self._forgotten
        for job_id in self._touched:
            job = self._jobs[job_id]
            if job is None or not stays(job):
                del self._jobs[job_id]
        self._added, self._written, self._forgotten, self._touched = {}, {}, set(), set()
        self._edited = set()


class Dispatched(NamedTuple):
    """A job and the delivery number under which it is dispatched."""

    delivery: DeliveryNumber
    job: Job


class JobChange(NamedTuple):
    """A job after a change. `change`: None if it began or reported progress, which is not journaled."""

    job: Job
    change: int | None


class Effects:
    """The effects of a turn. `changes` must be on disk before anything else leaves the process. `resend`: `dispatched`
    contains everything that the worker may still need, and whatever was being sent before is void."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.replies: list[tuple[Envelope, Reply]] = []
        self.pipe: list[PipeMessage] = []
        self.dispatched: list[Dispatched] = []
        self.resend = False
        self.job_changes: list[JobChange] = []
        self.edits_decided: list[tuple[Envelope, JobId]] = []  # see `QueueState.edit_outcomes`
        self.warnings: list[str] = []
        self.rejections: list[str] = []
