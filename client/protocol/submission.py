"""Submits, without I/O: new jobs and copies, in as few requests as the limits allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from zjobs.client import errors
from zjobs.client.config.settings import Settings
from zjobs.client.protocol import operations
from zjobs.client.protocol.actions import Ask, Flow
from zjobs.client.protocol.job import NO_DATA, JobHandle
from zjobs.client.protocol.schemas import MOST_CHANGES, UNKNOWN, Schemas
from zjobs.messages import values
from zjobs.messages.fields import MAX_REQUEST_KEY_CHARS
from zjobs.messages.records import Limits
from zjobs.messages.requests.changes import CheckedBy, NewJob, Retry, RetryReply, Submit, SubmitReply
from zjobs.messages.requests.queries import Hello, HelloReply
from zjobs.messages.units import JobId

if TYPE_CHECKING:
    from zjobs.program.schema.parameters import Parameters

# A body of up to this size is below the limits of any broker. For larger ones the limits are asked for first, because a
# frame that is much too large ends the connection without a reply.
SMALL_BYTES = 64 << 10

# What a job adds to a request at most, besides its type and data: names of fields, lengths and numbers.
JOB_OVERHEAD_BYTES = 96
REQUEST_OVERHEAD_BYTES = 256

# Room in the request key for the number of the request, if there may be several.
KEY_SUFFIX_CHARS = 8

_NOT_PROMISED = (errors.BrokerUnreachable, errors.StorageFailed, errors.ReadOnly)


# Makes a job's data from what was given, by the type's parameters (None: unknown). Raises ValueError.
Make = Callable[[Any, "Parameters | None"], Any]
Part = list[tuple[Any, NewJob]]  # what was given for each job, and the job


def checked(data: Any, parameters: Parameters | None) -> Any:
    """Return data that is used as it was given, after checking it."""
    if parameters is not None:
        from zjobs.client.protocol.arguments import check_data  # not at the top: only needed with a schema

        check_data(data, parameters)
    return data


class Maker:
    """A maker of jobs of one type from what was given, by the type's parameters. `schema`: the one that it uses.

    make: makes a job's data. A cached schema may be out of date, so it is renewed before anything is refused because of
    it.
    """

    def __init__(self, schemas: Schemas, like: NewJob, make: Make) -> None:
        self.schema = UNKNOWN
        self._schemas = schemas
        self._like = like
        self._make = make
        self._asked = self._renewed = False

    def job(self, given: Any) -> Flow[NewJob]:
        """Return the job with this data. Raises BadData, and what `make` raises besides ValueError."""
        if not self._asked:
            self.schema = yield from self._schemas.of(self._like.type)
            self._asked = True
        try:
            return self.made(given)
        except errors.BadData:
            if self._renewed:
                raise
            yield from self.renew()
            return self.made(given)

    def renew(self) -> Flow[None]:
        """Use the schema that the type has now."""
        self._renewed = True
        self._schemas.changed(self._like.type)
        self.schema = yield from self._schemas.of(self._like.type)

    def made(self, given: Any) -> NewJob:
        """Return the job with this data, by the present schema. Raises BadData if the type does not accept it."""
        try:
            data = self._make(given, self.schema.parameters)
        except ValueError as error:
            raise errors.BadData(f"{self._like.type}: {error}") from None
        return self._like._replace(data=None if data is NO_DATA else values.pack_value(data))

    @property
    def checked_by(self) -> tuple[CheckedBy, ...]:
        """The schema by which the data was checked, if there is one."""
        return (CheckedBy(self._like.type, self.schema.digest),) if self.schema.digest else ()


class Submission:
    """Jobs of one kind in as few requests as the limits allow; `datas` is read as it goes.

    like: the job without its data, from `job_like`; submitter: see `Settings`; make: makes the data from each of
    `datas`, see `Maker`. The requests have the keys `request_key`, then this with `.2`, `.3`, … appended: the same
    `datas` always fall into the same requests. Raises BadRequest for a key of the wrong length.
    """

    def __init__(
        self,
        schemas: Schemas,
        like: NewJob,
        datas: Iterable[Any],
        request_key: str,
        submitter: str,
        make: Make = checked,
    ) -> None:
        one = isinstance(datas, Sequence) and len(datas) == 1
        most = MAX_REQUEST_KEY_CHARS - (0 if one else KEY_SUFFIX_CHARS)
        if not 1 <= len(request_key) <= most:
            raise errors.BadRequest(f"a request key must have 1 to {most} characters, not {len(request_key)}")
        self._key = request_key
        self._submitter = submitter
        self._datas = iter(datas)
        self._maker = Maker(schemas, like, make)
        self._limits: Limits | None = None
        self._next: tuple[Any, NewJob] | None = None  # did not fit into the previous request
        self._problem: Exception | None = None
        self._requests = 0

    def next(self) -> Flow[SubmitReply | None]:
        """Send the next request. Return None when all are sent.

        What cannot be sent (or an exception of `datas`) is raised only after everything before it was accepted.
        """
        part = yield from self._part()
        if part:
            self._requests += 1
            key = self._key if self._requests == 1 else f"{self._key}.{self._requests}"
            return (yield from self._accepted(key, part))
        if self._problem is not None:
            raise self._problem
        return None

    def _accepted(self, key: str, part: Part) -> Flow[SubmitReply]:
        """Send a request. If the broker says that the type has another schema by now, send it again, made by that."""
        for attempt in range(1, MOST_CHANGES + 1):
            jobs = tuple(job for _, job in part)
            try:
                request = Submit(key, jobs, self._maker.checked_by, self._submitter)
                reply: SubmitReply = yield from _promised(request, SubmitReply)
                break
            except errors.SchemaChanged:
                if attempt == MOST_CHANGES:
                    raise
                yield from self._maker.renew()
                part = self._anew(part)
        return reply

    def _anew(self, part: Part) -> Part:
        """Return the same jobs, also the one that waits for the next request, made by another schema."""
        if self._next is not None:
            self._next = self._next[0], self._maker.made(self._next[0])
        return [(given, self._maker.made(given)) for given, _ in part]

    def _part(self) -> Flow[Part]:
        """Return the jobs of the next request."""
        part = [] if self._next is None else [self._next]
        part_bytes = sum(_job_bytes(job) for _, job in part)
        self._next = None
        made_by = self._maker.schema if part else None
        try:
            while self._problem is None:
                given = next(self._datas, self)
                if given is self:
                    break
                job = yield from self._maker.job(given)
                made_by = made_by or self._maker.schema
                job_bytes = _job_bytes(job)
                if self._limits is None and (part or job_bytes > SMALL_BYTES):
                    self._limits = (yield Ask(Hello(), HelloReply)).limits
                if self._limits is not None:
                    _check_size(job, job_bytes, self._limits)
                    room = self._limits.request_bytes - REQUEST_OVERHEAD_BYTES - part_bytes
                    if job_bytes > room or len(part) == self._limits.request_jobs:
                        self._next = (given, job)
                        break
                part.append((given, job))
                part_bytes += job_bytes
        except Exception as error:  # raised once the jobs before it are sent
            if isinstance(error, errors.BrokerUnreachable):
                error.request_key = self._key
            self._problem = error
        return part if made_by in (None, self._maker.schema) else self._anew(part)


def check(schemas: Schemas, type: str, data: Any) -> Flow[bool]:
    """Check data by the type's schema. Return False if there is none. Raises BadData."""
    maker = Maker(schemas, NewJob(type), checked)
    yield from maker.job(data)
    return maker.schema.parameters is not None


