"""Messages of the service as lines for people: statuses, a whole job, the state of the service. Pure."""

from __future__ import annotations

import time
from typing import Any

from zjobs.client.cli.show.pauses import paused_lines, since_when
from zjobs.client.wording import estimate
from zjobs.client.wording.text import (
    byte_count,
    exact,
    moment,
    near,
    percent,
    printable,
    printable_lines,
    second,
    seconds,
    whole_seconds,
)
from zjobs.messages.events import ServiceEvent
from zjobs.messages.records import Attempt, AuditEntry, Estimate, JobStatus, TaskType
from zjobs.messages.requests.queries import InfoReply, ShowReply
from zjobs.messages.states import FailReason, JobState, Origin, WorkerState

_WORKER_NOTES = {
    WorkerState.READY: "",
    WorkerState.ABSENT: " (no worker)",
    WorkerState.SILENT: " (the worker is silent)",
    WorkerState.STOPPING: " (the worker is stopping)",
    WorkerState.FOREIGN: " (the worker serves another broker)",
    WorkerState.LACKS_TYPE: " (the worker lacks a task type: see info)",
    WorkerState.BLOCKED: " (the worker cannot start jobs: see info)",
}

AWAITED_SHOWN = 5

_WORKER_SENTENCES = {
    WorkerState.READY: "is ready",
    WorkerState.ABSENT: "is gone",
    WorkerState.SILENT: "is silent",
    WorkerState.STOPPING: "is stopping",
    WorkerState.FOREIGN: "serves another broker",
    WorkerState.LACKS_TYPE: "lacks a task type (see zclient info)",
    WorkerState.BLOCKED: "cannot start jobs (see zclient info)",
}


def service_lines(now: ServiceEvent, before: ServiceEvent | None) -> list[str]:
    """Return the changes of the service, a line for each."""
    lines = []
    if before is None or now.worker is not before.worker:
        lines.append(f"service: the worker {_WORKER_SENTENCES[now.worker]}")
    if before is None or (now.paused, now.pauses) != (before.paused, before.pauses):
        lines += [f"service {line}" for line in paused_lines(now.paused, now.pauses, time.time())] or [
            "service resumed"
        ]
    return lines


def status_line(
    job: JobStatus,
    worker: WorkerState,
    later_s: float = 0.0,
    paused: bool = False,
    program: str | None = "zclient",
) -> str:
    """Return a job's status as one line.

    later_s: how long ago the status was received, for a job that goes on. program: see `traceback_hint`.
    """
    if job.state.final:
        return end_line(job, program)
    if job.cancelling:
        return f"{job.id} cancelling{_worker_note(job, worker)}"
    if job.state is JobState.QUEUED:
        held = ", held" if job.held else ""
        after = f", waits for {awaited(job)}" if awaited(job) else ""
        when = "" if job.ready_at is None else f", {_begins(job)}"
        place = "" if job.ahead is None else f", {job.ahead} ahead"
        late = "" if job.start_by is None or job.run else f", cancelled unless started by {clock(job.start_by)}"
        where = f"{held}{after}{when}{place}{_start(job.estimate)}{late}"
        return f"{job.id} queued{where}{' (paused)' if paused else ''}{_worker_note(job, worker)}"
    elapsed = "" if job.elapsed_ms is None else f" for {seconds(job.elapsed_ms / 1000 + later_s)}"
    stuck = "" if job.stuck_ms is None else f" (no liveness for {whole_seconds(job.stuck_ms / 1000 + later_s)})"
    end = "" if job.estimate is None or job.estimate.after else estimate.end(job.estimate, later_s)
    left = f", {end}" if end else ""
    return f"{job.id} in progress{elapsed}{progress(job)}{left}{stuck}{_worker_note(job, worker)}"


def awaited(job: JobStatus) -> str:
    """Return the jobs that a job still waits for: `17, 18`; of many the first."""
    ids = [*map(str, job.after), *(f"{job_id} (however it ends)" for job_id in job.after_any)]
    return ", ".join(ids[:AWAITED_SHOWN] + ["…"] * (len(ids) > AWAITED_SHOWN))


def clock(at_ms: int) -> str:
    """Return a time that somebody chose, with the day if it is not today: `02:00`, `Tue 02:00`."""
    return near(at_ms / 1000, time.time(), "%H:%M" if at_ms % 60_000 == 0 else "%H:%M:%S")


def _start(start: Estimate | None) -> str:
    """Return when a job starts, as the end of a line; "" if nothing is ahead, or nothing is known."""
    if start is None or estimate.is_unknown(start) or (start.origin is Origin.NOTHING_AHEAD and not start.upper_ms):
        return ""
    source = estimate.source(start)
    return f", {estimate.start(start, time.time())}{f' ({source})' if source else ''}"


