"""Requests of clients, and the replies to them."""

from typing import NamedTuple, Union

from zjobs.messages.records import Attempt, JobStatus, Limits, Missing, Paused, TaskType, WorkerInfo
from zjobs.messages.states import ErrorCode, FailReason, JobState, WorkerState


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
