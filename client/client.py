"""The client library: submit jobs, ask for them, wait for them.

    with Client() as client:
        job = client.submit("reverse", "example")
        print(job.id, job.status().state, job.result(timeout=60))

A `Client` may be shared by threads and used on both sides of a fork.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from time import monotonic
from typing import Any, TypeVar

from zjobs.client import credentials, errors
from zjobs.client.connection import Connection
from zjobs.client.control import Control
from zjobs.client.errors import ZjobsError
from zjobs.client.watch import Watch, gone
from zjobs.messages import codec, ops, values
from zjobs.messages.fields import MAX_PRIORITY, MAX_REQUEST_KEY_CHARS
from zjobs.messages.records import JobStatus, Limits
from zjobs.messages.requests import (
    Cancel,
    Error,
    Hello,
    HelloReply,
    Info,
    InfoReply,
    List,
    Log,
    NewJob,
    Queue,
    QueueReply,
    Result,
    ResultReply,
    RetryReply,
    Show,
    ShowReply,
    Status,
    StatusReply,
    Submit,
    SubmitReply,
    Types,
    TypesReply,
)
from zjobs.messages.states import JobState
from zjobs.program import endpoints

# Up to here a body is below the limits of any broker; above, they are asked for first, because a frame that is
# much too large ends the connection without a reply.
SMALL_BYTES = 64 << 10
PIECE_BYTES = 256 << 10  # of a result
STATUS_BYTES = 400

# What a job adds to a request beside its type and data: the names of the fields, lengths and numbers, at most.
JOB_OVERHEAD_BYTES = 96
REQUEST_OVERHEAD_BYTES = 256

# Room in the request key for the number of the request, when there may be several.
KEY_SUFFIX_CHARS = 8

# Ids a request for status, although the protocol allows more: the reply stays small and quick to write.
IDS_A_REQUEST = 1000

# How long a wait outlasts a lost broker: longer than a restart takes, with a large journal too.
PATIENCE_S = 60.0

ReplyT = TypeVar("ReplyT")


class NoData(Enum):
    """The job gets no data, which is not the same as None or an empty text."""

    NO_DATA = "no data"


NO_DATA = NoData.NO_DATA


def new_request_key() -> str:
    """A request key for a submit: 32 characters, the time first, so that the journal's index grows at its end."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def job_like(type: str, priority: int = 0, delay: float = 0, time_limit: float | None = None) -> NewJob:
    """A job without its data; `delay` and `time_limit` in seconds. Raises BadRequest for what no job can have."""
    if delay < 0 or not abs(priority) <= MAX_PRIORITY:
        raise errors.BadRequest(f"a priority is from -{MAX_PRIORITY} to {MAX_PRIORITY}, a delay at least 0")
    if time_limit is not None and time_limit <= 0:
        raise errors.BadRequest("a time limit must be more than 0")
    limit_ms = None if time_limit is None else max(1, round(time_limit * 1000))
    return NewJob(type, None, priority, round(delay * 1000), limit_ms)


def ids_of(accepted: SubmitReply | RetryReply) -> range:
    """The ids that the jobs of a request were given."""
    return range(accepted.first_id, accepted.first_id + accepted.count)


