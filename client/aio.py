"""The asyncio client: the same operations, awaited.

    async with AsyncClient() as client:
        job = await client.submit("reverse", "example")
        print(job.id, await job.result(timeout=60))

One connection carries all requests, and another the events of all jobs that are waited for, however many. Cancelling an
asyncio task harms no other, but its request may still be carried out: repeat a submit with its request key.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from zjobs.client.aio_job import AsyncJob, AsyncWatch
from zjobs.client.command import command_data
from zjobs.client.config.settings import PATIENCE_S
from zjobs.client.job import request_key_or_new
from zjobs.client.net.async_connection import AsyncFlowRunner
from zjobs.client.protocol import operations, pages, submission
from zjobs.client.protocol.job import NO_DATA, Duration, Time, ids_of, job_like, named_data
from zjobs.client.protocol.schemas import Schemas
from zjobs.client.protocol.waiting import Ends
from zjobs.messages.records import COMMAND, AuditEntry, JobStatus
from zjobs.messages.requests.changes import (
    CancelReply,
    EditReply,
    ForgetReply,
    NewJob,
    PauseReply,
    Resume,
    ResumeReply,
    SubmitReply,
)
from zjobs.messages.requests.ops import OPERATION_OF
from zjobs.messages.requests.queries import (
    Hello,
    HelloReply,
    Info,
    InfoReply,
    Log,
    LogReply,
    Queue,
    QueueReply,
    Show,
    ShowReply,
    StatusReply,
    Types,
    TypesReply,
)
from zjobs.messages.states import JobState, Role
from zjobs.messages.units import JobId


class AsyncClient(AsyncFlowRunner):
    """A broker's client for asyncio: the methods of `Client`, with the same arguments and errors, to be awaited.

    The arguments are those of `Client`. It belongs to the event loop in which it is first used, and to the process. At
    most 500 requests are in flight; more wait until there is room, within their own timeout.
    """

    def __init__(
        self,
        broker: str | Sequence[str] | None = None,
        timeout: float = 5.0,
        patience: float = PATIENCE_S,
        key: str | os.PathLike[str] | None = None,
        service: str | None = None,
    ) -> None:
        super().__init__(broker, timeout, patience, key, service)
        self.schemas = Schemas()

    def acting_for(self, name: str, role: Role | str) -> AsyncClient:
        """Return a view whose requests are made on behalf of a person, in their role; see `Client.acting_for`."""
        view = super().acting_for(name, role)
        view._share_waits()
        return view

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; requests that wait for a reply raise RuntimeError."""
        if self.whole is not self:
            return
        self._events.close()
        self._link.close()

    # --- submit ------------------------------------------------------------------------------------------

    async def submit(
        self,
        type: str | Callable[..., Any],
        data: Any = NO_DATA,
        *,
        priority: int = 0,
        delay: Duration = 0,
        time_limit: Duration | None = None,
        name: str = "",
        comment: str = "",
        after: Sequence[int | AsyncJob] = (),
        after_any: Sequence[int | AsyncJob] = (),
        at: Time | None = None,
        start_by: Time | None = None,
        request_key: str | None = None,
        **named: Any,
    ) -> AsyncJob:
        """Queue one job; see `Client.submit`. If this is cancelled, the job may still be queued."""
        like = job_like(type, priority, delay, time_limit, name, comment, after, after_any, at, start_by)
        await self._run(operations.check_waits(self, (*after, *after_any)))
        request_key = request_key_or_new(request_key)
        data = named_data(data, named)
        accepted = await self._run(submission.submit(self.schemas, like, data, request_key, self.submitter))
        return AsyncJob(self, accepted.first_id, accepted.journal)

    async def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> AsyncJob:
        """Queue a program and its arguments; see `Client.run`."""
        return await self.submit(COMMAND, command_data(argv, cwd, env), **options)

    async def submit_many(
        self,
        type: str | Callable[..., Any],
        datas: Iterable[Any],
        *,
        priority: int = 0,
        delay: Duration = 0,
        time_limit: Duration | None = None,
        name: str = "",
        comment: str = "",
        after: Sequence[int | AsyncJob] = (),
        after_any: Sequence[int | AsyncJob] = (),
        at: Time | None = None,
        start_by: Time | None = None,
        request_key: str | None = None,
    ) -> list[AsyncJob]:
        """Queue a job of this type for each of `datas`; see `Client.submit_many`."""
        like = job_like(type, priority, delay, time_limit, name, comment, after, after_any, at, start_by)
        await self._run(operations.check_waits(self, (*after, *after_any)))
        request_key = request_key_or_new(request_key)
        parts = await self._run(submission.submit_many(self.schemas, like, datas, request_key, self.submitter))
        return [AsyncJob(self, job_id, part.journal) for part in parts for job_id in ids_of(part)]

    async def retry(
        self, ids: Sequence[int], request_key: str | None = None, *, with_dependents: bool = False
    ) -> list[AsyncJob]:
        """Submit copies of jobs that have ended; see `Client.retry`."""
        key = request_key_or_new(request_key)
        parts = await self._run(submission.retry(ids, key, self.submitter, with_dependents))
        return [AsyncJob(self, job_id, part.journal) for part in parts for job_id in ids_of(part)]

    # --- ask -----------------------------------------------------------------------------------------------

    def job(self, id: int, journal: str | None = None) -> AsyncJob:
        """Return the job with this id, from an earlier `submit`. This sends no request."""
        return AsyncJob(self, id, journal)

    async def status(self, ids: Sequence[int], *, timeout: float | None = None, preview: bool = False) -> StatusReply:
        """Return the status of these jobs, in this order, and the ids that have no job; see `Client.status`."""
        return await self._run(operations.status(self, ids, timeout, preview))

    async def queue(self, limit: int = 20, *, timeout: float | None = None) -> QueueReply:
        """Return the running job and the next `limit` (1 to 1,000) in order; a submitter sees only its own."""
        return await self._ask(Queue(limit), QueueReply, timeout)

    async def result(self, id: int, *, journal: str | None = None) -> Any:
        """Return the result of a completed job; see `Client.result`."""
        return await self._run(operations.result(self, id, journal))

    async def data(self, id: int, *, journal: str | None = None) -> Any:
        """Return the data that a job was submitted with; see `Client.data`."""
        return await self._run(operations.data(self, id, journal))

    async def show(self, id: int, *, preview: bool = False) -> ShowReply:
        """Return everything known about a job, except its data and result; see `Client.show`."""
        return await self._ask(Show(JobId(id), preview), ShowReply)

    async def types(self) -> TypesReply:
        """Return the task types that the worker has announced."""
        return await self._ask(Types(), TypesReply)

    async def schema(self, type: str, digest: str | None = None) -> dict[str, Any] | None:
        """Return the JSON Schema of a type's parameters; see `Client.schema`."""
        parameters = (await self._run(self.schemas.of(type, digest))).parameters
        return None if parameters is None else parameters.schema

    async def check(self, type: str, data: Any = NO_DATA) -> bool:
        """Raise BadData if a job of this type cannot have this data; see `Client.check`."""
        return await self._run(submission.check(self.schemas, type, data))

    async def info(self, *, timeout: float | None = None) -> InfoReply:
        """Return the state of the broker: versions, journal, worker, counts, warnings."""
        return await self._ask(Info(), InfoReply, timeout)

    async def hello(self) -> HelloReply:
        """Return the journal's identity, the limits and the address of the events."""
        return await self._ask(Hello(), HelloReply)

    async def log(self, id: int, offset: int = 0) -> LogReply:
        """Return the output of the job's last run from byte `offset` on; see `Client.log`."""
        return await self._ask(Log(JobId(id), offset), LogReply)

    async def list(
        self,
        state: JobState | str | None = None,
        type: str | None = None,
        limit: int | None = None,
        before: int | None = None,
        *,
        name: str | None = None,
        comment: str | None = None,
        owner: str | None = None,
        submitter: str | None = None,
        since: Duration | None = None,
        mine: bool = False,
        preview: bool = False,
    ) -> AsyncIterator[JobStatus]:
        """Iterate over jobs, newest first, with `async for`; see `Client.list`."""
        wanted = pages.wanted(self, state, type, before, name, comment, owner, submitter, since, mine, preview)
        found = pages.Pages(self, wanted, limit)
        while found.more:
            for job in await self._run(found.next()):
                yield job

    async def audit(self, limit: int | None = None, since: Duration | None = None) -> AsyncIterator[AuditEntry]:
        """Iterate over the audit trail, newest first, with `async for`; see `Client.audit`."""
        found = pages.AuditPages(self, limit, since)
        while found.more:
            for entry in await self._run(found.next()):
                yield entry

    # --- pass on -------------------------------------------------------------------------------------------

    async def ask(self, request: Any, *, timeout: float | None = None) -> Any:
        """Send a request of the protocol as it is, and return its reply. For programs that pass requests on."""
        return await self._ask(request, OPERATION_OF[type(request)].reply, timeout)

    async def submit_together(
        self, jobs: Sequence[tuple[NewJob, Any]], request_key: str, make: submission.Make = submission.checked
    ) -> SubmitReply:
        """Queue jobs of any types in one request, all or none. Each is given without its data, and with it."""
        return await self._run(submission.submit_together(self.schemas, jobs, request_key, make))

    # --- control -------------------------------------------------------------------------------------------

    async def cancel(self, ids: Sequence[int]) -> CancelReply:
        """Cancel these jobs; see `Client.cancel`."""
        return await self._run(operations.cancel(self, ids))

    async def hold(self, ids: Sequence[int]) -> EditReply:
        """Hold jobs; see `Client.hold`."""
        return await self._run(operations.edit(self, ids, held=True))

    async def release(self, ids: Sequence[int]) -> EditReply:
        """Release held jobs; see `Client.release`."""
        return await self._run(operations.edit(self, ids, held=False))

    async def edit(
        self,
        ids: Sequence[int],
        *,
        priority: int | None = None,
        time_limit: Duration | None = None,
        name: str | None = None,
        comment: str | None = None,
        at: Time | None = None,
        start_by: Time | None = None,
    ) -> EditReply:
        """Change jobs that have not started; see `Client.edit`."""
        return await self._run(operations.edit(self, ids, None, priority, time_limit, name, comment, at, start_by))

    async def forget(self, ids: Sequence[int]) -> ForgetReply:
        """Drop ended jobs with their data, result and output. Jobs that have not ended are in `kept`."""
        return await self._run(operations.forget(self, ids))

    async def pause(
        self,
        reason: str = "",
        *,
        duration: Duration | None = None,
        until: datetime | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> PauseReply:
        """Pause the queue until `resume`, or for a time; see `Client.pause`."""
        reply = await self._ask(operations.pause(self, reason, duration, until), PauseReply)
        if wait:
            await self.wait_until_idle(timeout)
        return reply

    async def wait_until_idle(self, timeout: float | None = None) -> None:
        """Wait, while the queue is paused, until nothing runs and nothing can start; see `Client.wait_until_idle`."""
        await self._run(operations.wait_until_idle(self, timeout))

    async def resume(self, *, all: bool = False) -> ResumeReply:
        """Lift one's own pauses, with `all` everybody's; see `Client.resume`."""
        return await self._ask(Resume(all, self.submitter), ResumeReply)

    # --- wait ----------------------------------------------------------------------------------------------

    def watch(self, ids: Iterable[int] | None = None, *, journal: str | None = None) -> AsyncWatch:
        """Watch these jobs, or all without ids, with `async for`; see AsyncWatch.

        The subscription is in force once `async with client.watch() as watch` is entered.
        """
        return AsyncWatch(self, ids, journal)

    async def wait(self, ids: Iterable[int], timeout: float | None = None) -> dict[int, JobStatus]:
        """Wait until all these jobs have ended, at most `timeout` seconds; see `Client.wait`."""
        return await self._run(Ends(self, ids, None, timeout).all())
