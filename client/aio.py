"""The asyncio client: the same operations, awaited.

    async with AsyncClient() as client:
        job = await client.submit("reverse", "example")
        print(job.id, await job.result(timeout=60))

One connection carries all requests, and one the events of all jobs that are waited for, however many those are. A task
that is cancelled harms no other; what it had asked for may be done all the same: repeat a submit with its request key.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, TypeVar, cast

from zjobs.client import operations
from zjobs.client.channels import Events, Link
from zjobs.client.client import watching
from zjobs.client.errors import BrokerUnreachable
from zjobs.client.handshake import trouble
from zjobs.client.job import NO_DATA, JobHandle, ended_without_result, ids_of, job_like, new_request_key
from zjobs.client.lookup import wait_for_host
from zjobs.client.protocol import (
    Action,
    Ask,
    Attempts,
    Flow,
    Follow,
    Listen,
    Sleep,
    Topics,
    body_of,
    read_reply,
    reply_bytes,
)
from zjobs.client.settings import PATIENCE_S, Settings
from zjobs.client.watch import WatchEvent, Watching
from zjobs.messages import codec
from zjobs.messages.events import ServiceEvent
from zjobs.messages.records import JobStatus, Paused
from zjobs.messages.requests import (
    CancelReply,
    ForgetReply,
    Hello,
    HelloReply,
    Info,
    InfoReply,
    Log,
    LogReply,
    Pause,
    PauseReply,
    Queue,
    QueueReply,
    Resume,
    ResumeReply,
    Show,
    ShowReply,
    StatusReply,
    Types,
    TypesReply,
)
from zjobs.messages.states import JobState, WorkerState

T = TypeVar("T")


class AsyncClient(Settings):
    """A broker's client for asyncio: the methods of `Client`, with the same arguments and errors, to be awaited.

    The arguments are those of `Client`. It belongs to the event loop that it is first used in, and to the process.
    At most 500 requests are in flight; more wait for their turn, within their own timeout.
    """

    def __init__(
        self,
        broker: str | None = None,
        timeout: float = 5.0,
        patience: float = PATIENCE_S,
        key: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(broker, timeout, patience, key)
        self._link = Link(self.address, self.key)
        self._events = Events(self._link)
        self._host_known = False

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; what still waits for an answer raises RuntimeError."""
        self._events.close()
        self._link.close()

    # --- submit ------------------------------------------------------------------------------------------

    async def submit(
        self,
        type: str,
        data: Any = NO_DATA,
        *,
        priority: int = 0,
        delay: float = 0,
        time_limit: float | None = None,
        request_key: str | None = None,
    ) -> AsyncJob:
        """Queues one job; see `Client.submit`. When this is cancelled, the job may have been queued all the same."""
        like, request_key = job_like(type, priority, delay, time_limit), request_key or new_request_key()
        accepted = await self._run(operations.submit(like, data, request_key))
        return AsyncJob(self, accepted.first_id, accepted.journal)

    async def submit_many(
        self,
        type: str,
        datas: Iterable[Any],
        *,
        priority: int = 0,
        delay: float = 0,
        time_limit: float | None = None,
        request_key: str | None = None,
    ) -> list[AsyncJob]:
        """Queues a job of this type for each of `datas`; see `Client.submit_many`."""
        like, request_key = job_like(type, priority, delay, time_limit), request_key or new_request_key()
        parts = await self._run(operations.submit_many(like, datas, request_key))
        return [AsyncJob(self, job_id, part.journal) for part in parts for job_id in ids_of(part)]

    async def retry(self, ids: Sequence[int], request_key: str | None = None) -> list[AsyncJob]:
        """Submits copies of jobs that have ended; see `Client.retry`."""
        parts = await self._run(operations.retry(ids, request_key or new_request_key()))
        return [AsyncJob(self, job_id, part.journal) for part in parts for job_id in ids_of(part)]

    # --- ask -----------------------------------------------------------------------------------------------

    def job(self, id: int, journal: str | None = None) -> AsyncJob:
        """The job of this id, as told by `submit` earlier or elsewhere. Asks nobody."""
        return AsyncJob(self, id, journal)

    async def status(self, ids: Sequence[int], *, timeout: float | None = None) -> StatusReply:
        """The status of these jobs, in this order, and which ids have none."""
        return await self._run(operations.status(self, ids, timeout))

    async def queue(self, limit: int = 20, *, timeout: float | None = None) -> QueueReply:
        """The status of the running job and of the next `limit` (1 to 1,000) in turn; a submitter sees only its own."""
        return await self._ask(Queue(limit), QueueReply, timeout)

    async def result(self, id: int, *, journal: str | None = None) -> Any:
        """The result of a completed job; see `Client.result`."""
        return await self._run(operations.result(self, id, journal))

    async def show(self, id: int) -> ShowReply:
        """Everything that is known of a job but its data and result."""
        return await self._ask(Show(id), ShowReply)

    async def types(self) -> TypesReply:
        """The task types that the worker has announced."""
        return await self._ask(Types(), TypesReply)

    async def info(self, *, timeout: float | None = None) -> InfoReply:
        """The broker: versions, journal, worker, counts."""
        return await self._ask(Info(), InfoReply, timeout)

    async def hello(self) -> HelloReply:
        """The journal's identity, the limits and where the events are."""
        return await self._ask(Hello(), HelloReply)

    async def log(self, id: int, offset: int = 0) -> LogReply:
        """What the job's last run has printed from byte `offset` on; see `Client.log`."""
        return await self._ask(Log(id, offset), LogReply)

    async def list(
        self,
        state: JobState | str | None = None,
        type: str | None = None,
        limit: int | None = None,
        before: int | None = None,
    ) -> AsyncIterator[JobStatus]:
        """Jobs, newest first, for `async for`; see `Client.list`."""
        pages = operations.Pages(self, state, type, limit, before)
        while pages.more:
            for job in await self._run(pages.next()):
                yield job

    # --- control -------------------------------------------------------------------------------------------

    async def cancel(self, ids: Sequence[int]) -> CancelReply:
        """Cancels these jobs; see `Client.cancel`."""
        return await self._run(operations.cancel(self, ids))

    async def forget(self, ids: Sequence[int]) -> ForgetReply:
        """Drops jobs that have ended, with data, result and output. Those that have not are in `kept`."""
        return await self._run(operations.forget(self, ids))

    async def pause(self, reason: str = "", *, wait: bool = False, timeout: float | None = None) -> PauseReply:
        """Nothing new starts until `resume`; see `Client.pause`."""
        reply = await self._ask(Pause(reason), PauseReply)
        if wait:
            await self.wait_until_idle(timeout)
        return reply

    async def wait_until_idle(self, timeout: float | None = None) -> None:
        """Waits, while the queue is paused, until nothing runs and nothing can start; see `Client.wait_until_idle`."""
        await self._run(operations.wait_until_idle(self, timeout))

    async def resume(self) -> Paused | None:
        """Ends a pause; returns it, None when there was none."""
        return (await self._ask(Resume(), ResumeReply)).was

    # --- wait ----------------------------------------------------------------------------------------------

    def watch(self, ids: Iterable[int] | None = None, *, journal: str | None = None) -> AsyncWatch:
        """The news of these jobs, or of all, for `async for`; see AsyncWatch.

        The subscription is in force once `async with client.watch() as watch` is entered.
        """
        return AsyncWatch(self, watching(self, ids, journal))

    async def wait(self, ids: Iterable[int], timeout: float | None = None) -> dict[int, JobStatus]:
        """Waits until all these jobs have ended, at most `timeout` seconds; see `Client.wait`."""
        async with self.watch(ids) as watch:
            return await watch.wait(timeout)

    # --- flows ---------------------------------------------------------------------------------------------

    async def _ask(self, request: Any, kind: type[T], timeout: float | None = None) -> T:
        frame = codec.encode(request)
        timeout = self.timeout if timeout is None else timeout
        clock = asyncio.get_running_loop().time
        attempts = Attempts(timeout, len(frame) + reply_bytes(request), clock())
        if not self._host_known:
            deadline = clock() + timeout
            if why := await asyncio.to_thread(wait_for_host, self.address, deadline, lambda why: None):
                raise BrokerUnreachable(self.address, timeout, why)
            self._host_known = True
        while True:
            frames, stood = await self._link.ask(frame, attempts.begin(clock()))
            if frames is not None:
                return read_reply(body_of(frames, self.address), kind, self.address)
            pause = attempts.failed(clock(), stood)
            if pause is None:
                why = "" if self._link.stood else await asyncio.to_thread(trouble, self.address)
                raise BrokerUnreachable(self.address, timeout, why)
            await asyncio.sleep(pause)

    async def _perform(self, action: Action) -> Any:
        if isinstance(action, Ask):
            return await self._ask(*action)
        assert isinstance(action, Sleep)
        if action.seconds:
            await asyncio.sleep(action.seconds)
        return asyncio.get_running_loop().time()

    async def _run(self, flow: Flow[T]) -> T:
        return await run(flow, self._perform)