def submit(schemas: Schemas, like: NewJob, data: Any, request_key: str, submitter: str) -> Flow[SubmitReply]:
    """Submit one job."""
    reply = yield from Submission(schemas, like, [data], request_key, submitter).next()
    assert reply is not None
    return reply


def submit_together(
    schemas: Schemas, jobs: Sequence[tuple[NewJob, Any]], request_key: str, make: Make = checked
) -> Flow[SubmitReply]:
    """Submit jobs of any types in one request, all or none: each job without its data, and what that is made from.

    Raises TooLarge if they are too much for one request.
    """
    makers = {like.type: Maker(schemas, NewJob(like.type), make) for like, _ in jobs}
    for attempt in range(1, MOST_CHANGES + 1):
        made = []
        for like, given in jobs:
            made.append(like._replace(data=(yield from makers[like.type].job(given)).data))
        yield from _check_sizes(made)
        checked_by = tuple(each for maker in makers.values() for each in maker.checked_by)
        try:
            reply: SubmitReply = yield from _promised(Submit(request_key, tuple(made), checked_by), SubmitReply)
            break
        except errors.SchemaChanged:
            if attempt == MOST_CHANGES:
                raise
            for maker in makers.values():
                yield from maker.renew()
    return reply


def submit_many(
    schemas: Schemas, like: NewJob, datas: Iterable[Any], request_key: str, submitter: str
) -> Flow[list[SubmitReply]]:
    """Submit jobs, in requests that are not too large."""
    accepted: list[SubmitReply] = []
    try:
        parts = Submission(schemas, like, datas, request_key, submitter)
        while (part := (yield from parts.next())) is not None:
            accepted.append(part)
    except errors.ZjobsError as error:
        error.request_key = request_key
        raise
    return accepted


