"""The page of a service: what a visitor wants to know in the first five seconds."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from zjobs.client.aio import AsyncClient
from zjobs.client.errors import ZjobsError
from zjobs.gateway.pages.looking.overview import look
from zjobs.gateway.pages.looking.past import Window, look_back
from zjobs.gateway.pages.shown import jobs
from zjobs.gateway.pages.shown.strip import DEFAULT_WINDOW
from zjobs.gateway.pages.visit.rendering import page
from zjobs.gateway.pages.visit.route import PageRoute
from zjobs.gateway.pages.visit.service import Client, Events, services_of
from zjobs.gateway.pages.visit.shared import Shared
from zjobs.gateway.pages.visit.visitor import Visiting, Visitor
from zjobs.gateway.problems import problem_of
from zjobs.messages.requests.queries import Info

ROUTES = APIRouter(route_class=PageRoute, include_in_schema=False)

# How long a visitor waits for a broker that was away a moment ago.
_WAIT_S = 1.0

Part = Literal["all", "freshness", "pauses", "now", "yours", "next", "recent"]


@ROUTES.get("/")
async def begin(request: Request, visitor: Visiting) -> Response:
    """Redirect to the first service."""
    root = request.scope.get("root_path", "")
    return RedirectResponse(f"{root}/services/{services_of(request).names[0]}", 303)


@ROUTES.get("/services")
async def services(request: Request, visitor: Visiting) -> Response:
    """All services, with the state of each."""
    return page(request, "services.html")


@ROUTES.get("/services/{service}")
async def service(
    request: Request, client: Client, hub: Events, visitor: Visiting, window: Window = DEFAULT_WINDOW
) -> Response:
    """Show a service: what runs, what is next, what has ended."""
    try:
        if not hub.state.reachable:  # a visitor does not wait as long as a program would
            await client.ask(Info(), timeout=_WAIT_S)
        shown, past = await asyncio.gather(_shown(client, visitor), look_back(client, hub, window))
        return page(request, "service.html", 200, **shown, **past)
    except ZjobsError as error:
        problem = problem_of(error)
        if problem.status != 503:
            raise
        return page(request, "away.html", 503, problem=problem, state=hub.state, heard_at=hub.heard_at)


@ROUTES.get("/services/{service}/part/{part}")
async def part(request: Request, client: Client, visitor: Visiting, part: Part) -> Response:
    """Return a part of the page, for the script: the element that has this id, or all of them.

    Whoever asks after the same event on behalf of the same person is given the same.
    """

    async def make() -> bytes:
        return bytes(page(request, f"parts/{part}.html", 200, **await _shown(client, visitor)).body)

    shared: Shared = request.app.state.shared
    key = (request.path_params["service"], request.state.event, part, visitor.person)
    return HTMLResponse(await shared.get(key, make))


async def _shown(client: AsyncClient, visitor: Visitor) -> dict[str, Any]:
    seen = await look(client, visitor)
    runs = seen.info.worker.running is not None
    running = seen.running
    return {
        "seen": seen,
        "info": seen.info,
        "asked_at": seen.at,
        "now": None if running is None else jobs.running(running, seen.limit_ms, seen.info.worker.state),
        "rows": jobs.rows(seen.coming, seen.queue.delayed, runs, seen.at),
        "mine": None if seen.yours is None else jobs.row(seen.yours, runs, seen.at),
    }
