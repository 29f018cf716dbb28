"""A job, the transitions between its states, and the other records of the journal."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from zjobs.broker.core.estimates.kinds import Kind
from zjobs.messages.records import QueuePause, TaskType
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
    them whose end cancelled it. `exit_code`: how a command failed. `start_at`: when it is ready, by the wall clock;
    equal to `ready_at` while it waits for that time. `start_by`: when it is cancelled if it has not started.
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
    exit_code: int | None = None
    start_at: Ms | None = None
    start_by: Ms | None = None


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
    """A job that is held or waits for others, as the journal has it. `ready_at`: by the wall clock, None without a
    delay. `delay_ms`: how long its delay is, None if it has a start time. `kind`: its number. `awaited`:
    `after` and `after_any`."""

    id: JobId
    ready_at: Ms | None
    delay_ms: Ms | None
    kind: int
    awaited: tuple[JobId, ...] = ()


class Loaded(NamedTuple):
    """A journal as the core starts from it. `ready` and `waiting` include the jobs in `in_flight`. `types`: None if no
    worker has announced any. `waiting`: for each delayed job, when it is ready by the wall clock, its id, its
    priority, the length of its delay (None: it is a start time), and the number of its kind. `parked`: those that
    are held or wait for others, which are in none of the other two. `start_by`: the jobs that have not run and are
    cancelled at a time. `kinds`: the numbered kinds, from 1 (see `estimates.kinds`). `history`: how long the last
    runs of each type took, in microseconds."""

    journal: str
    counters: Counters
    ready: dict[int, tuple[array[int], bytearray]]  # by priority, ids ascending, and the number of each one's kind
    waiting: list[tuple[Ms, JobId, int, Ms | None, int]]
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
    start_by: Sequence[tuple[JobId, Ms]] = ()


class EndedJob(NamedTuple):
    """A job as it ended, and its packed result."""

    job: Job
    result: bytes