class Copying:
    """Copies of ended jobs. A request that is too large is sent in halves, whose keys are its own with `.1` and `.2`
    appended: the same ids always fall into the same requests."""

    def __init__(self, ids: Sequence[int], request_key: str, submitter: str, with_dependents: bool = False) -> None:
        self._key = request_key
        self._submitter = submitter
        self._with_dependents = with_dependents  # then it is one request: copies wait for each other
        self._left = [(request_key, tuple(ids))]

    def next(self) -> Flow[RetryReply | None]:
        """Send the next request. Return None when all are sent."""
        while self._left:
            key, ids = self._left.pop(0)
            try:
                if len(ids) <= operations.IDS_A_REQUEST:
                    request = Retry(key, tuple(map(JobId, ids)), self._submitter, self._with_dependents)
                    reply: RetryReply = yield from _promised(request, RetryReply)
                    return reply
            except errors.ZjobsError as error:
                if key != self._key:
                    error.request_key = self._key  # that of the whole: under it everything is repeated
                if not isinstance(error, errors.TooLarge) or len(ids) < 2 or self._with_dependents:
                    raise
            middle = (len(ids) + 1) // 2
            self._left[:0] = [(f"{key}.1", ids[:middle]), (f"{key}.2", ids[middle:])]
        return None


def retry(
    ids: Sequence[int], request_key: str, submitter: str, with_dependents: bool = False
) -> Flow[list[RetryReply]]:
    """Submit copies of jobs."""
    copies, accepted = Copying(ids, request_key, submitter, with_dependents), []
    while (part := (yield from copies.next())) is not None:
        accepted.append(part)
    return accepted


def retry_job(to: Settings, job: JobHandle, request_key: str) -> Flow[RetryReply]:
    """Submit a copy of one job."""
    yield from operations.check_own(to, job)
    return (yield from retry([job.id], request_key, to.submitter))[0]


def _promised(request: Submit | Retry, kind: type) -> Flow[Any]:
    try:
        return (yield Ask(request, kind))
    except _NOT_PROMISED as error:
        error.request_key = request.request_key
        raise


def _job_bytes(job: NewJob) -> int:
    return len(job.type + job.name + job.comment) * 4 + len(job.data or b"") + JOB_OVERHEAD_BYTES


def _check_sizes(jobs: list[NewJob]) -> Flow[None]:
    """Raise TooLarge for jobs that do not fit into one request."""
    size = sum(map(_job_bytes, jobs))
    if size <= SMALL_BYTES and len(jobs) == 1:
        return
    limits = (yield Ask(Hello(), HelloReply)).limits
    for job in jobs:
        _check_size(job, _job_bytes(job), limits)
    if len(jobs) > limits.request_jobs:
        raise errors.TooLarge(f"one request makes at most {limits.request_jobs} jobs, not {len(jobs)}")
    if size + REQUEST_OVERHEAD_BYTES > limits.request_bytes:
        raise errors.TooLarge(f"the jobs need a request of {size} bytes; the limit is {limits.request_bytes}")


def _check_size(job: NewJob, job_bytes: int, limits: Limits) -> None:
    data_bytes = len(job.data or b"")
    if data_bytes > limits.data_bytes:
        raise errors.TooLarge(f"the data has {data_bytes} bytes when packed; the limit is {limits.data_bytes}")
    if job_bytes + REQUEST_OVERHEAD_BYTES > limits.request_bytes:
        raise errors.TooLarge(f"the job needs a request of {job_bytes} bytes; the limit is {limits.request_bytes}")