def _begins(job: JobStatus) -> str:
    """Return when a delayed job will be ready, and what it waits for."""
    left = whole_seconds(job.ready_at / 1000 - time.time()) if job.ready_at is not None else ""
    if job.reason is None or not job.attempts:
        return f"ready in {left}" if job.start_at is None else f"not before {clock(job.start_at)}"
    after = f", after {printable(job.message)}" if job.message else ""
    return f"attempt {job.attempts + 1} of {job.max_attempts} in {left}{after}"


def watch_line(
    job: JobStatus,
    worker: WorkerState,
    later_s: float = 0.0,
    paused: bool = False,
    program: str | None = "zclient",
) -> str:
    """Return `status_line`, with how much an unfinished job has printed."""
    line = status_line(job, worker, later_s, paused, program)
    return f"{line}, {byte_count(job.output_bytes)} printed" if job.output_bytes and not job.state.final else line


def whose(job: JobStatus) -> str:
    """Return who submitted a job: its owner or, with a question mark, the name that the client gave."""
    return printable(job.owner) or (f"{printable(job.submitter)}?" if job.submitter else "")


def preview(job: JobStatus, most: int = 60) -> str:
    """Return the beginning of the job's data, if it was requested."""
    if job.data_preview is None:
        return ""
    from zjobs.client.protocol.preview import preview_of  # most commands show no data

    return printable(preview_of(job, most))


def about(job: JobStatus) -> str:
    """Return what a job is, as the end of a line on a terminal: ` [scan 3, of alice@lab3?: {"count": 3}]`."""
    who = whose(job)
    what = ", ".join(filter(None, (printable(job.name), f"of {who}" if who else "")))
    shown = ": ".join(filter(None, (what, preview(job))))
    return f" [{shown}]" if shown else ""


def fields(job: JobStatus) -> dict[str, Any]:
    """Return a job for programs; the beginning of its data is text."""
    known = job._asdict()
    if job.data_preview is not None:
        from zjobs.client.protocol.preview import preview_of

        known["data_preview"] = preview_of(job)
    return known


def progress(job: JobStatus) -> str:
    """Return what a running job's task reports, as the end of a line: `, 42 % (aligning)`."""
    fraction = "" if job.fraction is None else f", {percent(job.fraction)}"
    return fraction + (f" ({printable(job.note)})" if job.note else "")


def _worker_note(job: JobStatus, worker: WorkerState) -> str:
    lost = worker is WorkerState.ABSENT and job.state is JobState.IN_PROGRESS
    return " (worker lost)" if lost else _WORKER_NOTES[worker]


def end_line(job: JobStatus, program: str | None = "zclient") -> str:
    """Return how a job ended, as one line: `17 completed`, `17 failed: ValueError: odd (traceback: …)`."""
    why = f": {printable(job.message)}" if job.message else ""
    return f"{job.id} {job.state.value}{why}{traceback_hint(job, program)}"


def traceback_hint(job: JobStatus, program: str | None = "zclient") -> str:
    """Return where the traceback of a failed job is, if it has one.

    program: zclient with the options that lead to its broker, None if the traceback is shown as well.
    """
    raised = job.state is JobState.FAILED and job.reason is FailReason.RAISED
    return f" (traceback: {program} show {job.id})" if raised and program else ""


def show_lines(
    reply: ShowReply, worker: WorkerState, paused: bool = False, raw: bool = False, kind: TaskType | None = None
) -> list[str]:
    """Return everything about a job, for people. raw: show texts of its task unchanged. kind: its type, if known."""
    job = reply.job
    facts = {
        "job": status_line(job, worker, paused=paused, program=None),
        **({"name": printable(job.name)} if job.name else {}),
        "type": printable(job.type),
        **({"owner": printable(job.owner)} if job.owner else {}),
        **({"submitter": f"{printable(job.submitter)} (unverified)"} if job.submitter else {}),
        **({"comment": printable(job.comment)} if job.comment else {}),
        "request key": printable(reply.request_key),
        "priority": str(job.priority),
        "time limit": _time_limit(reply, kind),
        "submitted": moment(job.submitted_at),
        **({} if job.start_at is None else {"start at": moment(job.start_at)}),
        **({} if job.start_by is None else {"start by": moment(job.start_by)}),
        **({} if job.ready_at is None else {"ready": moment(job.ready_at)}),
        "started": moment(job.started_at),
        "ended": moment(job.ended_at),
        "ran for": "-" if job.elapsed_ms is None else seconds(job.elapsed_ms / 1000),
        **({} if job.exit_code is None else {"exit code": str(job.exit_code)}),
        "runs": f"{job.attempts} ended, {job.reruns} lost with a worker",
        "data": byte_count(reply.data_bytes) + (f": {preview(job)}" if job.data_preview else ""),
        "result": byte_count(reply.result_bytes),
        "output": f"{byte_count(job.output_bytes)} printed",
        **({"killed": f"{reply.killed} processes that it had left running"} if reply.killed else {}),
        **({"left behind": printable(reply.left_behind)} if reply.left_behind else {}),
        **({"output file": printable(reply.output_file)} if reply.output_file else {}),
        **({} if reply.retry_of is None else {"retry of": str(reply.retry_of)}),
        **({"retried as": ", ".join(map(str, reply.retried_as))} if reply.retried_as else {}),
    }
    if job.message and not job.state.final:
        facts["last failure"] = printable(job.message)
    return _aligned(facts) + [line for attempt in reply.attempts for line in _attempt_lines(attempt, raw)]


