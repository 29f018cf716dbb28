"""What describes a job to the library: the one to be queued, and the handle of one that was."""

from __future__ import annotations

from enum import Enum

from zjobs.client import errors
from zjobs.client.settings import Settings
from zjobs.messages.fields import MAX_PRIORITY
from zjobs.messages.records import JobStatus, Missing
from zjobs.messages.requests import NewJob, RetryReply, SubmitReply
from zjobs.messages.states import ErrorCode, JobState
from zjobs.messages.units import Ms


class NoData(Enum):
    """The job gets no data, which is not the same as None or an empty text."""

    NO_DATA = "no data"


NO_DATA = NoData.NO_DATA


def job_like(type: str, priority: int = 0, delay: float = 0, time_limit: float | None = None) -> NewJob:
    """A job without its data; `delay` and `time_limit` in seconds. Raises BadRequest for what no job can have."""
    if delay < 0 or not abs(priority) <= MAX_PRIORITY:
        raise errors.BadRequest(
            f"priority {priority}, delay {delay}: they must be from -{MAX_PRIORITY} to {MAX_PRIORITY}, and at least 0"
        )
    if time_limit is not None and time_limit <= 0:
        raise errors.BadRequest(f"the time limit is {time_limit}; it must be more than 0")
    limit_ms = None if time_limit is None else Ms(max(1, round(time_limit * 1000)))
    return NewJob(type, None, priority, Ms(round(delay * 1000)), limit_ms)


def ids_of(accepted: SubmitReply | RetryReply) -> range:
    """The ids that the jobs of a request were given."""
    return range(accepted.first_id, accepted.first_id + accepted.count)


def gone(missing: Missing) -> errors.ZjobsError:
    """The exception for an id without a job."""
    expired = missing.code is ErrorCode.EXPIRED
    sentence = f"job {missing.id} was dropped since" if expired else f"there is no job {missing.id}"
    return errors.BY_CODE[missing.code.value](sentence)


def ended_without_result(status: JobStatus) -> errors.JobEndedWithoutResult:
    """The exception for a job that failed or was cancelled."""
    kind = errors.JobFailed if status.state is JobState.FAILED else errors.JobCancelled
    return kind(status)


class JobHandle:
    """A job by its id, and the journal that the id belongs to: None where a program was told the id alone.

    Two handles are equal, with equal hashes, when journal and id are.
    """

    def __init__(self, to: Settings, id: int, journal: str | None) -> None:
        self._to = to
        self._id = id
        self._journal = journal

    @property
    def id(self) -> int:
        """The job's id, a number from 1."""
        return self._id

    @property
    def journal(self) -> str | None:
        """The identity of the journal that the id belongs to; None when it is not known."""
        return self._journal

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self._to.address}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobHandle):
            return NotImplemented
        return (self.journal, self.id) == (other.journal, other.id)

    def __hash__(self) -> int:
        return hash((self.journal, self.id))
