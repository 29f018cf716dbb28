"""The jobs and watches that an `AsyncClient` returns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from importlib import import_module
from typing import Any, TypeVar

from zjobs.client.job import request_key_or_new, watching
from zjobs.client.net.async_connection import AsyncFlowRunner, run
from zjobs.client.protocol import operations, submission, waiting
from zjobs.client.protocol.actions import Action, Flow, Follow, Listen, Topics
from zjobs.client.protocol.events.watch import WatchEvent
from zjobs.client.protocol.job import JobHandle
from zjobs.client.protocol.waiting import Ends
from zjobs.messages.events import ServiceEvent
from zjobs.messages.records import JobStatus
from zjobs.messages.states import WorkerState

T = TypeVar("T")


class AsyncJob(JobHandle):
    """A job by its id; `Job` documents the attributes and methods, which are awaited here."""

    def __init__(self, client: AsyncFlowRunner, id: int, journal: str | None) -> None:
        super().__init__(client, id, journal)
        self._client = client

    async def status(self) -> JobStatus:
        """Return the job's status. Raises NotFound, Expired, BrokerChanged."""
        return await self._client._run(operations.status_of(self._client, self))

    async def data(self) -> Any:
        """Return the data that the job was submitted with; see `Client.data`."""
        return await self._client._run(operations.data(self._client, self.id, self.journal))

    async def done(self) -> bool:
        """Return True if the job has ended, in whatever way. Raises what `status` raises."""
        return (await self.status()).state.final

    def add_done_callback(self, callback: Callable[[AsyncJob], object]) -> None:
        """Call `callback(job)` in the event loop when the job has ended; see `Job.add_done_callback`."""
        import_module("zjobs.client.futures").add_async_done_callback(self, callback)  # which imports this module

    async def cancel(self) -> JobStatus:
        """Cancel the job, and return its status; see `Job.cancel`."""
        return await self._client._run(operations.cancel_job(self._client, self))

    async def retry(self, request_key: str | None = None) -> AsyncJob:
        """Submit a copy of this job, which must have ended; see `Client.retry`."""
        flow = submission.retry_job(self._client, self, request_key_or_new(request_key))
        reply = await self._client._run(flow)
        return AsyncJob(self._client, reply.first_id, reply.journal)

    async def log(self) -> bytes:
        """Return the output of the job's last run so far, or the end of it (zbroker --max-output)."""
        return await self._client._run(operations.whole_log(self._client, self))

    async def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait until the job has ended, at most `timeout` seconds. Return its final status; see `Job.wait`.

        Cancelling the wait does not end the job.
        """
        ends = Ends(self._client, [self.id], self.journal, timeout)
        return (await self._client._run(ends.all()))[self.id]

    async def result(self, timeout: float | None = None) -> Any:
        """Wait as `wait` does, and return the result. Raises JobFailed or JobCancelled if there is none."""
        return await self._client._run(waiting.result(self._client, self, timeout))


class AsyncWatch:
    """Yields the changes of some jobs until each has ended, or of all jobs. `Watch` documents attributes and errors.

    Use it as `async for event in client.watch(): …`, or enter it first (`async with`) and call `next`.
    """

    jobs: dict[int, JobStatus]
    unfinished: dict[int, None]
    journal: str
    worker: WorkerState
    paused: bool
    lost: bool
    service: ServiceEvent | None

    def __init__(self, client: AsyncFlowRunner, ids: Iterable[int] | None, journal: str | None) -> None:
        self._client = client
        self._state = watching(client, ids, journal)
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
        if name in ("jobs", "unfinished", "journal", "worker", "paused", "lost", "service"):
            return getattr(self._state, name)
        raise AttributeError(f"a watch has no {name!r}")

    async def __aiter__(self) -> AsyncIterator[WatchEvent]:
        """Yield events until all jobs have ended, then close the watch. Raises WouldDeadlock."""
        async with self:
            self._state.check_can_end()
            while self._state.has_events or self._state.goes_on:
                event = await self.next()
                if event is not None:
                    yield event

    def close(self) -> None:
        """End the subscription. Closing again does nothing."""
        self._feed.close()

    async def refresh(self) -> None:
        """Request the status now. It includes what events do not, such as a task's note."""
        await self._run(self._state.refresh())

    async def next(self, seconds: float = float("inf")) -> WatchEvent | None:
        """Return the next event, None after `seconds` without one or at the end. If cancelled, it loses none."""
        return await self._run(self._state.next(asyncio.get_running_loop().time() + seconds))

    async def wait(self, timeout: float | None = None) -> dict[int, JobStatus]:
        """Wait at most `timeout` seconds until all have ended. Return the final statuses by id. Raises WaitTimeout."""
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
