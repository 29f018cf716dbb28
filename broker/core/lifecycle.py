"""Decisions on what becomes of a job: pure functions of its record, of what happened to it, and of its type's rules.

`TRANSITIONS` in `jobs` lists the transitions. These functions choose one; the core carries it out.
"""

from __future__ import annotations

from typing import NamedTuple

from zjobs.broker.core.records.jobs import Job, Step
from zjobs.broker.core.timing.deadlines import utc
from zjobs.messages.dispatch import Ended
from zjobs.messages.records import Attempt, TaskType
from zjobs.messages.states import FailReason, JobState, Outcome
from zjobs.messages.units import JobId, Ms

DETERMINISTIC = frozenset({FailReason.BAD_DATA, FailReason.BAD_RESULT})  # a retry would end the same way
LONGEST_RETRY_DELAY_MS = 3_600_000
LOST = "the worker died while running it"
INTERRUPTED = "the worker was told to stop at once while running it"


class Moment(NamedTuple):
    """The time of an event: by the wall clock, for people, and by the journal's service (see `Core.service`)."""

    wall_ms: Ms
    served_ms: Ms


class Fate(NamedTuple):
    """The next step of a job. `job` has its new fields, except for state and version, which the step sets. `delay_ms`:
    how long it waits before it is ready again. `mishap`: what went wrong, if the queue may pause because of it. `lost`:
    True if its worker was lost."""

    job: Job
    step: Step
    attempt: Attempt | None = None
    delay_ms: Ms = Ms(0)
    mishap: str = ""
    lost: bool = False


def after_end(job: Job, ended: Ended, began_at: Ms | None, task_type: TaskType, now: Moment) -> Fate:
    """Decide after a run that ended as reported. `began_at`: when it began, None if no start was reported."""
    elapsed_ms = Ms(ended.elapsed_us // 1000)
    job = job._replace(
        elapsed_ms=elapsed_ms,
        started_at=Ms(max(0, now.wall_ms - elapsed_ms)) if began_at is None else began_at,
        ended_at=now.wall_ms,
        ended_served_ms=now.served_ms,
        output_bytes=ended.output_bytes,
        run=job.attempts + job.reruns + 1,
        killed=ended.killed,
        output_file=ended.output_file,
        left_behind=ended.left_behind,
        exit_code=None,
    )
    if ended.outcome is Outcome.COMPLETED:
        return Fate(job._replace(attempts=job.attempts + 1, reason=None, message=None), Step.COMPLETE)
    if ended.outcome is Outcome.FAILED:
        return _after_failure(job, ended, task_type)
    if ended.outcome is Outcome.INTERRUPTED:
        return _after_lost_run(job, INTERRUPTED, ended.detail, task_type)
    job = job._replace(reason=None)
    return _cancelled(job, _attempt(job, Outcome.CANCELLED, ended.message, ended.detail))


def after_loss(job: Job, began_at: Ms | None, task_type: TaskType, now: Moment) -> Fate:
    """Decide after the worker was lost and the job may have begun. `began_at`: as for `after_end`."""
    return _after_lost_run(
        job._replace(
            run=job.attempts + job.reruns + 1,
            started_at=began_at,
            ended_at=now.wall_ms,
            ended_served_ms=now.served_ms,
            elapsed_ms=None,
            exit_code=None,
        ),
        LOST,
        "",
        task_type,
    )


def cancelled_unbegun(job: Job, now: Moment) -> Fate:
    """Cancel a job that certainly did not begin."""
    return _cancelled(job._replace(ended_at=now.wall_ms, ended_served_ms=now.served_ms))


def cancelled_waiting(job: Job, awaited: JobId, ended: Job | None, now: Moment) -> Fate:
    """Cancel a job that waited for the completion of another. `ended`: the other's record, None if it is gone."""
    how = "is gone" if ended is None else "failed" if ended.state is JobState.FAILED else "was cancelled"
    fate = cancelled_unbegun(job, now)
    message = f"it was to start after job {awaited}, which {how}"
    return fate._replace(job=fate.job._replace(message=message, cancelled_by=awaited))


def cancelled_late(job: Job, now: Moment) -> Fate:
    """Cancel a job that has not started by its time."""
    fate = cancelled_unbegun(job, now)
    return fate._replace(job=fate.job._replace(message=f"it had not started by {utc(job.start_by or 0)}"))


def _after_failure(job: Job, ended: Ended, task_type: TaskType) -> Fate:
    reason = ended.reason or FailReason.RAISED
    job = job._replace(attempts=job.attempts + 1, reason=reason, message=ended.message, exit_code=ended.exit_code)
    attempt = _attempt(job, Outcome.FAILED, ended.message, ended.detail)
    if job.attempts < task_type.max_attempts and reason not in DETERMINISTIC and not job.cancelling:
        delay_ms = Ms(min(task_type.retry_delay_ms << min(job.attempts - 1, 32), LONGEST_RETRY_DELAY_MS))
        return Fate(job, Step.RETRY, attempt, delay_ms)
    return Fate(job, Step.FAIL, attempt, mishap=f"job {job.id} failed: {job.message}")


def _after_lost_run(job: Job, message: str, detail: str, task_type: TaskType) -> Fate:
    """Run the job again if `max_reruns` allows it, else fail it."""
    again = job.reruns < task_type.max_reruns
    job = job._replace(reruns=job.reruns + 1, reason=FailReason.WORKER_LOST, message=message)
    attempt = _attempt(job, Outcome.INTERRUPTED, message, detail)
    mishap = f"job {job.id}: {message}"
    if job.cancelling:
        return _cancelled(job, attempt)._replace(mishap=mishap, lost=True)
    step = Step.RERUN if again else Step.LOSE
    return Fate(job._replace(ready_at=None), step, attempt, mishap=mishap, lost=True)


def _cancelled(job: Job, attempt: Attempt | None = None) -> Fate:
    """Cancel the job, and clear the failure of an earlier run, which stays in that run's record."""
    return Fate(job._replace(reason=None, message=None, exit_code=None), Step.CANCEL, attempt)


def _attempt(job: Job, outcome: Outcome, message: str, detail: str) -> Attempt:
    assert job.ended_at is not None
    return Attempt(job.run, outcome, job.started_at, job.ended_at, job.reason, message, detail)
