"""Requests that only read, and the replies to them."""

from zjobs.messages.fields import (
    CheckpointPauseMs,
    CheckpointPauseName,
    Comment,
    DurationMs,
    Id,
    Ids,
    JobName,
    Milliseconds,
    Name,
    Number,
    Page,
    PageOrNone,
    Positive,
    SchemaDigest,
    ShortText,
    Submitter,
    Text,
    WaitIds,
    WaitMs,
)
from zjobs.messages.named import NamedTuple
from zjobs.messages.records import (
    Attempt,
    AuditEntry,
    JobStatus,
    Limits,
    Missing,
    Paused,
    QueuePause,
    TaskType,
    WholeResult,
    WorkerInfo,
)
from zjobs.messages.states import FailReason, JobState, Role, WorkerState
from zjobs.messages.units import Ms


class Hello(NamedTuple):
    """Ask for the facts that a client needs before anything else."""


class HelloReply(NamedTuple):
    """The journal's identity, the broker's version, the address of the events, and the broker's limits."""

    journal: ShortText
    server: ShortText
    events: Text
    limits: Limits


class Status(NamedTuple):
    """Ask for the status of these jobs. `preview`: with the beginning of each job's data."""

    ids: Ids
    preview: bool = False


class StatusReply(NamedTuple):
    """The jobs in the order of the request, the ids without a job, and the state of the queue."""

    journal: ShortText
    jobs: tuple[JobStatus, ...]
    missing: tuple[Missing, ...]
    queued: Number
    worker: WorkerState
    paused: bool = False
    pauses: tuple[QueuePause, ...] = ()


class Queue(NamedTuple):
    """Ask for the running job, the `limit` jobs that start next, and `delayed_limit` delayed jobs. `preview`: as in
    `Status`."""

    limit: Page = 20
    delayed_limit: PageOrNone = 0
    preview: bool = False


class QueueReply(NamedTuple):
    """The next jobs. `dispatched`: how many the worker has; any of them may start at once. `change`: as in events.
    `delayed`: delayed jobs, the soonest ready first."""

    journal: ShortText
    jobs: tuple[JobStatus, ...]
    queued: Number
    dispatched: Number
    worker: WorkerState
    paused: bool
    change: Number
    delayed: tuple[JobStatus, ...] = ()
    pauses: tuple[QueuePause, ...] = ()


class Result(NamedTuple):
    """Ask for a piece of a job's packed result, from `offset` on. `wait_ms`: how long to wait for the job's end."""

    id: Id
    offset: Number = 0
    wait_ms: WaitMs = Ms(0)


class ResultReply(NamedTuple):
    """A piece of a completed job's result. A job in another state has no result (size 0, empty body) but a status:
    `job`."""

    journal: ShortText
    id: Id
    state: JobState
    size_bytes: Number
    offset: Number
    body: bytes
    reason: FailReason | None = None
    message: Text | None = None
    job: JobStatus | None = None


class Data(NamedTuple):
    """Ask for a piece of a job's packed data, from `offset` on."""

    id: Id
    offset: Number = 0


class DataReply(NamedTuple):
    """A piece of a job's data; size 0 and an empty body if it has none."""

    journal: ShortText
    id: Id
    size_bytes: Number
    offset: Number
    body: bytes


class Wait(NamedTuple):
    """Wait until one of these jobs is final, at most `wait_ms`. `results`: include the results, if they fit."""

    ids: WaitIds
    wait_ms: WaitMs = Ms(0)
    results: bool = False


class WaitReply(NamedTuple):
    """The jobs that are final; none if the time ran out."""

    journal: ShortText
    jobs: tuple[JobStatus, ...]
    missing: tuple[Missing, ...]
    results: tuple[WholeResult, ...] = ()


class Show(NamedTuple):
    """Ask for everything known about one job. `preview`: as in `Status`."""

    id: Id
    preview: bool = False


class ShowReply(NamedTuple):
    """Everything known about a job. `killed`: how many processes the last run left running, which were killed."""

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


class Log(NamedTuple):
    """Ask for a piece of the output of a job's last run, from `offset` on."""

    id: Id
    offset: Number = 0


class LogReply(NamedTuple):
    """A piece of the output of the job's last run, number `run`. Only the end of long output is kept, so `offset` may
    be greater than requested. `size_bytes`: all output that has reached the broker."""

    journal: ShortText
    id: Id
    state: JobState
    size_bytes: Number
    offset: Number
    body: bytes
    run: Number = 0


class List(NamedTuple):
    """Ask for jobs, newest first, with ids below `before`, that match every filter given.

    In `name`, `comment`, `owner` and `submitter`, `*` stands for any text. `since_ms`: submitted within this time.
    `preview`: as in `Status`.
    """

    state: JobState | None = None
    type: Name | None = None
    limit: Page = 100
    before: Id | None = None
    name: JobName | None = None
    owner: ShortText | None = None
    submitter: Submitter | None = None
    since_ms: DurationMs | None = None
    preview: bool = False
    comment: Comment | None = None


class ListReply(NamedTuple):
    """A page of jobs, perhaps shorter than `limit`. `before`: for the request for the next page; None on the last
    one."""

    journal: ShortText
    jobs: tuple[JobStatus, ...]
    before: Id | None


class Types(NamedTuple):
    """Ask for the worker's task types."""


class TypesReply(NamedTuple):
    """The task types. `known`: False until a worker has announced its types to this journal."""

    journal: ShortText
    known: bool
    types: tuple[TaskType, ...]


class Schema(NamedTuple):
    """Ask for the schema of a type's parameters."""

    type: Name


class SchemaReply(NamedTuple):
    """The schema of a type's parameters. `digest`: None if no worker has announced its types yet, empty if the type has
    no schema. `schema`: JSON; None if there is none, or it has not come yet."""

    journal: ShortText
    digest: SchemaDigest | None
    schema: bytes | None


class Info(NamedTuple):
    """Ask for the state of the service."""


class InfoReply(NamedTuple):
    """The state of broker, journal, queue and worker. `warnings`: a sentence for each limit that is nearly reached.
    `durability`: a sentence on where a job is once its submit was answered. `commands`: the least role that may submit
    commands, None if the worker runs none."""

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
    pauses: tuple[QueuePause, ...] = ()
    durability: Text = ""
    commands: Role | None = None


class Audit(NamedTuple):
    """Ask who changed what by hand: entries newest first, with numbers below `before`, made within `since_ms`."""

    limit: Page = 100
    before: Positive | None = None
    since_ms: DurationMs | None = None


class AuditReply(NamedTuple):
    """A page of entries. `before`: for the request for the next page; None on the last one."""

    journal: ShortText
    entries: tuple[AuditEntry, ...]
    before: Positive | None


class Backup(NamedTuple):
    """Pause checkpoints for `pause_ms`, so that the journal's file and log can be copied; 0 ends the pause. `name`: the
    pause's name, unique to this backup."""

    name: CheckpointPauseName
    pause_ms: CheckpointPauseMs


class BackupReply(NamedTuple):
    """The journal's file. `undisturbed`: no checkpoint has run since the pause began, so copies of file and log fit
    together."""

    journal: ShortText
    journal_file: Text
    undisturbed: bool
