"""How things are shown: statuses, durations and results as text, and as what JSON can hold. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum
from typing import Any

from zjobs.messages.types import InfoReply, JobState, JobStatus, ShowReply, TaskType, WorkerState

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_WORKER_NOTES = {
    WorkerState.READY: "",
    WorkerState.ABSENT: " (no worker)",
    WorkerState.SILENT: " (the worker is silent)",
    WorkerState.STOPPING: " (the worker is stopping)",
    WorkerState.FOREIGN: " (the worker serves another broker)",
}


def printable(text: str) -> str:
    """`text` without what a terminal would act upon: control characters are shown as \\x1b and the like."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> list[str]:
    return [printable(line) for line in text.expandtabs(4).split("\n")]


def seconds(value_s: float) -> str:
    """A duration for people: 1.2 s, 2 min 5 s, 3 h 20 min, 4 d 1 h."""
    if value_s < 60:
        return f"{value_s:.1f} s"
    whole = int(value_s)
    for size, unit, small, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {small_unit}"
    return f"{whole} s"


def moment(at_ms: int | None) -> str:
    """A wall clock time in the local time zone; a dash for none."""
    if at_ms is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000)) + f".{at_ms % 1000:03d}"


def status_line(job: JobStatus, worker: WorkerState, later_s: float = 0.0) -> str:
    """A job's status on one line; `later_s`: how long ago it was heard, for a job that goes on."""
    if job.state is JobState.QUEUED:
        ahead = "" if job.ahead is None else f", {job.ahead} ahead"
        return f"{job.id} queued{ahead}{_WORKER_NOTES[worker]}"
    if job.state is JobState.IN_PROGRESS:
        elapsed = "" if job.elapsed_ms is None else f" for {seconds(job.elapsed_ms / 1000 + later_s)}"
        return f"{job.id} in progress{elapsed}{_WORKER_NOTES[worker]}"
    return end_line(job)


def end_line(job: JobStatus) -> str:
    """How a job ended, on one line: `17 completed`, `17 failed: ValueError: odd`."""
    return f"{job.id} {job.state.value}" + (f": {printable(job.message)}" if job.message else "")


def type_lines(types: tuple[TaskType, ...]) -> list[str]:
    width = max((len(printable(task.name)) for task in types), default=0)
    return [f"{printable(task.name):{width}}  {printable(task.description)}".rstrip() for task in types]


def show_lines(reply: ShowReply, worker: WorkerState) -> list[str]:
    """Everything about a job, for people."""
    job = reply.job
    facts = {
        "job": status_line(job, worker),
        "type": printable(job.type),
        "key": printable(reply.key),
        "submitted": moment(job.submitted_at),
        "started": moment(job.started_at),
        "ended": moment(job.ended_at),
        "ran for": "-" if job.elapsed_ms is None else seconds(job.elapsed_ms / 1000),
        "runs": f"{job.attempts} ended, {job.reruns} lost with a worker",
        "data": _bytes(reply.data_bytes),
        "result": _bytes(reply.result_bytes),
    }
    lines = _aligned(facts)
    for attempt in reply.attempts:
        reason = f" ({attempt.reason.value})" if attempt.reason else ""
        lines.append("")
        lines.append(f"attempt {attempt.number} {attempt.outcome.value}{reason} at {moment(attempt.ended_at)}")
        lines.append(f"  {printable(attempt.message)}")
        lines += [f"  {line}" for line in printable_lines(attempt.detail.rstrip("\n")) if attempt.detail]
    return lines


def info_lines(info: InfoReply, address: str) -> list[str]:
    """The state of the service, for people."""
    worker = info.worker
    where = f", pid {worker.pid} on {printable(worker.host or '?')}" if worker.pid is not None else ""
    running = f", running job {worker.running}" if worker.running is not None else ""
    facts = {
        "broker": f"{printable(info.server)} at {address}, pid {info.pid}, up {seconds(info.uptime_ms / 1000)}",
        "versions": printable(f"Python {info.python}, libzmq {info.libzmq}, SQLite {info.sqlite}"),
        "journal": f"{printable(info.journal_file)}, {_bytes(info.journal_bytes)} ({printable(info.journal)})",
        "worker": f"{worker.state.value} for {seconds(worker.since_ms / 1000)}{where}{running}",
        "jobs": f"{info.queued} queued, {info.in_progress} in progress, {info.completed} completed, "
        f"{info.failed} failed, {info.cancelled} cancelled",
    }
    if info.read_only is not None:
        facts["read only"] = printable(info.read_only)
    if worker.note is not None:
        facts["note"] = printable(worker.note)
    return _aligned(facts)


def _aligned(facts: dict[str, str]) -> list[str]:
    width = max(map(len, facts)) + 1
    return [f"{name + ':':{width}} {fact}" for name, fact in facts.items()]


def _bytes(count: int | None) -> str:
    if count is None:
        return "none"
    for size, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


# --- results -----------------------------------------------------------------------------------------------


def result_text(value: Any) -> str:
    """A result that is not bytes: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json_text(value, ascii_only=False)


def escaped(text: str) -> str:
    """`text` as part of a line: backslash, newline, carriage return and tab are escaped."""
    return "".join(_ESCAPES.get(c, c) for c in text)


def json_text(value: Any, ascii_only: bool = True) -> str:
    """`value` as JSON on one line. Bytes become {"base64": …}, NaN and the infinities text."""
    import json  # not needed to submit a job

    return json.dumps(_jsonable(value), ensure_ascii=ascii_only, allow_nan=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        import base64

        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    if hasattr(value, "_asdict"):
        return _jsonable(value._asdict())
    if isinstance(value, Mapping):
        return {_json_key(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    return value


def _json_key(key: Any) -> str:
    """JSON has text keys only; those of msgpack may be anything that can be hashed."""
    return key if isinstance(key, str) else json_text(key)
