"""The closed lists of the protocol: states of a job, error codes, reasons, outcomes, states of the worker, roles."""

from __future__ import annotations

from enum import Enum

PROTOCOL_VERSION = 1


class JobState(str, Enum):
    """A state of a job, as everybody sees it. `TRANSITIONS` in `broker/core/records/jobs.py` has the transitions.
    `final`: True if a job in this state has ended."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    def __init__(self, value: str) -> None:
        self.final = value in ("completed", "failed", "cancelled")


class ErrorCode(str, Enum):
    """A code for the refusal of a request. The list is closed."""

    BAD_REQUEST = "bad_request"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNKNOWN_OP = "unknown_op"
    UNKNOWN_TYPE = "unknown_type"
    TOO_LARGE = "too_large"
    QUEUE_FULL = "queue_full"
    BUSY = "busy"
    KEY_CONFLICT = "key_conflict"
    SCHEMA_CHANGED = "schema_changed"
    NOT_FOUND = "not_found"
    EXPIRED = "expired"
    NOT_COMPLETED = "not_completed"
    NOT_FINISHED = "not_finished"
    STORAGE = "storage"
    READ_ONLY = "read_only"
    NOT_PERMITTED = "not_permitted"
    INTERNAL = "internal"


class FailReason(str, Enum):
    """A code for the failure of a job. The list is closed; a sentence for people goes with each."""

    RAISED = "raised"
    BAD_DATA = "bad_data"
    BAD_RESULT = "bad_result"
    TASK_DIED = "task_died"
    TIMED_OUT = "timed_out"
    COMMAND_FAILED = "command_failed"
    WORKER_LOST = "worker_lost"


class Outcome(str, Enum):
    """The outcome of a run, as the worker reports it. `interrupted`: the worker was told to stop at once."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class WorkerState(str, Enum):
    """The state of the worker, as the broker sees it."""

    ABSENT = "absent"
    READY = "ready"
    SILENT = "silent"
    STOPPING = "stopping"
    FOREIGN = "foreign"
    LACKS_TYPE = "lacks_type"
    BLOCKED = "blocked"


class Origin(str, Enum):
    """The basis of an estimate, the most certain first."""

    NOTHING_AHEAD = "nothing_ahead"
    PROGRESS = "progress"
    HISTORY = "history"
    LIMIT = "limit"
    UNKNOWN = "unknown"


class Awaited(str, Enum):
    """An event that must come before the times of an estimate begin to count."""

    RESUME = "resume"
    WORKER = "worker"
    RELEASE = "release"
    JOBS = "jobs"


class Role(str, Enum):
    """The permissions of the holder of a key, the fewest first.

    A viewer sees states, but not the contents of jobs. A submitter submits, may do anything with its own jobs, and sees
    no others. A member is a submitter that also sees others' jobs as a viewer does. An operator may do everything.
    """

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    MEMBER = "member"
    OPERATOR = "operator"

    @property
    def and_above(self) -> tuple[Role, ...]:
        """This role and those with more permissions."""
        roles = tuple(Role)
        return roles[roles.index(self) :]
