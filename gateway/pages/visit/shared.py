"""Answers that many browsers ask for at once: after a change, each page that is open asks for its parts anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable

# Times in a page grow old, so a part is made anew after this time even if nothing has happened.
LASTS_S = 1.0


class Shared:
    """Answers by what they depend on. What is asked for while it is being made is made once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, asyncio.Future[bytes]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return what `make` makes, or has made a moment ago. Raises what it raises."""
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = asyncio.ensure_future(make())
            made.add_done_callback(lambda done: self._forget_later(key, done))
        return await asyncio.shield(made)  # the others go on waiting when one browser goes away

    def _forget_later(self, key: Hashable, done: asyncio.Future[bytes]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._made.pop(key, None)
        else:
            asyncio.get_running_loop().call_later(LASTS_S, self._made.pop, key, None)