async def run(flow: Flow[T], perform: Any) -> T:
    """Performs the actions of `flow` to its end, and returns its result. Cancelled, it leaves the flow where it is."""
    try:
        action = next(flow)
        while True:
            try:
                outcome = await perform(action)
            except Exception as error:
                action = flow.throw(error)
            else:
                action = flow.send(outcome)
    except StopIteration as done:
        return cast("T", done.value)
    finally:
        flow.close()


class AsyncJob(JobHandle):
    """A job by its id; `Job` documents the attributes and methods, which are awaited here."""

    def __init__(self, client: AsyncClient, id: int, journal: str | None) -> None:
        super().__init__(client, id, journal)
        self._client = client

    async def status(self) -> JobStatus:
        """The job's status at present. Raises NotFound, Expired, BrokerChanged."""
        return await self._client._run(operations.status_of(self._client, self))

    async def cancel(self) -> JobStatus:
        """Cancels the job and returns what it is now; see `Job.cancel`."""
        return await self._client._run(operations.cancel_job(self._client, self))

    async def retry(self, request_key: str | None = None) -> AsyncJob:
        """A new job, a copy of this one, which must have ended; see `Client.retry`."""
        flow = operations.retry_job(self._client, self, request_key or new_request_key())
        reply = await self._client._run(flow)
        return AsyncJob(self._client, reply.first_id, reply.journal)

    async def log(self) -> bytes:
        """What the job's last run has printed so far; of long output the end (zbroker --max-output)."""
        return await self._client._run(operations.whole_log(self._client, self))

    async def wait(self, timeout: float | None = None) -> JobStatus:
        """Waits until the job has ended, at most `timeout` seconds, and returns its final status; see `Job.wait`.

        A wait that is cancelled ends alone: the job goes on.
        """
        return (await self._ended(timeout))[0]

    async def result(self, timeout: float | None = None) -> Any:
        """The job's result, waited for as `wait` does. Raises JobFailed or JobCancelled when there is none."""
        status, journal = await self._ended(timeout)
        if status.state is not JobState.COMPLETED:
            raise ended_without_result(status)
        return await self._client.result(self.id, journal=journal)

    async def _ended(self, timeout: float | None) -> tuple[JobStatus, str]:
        async with self._client.watch([self.id], journal=self.journal) as watch:
            return (await watch.wait(timeout))[self.id], watch.journal


