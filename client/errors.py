"""What can go wrong, as exceptions: one for each error code of the protocol, and those of the client itself."""

from __future__ import annotations

from zjobs.messages.records import JobStatus
from zjobs.messages.states import ErrorCode


class ZjobsError(Exception):
    """The base of them all. `code` is for programs, the text a sentence for people.

    `request_key`, where set, is that of a submit that was not answered or not promised: submitting the same once
    more under it makes no second job.
    """

    code = "error"
    request_key: str | None = None


# --- what the broker answers ---------------------------------------------------------------------------


class BadRequest(ZjobsError):
    code = ErrorCode.BAD_REQUEST.value


class UnsupportedVersion(ZjobsError):
    code = ErrorCode.UNSUPPORTED_VERSION.value


class UnknownOp(ZjobsError):
    code = ErrorCode.UNKNOWN_OP.value


class UnknownType(ZjobsError):
    code = ErrorCode.UNKNOWN_TYPE.value


class TooLarge(ZjobsError):
    code = ErrorCode.TOO_LARGE.value


class QueueFull(ZjobsError):
    code = ErrorCode.QUEUE_FULL.value


class Busy(ZjobsError):
    code = ErrorCode.BUSY.value


class KeyConflict(ZjobsError):
    code = ErrorCode.KEY_CONFLICT.value


class NotFound(ZjobsError):
    code = ErrorCode.NOT_FOUND.value


class Expired(ZjobsError):
    code = ErrorCode.EXPIRED.value


class NotFinished(ZjobsError):
    code = ErrorCode.NOT_FINISHED.value


class StorageFailed(ZjobsError):
    code = ErrorCode.STORAGE.value


class ReadOnly(ZjobsError):
    code = ErrorCode.READ_ONLY.value


class NotPermitted(ZjobsError):
    code = ErrorCode.NOT_PERMITTED.value


class InternalError(ZjobsError):
    code = ErrorCode.INTERNAL.value


BY_CODE: dict[str, type[ZjobsError]] = {
    kind.code: kind
    for kind in (
        BadRequest,
        UnsupportedVersion,
        UnknownOp,
        UnknownType,
        TooLarge,
        QueueFull,
        Busy,
        KeyConflict,
        NotFound,
        Expired,
        NotFinished,
        StorageFailed,
        ReadOnly,
        NotPermitted,
        InternalError,
    )
}


# --- what the client finds itself ------------------------------------------------------------------------


class BrokerUnreachable(ZjobsError):
    """No answer in time; `address` is where it was expected, `why` what is known to be wrong there, or empty."""

    code = "unreachable"

    def __init__(self, address: str, seconds: float, why: str = "") -> None:
        super().__init__(f"no answer from {address} within {seconds:g} s" + (f": {why}" if why else ""))
        self.address = address
        self.why = why


class KeyRefused(NotPermitted):
    """The broker does not admit this key, or no longer."""

    code = "key_refused"


class KeyNeeded(NotPermitted):
    """The broker admits nobody without a key."""

    code = "key_needed"


class UntrustedBroker(ZjobsError):
    """Who answers at the address is not the broker that the key file names."""

    code = "untrusted_broker"


class BadKeyFile(ZjobsError):
    """The key file cannot be used."""

    code = "bad_key_file"


class BadAddress(ZjobsError, ValueError):
    """What should be the broker's endpoint is none."""

    code = "bad_address"


class BadReply(ZjobsError):
    """Something answers at the address, but not in the way of a broker."""

    code = "bad_reply"


class BrokerChanged(ZjobsError):
    """The broker runs on another journal than the job's: its ids mean other jobs."""

    code = "broker_changed"

    def __init__(self, address: str) -> None:
        super().__init__(f"the broker at {address} runs on another journal now; ids from before mean nothing there")
        self.address = address


class WaitTimeout(ZjobsError, TimeoutError):
    """The job was not finished in time; it goes on. `status` is the last that was heard of it."""

    code = "wait_timeout"

    def __init__(self, status: JobStatus, seconds: float) -> None:
        super().__init__(f"job {status.id} is not finished after {seconds:g} s")
        self.status = status


class WouldDeadlock(ZjobsError):
    """A task waits for another job of the service that runs it, which can start only when the task has ended."""

    code = "would_deadlock"

    def __init__(self, job_id: int) -> None:
        super().__init__(
            f"a task must not wait for job {job_id}: both belong to the same service, which runs one job at a time; "
            "submit it without waiting"
        )


class StillRunning(ZjobsError, TimeoutError):
    """The queue is paused, but the worker still had `dispatched` jobs when the time was over."""

    code = "wait_timeout"

    def __init__(self, dispatched: int, seconds: float) -> None:
        jobs = "a job" if dispatched == 1 else f"{dispatched} jobs"
        super().__init__(f"the worker still has {jobs} after {seconds:g} s")
        self.dispatched = dispatched


class Resumed(ZjobsError):
    """Somebody resumed the queue while its last job was waited for."""

    code = "resumed"

    def __init__(self) -> None:
        super().__init__("the queue was resumed before it was idle; pause it again")


class JobEndedWithoutResult(ZjobsError):
    """`status` is the job's final status."""

    def __init__(self, status: JobStatus) -> None:
        super().__init__(f"{status.id} {status.state.value}" + (f": {status.message}" if status.message else ""))
        self.status = status


class JobFailed(JobEndedWithoutResult):
    code = "failed"


class JobCancelled(JobEndedWithoutResult):
    code = "cancelled"
