"""The service of a request, from its frames to the frame of its reply, in steps between which others are served.

Each request is a generator. It yields after every page that it reads, and where a change must be committed first. So a
`status` of 10,000 ids or a `list` that finds nothing delays nobody, and 10,000 jobs are cancelled a few hundred to a
commit. Submits and retries are all or none, so they are one step. A request that waits for the end of a job, or for a
job that the worker shall return, also yields, and goes on when that has come.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.core.queue_state import QueueState
from zjobs.broker.core.records.jobs import EndedJob, Envelope, Instant
from zjobs.broker.core.records.needs import Needs
from zjobs.broker.credentials import Credentials
from zjobs.broker.net import frames
from zjobs.broker.requests.access import acting_refusal, refusal
from zjobs.broker.requests.contents import Service
from zjobs.broker.requests.queries import PAGE, Queries
from zjobs.broker.storage.api import Journal, StorageError
from zjobs.messages import codec
from zjobs.messages.fields import RECALL_MS
from zjobs.messages.records import ActingFor
from zjobs.messages.requests.changes import Edit, EditReply, Forget
from zjobs.messages.requests.ops import OPERATION_OF, Changes, Error, Reply, Request
from zjobs.messages.requests.queries import Backup, Result, ResultReply, Wait, WaitReply
from zjobs.messages.states import ErrorCode
from zjobs.messages.units import JobId, Ms

JOB_VALUES = 14  # upper bound on the values in one job of a submit
OTHER_VALUES = 30_000  # 10,000 ids, and fields that a newer client may add
PART_BYTES = 16 << 20  # forgotten in one step: a few milliseconds
JOB_BYTES = 4096  # storing this many bytes costs about as much as a job


class Change(NamedTuple):
    """A change to commit before its request continues. `last`: the core's reply is the reply to the request."""

    envelope: Envelope
    request: Request
    who: Who
    weight: int
    last: bool


class Sender(NamedTuple):
    """The sender of a request: a public key, "" without keys, and the person whom its holder acts for, if any."""

    key: str
    acting_for: ActingFor | None


class WaitFor(NamedTuple):
    """A request goes on when the first of these jobs ends or, of edits by envelope and job, is decided; or after
    `wait_ms`. It is sent the jobs that ended."""

    awaited: tuple[JobId, ...] | tuple[tuple[Envelope, JobId], ...]
    wait_ms: Ms


Step = Change | WaitFor | None
Outcome = Reply | Mapping[JobId, EndedJob] | None
Serving = Generator[Step, Outcome, bytes | None]


