"""Every message of the protocol, as immutable named tuples, and the closed lists they draw from.

docs/protocol.md explains each field; the shapes that a peer's message must have are in `wire`.
Fields ending in `_at` are wall clock times in milliseconds since 1970 (UTC), those in `_ms` and `_us`
are durations, those in `_bytes` sizes. Named tuples and not dataclasses: a broker makes about 100,000 a
second, a frozen dataclass costs three times as much to make, and importing `dataclasses` slows every
start of `zclient`.
"""

# Without the annotations of the future: as text, NamedTuple would compile each again, which took each zclient 2 ms.
from enum import Enum
from typing import NamedTuple, Union

PROTOCOL_VERSION = 1


class JobState(str, Enum):
    """The state of a job as everybody sees it; the arrows between them are in `broker/jobs.py`."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class ErrorCode(str, Enum):
    """Why a request was not carried out: the whole list."""

    BAD_REQUEST = "bad_request"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNKNOWN_OP = "unknown_op"
    UNKNOWN_TYPE = "unknown_type"
    TOO_LARGE = "too_large"
    QUEUE_FULL = "queue_full"
    BUSY = "busy"
    KEY_CONFLICT = "key_conflict"
    NOT_FOUND = "not_found"
    EXPIRED = "expired"
    NOT_FINISHED = "not_finished"
    STORAGE = "storage"
    READ_ONLY = "read_only"
    NOT_PERMITTED = "not_permitted"
    INTERNAL = "internal"


class FailReason(str, Enum):
    """Why a job failed: the whole list. A sentence for people goes with each."""

    RAISED = "raised"
    BAD_DATA = "bad_data"
    BAD_RESULT = "bad_result"
    TASK_DIED = "task_died"
    TIMED_OUT = "timed_out"
    WORKER_LOST = "worker_lost"


class Outcome(str, Enum):
    """How a run ended, as the worker reports it. `interrupted`: the worker was told to stop at once."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class WorkerState(str, Enum):
    """What the broker knows of its worker."""

    ABSENT = "absent"
    READY = "ready"
    SILENT = "silent"
    STOPPING = "stopping"
    FOREIGN = "foreign"
    LACKS_TYPE = "lacks_type"
    BLOCKED = "blocked"


class Limits(NamedTuple):
    """Bounds that the broker holds its peers to."""

    data_bytes: int = 1 << 20
    result_bytes: int = 16 << 20
    request_bytes: int = 16 << 20
    request_jobs: int = 10_000
    queued_jobs: int = 2_000_000
    frames: int = 16
    queued_per_owner: int = 2_000_000
    output_bytes: int = 1 << 20


class TaskType(NamedTuple):
    """A task type as the worker announces it. After failure n of a job, its next attempt waits `retry_delay_ms`
    times 2 to the power of n - 1; a task told to end has `grace_ms` for that."""

    name: str
    description: str = ""
    max_attempts: int = 1
    max_reruns: int = 0
    time_limit_ms: int | None = None
    grace_ms: int = 2_000
    retry_delay_ms: int = 1_000


class BrokerName(NamedTuple):
    """Who a worker serves: enough to recognise one's own worker, and to name the other broker."""

    host: str
    frontend: str
    journal: str


# --- requests (client to broker) and their replies -----------------------------------------------


class Hello(NamedTuple):
    pass


class HelloReply(NamedTuple):
    journal: str
    server: str
    events: str
    limits: Limits


class NewJob(NamedTuple):
    """One job to be queued. `data` is one packed msgpack value, None is 'no data'. `time_limit_ms` None: the type's."""

    type: str
    data: bytes | None = None
    priority: int = 0
    delay_ms: int = 0
    time_limit_ms: int | None = None


class Submit(NamedTuple):
    request_key: str
    jobs: tuple[NewJob, ...]


class SubmitReply(NamedTuple):
    """The ids are first_id … first_id + count - 1. `checked`: the types were compared with a worker's."""

    journal: str
    first_id: int
    count: int  # type: ignore[assignment]  # a tuple method of that name is hidden; nobody calls it
    checked: bool


class Status(NamedTuple):
    ids: tuple[int, ...]


