"""`zclient top` on a real service, with textual's pilot at the keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zjobs.client.aio import AsyncClient
from zjobs.client.cli.show.styled import UNICODE
from zjobs.client.cli.top.app import Top

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.conftest import Service

PATIENCE_S = 30.0


class Screen:
    """What the pilot sees."""

    def __init__(self, pilot: Pilot[Any]) -> None:
        self._pilot = pilot

    @property
    def text(self) -> str:
        """The lines of the screen, each gap as one space."""
        strips = [self._pilot.app.query_one("Canvas").render_line(y) for y in range(self._pilot.app.size.height)]
        return " ".join("\n".join(strip.text for strip in strips).split())

    async def until(self, *wanted: str) -> str:
        """Waits until all of this is on the screen."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not all(each in self.text for each in wanted):
            assert asyncio.get_running_loop().time() < deadline, f"{wanted} is not in:\n{self.text}"
            await self._pilot.pause(0.02)
        return self.text

    async def press(self, *keys: str) -> None:
        """Presses keys, one after another."""
        await self._pilot.press(*keys)


async def test_a_session(service: Service) -> None:
    """What runs and what comes is shown as it happens; jobs are opened, followed, cancelled, retried; a pause; q."""
    top = Top(AsyncClient(service.listen), UNICODE)
    client = service.client()
    async with top.run_test(size=(100, 30)) as pilot:
        screen = Screen(pilot)
        await screen.until("worker ready", "nothing runs")
        first = client.submit("once_gate", "a")
        second = client.submit("once_gate", "b")
        await screen.until(f"▶ {first.id} once_gate", f"1 {second.id} once_gate")
        await screen.press("down", "c", "y")
        await screen.until(f"job {second.id}: cancelled", "ENDED")
        await screen.press("r", "y")
        await screen.until(f"job {second.id} is retried as {second.id + 1}", f"1 {second.id + 1} once_gate")
        await screen.press("home", "enter")
        await screen.until("request key:", "in progress for")
        await screen.press("q", "p", *"10m", "enter", *"lens", "enter")
        await screen.until("paused by", " until ", ": lens")
        service.open_gate("a")
        await screen.until("nothing runs", f"✓ {first.id}")
        await screen.press("u", "y")
        await screen.until("resumed", f"▶ {second.id + 1}")
        assert "paused" not in screen.text
        service.open_gate("b")
        await screen.press("/", *"once_gate", "space", *"cancelled", "enter")
        await screen.until("only: once_gate cancelled", f"– {second.id}")
        await screen.press("escape", "q")
    assert top.return_value is None


async def test_the_broker_goes_away_and_comes_back(new_service: Callable[..., Service]) -> None:
    """What was there stays, with its age, and nothing can be done; then it is as it is now."""
    service = new_service()
    service.start_broker()
    service.client().submit("anything", "x")
    top = Top(AsyncClient(service.listen), UNICODE)
    async with top.run_test(size=(60, 20)) as pilot:
        screen = Screen(pilot)
        await screen.until("worker absent", "anything")
        service.broker.kill()
        await screen.until("this is how it was", "anything")
        await screen.press("c")
        await screen.until("not possible while there is no broker")
        service.start_broker()
        service.client().submit("another", "x")
        await screen.until("another")
        assert "this is how" not in screen.text
