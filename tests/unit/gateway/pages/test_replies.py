"""Replies that many browsers share."""

from __future__ import annotations

import asyncio

import pytest

from zjobs.gateway.pages.shared import replies
from zjobs.gateway.pages.shared.replies import Replies


class Maker:
    """Makes a reply when it may. `event`: what has happened last."""

    def __init__(self) -> None:
        self.made = 0
        self.may = asyncio.Event()
        self.error: Exception | None = None
        self.event = "1"
        self.replies = Replies(most=2)

    async def make(self) -> int:
        self.made += 1
        number = self.made
        await self.may.wait()
        if self.error is not None:
            raise self.error
        return number

    async def get(self, key: str = "key") -> int:
        value: int = (await self.replies.get(key, lambda: self.event, self.make)).value
        return value


async def begun(*tasks: asyncio.Task[int]) -> None:
    """Let the tasks run until all of them wait."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_what_many_ask_for_is_made_once() -> None:
    """Also for who asks when it is ready; something else is made by itself; and one who goes away disturbs nobody."""
    maker = Maker()
    waiting = [asyncio.create_task(maker.get()) for _ in range(3)]
    await begun(*waiting)
    waiting.pop(0).cancel()
    maker.may.set()
    assert await asyncio.gather(*waiting) == [1, 1]
    assert await maker.get() == 1
    assert await maker.get("other") == 2


async def test_a_reply_knows_the_last_event() -> None:
    """What was begun before an event does not serve who comes after it; all who come meanwhile share the next one."""
    maker = Maker()
    early = asyncio.create_task(maker.get())
    await begun(early)
    late = []
    for maker.event in ("2", "3", "4"):
        late.append(asyncio.create_task(maker.get()))
        await begun(early, *late)
    assert maker.made == 1
    maker.may.set()
    assert await early == 1
    assert await asyncio.gather(*late) == [2, 2, 2]
    assert await maker.get() == 2
    maker.event = "5"
    assert await maker.get() == 3


async def test_a_reply_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second it is asked for anew, though nothing has happened."""
    maker = Maker()
    maker.may.set()
    assert [await maker.get(), await maker.get()] == [1, 1]
    monkeypatch.setattr(replies, "LASTS_MS", 0)
    assert await maker.get() == 2


async def test_an_error_is_for_those_who_wait() -> None:
    """The next one who asks is not given it again; the last reply is remembered."""
    maker = Maker()
    maker.may.set()
    assert await maker.get() == 1
    maker.event, maker.error = "2", ValueError("the broker is away")
    failed = await asyncio.gather(maker.get(), maker.get(), return_exceptions=True)
    assert [str(each) for each in failed] == ["the broker is away"] * 2 and maker.made == 2
    last = maker.replies.last("key")
    assert last is not None and last.value == 1
    maker.error = None
    assert await maker.get() == 3


async def test_few_replies_are_remembered() -> None:
    """Those that were asked for last."""
    maker = Maker()
    maker.may.set()
    for key in ("a", "b", "a", "c"):
        await maker.get(key)
    assert [maker.replies.last(key) is None for key in "abc"] == [False, True, False]
