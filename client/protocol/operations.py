"""The operations of the library, each as one flow: checks, requests, and what becomes of the replies.

`to` is the client: its address, its timeout, its patience. Flows of several requests hold to one journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zjobs.client import errors
from zjobs.client.config.settings import Settings
from zjobs.client.protocol.actions import Ask, Flow, Sleep
from zjobs.client.protocol.job import (
    NO_DATA,
    Duration,
    JobHandle,
    Time,
    check_job,
    ended_without_result,
    gone,
    milliseconds,
    time_ms,
)
from zjobs.messages import values
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.changes import Cancel, CancelReply, Edit, EditReply, Forget, ForgetReply, Pause
from zjobs.messages.requests.queries import (
    Data,
    DataReply,
    Hello,
    HelloReply,
    Log,
    LogReply,
    Queue,
    QueueReply,
    Result,
    ResultReply,
    Show,
    ShowReply,
    Status,
    StatusReply,
)
from zjobs.messages.states import FailReason
from zjobs.messages.units import JobId, Ms

if TYPE_CHECKING:
    from datetime import datetime

# Ids in one request for status. The protocol allows more, but this keeps the reply small and quick to write.
STATUS_IDS = 1000
# The protocol's bounds for one request.
IDS_A_REQUEST = 10_000

# Intervals between requests whether the worker is idle: no event reports a job that it returns.
FIRST_LOOK_S = 0.01
LONGEST_LOOK_S = 0.5

# --- ask -----------------------------------------------------------------------------------------------------


def status(to: Settings, ids: Sequence[int], timeout: float | None = None, preview: bool = False) -> Flow[StatusReply]:
    """Return the status of many jobs, asked for in parts."""
    reply: StatusReply | None = None
    for part in _parts(ids, STATUS_IDS):
        more: StatusReply = yield Ask(Status(tuple(map(JobId, part)), preview), StatusReply, timeout)
        reply = reply or more
        to.check_journal(more.journal, reply.journal)
        if reply is not more:
            reply = more._replace(jobs=reply.jobs + more.jobs, missing=reply.missing + more.missing)
    assert reply is not None
    return reply


def status_of(to: Settings, job: JobHandle) -> Flow[JobStatus]:
    """Return the status of one job. Raises what `gone` returns if there is no such job."""
    reply = yield from status(to, [job.id])
    to.check_journal(reply.journal, job.journal)
    for missing in reply.missing:
        raise gone(missing)
    return reply.jobs[0]


def result(to: Settings, id: int, journal: str | None = None) -> Flow[Any]:
    """Return the result of a job that has ended, as a value."""
    first: ResultReply = yield Ask(Result(JobId(id)), ResultReply)
    to.check_journal(first.journal, journal)
    if first.job is not None:
        raise (yield from failure(first.job))
    return (yield from rest_of_result(to, first))


def rest_of_result(to: Settings, piece: ResultReply) -> Flow[Any]:
    """Return the result, given its first piece."""
    body = yield from _whole(to, piece, Result)
    try:
        return values.unpack_value(body)
    except ValueError as error:
        raise errors.BadReply(f"the result from {to.address} is damaged: {error}") from error


def data(to: Settings, id: int, journal: str | None = None) -> Flow[Any]:
    """Return the data of a job, as a value."""
    first: DataReply = yield Ask(Data(JobId(id)), DataReply)
    to.check_journal(first.journal, journal)
    if not first.size_bytes:
        return NO_DATA
    body = yield from _whole(to, first, Data)
    try:
        return values.unpack_value(body)
    except ValueError as error:
        raise errors.BadData(f"the data of job {id} is {error}") from error


def _whole(to: Settings, piece: ResultReply | DataReply, request: type[Result | Data]) -> Flow[bytes]:
    """Return the whole body, given its first piece."""
    id, journal, reply = piece.id, piece.journal, type(piece)
    pieces = [piece.body]
    offset = len(piece.body)
    while offset < piece.size_bytes:
        if not piece.body:
            raise errors.BadReply(f"{to.address} sent an empty piece of job {id}")
        piece = yield Ask(request(id, offset), reply)
        to.check_journal(piece.journal, journal)
        pieces.append(piece.body)
        offset += len(piece.body)
    return b"".join(pieces)


def failure(ended: JobStatus) -> Flow[errors.JobEndedWithoutResult]:
    """Return the exception for a job without a result. If its task raised, the traceback is its cause."""
    error = ended_without_result(ended)
    if ended.reason is FailReason.RAISED:
        try:
            details: ShowReply = yield Ask(Show(JobId(ended.id)), ShowReply)
        except errors.ZjobsError:  # how it failed is known all the same
            return error
        if details.attempts:
            error.__cause__ = errors.RemoteTraceback(details.attempts[-1].detail)
    return error


def whole_log(to: Settings, job: JobHandle) -> Flow[bytes]:
    """Return the output of the job's last run so far. Begin anew if another run has begun meanwhile."""
    printed, end, run, until = bytearray(), 0, None, 0
    while True:
        piece: LogReply = yield Ask(Log(JobId(job.id), end), LogReply)
        to.check_journal(piece.journal, job.journal)
        if run is None:
            run, until = piece.run, piece.size_bytes
        elif piece.run != run:
            printed, end, run = bytearray(), 0, None
            continue
        printed += piece.body
        end = piece.offset + len(piece.body)
        if not piece.body or end >= until:
            return bytes(printed)


