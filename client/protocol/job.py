"""Descriptions of a job in the library: of one to be queued, and the handle of one that was."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Union

from zjobs.client import errors
from zjobs.client.config.settings import Settings
from zjobs.messages.fields import (
    MAX_AFTER,
    MAX_COMMENT_CHARS,
    MAX_DURATION_MS,
    MAX_JOB_NAME_CHARS,
    MAX_PRIORITY,
    MAX_TIME_MS,
    MAX_TYPE_CHARS,
)
from zjobs.messages.records import JobStatus, Missing
from zjobs.messages.requests.changes import NewJob, RetryReply, SubmitReply
from zjobs.messages.states import ErrorCode, JobState
from zjobs.messages.units import JobId, Ms

if TYPE_CHECKING:
    from datetime import datetime, timedelta  # most programs give numbers

# Seconds, text such as "90s", "5m", "2h", or a timedelta.
Duration = Union[float, str, "timedelta"]
# A datetime, local unless it has a zone; text such as "02:00" or "2026-12-01 02:00 Europe/Berlin"; seconds since 1970.
Time = Union["datetime", str, float]


class NoData(Enum):
    """The type of NO_DATA: the job has no data, which is not the same as None or an empty text."""

    NO_DATA = "no data"


NO_DATA = NoData.NO_DATA


def job_like(
    type: str | Callable[..., Any],
    priority: int = 0,
    delay: Duration = 0,
    time_limit: Duration | None = None,
    name: str = "",
    comment: str = "",
    after: Sequence[int | JobHandle] = (),
    after_any: Sequence[int | JobHandle] = (),
    at: Time | None = None,
    start_by: Time | None = None,
) -> NewJob:
    """Return a job without its data. Raises BadRequest for invalid values."""
    check_job(priority, name, comment)
    limit_ms = None if time_limit is None else milliseconds("time_limit", time_limit, low_ms=1)
    delay_ms = milliseconds("delay", delay, low_ms=0)
    waits = _ids_to_wait_for("after", after), _ids_to_wait_for("after_any", after_any)
    if delay_ms and at is not None:
        raise errors.BadRequest("a job has a delay or starts at a time; give one of them")
    times = time_ms("at", at), time_ms("start_by", start_by)
    return NewJob(type_name(type), None, priority, delay_ms, limit_ms, name, comment, *waits, *times)


def _ids_to_wait_for(what: str, jobs: Sequence[int | JobHandle]) -> tuple[JobId, ...]:
    ids = [job.id if isinstance(job, JobHandle) else job for job in jobs]
    if len(ids) > MAX_AFTER or not all(type(job_id) is int and job_id > 0 for job_id in ids):
        raise errors.BadRequest(f"{what} must be a list of at most {MAX_AFTER} jobs or ids, not {_shown(jobs)}")
    return tuple(map(JobId, ids))


def check_job(priority: int, name: str, comment: str) -> None:
    """Raise BadRequest for a priority, name or comment that no job can have."""
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
        raise errors.BadRequest(
            f"priority must be an integer from -{MAX_PRIORITY} to {MAX_PRIORITY}, not {_shown(priority)}"
        )
    _check_text("name", name, MAX_JOB_NAME_CHARS)
    _check_text("comment", comment, MAX_COMMENT_CHARS)


def type_name(task: str | Callable[..., Any]) -> str:
    """Return the type of a function with @task, or the name itself. Raises BadRequest."""
    name = getattr(task, "task_type", None) if callable(task) else task
    if callable(task) and name is None:
        raise errors.BadRequest(f"{_shown(task)} is not a task: put @task above it, or name the type")
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_TYPE_CHARS:
        raise errors.BadRequest(f"the type must be text of 1 to {MAX_TYPE_CHARS} characters, not {_shown(name)}")
    return name


def named_data(data: Any, named: Mapping[str, Any]) -> Any:
    """Return the data of a job: one value, or the named parameters. Raises BadRequest for both."""
    if not named:
        return data
    if data is not NO_DATA:
        raise errors.BadRequest(
            f"the data is given, so there can be no {', '.join(named)}: give one value, or named parameters alone"
        )
    return dict(named)


def _check_text(what: str, text: Any, most: int) -> None:
    if not isinstance(text, str) or len(text) > most:
        raise errors.BadRequest(f"the {what} of a job must be text of at most {most:,} characters, not {_shown(text)}")


def milliseconds(what: str, value: Duration, low_ms: int) -> Ms:
    """Return a duration in the protocol's unit. Raises BadRequest, naming `what` it is."""
    seconds: Any = value
    if hasattr(value, "total_seconds"):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        from zjobs.program.cli.options import duration  # most programs give numbers

        try:
            seconds = duration(value)
        except ValueError as error:
            raise errors.BadRequest(f"{what}: {error}") from None
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not 0 <= seconds * 1000 <= MAX_DURATION_MS or (low_ms and not seconds):
        at_least = "more than 0" if low_ms else "from 0"
        raise errors.BadRequest(
            f'{what} must be a number of seconds, {at_least}, text such as "5m", or a timedelta, not {_shown(value)}'
        )
    return Ms(max(low_ms, math.floor(seconds * 1000 + 0.5)))


def time_ms(what: str, value: Time | None, low_ms: int = 1) -> Ms | None:
    """Return a time in the protocol's unit; None for None. Raises BadRequest, naming `what` it is."""
    if value is None:
        return None
    at: Any = value
    try:
        if isinstance(value, str):
            from zjobs.program.cli.times import from_now  # most programs give none

            at = from_now(value)
        if hasattr(at, "timestamp"):  # a datetime
            at = at.timestamp()
    except ValueError as error:
        raise errors.BadRequest(f"{what}: {error}") from None
    number = isinstance(at, (int, float)) and not isinstance(at, bool)
    if not number or not low_ms <= at * 1000 <= MAX_TIME_MS:
        raise errors.BadRequest(
            f'{what} must be a datetime, text such as "02:00" or "2026-12-01 02:00", or seconds since 1970, '
            f"not {_shown(value)}"
        )
    return Ms(math.floor(at * 1000 + 0.5))


def _shown(value: Any) -> str:
    """Return a value for a sentence: always short."""
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def ids_of(accepted: SubmitReply | RetryReply) -> range:
    """Return the ids that the jobs of a request got."""
    return range(accepted.first_id, accepted.first_id + accepted.count)


def gone(missing: Missing) -> errors.ZjobsError:
    """Return the exception for an id without a job."""
    expired = missing.code is ErrorCode.EXPIRED
    sentence = f"job {missing.id} was dropped since" if expired else f"there is no job {missing.id}"
    return errors.BY_CODE[missing.code.value](sentence)


def ended_without_result(status: JobStatus) -> errors.JobEndedWithoutResult:
    """Return the exception for a job that failed or was cancelled."""
    kind = errors.JobFailed if status.state is JobState.FAILED else errors.JobCancelled
    return kind(status)


class JobHandle:
    """A job by its id and the journal that the id belongs to; None if a program was told only the id.

    Two handles are equal, with equal hashes, if journal and id are.
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
        """The identity of the journal that the id belongs to, None if unknown."""
        return self._journal

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self._to.address}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobHandle):
            return NotImplemented
        return (self.journal, self.id) == (other.journal, other.id)

    def __hash__(self) -> int:
        return hash((self.journal, self.id))