class Refused(Exception):
    """A request that cannot be carried out. `error`: its reply."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.error = Error(code, message)


class Pending:
    """A request that waits or is being served. `frame`: once `over`, the reply to send, None if the core replies."""

    def __init__(self, received: frames.Received, serving: Callable[[Pending], Serving]) -> None:
        self.received = received
        self.envelope: Envelope = ()
        self.refused = ""
        self._serving = serving
        self.restart()

    def restart(self) -> None:
        """Begin again, because what it has read may be wrong."""
        self._steps = self._serving(self)
        self.begun = self.over = False
        self.frame: bytes | None = None
        self.result: Outcome = None

    def advance(self) -> Step:
        """Take the next step. Return the change or the wait that it ends with; the last step sets `over`."""
        result, self.result, self.begun = self.result, None, True
        try:
            return self._steps.send(result)
        except StopIteration as end:
            self.over, self.frame = True, end.value
            return None


class Server:
    """The server of requests. Each step sees the core and the journal as they are at that moment."""

    def __init__(
        self,
        service: Service,
        keys: Credentials | None,
        journal: Journal,
        core: Callable[[Request], QueueState],
        clock: Callable[[], Instant],
        backup: Callable[[Backup], Reply],
    ) -> None:
        """Serve from these. `keys`: None if everybody may do everything. `core` raises StorageError while there is none
        to answer a request from."""
        self._service = service
        self._limits = service.limits
        self._keys = keys
        self._journal = journal
        self._core = core
        self._clock = clock
        self._backup = backup
        self._most_frames = service.limits.frames + 1  # the ROUTER adds the sender's identity
        self._most_values = OTHER_VALUES + JOB_VALUES * service.limits.request_jobs

    def pending(self, received: frames.Received) -> Pending:
        """Return a request that has not begun."""
        return Pending(received, self._serve)

    def frame(self, reply: Reply) -> bytes:
        """Encode a short reply."""
        return codec.encode(self._named(reply))

    def owner_of(self, job_id: JobId) -> str | None:
        """Return the job's owner, None if there is no such job."""
        job = self._journal.read(Needs(jobs=[job_id])).jobs.get(job_id)
        return None if job is None else job.owner

    def _serve(self, pending: Pending) -> Serving:
        parts, count, key = pending.received
        pending.envelope, body = frames.split(parts, count, self._most_frames)
        try:
            request, acting_for = self._decode(body)
            sender = Sender(key, acting_for)
            who = yield from self._permitted(request, sender)
            operation = OPERATION_OF[type(request)]
            if operation.changes is Changes.ALL_OR_NONE:
                weight = 1 + sum(map(len, parts)) // JOB_BYTES + operation.weight_of(request)
                yield Change(pending.envelope, request, who, weight, True)
                return None
            yield None  # the client's earlier changes are committed before anything is read
            reply = yield from self._reply(pending.envelope, request, who)
            if ids := _waits_for(request, reply):
                ended = yield WaitFor(ids, request.wait_ms)  # type: ignore[union-attr]
                who = self._still_permitted(request, sender, who)
                reply = yield from self._reply(pending.envelope, request, who, ended)  # type: ignore[arg-type]
        except codec.DecodeError as error:
            reply = Error(error.code, str(error))
            pending.refused = str(error)
        except Refused as refused:
            reply = refused.error
            pending.refused = str(refused)
        except StorageError as error:
            reply = Error(ErrorCode.STORAGE, f"the journal cannot be read: {error}")
        return (yield from codec.encode_in_steps(self._named(reply)))

    def _reply(
        self, envelope: Envelope, request: Any, who: Who, ended: Mapping[JobId, EndedJob] | None = None
    ) -> Generator[Step, Any, Reply]:
        operation = OPERATION_OF[type(request)]
        parts: list[Reply | None] = []
        if operation.changes is Changes.JOB_BY_JOB:
            split = self._to_forget if isinstance(request, Forget) else _pages
            for ids in split(tuple(dict.fromkeys(operation.ids_in(request)))):
                part = request._replace(**{operation.ids: ids})
                parts.append((yield Change(envelope, part, who, operation.weight_of(part), False)))
        if isinstance(request, Edit):
            parts.append((yield from self._decided(request, envelope, parts)))
        queries = Queries(
            self._core(request), self._journal, self._service, who, self._clock(), self._backup, parts, ended or {}
        )
        return (yield from queries.answer(request))

    def _decided(self, request: Edit, envelope: Envelope, parts: Sequence[Any]) -> Generator[Step, Any, EditReply]:
        """Wait until it is known which of the jobs that the worker had are changed."""
        pending = {job_id: None for part in parts for job_id in part.pending}
        until_ms = self._clock().mono_ms + RECALL_MS
        changed: list[JobId] = []
        late: list[JobId] = []
        woken_for = -1  # how many were left when it was last asked; it is woken early without any
        while True:
            outcomes = self._core(request).edit_outcomes
            for job_id in list(pending):
                if (made := outcomes.pop((envelope, job_id), None)) is not None:
                    (changed if made else late).append(job_id)
                    del pending[job_id]
            left_ms = Ms(until_ms - self._clock().mono_ms)
            if len(pending) in (0, woken_for) or left_ms <= 0:
                return EditReply(self._journal.journal_id, tuple(changed), tuple(late), tuple(pending), ())
            woken_for = len(pending)
            yield WaitFor(tuple((envelope, job_id) for job_id in pending), left_ms)

    def _to_forget(self, ids: tuple[JobId, ...]) -> Iterator[tuple[JobId, ...]]:
        """Split `ids` into parts of at most a page, each with little more than PART_BYTES of kept data."""
        for page in _pages(ids):
            kept = self._journal.read(Needs(kept_bytes=page)).kept_bytes
            first = kept_bytes = 0
            for place, job_id in enumerate(page, 1):
                kept_bytes += kept.get(job_id, 0)
                if kept_bytes >= PART_BYTES:
                    yield page[first:place]
                    first, kept_bytes = place, 0
            if first < len(page) or not page:
                yield page[first:]

    def _decode(self, body: bytes | codec.DecodeError) -> tuple[Request, ActingFor | None]:
        if isinstance(body, codec.DecodeError):
            raise body
        limit = self._limits.request_bytes
        if len(body) > limit:
            raise Refused(ErrorCode.TOO_LARGE, f"the request has {len(body)} bytes; the limit is {limit}")
        try:
            return codec.decode_request(body, self._most_values)
        except RecursionError:  # msgpack allows deeper nesting than Python can print
            raise Refused(ErrorCode.BAD_REQUEST, "the body is nested too deeply") from None

    def _permitted(self, request: Request, sender: Sender) -> Generator[None, Any, Who]:
        """Return who sent the request. Raises Refused if they may not."""
        who = self._who(request, sender)
        if who is ANYBODY:
            return who
        operation = OPERATION_OF[type(request)]
        for ids in _pages(operation.ids_in(request)):
            _refuse(refusal(operation, ids, who, self.owner_of))
            if len(ids) == PAGE and who.role in operation.own_only:
                yield None
        return who

    def _still_permitted(self, request: Request, sender: Sender, before: Who) -> Who:
        """Return who sent the request, after a wait. Raises Refused if the key was revoked meanwhile, or its new role
        does not allow it."""
        who = self._who(request, sender)
        if who != before:
            operation = OPERATION_OF[type(request)]
            _refuse(refusal(operation, operation.ids_in(request), who, self.owner_of))
        return who

    def _who(self, request: Request, sender: Sender) -> Who:
        """Return who sent the request. Raises Refused for a revoked key, a key that may not act for others, and a
        missing role."""
        who = ANYBODY if self._keys is None else self._keys.who(sender.key)
        if who is None:
            raise Refused(ErrorCode.NOT_PERMITTED, "this key was revoked; ask the operator of the broker for a new one")
        if sender.acting_for is not None:
            _refuse(acting_refusal(who, sender.acting_for))
            who = Who(*sender.acting_for, via=who.name)
        if who is ANYBODY:
            return who
        _refuse(refusal(OPERATION_OF[type(request)], (), who, self.owner_of))
        return who

    def _named(self, reply: Reply) -> Reply:
        return reply._replace(journal=self._journal.journal_id) if isinstance(reply, Error) else reply


def _waits_for(request: Request, reply: Reply) -> tuple[JobId, ...]:
    """Return the jobs whose end the request waits for: none if it asked for no wait, or `reply` has an end already."""
    if isinstance(request, Result) and isinstance(reply, ResultReply) and not reply.state.final:
        return (request.id,)
    if isinstance(request, Wait) and isinstance(reply, WaitReply) and not (reply.jobs or reply.missing):
        return request.ids if request.wait_ms else ()
    return ()


def _refuse(error: Error | None) -> None:
    if error is not None:
        raise Refused(error.code, error.message)


def _pages(ids: tuple[JobId, ...]) -> Iterator[tuple[JobId, ...]]:
    """Split `ids` into pages; at least one, which may be empty."""
    return (ids[first : first + PAGE] for first in range(0, max(1, len(ids)), PAGE))
