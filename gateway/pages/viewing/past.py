"""The last hours of a service: what the strip, and the distributions beside it, are made of."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from zjobs.client.aio import AsyncClient
from zjobs.gateway.events.hub import Hub
from zjobs.gateway.pages.elements.spread import spreads
from zjobs.gateway.pages.elements.strip import DEFAULT_WINDOW, WINDOWS, run_of, strip
from zjobs.gateway.pages.shared.rendering import rendered
from zjobs.gateway.pages.shared.replies import audience
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Events, Reader, Reading
from zjobs.messages.requests.queries import List, ListReply, Queue, QueueReply
from zjobs.messages.states import JobState
from zjobs.program import clock

ROUTES = APIRouter(prefix="/services/{service}", route_class=PageRoute, include_in_schema=False)

Window = Annotated[str, Query(pattern=f"^({'|'.join(WINDOWS)})$")]

# How many jobs of each outcome are looked at. Whatever is older is marked as not listed.
MOST_LISTED = 400
MOST_TYPES = 4


@ROUTES.get("/part/strip")
async def part(request: Request, reader: Reading, hub: Events, window: Window = DEFAULT_WINDOW) -> Response:
    """Return the strip, for the script."""
    return HTMLResponse(await look_back(request, reader, hub, window))


async def look_back(request: Request, reader: Reader, hub: Hub, window: str) -> Markup:
    """Return the strip as a part of a page: the same for all who see the same jobs. Raises ZjobsError."""

    async def make() -> Markup:
        return Markup(rendered(request, "parts/strip.html", **await _past(reader.client, hub, window)))

    key = audience(reader.visitor.person, List()), "strip", window
    strip: Markup = await reader.get(key, make)
    return strip


async def _past(client: AsyncClient, hub: Hub, window: str) -> dict[str, Any]:
    """Ask for the jobs that have ended last, and the one that runs."""
    queue: QueueReply
    pages: list[ListReply]
    queue, *pages = await asyncio.gather(
        client.ask(Queue(1)), *(client.ask(List(state, limit=MOST_LISTED)) for state in JobState if state.final)
    )
    now = clock.wall_ms()
    ended = [job for page in pages for job in page.jobs]
    runs = [run for job in (*queue.jobs, *ended) if (run := run_of(job)) is not None]
    oldest = [min(job.ended_at or 0 for job in page.jobs) for page in pages if page.before is not None and page.jobs]
    return {
        "window": window,
        "strip": strip(runs, hub.pauses, window, now, max(oldest, default=None)),
        "spreads": spreads(job for job in ended if (job.ended_at or 0) >= now - WINDOWS[window].length_ms)[:MOST_TYPES],
    }