class Client(Control):
    """A broker's client.

    broker: its endpoint; by default the environment variable ZJOBS_BROKER, else tcp://127.0.0.1:5570.
    timeout: seconds for one answer, repeated attempts included; it never bounds a job.
    patience: seconds for which a wait outlasts a lost broker.
    key: the key file to use; by default the one that the environment variable ZJOBS_KEY names, else
    zjobs/client.key in the user's configuration directory if there is one. Empty: none.

    Every method raises BrokerUnreachable when no answer comes in time, and the ZjobsError that belongs to the
    code when the answer is an error; with or without a key also KeyRefused, KeyNeeded and UntrustedBroker, without
    waiting. Raises BadAddress for what is no endpoint, BadKeyFile for what is no key file, or can be read by others.
    """

    def __init__(
        self,
        broker: str | None = None,
        timeout: float = 5.0,
        patience: float = PATIENCE_S,
        key: str | os.PathLike[str] | None = None,
    ) -> None:
        address = broker or os.environ.get(endpoints.ENVIRONMENT_VARIABLE) or endpoints.FRONTEND
        try:
            self.address = endpoints.checked(endpoints.with_transport(address))
        except ValueError as error:
            raise errors.BadAddress(str(error)) from None
        self.timeout = timeout
        self.patience = patience
        file = credentials.key_file(key)
        self.connection = Connection(self.address, timeout, None if file is None else credentials.load(file))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; calls that other threads are in end as they would have."""
        self.connection.close()

    # --- submit ------------------------------------------------------------------------------------------

    def submit(
        self,
        type: str,
        data: Any = NO_DATA,
        *,
        priority: int = 0,
        delay: float = 0,
        time_limit: float | None = None,
        request_key: str | None = None,
    ) -> Job:
        """Queues one job; when this returns, it is on the broker's disk.

        data: what msgpack can hold (None, bool, int, float, str, bytes, lists and dicts of them).
        priority: -1000 to 1000; what is ready starts by priority, greater first, then in the order of the ids.
        delay: seconds before which it does not start. time_limit: seconds it may run; by default the type's.
        request_key: the same one with the same job again returns the same job; by default a new one. An exception
        after which the job may have been taken all the same carries it as `request_key`.
        Raises UnknownType, TooLarge, QueueFull, KeyConflict, StorageFailed, ReadOnly; TypeError, ValueError or
        OverflowError for data that msgpack cannot hold.
        """
        like = job_like(type, priority, delay, time_limit)
        return self._jobs(like, [data], new_request_key() if request_key is None else request_key)[0]

    def submit_many(
        self,
        type: str,
        datas: Iterable[Any],
        *,
        priority: int = 0,
        delay: float = 0,
        time_limit: float | None = None,
        request_key: str | None = None,
    ) -> list[Job]:
        """Queues a job of this type for each of `datas`, in as few requests as the limits allow; else as `submit`.

        Each request is taken all or none. After an exception, repeating with the exception's `request_key` and the
        same `datas` makes no second jobs.
        """
        request_key = new_request_key() if request_key is None else request_key
        try:
            return self._jobs(job_like(type, priority, delay, time_limit), datas, request_key)
        except ZjobsError as error:
            error.request_key = request_key
            raise

    def submit_in_parts(self, like: NewJob, datas: Iterable[Any], request_key: str) -> Iterator[SubmitReply]:
        """As submit_many, but yields what is accepted with every request. `datas` is read as it goes.

        like: the job but for its data, from `job_like`.

        The requests have the keys `request_key`, then this with `.2`, `.3`, … behind it: the same `datas` fall into
        the same requests.
        What cannot be sent (or an exception of `datas`) is raised after everything before it was accepted.
        """
        one = isinstance(datas, Sequence) and len(datas) == 1
        most = MAX_REQUEST_KEY_CHARS - (0 if one else KEY_SUFFIX_CHARS)
        if not 1 <= len(request_key) <= most:
            raise errors.BadRequest(f"a request key has 1 to {most} characters here, not {len(request_key)}")
        for number, jobs in enumerate(self._parts(like, datas), start=1):
            part_key = request_key if number == 1 else f"{request_key}.{number}"
            yield self._submit(Submit(part_key, tuple(jobs)))

    def _jobs(self, like: NewJob, datas: Iterable[Any], request_key: str) -> list[Job]:
        parts = self.submit_in_parts(like, datas, request_key)
        return [Job(self, job_id, part.journal) for part in parts for job_id in ids_of(part)]

    def _submit(self, request: Submit) -> SubmitReply:
        try:
            return self._ask(request, SubmitReply)
        except (errors.BrokerUnreachable, errors.StorageFailed, errors.ReadOnly) as error:
            error.request_key = request.request_key
            raise

    def _parts(self, like: NewJob, datas: Iterable[Any]) -> Iterator[list[NewJob]]:
        """`datas` as jobs, in lists that fit into a request."""
        limits: Limits | None = None
        part: list[NewJob] = []
        part_bytes, problem = 0, None
        jobs = (like._replace(data=None if data is NO_DATA else values.pack_value(data)) for data in datas)
        try:
            for job in jobs:
                job_bytes = len(job.type) * 4 + len(job.data or b"") + JOB_OVERHEAD_BYTES
                if limits is None and (part or job_bytes > SMALL_BYTES):
                    limits = self.hello().limits
                if limits is not None:
                    _check_size(job, job_bytes, limits)
                    room = limits.request_bytes - REQUEST_OVERHEAD_BYTES - part_bytes
                    if job_bytes > room or len(part) == limits.request_jobs:
                        yield part
                        part, part_bytes = [], 0
                part.append(job)
                part_bytes += job_bytes
        except Exception as error:  # raised once the jobs before it are sent
            problem = error
        if part:
            yield part
        if problem is not None:
            raise problem

    # --- ask -----------------------------------------------------------------------------------------------

    def job(self, id: int) -> Job:
        """The job of this id, as told by `submit` earlier or elsewhere. Asks nobody."""
        return Job(self, id, None)

    def status(self, ids: Sequence[int], *, timeout: float | None = None) -> StatusReply:
        """The status of these jobs, in this order, and which ids have none."""
        reply = self._ask(Status(tuple(ids[:IDS_A_REQUEST])), StatusReply, timeout)
        for start in range(IDS_A_REQUEST, len(ids), IDS_A_REQUEST):
            more = self._ask(Status(tuple(ids[start : start + IDS_A_REQUEST])), StatusReply, timeout)
            self._check_journal(more.journal, reply.journal)
            reply = more._replace(jobs=reply.jobs + more.jobs, missing=reply.missing + more.missing)
        return reply

    def queue(self, limit: int = 20, *, timeout: float | None = None) -> QueueReply:
        """The status of the running job and of the next `limit` (1 to 1,000) in turn; a submitter sees only its own."""
        return self._ask(Queue(limit), QueueReply, timeout)

    def result(self, id: int, *, journal: str | None = None) -> Any:
        """The result of a completed job, as often as asked.

        journal: the journal the id belongs to, where known. Raises NotFinished, NotFound, Expired; JobFailed
        or JobCancelled when the job ended without a result.
        """
        pieces: list[bytes] = []
        offset = 0
        while True:
            piece = self._ask(Result(id, offset), ResultReply)
            journal = journal or piece.journal
            self._check_journal(piece.journal, journal)
            if piece.state is not JobState.COMPLETED:
                raise ended_without_result(self._status_of(id))
            pieces.append(piece.body)
            offset += len(piece.body)
            if offset >= piece.size_bytes:
                return self._unpacked(b"".join(pieces))
            if not piece.body:
                raise errors.BadReply(f"{self.address} sent an empty piece of the result of job {id}")

    def show(self, id: int) -> ShowReply:
        """Everything that is known of a job but its data and result."""
        return self._ask(Show(id), ShowReply)

    def types(self) -> TypesReply:
        """The task types that the worker has announced."""
        return self._ask(Types(), TypesReply)

    def info(self, *, timeout: float | None = None) -> InfoReply:
        """The broker: versions, journal, worker, counts."""
        return self._ask(Info(), InfoReply, timeout)

    def hello(self) -> HelloReply:
        """The journal's identity, the limits and where the events are."""
        return self._ask(Hello(), HelloReply)

    def watch(self, ids: Iterable[int] | None = None, *, journal: str | None = None) -> Watch:
        """The news of these jobs as they come, until all have ended; without ids those of all jobs, without end.

        When this returns, the subscription is in force: `for news in client.watch(): …`, or `with`; see Watch.
        """
        if ids is not None:
            return Watch(self, iter(ids), journal, self.patience)
        from zjobs.client.watch_all import WatchAll  # most programs never need it

        return WatchAll(self, self.patience)

    def retry(self, ids: Sequence[int], request_key: str | None = None) -> list[Job]:
        """Submits copies of jobs that have ended, and returns them in this order.

        The old ones stay as they ended. As many as a request may make are taken all or none. The same request key with
        the same ids again returns the same copies; an exception after which that helps has it as `request_key`. Raises
        NotFinished, NotFound, Expired, and what `submit` raises.
        """
        parts = self.retry_in_parts(ids, new_request_key() if request_key is None else request_key)
        return [Job(self, job_id, part.journal) for part in parts for job_id in ids_of(part)]

    def _status_of(self, id: int, journal: str | None = None) -> JobStatus:
        reply = self.status([id])
        self._check_journal(reply.journal, journal or reply.journal)
        for missing in reply.missing:
            raise gone(missing)
        return reply.jobs[0]

    def _ask(self, request: Any, kind: type[ReplyT], timeout: float | None = None) -> ReplyT:
        """The reply to `request`, which must be a `kind`."""
        frame = self.connection.request(codec.encode(request), timeout, _reply_bytes(request))
        try:
            reply = codec.decode(frame, ops.REPLIES)
        except codec.DecodeError as error:
            raise errors.BadReply(f"{self.address} does not answer as a broker of zjobs does: {error}") from error
        if isinstance(reply, Error):
            raise errors.BY_CODE[reply.code.value](reply.message)
        if not isinstance(reply, kind):
            raise errors.BadReply(f"{self.address} answered a {kind.__name__} with a {type(reply).__name__}")
        return reply

    def _check_journal(self, heard: str, expected: str) -> None:
        if heard != expected:
            raise errors.BrokerChanged(self.address)

    def _unpacked(self, body: bytes) -> Any:
        try:
            return values.unpack_value(body)
        except ValueError as error:
            raise errors.BadReply(f"the result from {self.address} is damaged: {error}") from error


