"""Replies to requests, from committed records and the core's queue.

A long reply is built page by page. Each job in it is described as it was when its page was read.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from zjobs.broker.core.admission import unknown_type
from zjobs.broker.core.records.jobs import Job
from zjobs.broker.core.records.needs import (
    Needs,
)
from zjobs.broker.requests.access import reads, sees
from zjobs.broker.requests.contents import Contents
from zjobs.broker.requests.filters import fits
from zjobs.broker.requests.job_status import job_status, with_comment
from zjobs.broker.requests.previews import previewed
from zjobs.messages.fields import MAX_ID
from zjobs.messages.records import COMMAND, JobStatus, Missing
from zjobs.messages.requests.changes import Cancel, CancelReply, Edit, EditReply, Forget, ForgetReply
from zjobs.messages.requests.ops import OPERATION_OF, Reply, Request
from zjobs.messages.requests.queries import (
    Audit,
    AuditReply,
    Hello,
    HelloReply,
    Info,
    InfoReply,
    List,
    ListReply,
    Queue,
    QueueReply,
    Schema,
    SchemaReply,
    Show,
    ShowReply,
    Status,
    StatusReply,
    Types,
    TypesReply,
)
from zjobs.messages.states import Role
from zjobs.messages.units import JobId, Ms
from zjobs.program.version import VERSION

PAGE_LOOKED_AT = 2_000  # jobs examined for one reply to `list`
PAGE = 200  # jobs examined before other requests are served: a few milliseconds
NEARLY_FULL = 0.9
FREE_BYTES = 1 << 30
SERVER = f"zjobs {VERSION}"

Answer = TypeVar("Answer")
Steps = Generator[None, None, Answer]


class Queries(Contents):
    """Answers to one client at one moment. The method named like the operation returns the reply, or a generator that
    yields after each page of jobs and returns the reply.
    """

    def answer(self, request: Request) -> Steps[Reply]:
        """Build the reply to any request, in steps."""
        reply: Reply | Steps[Reply] = getattr(self, OPERATION_OF[type(request)].name)(request)
        return (yield from reply) if isinstance(reply, Generator) else reply

    def hello(self, request: Hello) -> HelloReply:
        """Return the journal's identity, the address of the events, and the limits."""
        return HelloReply(self.core.journal, SERVER, self.service.events, self.service.limits)

    def status(self, request: Status) -> Steps[StatusReply]:
        """Return the status of each job, and why the others are missing."""
        jobs, missing = yield from self._statuses(request.ids, request.preview)
        core = self.core
        return StatusReply(
            core.journal, jobs, missing, core.queued, core.worker.state, core.paused is not None, core.pauses
        )

    def queue(self, request: Queue) -> Steps[QueueReply]:
        """Return the running job, the next ones and delayed ones. A submitter sees only its own."""
        jobs, _ = yield from self._statuses(self.core.next_ids(request.limit), request.preview)
        delayed, _ = yield from self._statuses(self.core.delayed_ids(request.delayed_limit), request.preview)
        jobs, delayed = (tuple(job for job in some if sees(self.who, job.owner)) for some in (jobs, delayed))
        core = self.core
        paused, change = core.paused is not None, core.counters.change
        return QueueReply(
            core.journal, jobs, core.queued, core.dispatched, core.worker.state, paused, change, delayed, core.pauses
        )

    def cancel(self, request: Cancel) -> Steps[CancelReply]:
        """Return the status of the jobs, whose cancels are committed by now."""
        return CancelReply(self.core.journal, *(yield from self._statuses(request.ids)))

    def edit(self, request: Edit) -> EditReply:
        """Join the core's replies to the parts of the request; the last one says what became of the `pending`."""
        parts = [part for part in self.parts if isinstance(part, EditReply)]
        return EditReply(
            self.core.journal,
            tuple(job_id for part in parts for job_id in part.changed),
            tuple(job_id for part in parts for job_id in part.late),
            parts[-1].pending,
            tuple(each for part in parts for each in part.missing),
        )

    def forget(self, request: Forget) -> ForgetReply:
        """Join the core's replies to the parts of the request."""
        parts = [part for part in self.parts if isinstance(part, ForgetReply)]
        return ForgetReply(
            self.core.journal,
            tuple(job_id for part in parts for job_id in part.forgotten),
            tuple(job_id for part in parts for job_id in part.kept),
            tuple(each for part in parts for each in part.missing),
        )

    def list(self, request: List) -> Steps[ListReply]:
        """Return a page of jobs. At most PAGE_LOOKED_AT are examined, so a filter that matches none is answered."""
        core = self.core
        before = request.before or core.counters.next_id
        since = 0 if request.since_ms is None else self.now.wall_ms - request.since_ms
        found: list[JobStatus] = []
        for looked_at in range(0, PAGE_LOOKED_AT, PAGE):
            jobs, before = self.journal.page(before, request.state, min(PAGE, PAGE_LOOKED_AT - looked_at))
            forecast = self._forecast()
            page: list[tuple[Job, JobStatus]] = []
            for job in jobs:
                if job.submitted_at < since:
                    before = JobId(0)
                    break
                if not (sees(self.who, job.owner) and fits(request, job)):
                    continue
                status = job_status(core, job, self.now, forecast)
                if request.state in (None, status.state):
                    page.append((job, with_comment(status, job)))
                    if len(found) + len(page) == request.limit:
                        before = job.id
                        break
            found += yield from self._previewed(page, request.preview)
            if not before or len(found) == request.limit:
                break
            yield
        return ListReply(core.journal, tuple(found), JobId(before) if before else None)

    def show(self, request: Show) -> Steps[Reply]:
        """Return everything known about one job. Who may not read the job gets neither tracebacks nor file names."""
        found = self.journal.read(Needs(jobs=[request.id], details=[request.id]))
        job, details = found.jobs.get(request.id), found.details.get(request.id)
        if job is None or details is None:
            return self._no_such_job(request.id)
        attempts = details.attempts
        whole = reads(self.who, job.owner)
        if not whole:  # a traceback shows the task's own code
            attempts = tuple(attempt._replace(detail="") for attempt in attempts)
        status = with_comment(job_status(self.core, job, self.now, self._forecast()), job)
        (status,) = yield from self._previewed([(job, status)], request.preview)
        return ShowReply(
            self.core.journal,
            status,
            details.request_key,
            details.data_bytes,
            details.result_bytes,
            job.time_limit_ms,
            job.retry_of,
            details.copies,
            attempts,
            job.killed,
            job.output_file if whole else None,
            job.left_behind,
        )

    def audit(self, request: Audit) -> AuditReply:
        """Return a page of the audit trail. A submitter sees only its own entries."""
        who = self.who.name if self.who.role is Role.SUBMITTER else None
        since_at = 0 if request.since_ms is None else self.now.wall_ms - request.since_ms
        entries = self.journal.audit(request.before or MAX_ID, since_at, who, request.limit)
        before = entries[-1].number if len(entries) == request.limit else None
        return AuditReply(self.core.journal, tuple(entries), before)

    def types(self, request: Types) -> TypesReply:
        """Return the task types that a worker last announced, by name."""
        types = self.core.types or {}
        return TypesReply(self.core.journal, self.core.types is not None, tuple(types[name] for name in sorted(types)))

    def schema(self, request: Schema) -> Reply:
        """Return the schema of a type's parameters, if it is known."""
        types = self.core.types
        if types is None:
            return SchemaReply(self.core.journal, None, None)
        if request.type not in types:
            return unknown_type("", request.type, types)
        digest = types[request.type].schema_digest
        found = self.journal.read(Needs(schemas=[digest])).schemas if digest else {}
        return SchemaReply(self.core.journal, digest, found.get(digest))

    def info(self, request: Info) -> InfoReply:
        """Return the state of the broker, its journal and its worker, with counters and warnings."""
        core, journal, service = self.core, self.journal, self.service
        disk = None if journal.files is None else journal.files.disk_bytes()
        running = core.running
        counters = core.counters
        return InfoReply(
            core.journal,
            SERVER,
            service.libzmq,
            journal.engine,
            platform.python_version(),
            os.getpid(),
            Ms(self.now.mono_ms - service.started_ms),
            journal.name,
            journal.size_bytes(),
            journal.read_only,
            core.paused,
            core.worker.info(running.id if running else None, self.now.mono_ms),
            core.queued,
            core.waiting,
            1 if running else 0,
            counters.completed,
            counters.failed,
            counters.cancelled,
            service.limits,
            warnings(journal.used_bytes, service.journal_bytes, disk) + journal.guarantee.warnings,
            core.pauses,
            journal.guarantee.text,
            service.commands_for if COMMAND in (core.types or ()) else None,
        )

    def _statuses(
        self, ids: Sequence[JobId], preview: bool = False
    ) -> Steps[tuple[tuple[JobStatus, ...], tuple[Missing, ...]]]:
        jobs: list[JobStatus] = []
        missing: list[Missing] = []
        for first in range(0, len(ids), PAGE):
            if first:
                yield
            page = ids[first : first + PAGE]
            found = self.journal.read(Needs(jobs=page)).jobs
            forecast = self._forecast()
            there = [found[job_id] for job_id in page if job_id in found]
            statuses = [(job, job_status(self.core, job, self.now, forecast)) for job in there]
            jobs += yield from self._previewed(statuses, preview)
            missing += [Missing(job_id, self.core.why_missing(job_id)) for job_id in page if job_id not in found]
        return tuple(jobs), tuple(missing)

    def _previewed(self, jobs: Sequence[tuple[Job, JobStatus]], preview: bool) -> Steps[Sequence[JobStatus]]:
        if preview:
            return (yield from previewed(self.journal, self.who, jobs))
        return [status for _, status in jobs]


def warnings(used_bytes: Callable[[], int], most: int | None, disk: tuple[int, int] | None) -> tuple[str, ...]:
    """Return a sentence for each limit that will soon stop submits.

    `most`: the limit of the journal's bytes, or None. `disk`: its free and total bytes, None in memory.
    """
    told = []
    if most is not None and (used := used_bytes()) >= most * NEARLY_FULL:
        told.append(f"the journal has {used} of the {most} bytes allowed; when it is full, submits are refused")
    if disk is not None and disk[0] < min(FREE_BYTES, disk[1] * (1 - NEARLY_FULL)):
        told.append(f"the disk has {disk[0]} bytes left; when it is full, submits are refused")
    return tuple(told)
