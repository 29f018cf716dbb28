"""A job as clients and watchers see it, from its record, the queue, and the worker's reports on its run."""

from __future__ import annotations

from zjobs.broker.core.forecast import Forecast
from zjobs.broker.core.queue_state import QueueState
from zjobs.broker.core.records.jobs import Instant, Job
from zjobs.messages.events import JobEvent
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState
from zjobs.messages.units import Ms


def job_status(
    core: QueueState, job: Job, now: Instant, forecast: Forecast | None = None, texts: bool = True
) -> JobStatus:
    """Return a job as clients see it: its record, its place in the queue, and what the worker reports of its run.

    `forecast` says when a queued job starts. `texts`: include the texts that people wrote, except the comment; see
    `with_comment`.
    """
    status = JobStatus(
        job.id,
        job.type,
        job.state,
        job.version,
        0,
        job.submitted_at,
        job.attempts,
        job.reruns,
        core.ahead(job),
        job.elapsed_ms,
        job.started_at,
        job.ended_at,
        job.reason,
        job.message,
        job.priority,
        core.ready_at(job, now),
        job.cancelling,
        output_bytes=job.output_bytes,
        owner=job.owner,
        run=job.run,
        max_attempts=core.type_of(job).max_attempts,
        submitter=job.submitter if texts else "",
        name=job.name if texts else "",
        estimate=None if forecast is None else forecast.start(job),
        held=job.held,
        after=job.after,
        after_any=job.after_any,
        cancelled_by=job.cancelled_by,
        exit_code=job.exit_code,
        start_at=job.start_at,
        start_by=job.start_by,
    )
    running = core.running
    return status if running is None or running.id != job.id else _running(status, core, now, texts)


def with_comment(status: JobStatus, job: Job) -> JobStatus:
    """Return the status with the job's comment, which only `list` and `show` report."""
    return status._replace(comment=job.comment) if job.comment else status


def job_event(core: QueueState, job: Job, change: int | None, now: Instant) -> JobEvent:
    """Return the event for watchers of a job. It has no texts; `show` has them."""
    status = job_status(core, job, now, texts=False)
    return JobEvent(core.journal, status, change, core.worker.state, core.paused is not None)


def _running(status: JobStatus, core: QueueState, now: Instant, texts: bool) -> JobStatus:
    report = core.worker.report
    elapsed_ms = Ms(now.mono_ms - core.worker.running_since_ms)
    return status._replace(
        state=JobState.IN_PROGRESS,
        progress=report.progress,
        ahead=None,
        elapsed_ms=elapsed_ms,
        started_at=core.running_started_at,
        ended_at=None,
        run=status.run + 1,
        fraction=report.fraction,
        note=report.note if texts else None,
        output_bytes=core.running.output_bytes if core.running else 0,
        stuck_ms=report.stuck_ms,
        estimate=core.running_estimate(now),
    )
