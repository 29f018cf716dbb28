"""Status requests of one person that come at the same time, as one request to the broker.

The jobs that somebody polls are asked for together: another request to the broker costs more than another job in one.
"""

from __future__ import annotations

import asyncio

from zjobs.client.aio import AsyncClient
from zjobs.client.errors import NotPermitted
from zjobs.client.protocol.job import gone
from zjobs.messages.records import JobStatus, Missing
from zjobs.messages.requests.queries import Status, StatusReply
from zjobs.messages.units import JobId

MOST_TOGETHER = 100

_Waiters = dict[int, list["asyncio.Future[JobStatus | Missing]"]]


class Together:
    """The status requests of one person; `client` asks on behalf of that person."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._waiting: _Waiters = {}
        self._asking: set[asyncio.Task[None]] = set()  # the event loop itself does not keep a task alive

    async def status(self, job_id: int) -> JobStatus:
        """Return the status of a job. Raises NotFound, Expired, and what the broker refuses with."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[JobStatus | Missing] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)  # after what has come by now
        self._waiting.setdefault(job_id, []).append(waiter)
        if len(self._waiting) >= MOST_TOGETHER:
            self._send()
        outcome = await waiter
        if isinstance(outcome, Missing):
            raise gone(outcome)
        return outcome

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, {}
        if waiting:
            task = asyncio.get_running_loop().create_task(self._ask(waiting))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, waiting: _Waiters) -> None:
        try:
            reply: StatusReply = await self._client.ask(Status(tuple(map(JobId, waiting))))
        except Exception as error:
            if isinstance(error, NotPermitted) and len(waiting) > 1:  # one of them is another's, say
                await asyncio.gather(*(self._ask({job_id: waiters}) for job_id, waiters in waiting.items()))
                return
            for waiters in waiting.values():
                _tell(waiters, error)
        else:
            for job in reply.jobs:
                _tell(waiting[job.id], job)
            for missing in reply.missing:
                _tell(waiting[missing.id], missing)


def _tell(waiters: list[asyncio.Future[JobStatus | Missing]], outcome: JobStatus | Missing | Exception) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if isinstance(outcome, Exception):
            waiter.set_exception(outcome)
        else:
            waiter.set_result(outcome)
