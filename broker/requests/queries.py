"""Answers to requests that change nothing, from committed records and the core's view of the queue.

A long answer is put together page by page: each of its jobs is told as it is when it is looked at.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Generator, Sequence
from typing import NamedTuple

from zjobs.broker.core.core import Core
from zjobs.broker.core.jobs import Job
from zjobs.broker.core.worker_status import Now
from zjobs.broker.requests.access import Role, Who, sees
from zjobs.broker.storage.sqlite import Journal
from zjobs.messages.records import JobStatus, Limits, Missing
from zjobs.messages.requests import (
    Cancel,
    CancelReply,
    Error,
    Hello,
    HelloReply,
    Info,
    InfoReply,
    List,
    ListReply,
    Log,
    LogReply,
    Queue,
    QueueReply,
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
from zjobs.messages.states import ErrorCode, JobState
from zjobs.program.version import VERSION

PIECE_BYTES = 256 << 10
LOG_BYTES = 64 << 10
PAGE_LOOKED_AT = 2_000
PAGE = 200  # jobs that are looked at before others are served: a few milliseconds
NEARLY_FULL = 0.9
FREE_BYTES = 1 << 30
SERVER = f"zjobs {VERSION}"


class Service(NamedTuple):
    """What the answers draw from beside the core and the journal. `started_ms`: monotonic. `journal_bytes`: what the
    journal may have, None for without bound."""

    limits: Limits
    events: str
    libzmq: str
    started_ms: int
    journal_bytes: int | None = None


def job_status(core: Core, job: Job, now: Now) -> JobStatus:
    """A job as people see it: its record, and what the queue and the worker add to it."""
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
    )
    running = core.running
    return status if running is None or running.id != job.id else _running(status, core, now)


def _running(status: JobStatus, core: Core, now: Now) -> JobStatus:
    report = core.worker.report
    elapsed_ms = now.mono_ms - core.worker.running_since_ms
    return status._replace(
        state=JobState.IN_PROGRESS,
        progress=report.progress,
        ahead=None,
        elapsed_ms=elapsed_ms,
        started_at=core.running_started_at,
        ended_at=None,
        run=status.run + 1,
        fraction=report.fraction,
        note=report.note,
        output_bytes=core.running.output_bytes if core.running else 0,
        stuck_ms=report.stuck_ms,
    )


def answer(
    request: Request, core: Core, journal: Journal, service: Service, who: Who, now: Now
) -> Generator[None, None, Reply]:
    """The reply to a request whose changes, if it has any, are committed by now. It stops after each page of jobs."""
    if isinstance(request, Status):
        jobs, missing = yield from _statuses(request.ids, core, journal, now)
        return StatusReply(core.journal, jobs, missing, core.queued, core.worker.state, core.paused is not None)
    if isinstance(request, Queue):
        jobs = yield from _queue(request, core, journal, who, now)
        paused, change = core.paused is not None, core.counters.change
        return QueueReply(core.journal, jobs, core.queued, core.dispatched, core.worker.state, paused, change)
    if isinstance(request, Cancel):
        return CancelReply(core.journal, *(yield from _statuses(request.ids, core, journal, now)))
    if isinstance(request, Result):
        return _result(request, core, journal)
    if isinstance(request, Log):
        return _log(request, core, journal)
    if isinstance(request, List):
        return (yield from _list(request, core, journal, who, now))
    if isinstance(request, Show):
        return _show(request, core, journal, who, now)
    if isinstance(request, Hello):
        return HelloReply(core.journal, SERVER, service.events, service.limits)
    if isinstance(request, Info):
        return _info(core, journal, service, now)
    types = core.types or {}
    return TypesReply(core.journal, core.types is not None, tuple(types[name] for name in sorted(types)))


def _queue(
    request: Queue, core: Core, journal: Journal, who: Who, now: Now
) -> Generator[None, None, tuple[JobStatus, ...]]:
    """The running job and the next ones, as far as `who` is told of them."""
    jobs, _ = yield from _statuses(core.next_ids(request.limit), core, journal, now)
    return tuple(job for job in jobs if sees(who, job.owner))


def _statuses(
    ids: Sequence[int], core: Core, journal: Journal, now: Now
) -> Generator[None, None, tuple[tuple[JobStatus, ...], tuple[Missing, ...]]]:
    jobs, missing = [], []
    for first in range(0, len(ids), PAGE):
        if first:
            yield
        page = ids[first : first + PAGE]
        found = {job.id: job for job in journal.jobs(page)}
        for job_id in page:
            if job_id in found:
                jobs.append(job_status(core, found[job_id], now))
            else:
                missing.append(Missing(job_id, core.why_missing(job_id)))
    return tuple(jobs), tuple(missing)


def _result(request: Result, core: Core, journal: Journal) -> Reply:
    job = journal.job(request.id)
    if job is None:
        return _no_such_job(request.id, core)
    if not job.state.final:
        return Error(ErrorCode.NOT_FINISHED, f"job {job.id} has not ended yet")
    size, body = journal.result_piece(job.id, request.offset, PIECE_BYTES)
    return ResultReply(core.journal, job.id, job.state, size, request.offset, body, job.reason, job.message)


def _log(request: Log, core: Core, journal: Journal) -> Reply:
    job = journal.job(request.id)
    if job is None:
        return _no_such_job(request.id, core)
    running = core.running is not None and core.running.id == job.id
    state = JobState.IN_PROGRESS if running else job.state
    size, offset, body, run = journal.output_piece(job.id, job.run + running, request.offset, LOG_BYTES)
    return LogReply(core.journal, job.id, state, size, offset, body, run)


def _list(request: List, core: Core, journal: Journal, who: Who, now: Now) -> Generator[None, None, ListReply]:
    """A page of jobs: the filters are applied to a bounded number of them, so that the client hears something."""
    before = request.before or core.counters.next_id
    found: list[JobStatus] = []
    for looked_at in range(0, PAGE_LOOKED_AT, PAGE):
        jobs, before = journal.page(before, request.state, min(PAGE, PAGE_LOOKED_AT - looked_at))
        for job in jobs:
            status = job_status(core, job, now)
            asked_for = request.state in (None, status.state) and request.type in (None, status.type)
            if asked_for and sees(who, job.owner):
                found.append(status)
                if len(found) == request.limit:
                    return ListReply(core.journal, tuple(found), job.id)
        if not before:
            break
        yield
    return ListReply(core.journal, tuple(found), before or None)


def _show(request: Show, core: Core, journal: Journal, who: Who, now: Now) -> Reply:
    job = journal.job(request.id)
    if job is None:
        return _no_such_job(request.id, core)
    attempts = journal.attempts(job.id)
    if who.role is Role.VIEWER:  # a traceback shows the task's own code
        attempts = tuple(attempt._replace(detail="") for attempt in attempts)
    size, _ = journal.result_piece(job.id, 0, 0)
    return ShowReply(
        core.journal,
        job_status(core, job, now),
        journal.request_key_of(job.id),
        journal.data_size(job.id),
        size or None,
        job.time_limit_ms,
        job.retry_of,
        journal.copies_of(job.id),
        attempts,
        job.killed,
        None if who.role is Role.VIEWER else job.output_file,
        job.left_behind,
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
        core.paused,
        core.worker.info(running.id if running else None, now.mono_ms),
        core.queued,
        core.waiting,
        1 if running else 0,
        counters.completed,
        counters.failed,
        counters.cancelled,
        service.limits,
        warnings(journal.used_bytes(), service.journal_bytes, journal.disk_bytes()),
    )


def warnings(used: int, most: int | None, disk: tuple[int, int] | None) -> tuple[str, ...]:
    """What will soon keep jobs from being taken. `most`: bytes that the journal may have; `disk`: free and in all."""
    told = []
    if most is not None and used >= most * NEARLY_FULL:
        told.append(f"the journal has {used} of the {most} bytes that it may have; above that no jobs are taken")
    if disk is not None and disk[0] < min(FREE_BYTES, disk[1] * (1 - NEARLY_FULL)):
        told.append(f"the disk has {disk[0]} bytes left; when it is full nothing is taken")
    return tuple(told)


def _no_such_job(job_id: int, core: Core) -> Error:
    code = core.why_missing(job_id)
    why = "was never given" if code is ErrorCode.NOT_FOUND else "has been dropped since"
    return Error(code, f"there is no job {job_id}: the id {why}")
