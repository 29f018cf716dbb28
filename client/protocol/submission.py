"""Jobs on their way into the queue, without I/O: new ones and copies, in as few requests as the limits allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from zjobs.client import errors
from zjobs.client.protocol import operations
from zjobs.client.protocol.actions import Ask, Flow
from zjobs.client.protocol.job import NO_DATA, JobHandle
from zjobs.client.settings import Settings
from zjobs.messages import values
from zjobs.messages.fields import MAX_REQUEST_KEY_CHARS
from zjobs.messages.records import Limits
from zjobs.messages.requests import Hello, HelloReply, NewJob, Retry, RetryReply, Submit, SubmitReply
from zjobs.messages.units import JobId

# Up to here a body is below the limits of any broker; above, they are asked for first, because a frame that is
# much too large ends the connection without a reply.
SMALL_BYTES = 64 << 10

# What a job adds to a request beside its type and data: the names of the fields, lengths and numbers, at most.
JOB_OVERHEAD_BYTES = 96
REQUEST_OVERHEAD_BYTES = 256

# Room in the request key for the number of the request, when there may be several.
KEY_SUFFIX_CHARS = 8

_NOT_PROMISED = (errors.BrokerUnreachable, errors.StorageFailed, errors.ReadOnly)


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
    """Submits one job."""
    reply = yield from Submission(like, [data], request_key).next()
    assert reply is not None
    return reply


def submit_many(like: NewJob, datas: Iterable[Any], request_key: str) -> Flow[list[SubmitReply]]:
    """Submits jobs, in requests that are not too large."""
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
                if len(ids) <= operations.IDS_A_REQUEST:
                    reply: RetryReply = yield from _promised(Retry(key, tuple(map(JobId, ids))), RetryReply)
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
    """Submits copies of jobs."""
    copies, accepted = Copying(ids, request_key), []
    while (part := (yield from copies.next())) is not None:
        accepted.append(part)
    return accepted


def retry_job(to: Settings, job: JobHandle, request_key: str) -> Flow[RetryReply]:
    """Submits a copy of one job."""
    yield from operations.check_own(to, job)
    return (yield from retry([job.id], request_key))[0]


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
