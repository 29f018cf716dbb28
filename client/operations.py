"""Each operation of the library once, as a flow: the checks, the requests and what becomes of the replies.

`to` is the client: its address, its timeout, its patience. Flows that go over several requests hold to one journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from zjobs.client import errors
from zjobs.client.job import NO_DATA, JobHandle, ended_without_result, gone
from zjobs.client.protocol import Ask, Flow, Sleep
from zjobs.client.settings import Settings
from zjobs.messages import values
from zjobs.messages.fields import MAX_REQUEST_KEY_CHARS
from zjobs.messages.records import JobStatus, Limits
from zjobs.messages.requests import (
    Cancel,
    CancelReply,
    Forget,
    ForgetReply,
    Hello,
    HelloReply,
    List,
    ListReply,
    Log,
    LogReply,
    NewJob,
    Queue,
    QueueReply,
    Result,
    ResultReply,
    Retry,
    RetryReply,
    Status,
    StatusReply,
    Submit,
    SubmitReply,
)
from zjobs.messages.states import JobState

# Up to here a body is below the limits of any broker; above, they are asked for first, because a frame that is
# much too large ends the connection without a reply.
SMALL_BYTES = 64 << 10

# What a job adds to a request beside its type and data: the names of the fields, lengths and numbers, at most.
JOB_OVERHEAD_BYTES = 96
REQUEST_OVERHEAD_BYTES = 256

# Room in the request key for the number of the request, when there may be several.
KEY_SUFFIX_CHARS = 8

# Ids a request for status, although the protocol allows more: the reply stays small and quick to write.
STATUS_IDS = 1000
# The protocol's bounds for one request.
IDS_A_REQUEST = 10_000
JOBS_A_PAGE = 1_000

# How often it is asked whether the worker has nothing any more: of a job that it gives back, no event tells.
FIRST_LOOK_S = 0.01
LONGEST_LOOK_S = 0.5

_NOT_PROMISED = (errors.BrokerUnreachable, errors.StorageFailed, errors.ReadOnly)


# --- submit ------------------------------------------------------------------------------------------------


class Submission:
    """Jobs of one kind in as few requests as the limits allow; `datas` is read as it goes.

    like: the job but for its data, from `job_like`. The requests have the keys `request_key`, then this with `.2`,
    `.3`, … behind it: the same `datas` fall into the same requests. Raises BadRequest for a key of a wrong length.
    """

    def __init__(self, like: NewJob, datas: Iterable[Any], request_key: str) -> None:
        one = isinstance(datas, Sequence) and len(datas) == 1
        most = MAX_REQUEST_KEY_CHARS - (0 if one else KEY_SUFFIX_CHARS)
        if not 1 <= len(request_key) <= most:
            raise errors.BadRequest(f"a request key has 1 to {most} characters here, not {len(request_key)}")
        self._key = request_key
        self._jobs = (like._replace(data=None if data is NO_DATA else values.pack_value(data)) for data in datas)
        self._limits: Limits | None = None
        self._next: NewJob | None = None  # what did not fit into the request before
        self._problem: Exception | None = None
        self._requests = 0

    def next(self) -> Flow[SubmitReply | None]:
        """Sends the next request; None when all are sent.

        What cannot be sent (or an exception of `datas`) is raised after everything before it was accepted.
        """
        part = yield from self._part()
        if part:
            self._requests += 1
            key = self._key if self._requests == 1 else f"{self._key}.{self._requests}"
            reply: SubmitReply = yield from _promised(Submit(key, tuple(part)), SubmitReply)
            return reply
        if self._problem is not None:
            raise self._problem
        return None

    def _part(self) -> Flow[list[NewJob]]:
        """The jobs of the next request."""
        part = [] if self._next is None else [self._next]
        part_bytes = sum(map(_job_bytes, part))
        self._next = None
        try:
            while self._problem is None and (job := next(self._jobs, None)) is not None:
                job_bytes = _job_bytes(job)
                if self._limits is None and (part or job_bytes > SMALL_BYTES):
                    self._limits = (yield Ask(Hello(), HelloReply)).limits
                if self._limits is not None:
                    _check_size(job, job_bytes, self._limits)
                    room = self._limits.request_bytes - REQUEST_OVERHEAD_BYTES - part_bytes
                    if job_bytes > room or len(part) == self._limits.request_jobs:
                        self._next = job
                        break
                part.append(job)
                part_bytes += job_bytes
        except Exception as error:  # raised once the jobs before it are sent
            self._problem = error
        return part


def submit(like: NewJob, data: Any, request_key: str) -> Flow[SubmitReply]:
    reply = yield from Submission(like, [data], request_key).next()
    assert reply is not None
    return reply


def submit_many(like: NewJob, datas: Iterable[Any], request_key: str) -> Flow[list[SubmitReply]]:
    accepted: list[SubmitReply] = []
    try:
        parts = Submission(like, datas, request_key)
        while (part := (yield from parts.next())) is not None:
            accepted.append(part)
    except errors.ZjobsError as error:
        error.request_key = request_key
        raise
    return accepted


class Copying:
    """Copies of ended jobs. What is too large for one request is sent in halves, whose keys are the request's with `.1`
    and `.2` behind it: the same ids fall into the same requests."""

    def __init__(self, ids: Sequence[int], request_key: str) -> None:
        self._key = request_key
        self._left = [(request_key, tuple(ids))]

    def next(self) -> Flow[RetryReply | None]:
        """Sends the next request; None when all are sent."""
        while self._left:
            key, ids = self._left.pop(0)
            try:
                if len(ids) <= IDS_A_REQUEST:
                    reply: RetryReply = yield from _promised(Retry(key, ids), RetryReply)
                    return reply
            except errors.ZjobsError as error:
                if key != self._key:
                    error.request_key = self._key  # that of the whole: under it everything is repeated
                if not isinstance(error, errors.TooLarge) or len(ids) < 2:
                    raise
            middle = (len(ids) + 1) // 2
            self._left[:0] = [(f"{key}.1", ids[:middle]), (f"{key}.2", ids[middle:])]
        return None


def retry(ids: Sequence[int], request_key: str) -> Flow[list[RetryReply]]:
    copies, accepted = Copying(ids, request_key), []
    while (part := (yield from copies.next())) is not None:
        accepted.append(part)
    return accepted


def _promised(request: Submit | Retry, kind: type) -> Flow[Any]:
    try:
        return (yield Ask(request, kind))
    except _NOT_PROMISED as error:
        error.request_key = request.request_key
        raise


def _job_bytes(job: NewJob) -> int:
    return len(job.type) * 4 + len(job.data or b"") + JOB_OVERHEAD_BYTES


def _check_size(job: NewJob, job_bytes: int, limits: Limits) -> None:
    data_bytes = len(job.data or b"")
    if data_bytes > limits.data_bytes:
        raise errors.TooLarge(f"the data has {data_bytes} bytes when packed, the limit is {limits.data_bytes}")
    if job_bytes + REQUEST_OVERHEAD_BYTES > limits.request_bytes:
        raise errors.TooLarge(f"the job needs a request of {job_bytes} bytes, the limit is {limits.request_bytes}")


# --- ask -----------------------------------------------------------------------------------------------------


def status(to: Settings, ids: Sequence[int], timeout: float | None = None) -> Flow[StatusReply]:
    reply: StatusReply | None = None
    for part in _parts(ids, STATUS_IDS):
        more: StatusReply = yield Ask(Status(tuple(part)), StatusReply, timeout)
        reply = reply or more
        to.check_journal(more.journal, reply.journal)
        if reply is not more:
            reply = more._replace(jobs=reply.jobs + more.jobs, missing=reply.missing + more.missing)
    assert reply is not None
    return reply


def status_of(to: Settings, job: JobHandle) -> Flow[JobStatus]:
    reply = yield from status(to, [job.id])
    to.check_journal(reply.journal, job.journal)
    for missing in reply.missing:
        raise gone(missing)
    return reply.jobs[0]


def result(to: Settings, id: int, journal: str | None = None) -> Flow[Any]:
    pieces: list[bytes] = []
    offset = 0
    while True:
        piece: ResultReply = yield Ask(Result(id, offset), ResultReply)
        to.check_journal(piece.journal, journal)
        journal = piece.journal
        if piece.state is not JobState.COMPLETED:
            raise ended_without_result((yield from status_of(to, JobHandle(to, id, journal))))
        pieces.append(piece.body)
        offset += len(piece.body)
        if offset >= piece.size_bytes:
            return _unpacked(to, b"".join(pieces))
        if not piece.body:
            raise errors.BadReply(f"{to.address} sent an empty piece of the result of job {id}")


def _unpacked(to: Settings, body: bytes) -> Any:
    try:
        return values.unpack_value(body)
    except ValueError as error:
        raise errors.BadReply(f"the result from {to.address} is damaged: {error}") from error


def whole_log(to: Settings, job: JobHandle) -> Flow[bytes]:
    """What the job's last run has printed so far; begun anew when another run has begun meanwhile."""
    printed, end, run, until = bytearray(), 0, None, 0
    while True:
        piece: LogReply = yield Ask(Log(job.id, end), LogReply)
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


