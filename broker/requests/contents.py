"""Replies with the contents of jobs: their data, results and output, in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from zjobs.broker.core.forecast import Forecast
from zjobs.broker.core.people.who import Who
from zjobs.broker.core.queue_state import QueueState
from zjobs.broker.core.records.jobs import EndedJob, Instant, Job
from zjobs.broker.core.records.needs import (
    NOTHING,
    DataNeed,
    DataPiece,
    Needs,
    OutputNeed,
    OutputPiece,
    ResultNeed,
    ResultPiece,
)
from zjobs.broker.requests.access import reads
from zjobs.broker.requests.job_status import job_status
from zjobs.broker.storage.api import Journal
from zjobs.messages.records import Limits, Missing, WholeResult
from zjobs.messages.requests.ops import Error, Reply
from zjobs.messages.requests.queries import (
    Backup,
    Data,
    DataReply,
    Log,
    LogReply,
    Result,
    ResultReply,
    Wait,
    WaitReply,
)
from zjobs.messages.states import ErrorCode, JobState, Role
from zjobs.messages.units import JobId

PIECE_BYTES = 256 << 10
LOG_BYTES = 64 << 10


class Service(NamedTuple):
    """Static facts used in replies. `started_ms`: monotonic. `journal_bytes`: the journal's size limit, None for no
    limit. `commands_for`: the least role that may submit commands."""

    limits: Limits
    events: str
    libzmq: str
    started_ms: int
    journal_bytes: int | None = None
    commands_for: Role = Role.OPERATOR


class Contents(NamedTuple):
    """Replies to one client at one moment.

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
            return Error(ErrorCode.NOT_FINISHED, f"job {job.id} has not ended yet; wait for it")
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

    def _forecast(self) -> Forecast:
        """Return a forecast for the queue as it is now; it may have changed since the last page."""
        return self.core.forecast(self.now)

    def _job(self, job_id: JobId) -> Job | None:
        return self.core.record(job_id) or self.journal.read(Needs(jobs=[job_id])).jobs.get(job_id)

    def _no_such_job(self, job_id: JobId) -> Error:
        code = self.core.why_missing(job_id)
        why = "was never given" if code is ErrorCode.NOT_FOUND else "has been dropped since"
        return Error(code, f"there is no job {job_id}: the id {why}")
