"""Exceptions: one for each error code of the protocol, and those of the client itself."""

from __future__ import annotations

from zjobs.messages.records import JobStatus
from zjobs.messages.states import ErrorCode, FailReason


class ZjobsError(Exception):
    """The base of all errors. `code` is for programs, the text is a sentence for people.

    `request_key`, if set, belongs to a submit whose outcome is unknown or not certain: submitting the same jobs again
    under it makes no second ones.
    """

    code = "error"
    request_key: str | None = None


# --- errors from the broker ----------------------------------------------------------------------------


class BadRequest(ZjobsError):
    """The broker could not read the request."""

    code = ErrorCode.BAD_REQUEST.value


class UnsupportedVersion(ZjobsError):
    """The broker speaks another version of the protocol."""

    code = ErrorCode.UNSUPPORTED_VERSION.value


class UnknownOp(ZjobsError):
    """The broker does not have this operation."""

    code = ErrorCode.UNKNOWN_OP.value


class UnknownType(ZjobsError):
    """The worker has no such task type."""

    code = ErrorCode.UNKNOWN_TYPE.value


class TooLarge(ZjobsError):
    """The data, the request or the number of jobs is above a limit."""

    code = ErrorCode.TOO_LARGE.value


class QueueFull(ZjobsError):
    """The broker accepts no more jobs at present."""

    code = ErrorCode.QUEUE_FULL.value


class Busy(ZjobsError):
    """Too many requests of this client wait for a reply."""

    code = ErrorCode.BUSY.value


class KeyConflict(ZjobsError):
    """The request key was used for other jobs."""

    code = ErrorCode.KEY_CONFLICT.value


class SchemaChanged(ZjobsError):
    """The data was checked by a schema that the type no longer has."""

    code = ErrorCode.SCHEMA_CHANGED.value


class NotFound(ZjobsError):
    """No job has this id."""

    code = ErrorCode.NOT_FOUND.value


class Expired(ZjobsError):
    """The job was dropped by retention or `forget`."""

    code = ErrorCode.EXPIRED.value


class NotCompleted(ZjobsError):
    """A job that a new one shall start after has failed or was cancelled."""

    code = ErrorCode.NOT_COMPLETED.value


class NotFinished(ZjobsError):
    """The job has not ended yet."""

    code = ErrorCode.NOT_FINISHED.value


class StorageFailed(ZjobsError):
    """The broker could not write or read its journal, so nothing is promised."""

    code = ErrorCode.STORAGE.value


class ReadOnly(ZjobsError):
    """The broker cannot write its journal at present."""

    code = ErrorCode.READ_ONLY.value


class NotPermitted(ZjobsError):
    """The key may not do this."""

    code = ErrorCode.NOT_PERMITTED.value


class InternalError(ZjobsError):
    """The broker failed because of a bug of its own."""

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
        SchemaChanged,
        NotFound,
        Expired,
        NotCompleted,
        NotFinished,
        StorageFailed,
        ReadOnly,
        NotPermitted,
        InternalError,
    )
}


# --- errors of the client itself -------------------------------------------------------------------------


class BrokerUnreachable(ZjobsError):
    """No reply came in time. `address` is the broker's; `why` says what is wrong there, if known.

    `connected`: True if there was a connection for some of that time.
    """

    code = "unreachable"

    def __init__(self, address: str, seconds: float, why: str = "", connected: bool = False) -> None:
        super().__init__(f"no answer from {address} within {seconds:g} s" + (f": {why}" if why else ""))
        self.address = address
        self.why = why
        self.connected = connected


class KeyRefused(NotPermitted):
    """The broker does not admit this key, or no longer does."""

    code = "key_refused"


class KeyNeeded(NotPermitted):
    """The broker admits nobody without a key."""

    code = "key_needed"


class UntrustedBroker(ZjobsError):
    """Somebody other than the broker that the key file names answers at the address."""

    code = "untrusted_broker"


class BadKeyFile(ZjobsError):
    """The key file cannot be used."""

    code = "bad_key_file"


class BadConfig(ZjobsError):
    """The user's config.toml has a mistake, or does not name the service that was asked for."""

    code = "bad_config"


class BadData(ZjobsError, ValueError):
    """The data does not match the schema that the type's worker has announced. Nothing was sent."""

    code = FailReason.BAD_DATA.value


class BadAddress(ZjobsError, ValueError):
    """The broker address is not a valid endpoint."""

    code = "bad_address"


class BadReply(ZjobsError):
    """Something answers at the address, but it is not a broker."""

    code = "bad_reply"


class BrokerChanged(ZjobsError):
    """The broker now runs on another journal, in which the ids mean other jobs."""

    code = "broker_changed"

    def __init__(self, address: str) -> None:
        super().__init__(f"the broker at {address} runs on another journal now; ids from before mean nothing there")
        self.address = address


class WaitTimeout(ZjobsError, TimeoutError):
    """The job did not end in time; it goes on. `status` is its last known status."""

    code = "wait_timeout"

    def __init__(self, status: JobStatus, seconds: float) -> None:
        super().__init__(f"job {status.id} is not finished after {seconds:g} s")
        self.status = status


class WouldDeadlock(ZjobsError):
    """A task waits for another job of its own service, which can start only when the task has ended."""

    code = "would_deadlock"

    def __init__(self, job_id: int) -> None:
        super().__init__(
            f"a task must not wait for job {job_id}: both belong to the same service, which runs one job at a time; "
            "submit it without waiting"
        )


class StillRunning(ZjobsError, TimeoutError):
    """The queue is paused, but the worker still has `dispatched` jobs after the given time."""

    code = "wait_timeout"

    def __init__(self, dispatched: int, seconds: float) -> None:
        jobs = "a job" if dispatched == 1 else f"{dispatched} jobs"
        super().__init__(f"the worker still has {jobs} after {seconds:g} s")
        self.dispatched = dispatched


class Resumed(ZjobsError):
    """Somebody resumed the queue while we waited for its last job."""

    code = "resumed"

    def __init__(self) -> None:
        super().__init__("the queue was resumed before it was idle; pause it again")


class JobEndedWithoutResult(ZjobsError):
    """The job ended without a result. `status` is its final status."""

    def __init__(self, status: JobStatus) -> None:
        super().__init__(f"{status.id} {status.state.value}" + (f": {status.message}" if status.message else ""))
        self.status = status


class RemoteTraceback(Exception):
    """The traceback of a task that failed, as the cause of its JobFailed."""

    def __init__(self, traceback: str) -> None:
        super().__init__(traceback)
        self.traceback = traceback

    def __str__(self) -> str:
        return f'\n"""\n{self.traceback}"""'


class JobFailed(JobEndedWithoutResult):
    """The job failed."""

    code = "failed"


class JobCancelled(JobEndedWithoutResult):
    """The job was cancelled."""

    code = "cancelled"