class AsyncWatch:
    """The news of jobs: of some until each has ended, or of all. `Watch` documents the attributes and the errors.

    Use it as `async for news in client.watch(): …`, or enter it first (`async with`) and call `next`.
    """

    known: dict[int, JobStatus]
    unfinished: dict[int, None]
    journal: str
    worker: WorkerState
    paused: bool
    lost: bool
    service: ServiceEvent | None

    def __init__(self, client: AsyncClient, state: Watching) -> None:
        self._client = client
        self._state = state
        self._feed = client._events.feed()

    async def __aenter__(self) -> AsyncWatch:
        try:
            await self._run(self._state.begin())
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name in ("known", "unfinished", "journal", "worker", "paused", "lost", "service"):
            return getattr(self._state, name)
        raise AttributeError(f"a watch has no {name!r}")

    async def __aiter__(self) -> AsyncIterator[WatchEvent]:
        """The news as they come; ends, and closes the watch, when all jobs have ended. Raises WouldDeadlock."""
        async with self:
            self._state.check_can_end()
            while self._state.has_news or self._state.goes_on:
                news = await self.next()
                if news is not None:
                    yield news

    def close(self) -> None:
        """Ends the subscription. Closing again does nothing."""
        self._feed.close()

    async def refresh(self) -> None:
        """Asks for the status now: that has what events do not tell, such as a task's note."""
        await self._run(self._state.refresh())

    async def next(self, seconds: float = float("inf")) -> WatchEvent | None:
        """The next news; None after `seconds` without any, or at the end. Cancelled, it loses none."""
        return await self._run(self._state.next(asyncio.get_running_loop().time() + seconds))

    async def wait(self, timeout: float | None = None) -> dict[int, JobStatus]:
        """Waits until all have ended, at most `timeout` seconds; their final statuses by id. Raises WaitTimeout."""
        return await self._run(self._state.wait(timeout))

    async def _run(self, flow: Flow[T]) -> T:
        return await run(flow, self._perform)

    async def _perform(self, action: Action) -> Any:
        if isinstance(action, Follow):
            self._feed.follow(action)
        elif isinstance(action, Topics):
            self._feed.subscribe(action)
        elif isinstance(action, Listen):
            self._state.others = self._client._events.feeds
            return await self._feed.read(action.until)
        else:
            return await self._client._perform(action)
        return None
