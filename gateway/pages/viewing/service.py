"""The page of a service: what a visitor wants to know in the first five seconds."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from zjobs.client.errors import BrokerUnreachable, ZjobsError
from zjobs.gateway.events.hub import Hub
from zjobs.gateway.pages.elements import jobs
from zjobs.gateway.pages.elements.strip import DEFAULT_WINDOW
from zjobs.gateway.pages.shared.rendering import page, rendered
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Events, Reader, Reading, services_of
from zjobs.gateway.pages.shared.visitor import Visiting
from zjobs.gateway.pages.viewing.overview import Overview, look
from zjobs.gateway.pages.viewing.past import Window, look_back
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
async def service(request: Request, reader: Reading, hub: Events, window: Window = DEFAULT_WINDOW) -> Response:
    """Show a service: what runs, what is next, what has ended."""
    try:
        if not hub.state.reachable:  # a visitor does not wait as long as a program would
            await reader.client.ask(Info(), timeout=_WAIT_S)
        return await _page(request, reader, hub, window, 200)
    except ZjobsError as error:
        problem = problem_of(error)
        if problem.status != 503:
            raise
    with contextlib.suppress(BrokerUnreachable):  # if nothing is remembered
        reader.away = True
        request.state.visitor = replace(reader.visitor, only_looks=True)
        return await _page(request, reader, hub, window, 503)
    return page(request, "away.html", 503, problem=problem, state=hub.state, heard_at=hub.heard_at)


async def _page(request: Request, reader: Reader, hub: Hub, window: str, status: int) -> Response:
    seen, strip = await asyncio.gather(look(reader), look_back(request, reader, hub, window))
    return page(request, "service.html", status, strip=strip, away=reader.away, **_content(seen))


@ROUTES.get("/services/{service}/part/{part}")
async def part(request: Request, reader: Reading, part: Part) -> Response:
    """Return a part of the page, for the script: the element that has this id, or all of them."""
    seen = await look(reader)
    person = reader.visitor.person

    async def make() -> bytes:
        return rendered(request, f"parts/{part}.html", **_content(seen)).encode()

    # people of a role are shown the same, but for those whose own jobs are shown
    key = part, person.role, person.name if person.name in seen.owners else "", reader.numbers
    return HTMLResponse(await reader.get(key, make))


def _content(seen: Overview) -> dict[str, Any]:
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