class Job:
    """A job by its id. `journal` is the journal that the id belongs to, None until something was heard of it."""

    def __init__(self, client: Client, id: int, journal: str | None) -> None:
        self._client = client
        self.id = id
        self.journal = journal

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self._client.address}>"

    def status(self) -> JobStatus:
        """The job's status at present. Raises NotFound, Expired, BrokerChanged."""
        return self._client._status_of(self.id, self.journal)

    def cancel(self) -> JobStatus:
        """Cancels the job and returns what it is now; see Client.cancel. Raises NotFound, Expired, BrokerChanged."""
        if self.journal is not None:
            self.status()  # so that no job of another journal is cancelled in its place
        reply = self._client.cancel([self.id])
        for missing in reply.missing:
            raise gone(missing)
        return reply.jobs[0]

    def retry(self, request_key: str | None = None) -> Job:
        """A new job, a copy of this one, which must have ended; see Client.retry."""
        if self.journal is not None:
            self.status()
        return self._client.retry([self.id], request_key)[0]

    def log(self) -> bytes:
        """What the job's last run has printed so far; of long output the end (zbroker --max-output)."""
        printed = bytearray()
        piece = self._client.log(self.id)
        run, until = piece.run, piece.size_bytes
        while True:
            self._client._check_journal(piece.journal, self.journal or piece.journal)
            printed += piece.body
            end = piece.offset + len(piece.body)
            if not piece.body or end >= until:
                return bytes(printed)
            piece = self._client.log(self.id, end)
            if piece.run != run:  # it runs once more
                return self.log()

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Waits until the job has ended, at most `timeout` seconds, and returns its final status.

        Raises WaitTimeout; NotFound, Expired, BrokerChanged; BrokerUnreachable when the broker is lost for
        longer than the client's patience; WouldDeadlock inside a task of the same service.
        """
        deadline = None if timeout is None else monotonic() + timeout
        with self._client.watch([self.id], journal=self.journal) as watch:
            self.journal = watch.journal
            watch.check_can_end()
            while watch.unfinished:
                left = 3600.0 if deadline is None else deadline - monotonic()
                if timeout is not None and left <= 0:
                    raise errors.WaitTimeout(watch.known[self.id], timeout)
                watch.next(left)
            return watch.known[self.id]

    def result(self, timeout: float | None = None) -> Any:
        """The job's result, waited for as `wait` does. Raises JobFailed or JobCancelled when there is none."""
        status = self.wait(timeout)
        if status.state is not JobState.COMPLETED:
            raise ended_without_result(status)
        return self._client.result(self.id, journal=self.journal)


def ended_without_result(status: JobStatus) -> errors.JobEndedWithoutResult:
    """The exception for a job that failed or was cancelled."""
    kind = errors.JobFailed if status.state is JobState.FAILED else errors.JobCancelled
    return kind(status)


def _reply_bytes(request: Any) -> int:
    """About how large the reply may be."""
    if isinstance(request, (Result, Log)):
        return PIECE_BYTES
    if isinstance(request, List):
        return request.limit * STATUS_BYTES
    return len(request.ids) * STATUS_BYTES if isinstance(request, (Status, Cancel)) else 0


def _check_size(job: NewJob, job_bytes: int, limits: Limits) -> None:
    data_bytes = len(job.data or b"")
    if data_bytes > limits.data_bytes:
        raise errors.TooLarge(f"the data has {data_bytes} bytes when packed, the limit is {limits.data_bytes}")
    if job_bytes + REQUEST_OVERHEAD_BYTES > limits.request_bytes:
        raise errors.TooLarge(f"the job needs a request of {job_bytes} bytes, the limit is {limits.request_bytes}")
