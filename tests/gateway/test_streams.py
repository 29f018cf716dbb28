"""Streams of events, from a server and a broker that run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from zjobs.gateway.events import hub

if TYPE_CHECKING:
    from tests.gateway.conftest import Api, Running


async def test_a_job_from_beginning_to_end(api: Api, running: Running) -> None:
    """The stream of the service tells each change, with an id; proxies are told to let it through."""
    async with running.events() as events:
        assert events.answered.headers["content-type"].startswith("text/event-stream")
        assert events.answered.headers["cache-control"] == "no-cache, no-transform"
        assert events.answered.headers["x-accel-buffering"] == "no"
        kind, state, _ = await events.next()
        assert kind == "service" and state["reachable"] and state["pauses"] == []
        job_id = await api.submit("reverse", "example")
        await events.job(job_id, "completed")


async def test_a_stream_goes_on_where_it_was(api: Api, running: Running) -> None:
    """What came meanwhile is told, each event once."""
    async with running.events() as events:
        first = await api.submit("echo", 1)
        last = await events.job(first, "completed")
    second = await api.submit("echo", 2)
    await api.ended(second)
    async with running.events(last_event_id=last) as events:
        kinds = [await events.next() for _ in range(2)]
        assert {data["id"] for kind, data, _ in kinds if kind == "job"} == {second}
        assert kinds[-1][1]["state"] == "completed" or await events.job(second, "completed")


@pytest.mark.parametrize("last_id", ["0-0", "elsewhere", "ffffffff-17"])
async def test_an_id_that_is_not_known(running: Running, last_id: str) -> None:
    """The client is told to ask for everything, and then how the service is."""
    async with running.events(last_event_id=last_id) as events:
        assert (await events.next())[0] == "resync"
        assert (await events.next())[0] == "service"


async def test_the_stream_of_a_job_ends_with_it(api: Api, running: Running) -> None:
    """It begins with the present status; who comes back after the end is told not to."""
    job_id = await api.submit("echo", 1, delay_ms=3_600_000)
    async with running.events(f"jobs/{job_id}/events") as events:
        assert (await events.next())[1]["state"] == "queued"
        other = await api.submit("echo", 2)
        await api.ended(other)
        await api.post(f"jobs/{job_id}/cancel")
        kind, data, event_id = await events.next()
        assert (kind, data["id"], data["state"]) == ("job", job_id, "cancelled")
        with pytest.raises(EOFError):
            await events.block()
    again = await running.client.get(f"jobs/{job_id}/events", headers={"Last-Event-ID": event_id})
    assert again.status_code == 204
    async with running.events(f"jobs/{job_id}/events") as events:
        assert (await events.next())[1]["state"] == "cancelled"
        with pytest.raises(EOFError):
            await events.block()


async def test_a_stream_shows_that_it_lives(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat tells how far the stream is, and is no event."""
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.02)
    async with running.events() as events:
        await events.next()
        assert (await events.block()).keys() == {"id"}
        assert (await events.block()).keys() == {"id"}


async def test_streams_end_when_the_gateway_stops(running: Running) -> None:
    """Those that are open, and those that come after."""
    async with running.events() as events:
        await events.next()
        running.app.state.services.end_streams()
        with pytest.raises(EOFError):
            await events.block()
    async with running.events() as events:
        assert (await events.block()).keys() == {"retry"}
        with pytest.raises(EOFError):
            await events.block()


async def test_whoever_leaves_is_forgotten(running: Running, until: Callable[..., Awaitable[None]]) -> None:
    """A stream holds nothing once its client is gone."""
    streams = running.app.state.services.hub("laser")._streams
    async with running.events() as events:
        await events.next()
        assert len(streams) == 1
    await until(lambda: not streams)


async def test_many_streams_hear_every_event(api: Api, running: Running) -> None:
    """However many there are, the broker has one watcher, and nobody misses anything."""
    limits = httpx.Limits(max_connections=None)
    async with running.asking(limits=limits) as running.client:
        opened = [running.events() for _ in range(40)]
        streams = [await each.__aenter__() for each in opened]
        for events in streams:
            await events.next()
        ids = [await api.submit("echo", place) for place in range(10)]
        await asyncio.gather(*(events.job(job_id, "completed") for events in streams for job_id in ids[-1:]))
        for each in opened:
            await each.__aexit__(None, None, None)
