"""Records that several messages carry. Fields ending in `_at` are wall clock times in milliseconds since 1970 (UTC)."""

from typing import NamedTuple

from zjobs.messages.states import ErrorCode, FailReason, JobState, Outcome, WorkerState


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


class Attempt(NamedTuple):
    """A run of the job that did not complete it. `detail`: a traceback or other evidence, for people."""

    number: int
    outcome: Outcome
    started_at: int | None
    ended_at: int
    reason: FailReason | None
    message: str
    detail: str


class Paused(NamedTuple):
    at: int
    reason: str


class WorkerInfo(NamedTuple):
    """`note`: a sentence, when something keeps the worker from being given jobs."""

    state: WorkerState
    since_ms: int
    host: str | None = None
    pid: int | None = None
    running: int | None = None
    note: str | None = None
