"""The connection of `top` to a service: reports when something changed, and whether the broker is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from zjobs.client.aio import AsyncClient
from zjobs.client.errors import BrokerChanged, BrokerUnreachable, KeyNeeded, KeyRefused, NotPermitted

NO_ANSWER = "it does not answer"

# However much happens, the page is fetched no more often than this.
GAP_S = 0.3
# The pause before a broker that did not answer at all is tried again.
AGAIN_S = 1.0
# How often the page is fetched if the key may not watch all jobs.
UNWATCHED_S = 2.0


class Live:
    """Follows one service. After changes, but not too often, it calls `refresh`, which fetches what is shown; and
    `lost`, with the reason, when the broker is away."""

    def __init__(
        self, client: AsyncClient, refresh: Callable[[], Awaitable[None]], lost: Callable[[str], None]
    ) -> None:
        self._client = client
        self._refresh = refresh
        self._lost = lost
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Record a change: `refresh` is called soon."""
        self._changed.set()

    async def run(self) -> None:
        """Follow the service without end. Raises errors that no waiting mends, such as KeyRefused."""
        tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._refresh_after_changes())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()

    async def _follow(self) -> None:
        while True:
            try:
                await self._watch()
            except BrokerChanged:
                continue  # another journal: everything is asked for anew
            except BrokerUnreachable as error:
                self._lost(error.why or NO_ANSWER)
                await asyncio.sleep(AGAIN_S)
            except (KeyNeeded, KeyRefused):
                raise
            except NotPermitted:  # to watch all jobs
                self._changed.set()
                await asyncio.sleep(UNWATCHED_S)

    async def _watch(self) -> None:
        async with self._client.watch() as watch:
            self._changed.set()
            while True:
                event = await watch.next()
                if event is not None and event.link is False:
                    self._lost(NO_ANSWER)
                else:
                    self._changed.set()

    async def _refresh_after_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._refresh()
            except BrokerUnreachable as error:
                self._lost(error.why or NO_ANSWER)
            await asyncio.sleep(GAP_S)
