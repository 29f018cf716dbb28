"""Replies to requests, from committed records and the core's queue.

A long reply is built page by page. Each job in it is described as it was when its page was read.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from zjobs.broker.core.admission import unknown_type
from zjobs.broker.core.forecast import Forecast
from zjobs.broker.core.jobs import EndedJob, Instant, Job
from zjobs.broker.core.needs import (
    NOTHING,
    DataNeed,
    DataPiece,
    Needs,
    OutputNeed,
    OutputPiece,
    ResultNeed,
    ResultPiece,
)
from zjobs.broker.core.people.who import Who
from zjobs.broker.core.queue_state import QueueState
from zjobs.broker.requests.access import reads, sees
from zjobs.broker.requests.filters import fits
from zjobs.broker.requests.job_status import job_status, with_comment
from zjobs.broker.requests.previews import previewed
from zjobs.broker.storage.api import Journal
from zjobs.messages.fields import MAX_ID
from zjobs.messages.records import JobStatus, Limits, Missing, WholeResult
from zjobs.messages.requests.changes import Cancel, CancelReply, Edit, EditReply, Forget, ForgetReply
from zjobs.messages.requests.ops import OPERATION_OF, Error, Reply, Request
from zjobs.messages.requests.queries import (
    Audit,
    AuditReply,
    Backup,
    Data,
    DataReply,
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
    Result,
    ResultReply,
    Schema,
    SchemaReply,
    Show,
    ShowReply,
    Status,
    StatusReply,
    Types,
    TypesReply,
    Wait,
    WaitReply,
)
from zjobs.messages.states import ErrorCode, JobState, Role
from zjobs.messages.units import JobId, Ms
from zjobs.program.version import VERSION

PIECE_BYTES = 256 << 10
LOG_BYTES = 64 << 10
PAGE_LOOKED_AT = 2_000  # jobs examined for one reply to `list`
PAGE = 200  # jobs examined before other requests are served: a few milliseconds
NEARLY_FULL = 0.9
FREE_BYTES = 1 << 30
SERVER = f"zjobs {VERSION}"

Answer = TypeVar("Answer")
Steps = Generator[None, None, Answer]


class Service(NamedTuple):
    """Static facts used in replies. `started_ms`: monotonic. `journal_bytes`: the journal's size limit, None for no
    limit."""

    limits: Limits
    events: str
    libzmq: str
    started_ms: int
    journal_bytes: int | None = None


class Queries(NamedTuple):
    """Answers to one client at one moment. The method named like the operation returns the reply, or a generator that
    yields after each page of jobs and returns the reply.

    `parts`: the core's replies to the committed parts of a request that changes jobs page by page. `ended`: jobs that
    the request waited for, with their committed ends, so that they need not be read.
    """

    core: QueueState
    journal: Journal
    service: Service
    who: Who
    now: Instant
    backup: Callable[[Backup], Reply]
    parts: Sequence[Reply | None] = ()
    ended: Mapping[JobId, EndedJob] = {}

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

    def result(self, request: Result) -> Reply:
        """Return a piece of a job's result, or `not_finished`, `not_found` or `expired`."""
        ended = self.ended.get(request.id)
        need = ResultNeed(request.id, request.offset, PIECE_BYTES)
        job = ended.job if ended else self.core.record(request.id)
        found = NOTHING if job else self.journal.read(Needs(jobs=[request.id], results=[need]))
        job = job or found.jobs.get(request.id)
        if job is None:
            return self._no_such_job(request.id)
        if not job.state.final and not request.wait_ms:
            return Error(ErrorCode.NOT_FINISHED, f"job {job.id} has not ended yet")
        begin = request.offset
        size, body = found.results.get(need, ResultPiece())
        if ended:
            size, body = len(ended.result), ended.result[begin : begin + PIECE_BYTES]
        status = None if job.state is JobState.COMPLETED else job_status(self.core, job, self.now, self._forecast())
        state = job.state if status is None else status.state
        return ResultReply(self.core.journal, job.id, state, size, begin, body, job.reason, job.message, status)

    def data(self, request: Data) -> Reply:
        """Return a piece of a job's data."""
        need = DataNeed(request.id, request.offset, PIECE_BYTES)
        found = self.journal.read(Needs(jobs=[request.id], data_pieces=[need]))
        if request.id not in found.jobs:
            return self._no_such_job(request.id)
        size, body = found.data_pieces.get(need, DataPiece())
        return DataReply(self.core.journal, request.id, size, request.offset, body)

    def wait(self, request: Wait) -> WaitReply:
        """Return those of the jobs that are final, all looked up at once: only then does the request wait for the
        others."""
        ids = tuple(dict.fromkeys(request.ids))
        jobs = [self.ended[job_id].job for job_id in ids if job_id in self.ended]
        missing: list[Missing] = []
        if not jobs:
            found = self.journal.read(Needs(jobs=ids)).jobs
            jobs = [found[job_id] for job_id in ids if job_id in found and found[job_id].state.final]
            missing = [Missing(job_id, self.core.why_missing(job_id)) for job_id in ids if job_id not in found]
        statuses = tuple(job_status(self.core, job, self.now) for job in jobs)
        results = tuple(self._whole_results(jobs)) if request.results else ()
        return WaitReply(self.core.journal, statuses, tuple(missing), results)

    def _whole_results(self, jobs: Sequence[Job]) -> Iterator[WholeResult]:
        """Yield as many results as fit into a piece, of jobs that the client may read."""
        room = PIECE_BYTES
        for job in jobs:
            if job.state is JobState.COMPLETED and reads(self.who, job.owner):
                body = self.ended[job.id].result if job.id in self.ended else self._result(job.id)
                room -= len(body)
                if room < 0:
                    return
                yield WholeResult(job.id, body)

    def _result(self, job_id: JobId) -> bytes:
        """Return the result, or enough of it to show that it is too large for a piece."""
        need = ResultNeed(job_id, 0, PIECE_BYTES + 1)
        return self.journal.read(Needs(results=[need])).results.get(need, ResultPiece()).body

    def log(self, request: Log) -> Reply:
        """Return a piece of the output of the job's last run."""
        job = self._job(request.id)
        if job is None:
            return self._no_such_job(request.id)
        running = self.core.running is not None and self.core.running.id == job.id
        state = JobState.IN_PROGRESS if running else job.state
        need = OutputNeed(job.id, job.run + running, request.offset, LOG_BYTES)
        printed = self.journal.read(Needs(outputs=[need])).outputs
        size, offset, body, run = printed.get(need, OutputPiece(0, 0, b"", need.run))
        return LogReply(self.core.journal, job.id, state, size, offset, body, run)

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

    def _forecast(self) -> Forecast:
        """Return a forecast for the queue as it is now; it may have changed since the last page."""
        return self.core.forecast(self.now)

    def _job(self, job_id: JobId) -> Job | None:
        return self.core.record(job_id) or self.journal.read(Needs(jobs=[job_id])).jobs.get(job_id)

    def _no_such_job(self, job_id: JobId) -> Error:
        code = self.core.why_missing(job_id)
        why = "was never given" if code is ErrorCode.NOT_FOUND else "has been dropped since"
        return Error(code, f"there is no job {job_id}: the id {why}")


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