class Pages:
    """Jobs in pages, newest first. Raises ValueError for an unknown state."""

    def __init__(
        self, to: Settings, state: JobState | str | None, type: str | None, limit: int | None, before: int | None
    ) -> None:
        self._to = to
        self._wanted = List(None if state is None else JobState(state), type, before=before)
        self._left = float("inf") if limit is None else limit
        self._journal: str | None = None
        self.more = self._left > 0

    def next(self) -> Flow[tuple[JobStatus, ...]]:
        """The next page, which may be empty; `more` tells whether another follows."""
        page: ListReply = yield Ask(self._wanted._replace(limit=int(min(self._left, JOBS_A_PAGE))), ListReply)
        self._to.check_journal(page.journal, self._journal)
        self._journal = page.journal
        self._left -= len(page.jobs)
        self._wanted = self._wanted._replace(before=page.before)
        self.more = self._left > 0 and page.before is not None
        return page.jobs


def first_jobs(to: Settings, limit: int) -> Flow[list[JobStatus]]:
    """The newest `limit` jobs."""
    pages = Pages(to, None, None, limit, None)
    jobs: list[JobStatus] = []
    while pages.more:
        jobs += yield from pages.next()
    return jobs


# --- control -------------------------------------------------------------------------------------------------


def cancel(to: Settings, ids: Sequence[int]) -> Flow[CancelReply]:
    replies = yield from _in_parts(to, Cancel, CancelReply, ids)
    jobs = tuple(job for reply in replies for job in reply.jobs)
    return CancelReply(replies[0].journal, jobs, tuple(one for reply in replies for one in reply.missing))


