"""`zclient top` without a service: when it asks, and what it needs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from zjobs.client.aio import AsyncClient
from zjobs.client.cli.show.styled import ASCII
from zjobs.client.cli.top import app, live
from zjobs.client.cli.top.app import Top
from zjobs.client.errors import KeyNeeded, NotPermitted
from zjobs.client.protocol.events import watch
from zjobs.messages.requests.queries import Queue
from zjobs.messages.states import JobState, WorkerState


async def until(condition: Callable[[], Any]) -> None:
    """Lets the loop run until the condition holds."""
    deadline = asyncio.get_running_loop().time() + 30
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.005)


async def test_nothing_is_asked_while_nothing_changes(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on by itself; one event leads to one look, and many soon after each other to one more."""
    monkeypatch.setattr(watch, "CHECK_EVERY_S", 3600.0)
    monkeypatch.setattr(app, "TICK_S", 0.01)
    monkeypatch.setattr(live, "GAP_S", 0.05)
    broker.add(1, JobState.IN_PROGRESS, elapsed_ms=1_000)
    top = Top(AsyncClient(broker.address), ASCII)
    painted: list[None] = []
    paint = top._paint
    monkeypatch.setattr(top, "_paint", lambda: (painted.append(None), paint()))
    async with top.run_test(size=(60, 20)):
        await until(lambda: broker.asked(Queue))
        await until(lambda: len(painted) > 30)
        assert len(broker.asked(Queue)) == 1
        broker.emit_service(WorkerState.SILENT, None)
        await until(lambda: len(broker.asked(Queue)) > 1)
        for state in (WorkerState.READY, WorkerState.SILENT) * 20:
            broker.emit_service(state, None)
        before = len(painted)
        await until(lambda: len(painted) > before + 50)
        assert len(broker.asked(Queue)) <= 5


async def test_what_no_waiting_mends_ends_it(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is missing is an error with its sentence; a broker that is away is not."""

    async def refused(*_: Any) -> None:
        raise KeyNeeded("wants a key")

    monkeypatch.setattr(live.Live, "_watch", refused)
    top = Top(AsyncClient(broker.address), ASCII)
    async with top.run_test(size=(60, 20)):
        await until(lambda: top.return_value is not None)
    assert isinstance(top.return_value, KeyNeeded)


async def test_a_key_that_may_not_watch_asks_now_and_then(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submitter sees its own jobs, and hears of no others."""

    async def forbidden(*_: Any) -> None:
        raise NotPermitted("this key may not watch all jobs")

    monkeypatch.setattr(live.Live, "_watch", forbidden)
    monkeypatch.setattr(live, "UNWATCHED_S", 0.01)
    monkeypatch.setattr(live, "GAP_S", 0.01)
    async with Top(AsyncClient(broker.address), ASCII).run_test(size=(60, 20)):
        await until(lambda: len(broker.asked(Queue)) > 3)


def test_without_a_terminal(run: Any) -> None:
    """It says what shows the same elsewhere."""
    ran = run("top")
    assert (ran.code, ran.err) == (
        2,
        "zclient: zclient top needs a terminal; zclient status shows the queue anywhere\n",
    )


def test_without_the_extra() -> None:
    """The sentence names what to install."""
    code = "import sys; sys.modules['textual'] = None\nfrom zjobs.client.__main__ import main; sys.exit(main(['top']))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "zclient: zclient top needs the package textual: pip install 'zjobs[top]'\n"
