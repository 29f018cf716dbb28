"""The life of a job as steps, the first first. Pure."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.client.wording import text
from zjobs.gateway.pages.elements.jobs import STATES, outcome, whose
from zjobs.messages.records import Attempt, JobStatus
from zjobs.messages.requests.queries import ShowReply
from zjobs.messages.states import FailReason, JobState, Outcome

# What a reason means to somebody who does not know the protocol.
REASONS = {
    FailReason.RAISED: "its task raised an exception",
    FailReason.BAD_DATA: "its data is not what the type takes",
    FailReason.BAD_RESULT: "its result cannot be kept",
    FailReason.TASK_DIED: "its process died",
    FailReason.TIMED_OUT: "it reached its time limit",
    FailReason.WORKER_LOST: "its worker was lost",
}


class Step(NamedTuple):
    """An event in the life of a job, with its time if known. `detail`: evidence, such as a traceback."""

    at: int | None
    sign: str
    state: str
    what: str
    detail: str = ""


def steps(details: ShowReply) -> list[Step]:
    """Return the events of a job up to now."""
    job = details.job
    by = f" by {whose(job)}" if whose(job) else ""
    copy = f", a copy of #{details.retry_of}" if details.retry_of is not None else ""
    told = [Step(job.submitted_at, "◦", "queued", f"submitted{by}{copy}")]
    for attempt in details.attempts:
        if attempt.started_at is not None:
            told.append(Step(attempt.started_at, "▸", "in_progress", f"run {attempt.number} started"))
        told.append(_ended_run(attempt))
    numbers = {attempt.number for attempt in details.attempts}
    if job.started_at is not None and job.run not in numbers and job.state is not JobState.QUEUED:
        told.append(Step(job.started_at, "▸", "in_progress", f"run {job.run} started"))
    return told + _present(job, numbers)


def _ended_run(attempt: Attempt) -> Step:
    ended = {Outcome.COMPLETED: "completed", Outcome.FAILED: "failed", Outcome.CANCELLED: "cancelled"}
    state = ended.get(attempt.outcome, "failed")
    why = "" if attempt.reason is None else f": {REASONS[attempt.reason]}"
    took = ""
    if attempt.started_at is not None:
        took = f" after {text.seconds(max(0, attempt.ended_at - attempt.started_at) / 1000)}"
    what = f"run {attempt.number} {attempt.outcome.value}{took}{why}"
    detail = attempt.detail.rstrip("\n")
    if attempt.message not in detail:  # a traceback ends with it
        detail = "\n".join(filter(None, (attempt.message, detail)))
    return Step(attempt.ended_at, _sign(state), state, what, detail)


def _present(job: JobStatus, told: set[int]) -> list[Step]:
    """Return how the job ended, or what it waits for now."""
    if job.state.final:
        if job.run in told:  # its last run has a step of its own
            return []
        return [Step(job.ended_at, _sign(job.state.value), job.state.value, outcome(job))]
    if job.state is JobState.QUEUED and job.ready_at is not None:
        return [Step(job.ready_at, "◦", "queued", "will be ready")]
    return []


def _sign(state: str) -> str:
    return STATES[JobState(state)][0]