class JobStatus(NamedTuple):
    """`ahead`: how many jobs must end first, for a queued job that is ready; one that is not has `ready_at`. `run`: the
    number of its last run, 0 before the first.
    (version, progress) orders the news of a job. `fraction`, `note`, `output_bytes`, `stuck_ms`: of a running job, what
    its task reports, how much it has printed, since when its process has given no sign of life. Events have no `note`.
    """

    id: int
    type: str
    state: JobState
    version: int
    progress: int
    submitted_at: int
    attempts: int
    reruns: int
    ahead: int | None = None
    elapsed_ms: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    reason: FailReason | None = None
    message: str | None = None
    priority: int = 0
    ready_at: int | None = None
    cancelling: bool = False
    fraction: float | None = None
    note: str | None = None
    output_bytes: int = 0
    stuck_ms: int | None = None
    owner: str = ""
    run: int = 0
    max_attempts: int = 1


class Missing(NamedTuple):
    """An id without a job; `code` is not_found or expired."""

    id: int
    code: ErrorCode


class StatusReply(NamedTuple):
    journal: str
    jobs: tuple[JobStatus, ...]
    missing: tuple[Missing, ...]
    queued: int
    worker: WorkerState
    paused: bool = False


class Queue(NamedTuple):
    """The running job, then the next `limit` in turn."""

    limit: int = 20


class QueueReply(NamedTuple):
    """`dispatched`: how many jobs the worker has; each runs, or may start at any moment."""

    journal: str
    jobs: tuple[JobStatus, ...]
    queued: int
    dispatched: int
    worker: WorkerState
    paused: bool


class Result(NamedTuple):
    """`offset`: where in the packed result the piece shall begin."""

    id: int
    offset: int = 0


class ResultReply(NamedTuple):
    """A piece of a finished job's result; failed and cancelled jobs have none (size 0, empty body)."""

    journal: str
    id: int
    state: JobState
    size_bytes: int
    offset: int
    body: bytes
    reason: FailReason | None = None
    message: str | None = None


class Show(NamedTuple):
    id: int


class Attempt(NamedTuple):
    """A run of the job that did not complete it. `detail`: a traceback or other evidence, for people."""

    number: int
    outcome: Outcome
    started_at: int | None
    ended_at: int
    reason: FailReason | None
    message: str
    detail: str


class ShowReply(NamedTuple):
    """`killed`: how many processes were killed that the last run had left."""

    journal: str
    job: JobStatus
    request_key: str
    data_bytes: int | None
    result_bytes: int | None
    time_limit_ms: int | None
    retry_of: int | None
    retried_as: tuple[int, ...]
    attempts: tuple[Attempt, ...]
    killed: int = 0
    output_file: str | None = None
    left_behind: str = ""


class Cancel(NamedTuple):
    ids: tuple[int, ...]


class CancelReply(NamedTuple):
    """The jobs as they are now: cancelled, cancelling, or ended before."""

    journal: str
    jobs: tuple[JobStatus, ...]
    missing: tuple[Missing, ...]


class Retry(NamedTuple):
    """Submit copies of ended jobs; all or none."""

    request_key: str
    ids: tuple[int, ...]


class RetryReply(NamedTuple):
    """The copies have the ids first_id … first_id + count - 1, in the order asked."""

    journal: str
    first_id: int
    count: int  # type: ignore[assignment]  # as in SubmitReply


class Pause(NamedTuple):
    """Nothing new starts until `Resume`; the running job goes on."""

    reason: str = ""


class Resume(NamedTuple):
    pass


class Paused(NamedTuple):
    at: int
    reason: str


class PauseReply(NamedTuple):
    """`running`: the job that the worker is known to run; `may_start`: those it was given before, in turn. No other job
    starts."""

    journal: str
    paused: Paused
    running: int | None
    may_start: tuple[int, ...]


class ResumeReply(NamedTuple):
    """`was`: the pause that was ended, None when there was none."""

    journal: str
    was: Paused | None


class Log(NamedTuple):
    """`offset`: where in all that the task has printed the piece shall begin."""

    id: int
    offset: int = 0


class LogReply(NamedTuple):
    """A piece of what the job's last run, number `run`, has printed. Of long output the end is kept: `offset` may be
    after the one asked for. `size_bytes`: all that was printed and has come to the broker."""

    journal: str
    id: int
    state: JobState
    size_bytes: int
    offset: int
    body: bytes
    run: int = 0


class List(NamedTuple):
    """Jobs, newest first, with ids below `before`."""

    state: JobState | None = None
    type: str | None = None
    limit: int = 100
    before: int | None = None


class ListReply(NamedTuple):
    """`before`: ask for the next page with it; None: there is none. A page may be shorter than asked for."""

    journal: str
    jobs: tuple[JobStatus, ...]
    before: int | None


