"""Answers to requests that change nothing, from committed records and the core's view of the queue."""

from __future__ import annotations

import os
import platform
from typing import NamedTuple

from zjobs.broker.core import Core
from zjobs.broker.jobs import Job
from zjobs.broker.journal import Journal
from zjobs.broker.workerview import Now
from zjobs.messages.types import (
    Error,
    ErrorCode,
    Hello,
    HelloReply,
    Info,
    InfoReply,
    JobState,
    JobStatus,
    Limits,
    Missing,
    Reply,
    Request,
    Result,
    ResultReply,
    Show,
    ShowReply,
    Status,
    StatusReply,
    TypesReply,
)
from zjobs.messages.version import VERSION

PIECE_BYTES = 256 << 10
NEXT_SHOWN = 20
SERVER = f"zjobs {VERSION}"


class Service(NamedTuple):
    """What the answers draw from beside the core and the journal. `started_ms`: monotonic."""

    limits: Limits
    events: str
    libzmq: str
    started_ms: int


def job_status(core: Core, job: Job, now: Now) -> JobStatus:
    """A job as people see it: its record, and what the queue and the worker add to it."""
    running = core.running
    state, progress, ahead = job.state, 0, None
    elapsed_ms, started_at = job.elapsed_ms, job.started_at
    if running is not None and running.id == job.id:
        state, progress = JobState.IN_PROGRESS, 1
        elapsed_ms = now.mono_ms - core.worker.running_since_ms
        started_at = now.wall_ms - elapsed_ms
    elif state is JobState.QUEUED:
        ahead = core.ahead(job.id)
    return JobStatus(
        job.id,
        job.type,
        state,
        job.version,
        progress,
        job.submitted_at,
        job.attempts,
        job.reruns,
        ahead,
        elapsed_ms,
        started_at,
        job.ended_at,
        job.reason,
        job.message,
    )


def answer(request: Request, core: Core, journal: Journal, service: Service, now: Now) -> Reply:
    """The reply to any request but submit."""
    if isinstance(request, Status):
        return _status(request, core, journal, now)
    if isinstance(request, Result):
        return _result(request, core, journal)
    if isinstance(request, Show):
        return _show(request, core, journal, now)
    if isinstance(request, Hello):
        return HelloReply(core.journal, SERVER, service.events, service.limits)
    if isinstance(request, Info):
        return _info(core, journal, service, now)
    types = core.types or {}
    return TypesReply(core.journal, core.types is not None, tuple(types[name] for name in sorted(types)))


def _status(request: Status, core: Core, journal: Journal, now: Now) -> StatusReply:
    jobs, missing = [], []
    for job_id in request.ids or core.next_ids(NEXT_SHOWN + (core.running is not None)):
        job = journal.job(job_id)
        if job is None:
            missing.append(Missing(job_id, _missing(job_id, core)))
        else:
            jobs.append(job_status(core, job, now))
    return StatusReply(core.journal, tuple(jobs), tuple(missing), core.queued, core.worker.state)


def _result(request: Result, core: Core, journal: Journal) -> Reply:
    job = journal.job(request.id)
    if job is None:
        return _no_such_job(request.id, core)
    if not job.state.final:
        return Error(ErrorCode.NOT_FINISHED, f"job {job.id} has not ended yet")
    size, body = journal.result_piece(job.id, request.offset, PIECE_BYTES)
    return ResultReply(core.journal, job.id, job.state, size, request.offset, body, job.reason, job.message)


def _show(request: Show, core: Core, journal: Journal, now: Now) -> Reply:
    job = journal.job(request.id)
    if job is None:
        return _no_such_job(request.id, core)
    data = journal.data_of([job.id]).get(job.id)
    size, _ = journal.result_piece(job.id, 0, 0)
    return ShowReply(
        core.journal,
        job_status(core, job, now),
        journal.key_of(job.id),
        None if data is None else len(data),
        size or None,
        journal.attempts(job.id),
    )


def _info(core: Core, journal: Journal, service: Service, now: Now) -> InfoReply:
    running = core.running
    counters = core.counters
    return InfoReply(
        core.journal,
        SERVER,
        service.libzmq,
        journal.sqlite_version,
        platform.python_version(),
        os.getpid(),
        now.mono_ms - service.started_ms,
        journal.file,
        journal.size_bytes(),
        journal.read_only,
        core.worker.info(running.id if running else None, now.mono_ms),
        core.queued,
        1 if running else 0,
        counters.completed,
        counters.failed,
        counters.cancelled,
        service.limits,
    )


def _missing(job_id: int, core: Core) -> ErrorCode:
    return ErrorCode.EXPIRED if job_id < core.counters.next_id else ErrorCode.NOT_FOUND


def _no_such_job(job_id: int, core: Core) -> Error:
    code = _missing(job_id, core)
    why = "was never given" if code is ErrorCode.NOT_FOUND else "has been dropped since"
    return Error(code, f"there is no job {job_id}: the id {why}")