def cancel_job(to: Settings, job: JobHandle) -> Flow[JobStatus]:
    yield from _check_own(to, job)
    reply = yield from cancel(to, [job.id])
    for missing in reply.missing:
        raise gone(missing)
    return reply.jobs[0]


def retry_job(to: Settings, job: JobHandle, request_key: str) -> Flow[RetryReply]:
    yield from _check_own(to, job)
    return (yield from retry([job.id], request_key))[0]


def _check_own(to: Settings, job: JobHandle) -> Flow[None]:
    """So that nothing is done to a job of another journal in its place."""
    if job.journal is not None:
        yield from status_of(to, job)


def forget(to: Settings, ids: Sequence[int]) -> Flow[ForgetReply]:
    replies = yield from _in_parts(to, Forget, ForgetReply, ids)
    forgotten = tuple(id for reply in replies for id in reply.forgotten)
    kept = tuple(id for reply in replies for id in reply.kept)
    return ForgetReply(replies[0].journal, forgotten, kept, tuple(one for reply in replies for one in reply.missing))


def wait_until_idle(to: Settings, timeout: float | None) -> Flow[None]:
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
    """The replies to a request for many ids."""
    replies: list[Any] = []
    for part in _parts(ids, IDS_A_REQUEST):
        reply = yield Ask(request(tuple(part)), kind)
        replies.append(reply)
        to.check_journal(reply.journal, replies[0].journal)
    return replies


def _parts(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """`ids` in pieces for one request each; one empty piece for none, which the broker answers as a mistake."""
    for start in range(0, len(ids) or 1, size):
        yield ids[start : start + size]
