"""Runs the flows of an AsyncClient on its connections."""

from __future__ import annotations

import asyncio
import os
from typing import Any, TypeVar, cast

from zjobs.client.errors import BrokerUnreachable
from zjobs.client.net.async_events import Events
from zjobs.client.net.link import Link
from zjobs.client.net.reach import trouble, wait_for_host
from zjobs.client.protocol.actions import Action, Ask, Attempts, Flow, Sleep, body_of, read_reply, reply_bytes
from zjobs.client.settings import Settings
from zjobs.messages import codec

T = TypeVar("T")


class AsyncFlowRunner(Settings):
    """A client's settings and its connections; performs flows in the event loop."""

    def __init__(
        self,
        broker: str | None,
        timeout: float,
        patience: float,
        key: str | os.PathLike[str] | None,
        service: str | None,
    ) -> None:
        super().__init__(broker, timeout, patience, key, service)
        self._link = Link(self.address, self.key)
        self._events = Events(self._link)
        self._host_known = False

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
    """Performs the actions of `flow` and returns its result. A cancel ends the flow at its present action."""
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
