"""The closed lists of the protocol: states of a job, error codes, reasons, outcomes, states of the worker, roles."""

from enum import Enum

PROTOCOL_VERSION = 1


class JobState(str, Enum):
    """The state of a job as everybody sees it; the transitions between them are in `broker/core/jobs.py`. `final`:
    whether a job in this state has ended."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    def __init__(self, value: str) -> None:
        self.final = value in ("completed", "failed", "cancelled")


class ErrorCode(str, Enum):
    """Why a request was refused: the whole list."""

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


class Origin(str, Enum):
    """What an estimate rests on, the most certain first."""

    NOTHING_AHEAD = "nothing_ahead"
    PROGRESS = "progress"
    HISTORY = "history"
    LIMIT = "limit"
    UNKNOWN = "unknown"


class Awaited(str, Enum):
    """What has to come before an estimate begins to count."""

    RESUME = "resume"
    WORKER = "worker"


class Role(str, Enum):
    """What the holder of a key may do, the least first.

    A viewer sees states, not what is in jobs. A submitter submits, does as it likes with its own jobs, and sees no
    others. A member sees others' jobs as a viewer does, too. An operator may do everything.
    """

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    MEMBER = "member"
    OPERATOR = "operator"
