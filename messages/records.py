"""Records that several messages carry. Fields ending in `_at` are wall clock times in milliseconds since 1970 (UTC)."""

from typing import NamedTuple

from zjobs.messages.fields import (
    DurationMs,
    Fraction,
    Id,
    Milliseconds,
    Name,
    Number,
    Positive,
    Priority,
    Reason,
    SchemaDigest,
    ShortText,
    Text,
)
from zjobs.messages.states import ErrorCode, FailReason, JobState, Outcome, WorkerState
from zjobs.messages.units import Ms


class Limits(NamedTuple):
    """Bounds that the broker holds its peers to."""

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
    """A task type as the worker announces it. After failure n of a job, its next attempt waits `retry_delay_ms`
    times 2 to the power of n - 1; a task told to end has `grace_ms` for that. `schema_digest`: of the schema of its
    parameters, empty: it has none."""

    name: Name
    description: Text = ""
    max_attempts: Positive = 1
    max_reruns: Number = 0
    time_limit_ms: DurationMs | None = None
    grace_ms: DurationMs = Ms(2_000)
    retry_delay_ms: DurationMs = Ms(1_000)
    schema_digest: SchemaDigest = ""


class BrokerName(NamedTuple):
    """Who a worker serves: enough to recognise one's own worker, and to name the other broker."""

    host: ShortText
    frontend: Text
    journal: ShortText


class JobStatus(NamedTuple):
    """`ahead`: how many jobs must end first, for a queued job that is ready; one that is not has `ready_at`. `run`: the
    number of its last run, 0 before the first.
    (version, progress) orders the news of a job. `fraction`, `note`, `output_bytes`, `stuck_ms`: of a running job, what
    its task reports, how much it has printed, since when its process has given no sign of life. Events have no `note`.
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


class Missing(NamedTuple):
    """An id without a job; `code` is not_found or expired."""

    id: Id
    code: ErrorCode


class WholeResult(NamedTuple):
    """A completed job's result."""

    id: Id
    body: bytes


class Attempt(NamedTuple):
    """A run of the job that did not complete it. `detail`: a traceback or other evidence, for people."""

    number: Number
    outcome: Outcome
    started_at: Milliseconds | None
    ended_at: Milliseconds
    reason: FailReason | None
    message: Text
    detail: Text


class Paused(NamedTuple):
    at: Milliseconds
    reason: Reason


class WorkerInfo(NamedTuple):
    """`warning`: a sentence, when something keeps the worker from being given jobs."""

    state: WorkerState
    since_ms: Milliseconds
    host: ShortText | None = None
    pid: Number | None = None
    running: Id | None = None
    warning: Text | None = None