def _time_limit(reply: ShowReply, kind: TaskType | None) -> str:
    """Return the limit in force, and who set it: `10 min, set by measure`."""
    if reply.time_limit_ms is not None:
        return f"{exact(reply.time_limit_ms)}, set for this job"
    if kind is None:
        return "that of the type, which no worker has announced"
    name = printable(kind.name)
    return f"none ({name} sets none)" if kind.time_limit_ms is None else f"{exact(kind.time_limit_ms)}, set by {name}"


def _attempt_lines(attempt: Attempt, raw: bool) -> list[str]:
    reason = f" ({attempt.reason.value})" if attempt.reason else ""
    message, detail = attempt.message, attempt.detail.rstrip("\n")
    texts = [text for text in (message, detail) if text]
    told = [line for text in texts for line in (text.split("\n") if raw else printable_lines(text))]
    return [
        "",
        f"attempt {attempt.number} {attempt.outcome.value}{reason} at {moment(attempt.ended_at)}",
        *(f"  {line}" for line in told),
    ]


def info_lines(info: InfoReply, address: str, running_job: JobStatus | None = None) -> list[str]:
    """Return the state of the service, for people. `running_job`: the status of the job that the worker runs."""
    worker = info.worker
    where = f", pid {worker.pid} on {printable(worker.host or '?')}" if worker.pid is not None else ""
    running = "" if worker.running is None else _what_runs(worker.state, worker.running)
    if running_job is not None and running_job.stuck_ms is not None:
        running += f" (no liveness for {whole_seconds(running_job.stuck_ms / 1000)})"
    database = info.sqlite if " " in info.sqlite else f"SQLite {info.sqlite}"
    facts = {
        "broker": f"{printable(info.server)} at {address}, pid {info.pid}, up {seconds(info.uptime_ms / 1000)}",
        "versions": printable(f"Python {info.python}, libzmq {info.libzmq}, {database}"),
        "journal": f"{printable(info.journal_file)}, {byte_count(info.journal_bytes)} ({printable(info.journal)})",
        "worker": f"{worker.state.value} for {seconds(worker.since_ms / 1000)}{where}{running}",
        "jobs": f"{info.queued} queued, {info.waiting} waiting, {info.in_progress} in progress, "
        f"{info.completed} completed, {info.failed} failed, {info.cancelled} cancelled",
    }
    facts["commands"] = _commands(info)
    if info.durability:
        facts["kept"] = printable(info.durability)
    if info.paused is not None:
        facts["paused"] = since_when(info.paused, info.pauses, time.time())
    if info.read_only is not None:
        facts["read only"] = printable(info.read_only)
    if worker.warning is not None:
        facts["warning"] = printable(worker.warning)
    return _aligned(facts) + [f"warning: {printable(warning)}" for warning in info.warnings]


def _commands(info: InfoReply) -> str:
    if info.commands is None:
        return "not run by this worker (zworker --commands)"
    return (
        f"run as the worker's account; keys need the role {' or '.join(role.value for role in info.commands.and_above)}"
    )


def _what_runs(worker: WorkerState, job_id: int) -> str:
    absent = worker is WorkerState.ABSENT
    return f"; job {job_id} ran when it was lost" if absent else f", running job {job_id}"


def audit_line(entry: AuditEntry) -> str:
    """Return the line for an entry of the audit trail: who did what, and when."""
    who = printable(entry.who) or "somebody"
    how = "" if entry.proven else " (unverified)"
    via = f" via {printable(entry.via)}" if entry.via else ""
    text = f": {printable(entry.text)}" if entry.text else ""
    return f"{second(entry.at)}  {who}{how}{via}  {printable(entry.op)}{f' {entry.jobs}' if entry.jobs else ''}{text}"


def _aligned(facts: dict[str, str]) -> list[str]:
    width = max(map(len, facts)) + 1
    return [f"{name + ':':{width}} {fact}" for name, fact in facts.items()]
