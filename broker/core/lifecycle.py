"""What becomes of a job: pure functions of its record, of what happened to it, and of the rules of its type.

`TRANSITIONS` in `jobs` has every arrow. The core asks here which one a job takes, then writes that down.
"""

from __future__ import annotations

from typing import NamedTuple

from zjobs.broker.core.jobs import TRANSITIONS, Job, Step
from zjobs.messages.dispatch import Ended, Invalid, Report
from zjobs.messages.flow import Arrivals
from zjobs.messages.records import Attempt, TaskType
from zjobs.messages.states import FailReason, JobState, Outcome
from zjobs.messages.units import DeliveryNumber, JobId, Ms, Us

DETERMINISTIC = frozenset({FailReason.BAD_DATA, FailReason.BAD_RESULT})  # a retry would end the same way
LONGEST_RETRY_DELAY_MS = 3_600_000
LOST = "the worker died while running it"
INTERRUPTED = "the worker was told to stop at once while running it"


class Moment(NamedTuple):
    """When something happened: by the wall clock, for people, and by the journal's service (see `Core.service`)."""

    wall_ms: Ms
    served_ms: Ms


class Fate(NamedTuple):
    """What becomes of a job. `job` has the new values of its fields, except for those that the step itself sets: its
    state and version. `delay_ms`: how long it waits before it is ready again. `mishap`: what went wrong, if a queue may
    pause because of it, and `lost` whether its worker was lost."""

    job: Job
    step: Step
    attempt: Attempt | None = None
    delay_ms: int = 0
    mishap: str = ""
    lost: bool = False


def next_state(job: Job, step: Step, state: JobState = JobState.IN_PROGRESS) -> JobState:
    """The state that `step` leads to. `state`: where the job is now; its record does not say that it is in flight."""
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise AssertionError(f"job {job.id}: no step {step.value} from {state.value}") from None


def after_end(job: Job, ended: Ended, began_at: Ms | None, task_type: TaskType, now: Moment) -> Fate:
    """The worker reports how a run ended. `began_at`: when it began, as it was told; None if nobody was told."""
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
    """The worker is gone, and nobody knows whether the job had begun. `began_at`: as for `after_end`."""
    return _after_lost_run(
        job._replace(
            run=job.attempts + job.reruns + 1,
            started_at=began_at,
            ended_at=now.wall_ms,
            ended_served_ms=now.served_ms,
            elapsed_ms=None,
        ),
        LOST,
        "",
        task_type,
    )


def cancelled_unbegun(job: Job, now: Moment) -> Fate:
    """A job that certainly never began, and that somebody wants to end."""
    return _cancelled(job._replace(ended_at=now.wall_ms, ended_served_ms=now.served_ms))


def _after_failure(job: Job, ended: Ended, task_type: TaskType) -> Fate:
    reason = ended.reason or FailReason.RAISED
    job = job._replace(attempts=job.attempts + 1, reason=reason, message=ended.message)
    attempt = _attempt(job, Outcome.FAILED, ended.message, ended.detail)
    if job.attempts < task_type.max_attempts and reason not in DETERMINISTIC and not job.cancelling:
        delay_ms = min(task_type.retry_delay_ms << min(job.attempts - 1, 32), LONGEST_RETRY_DELAY_MS)
        return Fate(job, Step.RETRY, attempt, delay_ms)
    return Fate(job, Step.FAIL, attempt, mishap=f"job {job.id} failed: {job.message}")


def _after_lost_run(job: Job, message: str, detail: str, task_type: TaskType) -> Fate:
    """A run came to nothing because of its worker: again, if that is allowed so often."""
    again = job.reruns < task_type.max_reruns
    job = job._replace(reruns=job.reruns + 1, reason=FailReason.WORKER_LOST, message=message)
    attempt = _attempt(job, Outcome.INTERRUPTED, message, detail)
    mishap = f"job {job.id}: {message}"
    if job.cancelling:
        return _cancelled(job, attempt)._replace(mishap=mishap, lost=True)
    step = Step.RERUN if again else Step.LOSE
    return Fate(job._replace(ready_at=None), step, attempt, mishap=mishap, lost=True)


def _cancelled(job: Job, attempt: Attempt | None = None) -> Fate:
    """It is no failure: what an earlier run failed of stays in the record of that run alone."""
    return Fate(job._replace(reason=None, message=None), Step.CANCEL, attempt)


def _attempt(job: Job, outcome: Outcome, message: str, detail: str) -> Attempt:
    assert job.ended_at is not None
    return Attempt(job.run, outcome, job.started_at, job.ended_at, job.reason, message, detail)


# --- reports, before they are believed: in pieces, too large, or not readable ---------------------------------------


def whole_report(said: Report | Invalid, arrivals: Arrivals, result_bytes: int) -> Report | Invalid | None:
    """The report with its whole result, None if the beginning is missing. A result that is too large is not awaited."""
    if not isinstance(said, Ended) or not said.result_from or _size(said) > result_bytes:
        return said
    joined = arrivals.joined(said.result_from, said.result)
    return None if joined is None else said._replace(result=joined[0], result_from=0)


def checked_report(
    report: Report | Invalid, next_job: tuple[DeliveryNumber, JobId], result_bytes: int
) -> tuple[Report | Invalid, str]:
    """The report; or, in place of an end that cannot be kept, that the job has failed, and why.

    `next_job`: delivery number and id of the job that ends next, 0 if none is in flight. An end that cannot be read
    still says that a job has ended; which one follows from the order.
    """
    if isinstance(report, Ended):
        size = _size(report)
        if size <= result_bytes or report.outcome is not Outcome.COMPLETED:
            return report, ""
        failed = report
        why = f"the packed result has {size:,} bytes, more than the limit of {result_bytes:,}"
    elif isinstance(report, Invalid) and report.ended and next_job[0]:
        delivery, job_id = next_job
        failed = Ended(report.delivery or delivery, Outcome.FAILED, Us(0), id=report.id or job_id)
        why = f"the worker's report of its end is invalid: {report.why}"
    else:
        return report, ""
    failed = failed._replace(result=None, result_from=0, reason=FailReason.BAD_RESULT, message=why)
    return failed._replace(outcome=Outcome.FAILED), why


def described_report(number: int, report: Report | Invalid) -> str:
    """A report that this journal does not expect, in words."""
    if isinstance(report, Invalid):
        return f"report number {number}, which is invalid ({report.why})"
    of_job = getattr(report, "id", 0)
    return f"a report of number {report.delivery}, job {of_job}, which this journal does not expect"


def _size(ended: Ended) -> int:
    """The size of the whole result."""
    return ended.result_from + len(ended.result or b"")
