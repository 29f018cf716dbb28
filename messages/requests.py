"""Requests of clients, and the replies to them."""

from typing import Annotated, NamedTuple, Union

from zjobs.messages.fields import (
    CheckpointPauseMs,
    CheckpointPauseName,
    DurationMs,
    Id,
    Ids,
    Items,
    Milliseconds,
    Name,
    Number,
    Page,
    Positive,
    Priority,
    Reason,
    RequestKey,
    SchemaDigest,
    ShortText,
    SomeIds,
    Text,
    TimeLimitMs,
    WaitIds,
    WaitMs,
)
from zjobs.messages.records import Attempt, JobStatus, Limits, Missing, Paused, TaskType, WholeResult, WorkerInfo
from zjobs.messages.states import ErrorCode, FailReason, JobState, WorkerState
from zjobs.messages.units import Ms


class Hello(NamedTuple):
    pass


class HelloReply(NamedTuple):
    journal: ShortText
    server: ShortText
    events: Text
    limits: Limits


class NewJob(NamedTuple):
    """One job to be queued. `data` is one packed msgpack value, None is 'no data'. `time_limit_ms` None: the type's."""

    type: Name
    data: bytes | None = None
    priority: Priority = 0
    delay_ms: DurationMs = Ms(0)
    time_limit_ms: TimeLimitMs | None = None


class CheckedBy(NamedTuple):
    """The data of the jobs of this type was checked by the schema of this digest."""

    type: Name
    digest: SchemaDigest


class Submit(NamedTuple):
    """`schemas`: those that the client knows; when the type has another one, no job is taken."""

    request_key: RequestKey
    jobs: Annotated[tuple[NewJob, ...], Items(1)]
    schemas: tuple[CheckedBy, ...] = ()


class SubmitReply(NamedTuple):
    """The ids are first_id … first_id + count - 1. `checked`: the types were compared with a worker's."""

    journal: ShortText
    first_id: Id
    count: Positive  # type: ignore[assignment]  # a tuple method of that name is hidden; nobody calls it
    checked: bool


class Status(NamedTuple):
    ids: Ids


class StatusReply(NamedTuple):
    journal: ShortText
    jobs: tuple[JobStatus, ...]
    missing: tuple[Missing, ...]
    queued: Number
    worker: WorkerState
    paused: bool = False


class Queue(NamedTuple):
    """The running job, then the next `limit` in turn."""

    limit: Page = 20


class QueueReply(NamedTuple):
    """`dispatched`: how many jobs the worker has; each runs, or may start at any moment. `change`: as in events."""

    journal: ShortText
    jobs: tuple[JobStatus, ...]
    queued: Number
    dispatched: Number
    worker: WorkerState
    paused: bool
    change: Number


class Result(NamedTuple):
    """`offset`: where in the packed result the piece begins. `wait_ms`: how long the broker waits for the job's end."""

    id: Id
    offset: Number = 0
    wait_ms: WaitMs = Ms(0)


class ResultReply(NamedTuple):
    """A piece of a completed job's result. Other jobs have none (size 0, empty body), but a status: `job`."""

    journal: ShortText
    id: Id
    state: JobState
    size_bytes: Number
    offset: Number
    body: bytes
    reason: FailReason | None = None
    message: Text | None = None
    job: JobStatus | None = None


class Wait(NamedTuple):
    """Reply when the first of these jobs is final, or after `wait_ms`. `results`: with the results, if they fit."""

    ids: WaitIds
    wait_ms: WaitMs = Ms(0)
    results: bool = False


class WaitReply(NamedTuple):
    """`jobs`: those that are final; none of them when the time ran out."""

    journal: ShortText
    jobs: tuple[JobStatus, ...]
    missing: tuple[Missing, ...]
    results: tuple[WholeResult, ...] = ()


class Show(NamedTuple):
    id: Id


class ShowReply(NamedTuple):
    """`killed`: how many processes were killed that the last run had left."""

    journal: ShortText
    job: JobStatus
    request_key: ShortText
    data_bytes: Number | None
    result_bytes: Number | None
    time_limit_ms: DurationMs | None
    retry_of: Id | None
    retried_as: Ids
    attempts: tuple[Attempt, ...]
    killed: Number = 0
    output_file: Text | None = None
    left_behind: Text = ""


class Cancel(NamedTuple):
    ids: SomeIds


class CancelReply(NamedTuple):
    """The jobs as they are now: cancelled, cancelling, or ended before."""

    journal: ShortText
    jobs: tuple[JobStatus, ...]
    missing: tuple[Missing, ...]


