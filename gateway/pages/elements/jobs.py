"""Jobs as the rows and headings of pages. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from zjobs.client.protocol.preview import preview_of
from zjobs.client.wording import estimate as wording
from zjobs.client.wording import text
from zjobs.gateway.pages.elements import times
from zjobs.messages.records import COMMAND, Estimate, JobStatus
from zjobs.messages.states import JobState, Origin, WorkerState

MOST_CALL_CHARS = 80

# What a state is called, and the sign beside it: colour alone tells nothing.
STATES = {
    JobState.QUEUED: ("◦", "queued"),
    JobState.IN_PROGRESS: ("▸", "running"),
    JobState.COMPLETED: ("✓", "completed"),
    JobState.FAILED: ("✗", "failed"),
    JobState.CANCELLED: ("⊘", "cancelled"),
}
WORKERS = {
    WorkerState.READY: "",
    WorkerState.ABSENT: "no worker is connected: nothing starts",
    WorkerState.SILENT: "the worker is silent",
    WorkerState.STOPPING: "the worker is stopping: nothing new starts",
    WorkerState.FOREIGN: "the worker serves another broker",
    WorkerState.LACKS_TYPE: "the worker lacks the type of the next job",
    WorkerState.BLOCKED: "something keeps the worker from starting jobs",
}


class Row(NamedTuple):
    """A job of the queue that does not run. `place`: its place, 0: it has none, since it waits for something."""

    job: JobStatus
    place: int
    start: Markup
    why: str


class Now(NamedTuple):
    """The running job. `percent` is None while its task reports no progress; `left` is empty if nobody knows."""

    job: JobStatus
    percent: int | None
    elapsed: str
    left: str
    limit: str
    alarms: tuple[str, ...]


def running(job: JobStatus, limit_ms: int | None, worker: WorkerState) -> Now:
    """Return how far the running job has come, and whether something is wrong with it."""
    end = None if job.estimate is None or job.estimate.after else job.estimate
    lost = worker is WorkerState.ABSENT
    alarms = [
        "the worker was lost: when one comes, it is decided what becomes of the job" if lost else "",
        "being cancelled" if job.cancelling else "",
        f"stuck? It has shown no liveness for {text.whole_seconds(job.stuck_ms / 1000)}" if job.stuck_ms else "",
        wording.end(end) if end is not None and end.overdue_ms else "",
    ]
    return Now(
        job,
        None if job.fraction is None else int(job.fraction * 100 + 1e-6),
        "" if job.elapsed_ms is None else text.whole_seconds(job.elapsed_ms / 1000),
        "" if end is None or end.overdue_ms else _left(end),
        "" if limit_ms is None else text.exact(limit_ms),
        tuple(filter(None, alarms)),
    )


def _left(end: Estimate) -> str:
    """Return how much time is left, and where that comes from."""
    left = wording.end(end)
    return f"{left} (from its progress)" if left and end.origin is Origin.PROGRESS else left


def rows(coming: Sequence[JobStatus], delayed: Sequence[JobStatus], runs: bool, now_ms: int) -> list[Row]:
    """Return the jobs that are next, and the delayed ones. `runs`: a job runs, so the next one is the second."""
    return [row(job, runs, now_ms) for job in (*coming, *delayed)]


def row(job: JobStatus, runs: bool, now_ms: int) -> Row:
    """Return the row of a job of the queue."""
    if job.cancelling:
        return Row(job, 0, Markup(""), "being cancelled")
    if job.held:
        return Row(job, 0, Markup(""), "held")
    if awaited := sorted({*job.after, *job.after_any}):
        return Row(job, 0, Markup(""), f"waits for {', '.join(f'#{id}' for id in awaited)}")
    place = 0 if job.ahead is None else job.ahead + (not runs)
    if job.ready_at is None:
        return Row(job, place, times.start(job.estimate, now_ms), _again(job))
    start = Markup("not before {}").format(times.clock(job.ready_at, now_ms))
    return Row(job, 0, start, _again(job))


def _again(job: JobStatus) -> str:
    """Return, for a job that failed and is tried again, which attempt is next, and why."""
    if not job.attempts:
        return ""
    return f"attempt {job.attempts + 1} of {job.max_attempts}" + (f", after {job.message}" if job.message else "")


def outcome(job: JobStatus) -> str:
    """Return how a job ended, as the end of a sentence: `failed after 3.0 s: RuntimeError: lamp not stable`."""
    took = "" if job.elapsed_ms is None else text.seconds(job.elapsed_ms / 1000)
    if job.state is JobState.COMPLETED:
        return f"completed in {took}" if took else "completed"
    after = f" after {took}" if took else ""
    return f"{STATES[job.state][1]}{after}" + (f": {job.message}" if job.message else "")


def call(job: JobStatus) -> str:
    """Return what a job does: its type, and the beginning of its data if it was requested: `measure(count=40)`."""
    if job.data_preview is None:
        return job.type
    given = preview_of(job, MOST_CALL_CHARS)
    if job.type == COMMAND:
        return given
    try:
        value = json.loads(given)
    except ValueError:  # it goes on
        return f"{job.type}({given})"
    if not isinstance(value, dict):
        return f"{job.type}({given})"
    return f"{job.type}({', '.join(f'{name}={json.dumps(each, ensure_ascii=False)}' for name, each in value.items())})"


def title(job: JobStatus) -> str:
    """Return the title of a job: its name, or else its type."""
    return job.name or job.type


def whose(job: JobStatus) -> str:
    """Return who submitted a job: its owner or, with a question mark, the name that the client gave."""
    return job.owner or (f"{job.submitter}?" if job.submitter else "")
