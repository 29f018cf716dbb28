"""Records that several messages carry. Fields ending in `_at` are wall clock times in milliseconds since 1970 (UTC)."""

from zjobs.messages.fields import (
    AfterIds,
    Comment,
    DurationMs,
    ExitCode,
    Fraction,
    Id,
    JobName,
    Milliseconds,
    Name,
    Number,
    Person,
    Positive,
    Priority,
    Reason,
    SchemaDigest,
    ShortText,
    Submitter,
    Text,
    Time,
)
from zjobs.messages.named import NamedTuple
from zjobs.messages.states import Awaited, ErrorCode, FailReason, JobState, Origin, Outcome, Role, WorkerState
from zjobs.messages.units import Ms

COMMAND = "command"  # the type whose jobs run programs: who may submit them is a matter of its own


class Limits(NamedTuple):
    """The bounds that the broker enforces."""

    data_bytes: Positive = 1 << 20
    result_bytes: Positive = 16 << 20
    request_bytes: Positive = 4 << 20
    request_jobs: Positive = 2_000
    queued_jobs: Positive = 2_000_000
    frames: Positive = 16
    queued_per_owner: Positive = 2_000_000
    output_bytes: Positive = 1 << 20
    waiting_requests: Positive = 100
    waiting_jobs: Positive = 100_000


class TaskType(NamedTuple):
    """A task type as the worker announces it. After failure number n of a job, its next attempt waits `retry_delay_ms`
    times 2 to the power of n - 1. A task that is told to end has `grace_ms` to do so. `schema_digest`: that of the
    schema of its parameters, empty without one."""

    name: Name
    description: Text = ""
    max_attempts: Positive = 1
    max_reruns: Number = 0
    time_limit_ms: DurationMs | None = None
    grace_ms: DurationMs = Ms(2_000)
    retry_delay_ms: DurationMs = Ms(1_000)
    schema_digest: SchemaDigest = ""


class BrokerName(NamedTuple):
    """The name of the broker that a worker serves, by which brokers recognise their own worker, or say whose it is."""

    host: ShortText
    frontend: Text
    journal: ShortText


class Estimate(NamedTuple):
    """An estimate of when a queued job starts, or the run in progress ends, counted from the reply. `likely_ms`: as far
    as it is known, None if it is not. `upper_ms`: None without a bound. `runs`: the number of runs in the history.
    `at_least`: a part of unknown length is missing. `overdue_ms`: by how much a run has exceeded what was expected.
    `after`: the event from which the times count."""

    likely_ms: Milliseconds | None
    upper_ms: Milliseconds | None
    origin: Origin
    runs: Number = 0
    at_least: bool = False
    overdue_ms: Milliseconds = Ms(0)
    after: Awaited | None = None


class DataPreview(NamedTuple):
    """The beginning of a job's packed data, and the size of the whole."""

    body: bytes
    size_bytes: Number


class JobStatus(NamedTuple):
    """A job as clients see it; (version, progress) grows with each of its changes.

    `ahead`: how many jobs must end before this one starts, if it is queued and ready; a delayed job has `ready_at`.
    `run`: the number of its last run, 0 before the first. Of a running job, `fraction` and `note` are what its task
    reports, `output_bytes` is how much it has printed, and `stuck_ms` is the time since its process last showed
    liveness. `owner` is proven by a key, `submitter` is not. Events have no `note`, `submitter` or `name`; only `list`
    and `show` have the `comment`; in events, only the running job has an `estimate`. `data_preview`: if requested, and
    the client may read the job's data. `held`: it waits for its release.
    `after`, `after_any`: the jobs that it still waits for, or did when it ended. `cancelled_by`: the job whose end
    cancelled it. `exit_code`: how a command failed. `start_at`, `start_by`: when it is ready, and when it is cancelled
    if it has not started.
    """

    id: Id
    type: Name
    state: JobState
    version: Number
    progress: Number
    submitted_at: Milliseconds
    attempts: Number
    reruns: Number
    ahead: Number | None = None
    elapsed_ms: Milliseconds | None = None
    started_at: Milliseconds | None = None
    ended_at: Milliseconds | None = None
    reason: FailReason | None = None
    message: Text | None = None
    priority: Priority = 0
    ready_at: Milliseconds | None = None
    cancelling: bool = False
    fraction: Fraction | None = None
    note: Text | None = None
    output_bytes: Number = 0
    stuck_ms: Milliseconds | None = None
    owner: ShortText = ""
    run: Number = 0
    max_attempts: Positive = 1
    submitter: Submitter = ""
    name: JobName = ""
    comment: Comment = ""
    estimate: Estimate | None = None
    data_preview: DataPreview | None = None
    held: bool = False
    after: AfterIds = ()
    after_any: AfterIds = ()
    cancelled_by: Id | None = None
    exit_code: ExitCode | None = None
    start_at: Time | None = None
    start_by: Time | None = None


class ActingFor(NamedTuple):
    """A person on whose behalf a request is made, and the role that they have in it."""

    name: Person
    role: Role


class Missing(NamedTuple):
    """An id without a job; `code` is not_found or expired."""

    id: Id
    code: ErrorCode


class WholeResult(NamedTuple):
    """A completed job's result."""

    id: Id
    body: bytes


class Attempt(NamedTuple):
    """A run that did not complete its job. `detail`: a traceback or other evidence, for people."""

    number: Number
    outcome: Outcome
    started_at: Milliseconds | None
    ended_at: Milliseconds
    reason: FailReason | None
    message: Text
    detail: Text


class Paused(NamedTuple):
    """The time and the reason of the oldest pause."""

    at: Milliseconds
    reason: Reason


class QueuePause(NamedTuple):
    """A pause in force: whose it is, why, since when, and when it ends by itself; None if it lasts until it is
    lifted. `submitter`: who asked, where no key proves whose it is."""

    owner: ShortText
    reason: Reason
    since_at: Milliseconds
    until_at: Milliseconds | None = None
    submitter: Submitter = ""


class AuditEntry(NamedTuple):
    """An action by hand: who did what. `who`: proven by a key if `proven`, else the name that the client gave. `via`:
    the key that acted for them. `jobs`: ids, as `3-7 9`."""

    number: Number
    at: Milliseconds
    op: ShortText
    who: ShortText
    proven: bool
    via: ShortText = ""
    jobs: Text = ""
    text: Text = ""


class WorkerInfo(NamedTuple):
    """The state of the worker, as the broker sees it. `warning`: a sentence about what keeps it from running jobs, if
    anything."""

    state: WorkerState
    since_ms: Milliseconds
    host: ShortText | None = None
    pid: Number | None = None
    running: Id | None = None
    warning: Text | None = None
