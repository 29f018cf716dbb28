"""The execution of an AsyncClient's flows on its connections."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from zjobs.client.config.settings import Settings
from zjobs.client.errors import BrokerUnreachable, StorageFailed, ZjobsError
from zjobs.client.net.async_events import Events
from zjobs.client.net.link import Link
from zjobs.client.net.reach import trouble, wait_for_host
from zjobs.client.protocol.actions import (
    RETRY_S,
    WAIT_S,
    Action,
    Ask,
    Attempts,
    Await,
    Flow,
    Sleep,
    body_of,
    kept_s,
    read_reply,
    reply_bytes,
    waiting_request,
)
from zjobs.client.protocol.job import gone
from zjobs.client.protocol.shared_waits import SharedWaits
from zjobs.messages import codec
from zjobs.messages.requests.queries import Result, ResultReply, Wait, WaitReply
from zjobs.messages.states import JobState

T = TypeVar("T")


class AsyncFlowRunner(Settings):
    """A client's settings and its connections; performs flows in the event loop."""

    def __init__(
        self,
        broker: str | Sequence[str] | None,
        timeout: float,
        patience: float,
        key: str | os.PathLike[str] | None,
        service: str | None,
    ) -> None:
        super().__init__(broker, timeout, patience, key, service)
        self._link = Link(self.addresses, self.key)
        self._events = Events(self._link)
        self._resolved_hosts: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._asking: set[asyncio.Task[None]] = set()  # the event loop itself does not keep a task alive
        self._share_waits()

    def _share_waits(self) -> None:
        """Begin without waits; those of different people use requests of their own."""
        self._waits: SharedWaits[asyncio.Future[WaitReply]] = SharedWaits(WAIT_S)
        self._waits_sent = False

    async def _ask(self, request: Any, kind: type[T], timeout: float | None = None) -> T:
        frame = codec.encode(request, self.person)
        timeout = self.timeout if timeout is None else timeout
        clock = asyncio.get_running_loop().time
        begun = clock()
        attempts = Attempts(timeout, len(frame) + reply_bytes(request), begun, kept_s(request))
        connected = False
        while True:
            address, stood = self.address, False
            if await self._find_host(address, begun + timeout):
                frames, stood = await self._link.ask(frame, attempts.begin(clock()))
                if frames is not None:
                    return read_reply(body_of(frames, address), kind, address)
            pause = attempts.failed(clock(), stood)
            connected = connected or stood
            if pause is None:
                raise BrokerUnreachable(self.addresses.named, timeout, await self._why(), connected)
            if not self.addresses.leave(address):
                await asyncio.sleep(pause)

    async def _find_host(self, address: str, deadline: float) -> bool:
        """Wait until the host's name has an address; only briefly if another broker may be tried."""
        if address not in self._resolved_hosts:
            until = deadline
            if self.addresses.several:
                until = min(deadline, asyncio.get_running_loop().time() + RETRY_S)
            why = await asyncio.to_thread(wait_for_host, address, until, lambda why: None)
            self._troubles[address] = why
            if why:
                return False
            self._resolved_hosts.add(address)
        return True

    async def _why(self) -> str:
        """Return what is wrong at each address, unless there ever was a connection."""
        if self._link.stood:
            return ""
        for address in self._resolved_hosts:
            self._troubles[address] = await asyncio.to_thread(trouble, address)
        return self.addresses.why(self._troubles)

    async def _perform(self, action: Action) -> Any:
        if isinstance(action, Ask):
            return await self._ask(*action)
        if isinstance(action, Await):
            return await self._await(action)
        assert isinstance(action, Sleep)
        if action.seconds:
            await asyncio.sleep(action.seconds)
        return asyncio.get_running_loop().time()

    # --- waiting requests, which all waits share ---------------------------------------------------------------

    async def _await(self, action: Await) -> Any:
        request = action.request
        ids = request.ids if isinstance(request, Wait) else (request.id,)
        waiter: asyncio.Future[WaitReply] = asyncio.get_running_loop().create_future()
        self._waits.add(waiter, ids, isinstance(request, Result))
        self._send_waits_soon()
        try:
            await asyncio.wait([waiter], timeout=None if action.seconds == float("inf") else action.seconds)
            if not waiter.done():  # its time is over; ask for the present state
                return await self._ask(waiting_request(action, 0), action.kind, action.timeout)
        finally:
            if not waiter.done():
                self._waits.drop(waiter)
        reply = waiter.result()
        return reply if isinstance(request, Wait) else await self._result_of(request, reply)

    async def _result_of(self, request: Result, reply: WaitReply) -> ResultReply:
        """Return the reply that the job's own request would have got."""
        for missing in reply.missing:
            if missing.id == request.id:
                raise gone(missing)
        job = next(job for job in reply.jobs if job.id == request.id)
        if job.state is not JobState.COMPLETED:
            return ResultReply(reply.journal, job.id, job.state, 0, 0, b"", job.reason, job.message, job)
        for result in reply.results:
            if result.id == request.id:
                return ResultReply(reply.journal, job.id, job.state, len(result.body), 0, result.body)
        return await self._ask(request, ResultReply)

    def _send_waits_soon(self) -> None:
        """Send the waits after this round of the loop, so that waits that begin together share a request."""
        if not self._waits_sent:
            self._waits_sent = True
            asyncio.get_running_loop().call_soon(self._send_waits)

    def _send_waits(self) -> None:
        self._waits_sent = False
        loop = asyncio.get_running_loop()
        while (asked := self._waits.next(loop.time())) is not None:
            task = loop.create_task(self._wait(*asked))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _wait(self, number: int, request: Wait) -> None:
        try:
            reply = await self._ask(request, WaitReply)
        except Exception as error:
            # without a broker or its journal, no job of the request is to blame
            refused = isinstance(error, ZjobsError) and not isinstance(error, (BrokerUnreachable, StorageFailed))
            told = self._waits.failed(number, error, refused)
        else:
            told = self._waits.replied(number, reply, asyncio.get_running_loop().time())
        for waiter, outcome in told:
            if waiter.done():
                continue
            if isinstance(outcome, Exception):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)
        self._send_waits_soon()

    async def _run(self, flow: Flow[T]) -> T:
        return await run(flow, self._perform)


async def run(flow: Flow[T], perform: Any) -> T:
    """Perform the actions of `flow` and return its result. Cancelling ends the flow at its present action."""
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