class Retry(NamedTuple):
    """Submit copies of ended jobs; all or none."""

    request_key: RequestKey
    ids: SomeIds


class RetryReply(NamedTuple):
    """The copies have the ids first_id … first_id + count - 1, in the order asked."""

    journal: ShortText
    first_id: Id
    count: Positive  # type: ignore[assignment]  # as in SubmitReply


class Pause(NamedTuple):
    """Nothing new starts until `Resume`; the running job goes on."""

    reason: Reason = ""


class Resume(NamedTuple):
    pass


class PauseReply(NamedTuple):
    """`running`: the job that the worker is known to run; `may_start`: those it was given before, in turn. No other job
    starts."""

    journal: ShortText
    paused: Paused
    running: Id | None
    may_start: tuple[Id, ...]


class ResumeReply(NamedTuple):
    """`was`: the pause that was ended, None when there was none."""

    journal: ShortText
    was: Paused | None


class Log(NamedTuple):
    """`offset`: where in all that the task has printed the piece shall begin."""

    id: Id
    offset: Number = 0


class LogReply(NamedTuple):
    """A piece of what the job's last run, number `run`, has printed. Of long output the end is kept: `offset` may be
    after the one asked for. `size_bytes`: all that was printed and has come to the broker."""

    journal: ShortText
    id: Id
    state: JobState
    size_bytes: Number
    offset: Number
    body: bytes
    run: Number = 0


class List(NamedTuple):
    """Jobs, newest first, with ids below `before`."""

    state: JobState | None = None
    type: Name | None = None
    limit: Page = 100
    before: Id | None = None


class ListReply(NamedTuple):
    """`before`: ask for the next page with it; None: there is none. A page may be shorter than asked for."""

    journal: ShortText
    jobs: tuple[JobStatus, ...]
    before: Id | None


class Forget(NamedTuple):
    """Drop ended jobs with all that is kept of them."""

    ids: SomeIds


class ForgetReply(NamedTuple):
    """`kept`: those that have not ended."""

    journal: ShortText
    forgotten: Ids
    kept: Ids
    missing: tuple[Missing, ...]


class Types(NamedTuple):
    pass


class TypesReply(NamedTuple):
    """`known` is false until a worker has announced its types to this journal."""

    journal: ShortText
    known: bool
    types: tuple[TaskType, ...]


class Schema(NamedTuple):
    """What does this type take?"""

    type: Name


class SchemaReply(NamedTuple):
    """`digest`: None: no worker has announced its types yet; empty: the type has no schema. `schema`: JSON, None: there
    is none, or it has not come yet."""

    journal: ShortText
    digest: SchemaDigest | None
    schema: bytes | None


class Info(NamedTuple):
    pass


class InfoReply(NamedTuple):
    journal: ShortText
    server: ShortText
    libzmq: ShortText
    sqlite: ShortText
    python: ShortText
    pid: Number
    uptime_ms: Milliseconds
    journal_file: Text
    journal_bytes: Number
    read_only: Text | None
    paused: Paused | None
    worker: WorkerInfo
    queued: Number
    waiting: Number
    in_progress: Number
    completed: Number
    failed: Number
    cancelled: Number
    limits: Limits
    warnings: tuple[Text, ...] = ()


class Backup(NamedTuple):
    """For so long the broker shall not move its log into its file, so that both can be copied; 0 ends that.
    `name`: the checkpoint pause, of this backup alone."""

    name: CheckpointPauseName
    pause_ms: CheckpointPauseMs


class BackupReply(NamedTuple):
    """`undisturbed`: nothing was moved since this pause began, so what was copied meanwhile fits together."""

    journal: ShortText
    journal_file: Text
    undisturbed: bool


class Error(NamedTuple):
    """The reply to a request that was not carried out. `message` is a sentence for people."""

    code: ErrorCode
    message: Text
    journal: ShortText = ""


Request = Union[
    Hello,
    Submit,
    Status,
    Queue,
    Result,
    Wait,
    Show,
    Cancel,
    Retry,
    Pause,
    Resume,
    Log,
    List,
    Forget,
    Types,
    Schema,
    Info,
    Backup,
]


Reply = Union[
    HelloReply,
    SubmitReply,
    StatusReply,
    QueueReply,
    ResultReply,
    WaitReply,
    ShowReply,
    CancelReply,
    RetryReply,
    PauseReply,
    ResumeReply,
    LogReply,
    ListReply,
    ForgetReply,
    TypesReply,
    SchemaReply,
    InfoReply,
    BackupReply,
    Error,
]