class Forget(NamedTuple):
    """Drop ended jobs with all that is kept of them."""

    ids: tuple[int, ...]


class ForgetReply(NamedTuple):
    """`kept`: those that have not ended."""

    journal: str
    forgotten: tuple[int, ...]
    kept: tuple[int, ...]
    missing: tuple[Missing, ...]


class Types(NamedTuple):
    pass


class TypesReply(NamedTuple):
    """`known` is false until a worker has announced its types to this journal."""

    journal: str
    known: bool
    types: tuple[TaskType, ...]


class Info(NamedTuple):
    pass


class WorkerInfo(NamedTuple):
    """`note`: a sentence, when something keeps the worker from being given jobs."""

    state: WorkerState
    since_ms: int
    host: str | None = None
    pid: int | None = None
    running: int | None = None
    note: str | None = None


class InfoReply(NamedTuple):
    journal: str
    server: str
    libzmq: str
    sqlite: str
    python: str
    pid: int
    uptime_ms: int
    journal_file: str
    journal_bytes: int
    read_only: str | None
    paused: Paused | None
    worker: WorkerInfo
    queued: int
    waiting: int
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    limits: Limits
    warnings: tuple[str, ...] = ()


class Backup(NamedTuple):
    """For so long the broker shall not move its log into its file, so that both can be copied; 0 ends that.
    `hold`: a name for it, of this backup alone."""

    hold: str
    hold_ms: int


class BackupReply(NamedTuple):
    """`undisturbed`: nothing was moved since this hold began, so what was copied meanwhile fits together."""

    journal: str
    journal_file: str
    undisturbed: bool


class Error(NamedTuple):
    """The reply to a request that was not carried out. `message` is a sentence for people."""

    code: ErrorCode
    message: str
    journal: str = ""


# --- events (broker to watchers) ------------------------------------------------------------------


class Listening(NamedTuple):
    """The answer to a subscription to all jobs: from now on, changes after `change` are told."""

    journal: str
    change: int
    worker: WorkerState = WorkerState.READY
    paused: Paused | None = None


class ServiceEvent(NamedTuple):
    """The worker's state or the pause has changed. Listeners to all jobs are told."""

    journal: str
    worker: WorkerState
    paused: Paused | None


class JobEvent(NamedTuple):
    """What became of a job. `change` counts journaled changes of all jobs; None on what is not journaled."""

    journal: str
    job: JobStatus
    change: int | None
    worker: WorkerState
    paused: bool = False


# --- the hand-over: pipe (broker to worker) -------------------------------------------------------


class StartSession(NamedTuple):
    incarnation: str
    session: str
    broker: BrokerName
    result_bytes: int
    output_bytes: int


class HandedJob(NamedTuple):
    """`data_from`: where in the whole data `data` begins; what is before came in pieces."""

    id: int
    type: str
    data: bytes | None
    attempt: int
    time_limit_ms: int | None = None
    data_from: int = 0


class Jobs(NamedTuple):
    """Jobs with the numbers first, first + 1, … of the session."""

    session: str
    first: int
    jobs: tuple[HandedJob, ...]
    round: int = 0


class Ack(NamedTuple):
    """Reports up to `reports` are on disk; `resume`: where a worker that returned goes on, None: it did not. `round`,
    `count`: as in Arrived; `held_bytes`: of the next report's result; `again`: something of that round was lost."""

    session: str
    reports: int
    resume: int | None = None
    round: int = 0
    count: int = 0  # type: ignore[assignment]  # as in SubmitReply
    held_bytes: int = 0
    again: bool = False


class Rejected(NamedTuple):
    """Report number `report` could not be believed, and was settled as `message` says; it is not to be repeated."""

    session: str
    report: int
    message: str


class Sent(NamedTuple):
    """How many counted messages of this round were sent before this."""

    session: str
    round: int
    count: int  # type: ignore[assignment]  # as in SubmitReply


class CancelRun(NamedTuple):
    """End hand-over `n`: return it if it has not begun, else tell its task to end."""

    session: str
    n: int


class ReturnJobs(NamedTuple):
    """Return whatever has not begun."""

    session: str


class TakeOver(NamedTuple):
    """The broker does not know the session of this incarnation: give it up and start anew."""

    incarnation: str


# --- the hand-over: reports (worker to broker) ----------------------------------------------------


