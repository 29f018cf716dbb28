"""The changes that people make to jobs that have not started: pure functions of the request and the job's record."""

from __future__ import annotations

from zjobs.broker.core.records.jobs import Job
from zjobs.broker.core.timing.deadlines import utc
from zjobs.messages.requests.changes import Edit


def edited(job: Job, request: Edit) -> Job:
    """Return the job's record with what the request changes."""
    fields = {
        name: value
        for name in ("held", "priority", "name", "comment")
        if (value := getattr(request, name)) is not None and value != getattr(job, name)
    }
    if request.time_limit_ms is not None:
        fields["time_limit_ms"] = request.time_limit_ms or None
    if request.start_at is not None:
        fields["start_at"] = fields["ready_at"] = request.start_at or None
    if request.start_by is not None:
        fields["start_by"] = request.start_by or None
    return job._replace(**fields)


def audit_text(request: Edit) -> str:
    """Return what the request changes, for the audit trail: `held, priority 5`."""
    parts = [] if request.held is None else ["held" if request.held else "released"]
    parts += [] if request.priority is None else [f"priority {request.priority}"]
    if request.time_limit_ms is not None:
        parts.append(f"time limit {request.time_limit_ms} ms" if request.time_limit_ms else "the type's time limit")
    parts += [] if request.name is None else [f"name {request.name!r}"]
    parts += [] if request.comment is None else [f"comment {request.comment!r}"]
    times = (("start at", request.start_at), ("start by", request.start_by))
    parts += [f"{word} {utc(at) if at else 'no time'}" for word, at in times if at is not None]
    return ", ".join(parts)