# --- control -------------------------------------------------------------------------------------------------


def cancel(to: Settings, ids: Sequence[int]) -> Flow[CancelReply]:
    """Cancel jobs, in parts."""
    replies = yield from _in_parts(to, Cancel, CancelReply, ids)
    jobs = tuple(job for reply in replies for job in reply.jobs)
    return CancelReply(replies[0].journal, jobs, tuple(one for reply in replies for one in reply.missing))


def cancel_job(to: Settings, job: JobHandle) -> Flow[JobStatus]:
    """Cancel one job, and return its status then."""
    yield from check_own(to, job)
    reply = yield from cancel(to, [job.id])
    for missing in reply.missing:
        raise gone(missing)
    return reply.jobs[0]


def check_own(to: Settings, job: JobHandle) -> Flow[None]:
    """Check that the job is in the present journal, so that nothing is done to another journal's job of that id."""
    if job.journal is not None:
        yield from status_of(to, job)


def check_waits(to: Settings, jobs: Sequence[int | JobHandle]) -> Flow[None]:
    """Check that the jobs that new ones shall wait for are in the present journal, as far as that is known of them."""
    journals = {job.journal for job in jobs if isinstance(job, JobHandle) and job.journal is not None}
    if journals:
        reply: HelloReply = yield Ask(Hello(), HelloReply)
        for journal in journals:
            to.check_journal(reply.journal, journal)


def edit(
    to: Settings,
    ids: Sequence[int],
    held: bool | None = None,
    priority: int | None = None,
    time_limit: Duration | None = None,
    name: str | None = None,
    comment: str | None = None,
    at: Time | None = None,
    start_by: Time | None = None,
) -> Flow[EditReply]:
    """Change jobs that have not started, in parts. Raises BadRequest for invalid values."""
    check_job(priority or 0, name or "", comment or "")
    limit_ms = None if time_limit is None else milliseconds("time_limit", time_limit, low_ms=0)
    times = time_ms("at", at, low_ms=0), time_ms("start_by", start_by, low_ms=0)
    replies: list[EditReply] = []
    for part in _parts(ids, IDS_A_REQUEST):
        wanted = Edit(tuple(map(JobId, part)), held, priority, limit_ms, name, comment, to.submitter, *times)
        replies.append((yield Ask(wanted, EditReply)))
        to.check_journal(replies[-1].journal, replies[0].journal)
    lists = (tuple(one for reply in replies for one in getattr(reply, field)) for field in EditReply._fields[1:])
    return EditReply(replies[0].journal, *lists)


def forget(to: Settings, ids: Sequence[int]) -> Flow[ForgetReply]:
    """Forget ended jobs, in parts."""
    replies = yield from _in_parts(to, Forget, ForgetReply, ids)
    forgotten = tuple(id for reply in replies for id in reply.forgotten)
    kept = tuple(id for reply in replies for id in reply.kept)
    return ForgetReply(replies[0].journal, forgotten, kept, tuple(one for reply in replies for one in reply.missing))


def pause(to: Settings, reason: str, duration: Duration | None, until: datetime | None) -> Pause:
    """Return the request for a pause. Raises BadRequest."""
    if duration is not None and until is not None:
        raise errors.BadRequest("a pause has a duration or ends at a time; give one of them")
    for_ms = None if duration is None else milliseconds("duration", duration, 1)
    return Pause(reason, None if until is None else _wall_ms(until), for_ms, to.submitter)


def _wall_ms(at: datetime) -> Ms:
    return Ms(int(at.timestamp() * 1000))


def wait_until_idle(to: Settings, timeout: float | None) -> Flow[None]:
    """Wait until the worker has nothing to run."""
    now = yield Sleep(0)
    deadline = float("inf") if timeout is None else now + timeout
    lost_at: float | None = None
    pause_s = FIRST_LOOK_S
    while True:
        try:
            reply: QueueReply = yield Ask(Queue(1), QueueReply)
        except errors.BrokerUnreachable:
            now = yield Sleep(0)
            lost_at = lost_at or now
            if now - lost_at > to.patience or now >= deadline:
                raise
        else:
            lost_at = None
            if not reply.paused:
                raise errors.Resumed
            if reply.dispatched == 0:
                return
            now = yield Sleep(0)
            if timeout is not None and now >= deadline:
                raise errors.StillRunning(reply.dispatched, timeout)
        yield Sleep(max(0.0, min(pause_s, deadline - now)))
        pause_s = min(2 * pause_s, LONGEST_LOOK_S)


def _in_parts(to: Settings, request: type, kind: type, ids: Sequence[int]) -> Flow[list[Any]]:
    """Return the replies to a request for many ids."""
    replies: list[Any] = []
    for part in _parts(ids, IDS_A_REQUEST):
        reply = yield Ask(request(tuple(map(JobId, part)), to.submitter), kind)
        replies.append(reply)
        to.check_journal(reply.journal, replies[0].journal)
    return replies


def _parts(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Yield `ids` in pieces for one request each; one empty piece for none, which the broker rejects."""
    for start in range(0, len(ids) or 1, size):
        yield ids[start : start + size]