class Running(NamedTuple):
    """`stuck_ms`: for how long the task process has given no sign of life, None when it does."""

    n: int
    id: int
    elapsed_ms: int
    stuck_ms: int | None = None


class Arrived(NamedTuple):
    """The last round in which a counted message came, and how many messages of it did."""

    round: int
    count: int  # type: ignore[assignment]  # as in SubmitReply


class Beat(NamedTuple):
    """The worker as it is now: sent every second, at once on a subscription, and on each new session.

    `spooled`: the session is that of a worker that stopped; this one delivers its spool, and runs nothing meanwhile.
    `obstacle`: a sentence on what keeps it from starting any job. `warning`: one for people, None: nothing to warn of.
    `round`, `sent`: how many counted messages it sent before this; `arrived`: how many of the broker's have come.
    """

    incarnation: str
    session: str | None
    taken: int
    acked: int
    stopping: bool
    running: Running | None
    types: tuple[TaskType, ...]
    broker: BrokerName | None
    host: str
    pid: int
    spooled: bool = False
    warning: str | None = None
    obstacle: str | None = None
    round: int = 0
    sent: int = 0
    arrived: Arrived = Arrived(0, 0)


class Received(NamedTuple):
    """How far the broker's counted messages have come: all up to number `taken`, and `held_bytes` of the data of the
    next. `again`: something of that round was lost."""

    session: str
    taken: int
    round: int
    count: int  # type: ignore[assignment]  # as in SubmitReply
    held_bytes: int
    again: bool = False


class Piece(NamedTuple):
    """A part of the body of the report or the job with this number, which follows. Goes either way."""

    session: str
    round: int
    number: int
    offset: int
    body: bytes


class Started(NamedTuple):
    session: str
    n: int
    id: int


class Progress(NamedTuple):
    """What the running task reports of itself; it may be lost. `progress` counts the news of a run from 2 (1 is the
    start), those in `Output` included."""

    session: str
    n: int
    id: int
    progress: int
    fraction: float | None
    note: str | None
    round: int = 0


class Output(NamedTuple):
    """What the running job has printed from `offset` on, and did not tell before; `progress` as in `Progress`."""

    n: int
    id: int
    progress: int
    offset: int
    body: bytes


class Ended(NamedTuple):
    """`result` is one packed msgpack value when completed; reason, message and detail when not.
    `output`: what it printed after the last `Output`; `output_bytes`: how much it was in all; `output_file`: where on
    the worker's host all of it is; `left_behind`: what it had changed in its process. `id`: of the job, filled in by
    the worker's core, which has it, so that the broker sees when it gave that number to another one. `killed`: how
    many processes it had left running. `result_from`: where in the whole result `result` begins; what is before
    came in pieces."""

    n: int
    outcome: Outcome
    elapsed_us: int
    result: bytes | None = None
    reason: FailReason | None = None
    message: str = ""
    detail: str = ""
    output: bytes | None = None
    output_bytes: int = 0
    id: int = 0
    killed: int = 0
    result_from: int = 0
    output_file: str | None = None
    left_behind: str = ""


class Returned(NamedTuple):
    """Nothing from number n on was begun, nor will be until the broker says where to go on.

    `stopping`: the worker will take no more at all.
    """

    n: int
    stopping: bool


class Invalid(NamedTuple):
    """What decoding puts in the place of a report that it cannot read. `ended`: it was to tell the end of a job, of
    number `n` and with this `id`, 0 where that cannot be read either. `why`: what is wrong with it."""

    ended: bool
    n: int
    id: int
    why: str


Report = Union[Output, Ended, Returned]


class Reports(NamedTuple):
    """Reports with the numbers first, first + 1, … of the session."""

    session: str
    first: int
    reports: tuple[Report | Invalid, ...]
    round: int = 0


Request = Union[
    Hello, Submit, Status, Queue, Result, Show, Cancel, Retry, Pause, Resume, Log, List, Forget, Types, Info, Backup
]
Reply = Union[
    HelloReply,
    SubmitReply,
    StatusReply,
    QueueReply,
    ResultReply,
    ShowReply,
    CancelReply,
    RetryReply,
    PauseReply,
    ResumeReply,
    LogReply,
    ListReply,
    ForgetReply,
    TypesReply,
    InfoReply,
    BackupReply,
    Error,
]
PipeMessage = Union[StartSession, Piece, Jobs, Ack, Rejected, Sent, CancelRun, ReturnJobs, TakeOver]
WorkerMessage = Union[Beat, Started, Progress, Piece, Reports, Received]
