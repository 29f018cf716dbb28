"""Answers that many browsers share."""

from __future__ import annotations

import asyncio

import pytest

from zjobs.gateway.pages.visit.shared import Shared


class Maker:
    """Makes an answer when it may."""

    def __init__(self) -> None:
        self.made = 0
        self.may = asyncio.Event()
        self.error: Exception | None = None

    async def make(self) -> bytes:
        self.made += 1
        await self.may.wait()
        if self.error is not None:
            raise self.error
        return b"%d" % self.made


async def test_what_many_ask_for_is_made_once() -> None:
    """Also for who asks when it is ready; something else is made by itself; and one who goes away disturbs nobody."""
    shared, maker = Shared(), Maker()
    waiting = [asyncio.create_task(shared.get("key", maker.make)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    maker.may.set()
    assert await asyncio.gather(*waiting) == [b"1", b"1"]
    assert await shared.get("key", maker.make) == b"1"
    assert await shared.get("other", maker.make) == b"2"


async def test_an_error_is_for_those_who_wait() -> None:
    """The next one who asks is not given it again."""
    shared, maker = Shared(), Maker()
    maker.may.set()
    maker.error = ValueError("the broker is away")
    with pytest.raises(ValueError, match="away"):
        await shared.get("key", maker.make)
    maker.error = None
    assert await shared.get("key", maker.make) == b"2"
