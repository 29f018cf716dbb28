"""Templates: what each page has, and how what comes from jobs is made harmless in one place."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from zjobs.client.wording import text
from zjobs.gateway.pages.elements import jobs, times
from zjobs.gateway.pages.elements.strip import WINDOWS
from zjobs.gateway.pages.shared.visitor import Visitor, csrf_token
from zjobs.gateway.services import Services
from zjobs.program import clock
from zjobs.program.version import VERSION

HERE = Path(__file__).parents[1]
STATIC = HERE / "static"


def harmless(value: Any) -> Any:
    """Return text without what a browser, a terminal or a reader may be deceived by: control characters, marks that
    turn the direction of writing. They are shown as \\x1b and the like; lines stay lines."""
    if isinstance(value, Markup) or not isinstance(value, str) or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in value)


def exact(value: str) -> Markup:
    """Return text as it is, for a field of a form: what is sent back must be what was there."""
    return Markup.escape(value)


# Autoescape and `finalize` see everything that is put into a page, so no template can forget either.
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    finalize=harmless,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
TEMPLATES.filters.update(
    exact=exact,
    clock=times.clock,
    moment=times.moment,
    second=times.second,
    ago=times.ago,
    took=times.took,
    call=jobs.call,
    title=jobs.title,
    whose=jobs.whose,
    outcome=jobs.outcome,
    bytes=text.byte_count,
    exactly=text.exact,
)
TEMPLATES.globals.update(STATES=jobs.STATES, WORKERS=jobs.WORKERS, WINDOWS=WINDOWS)


def page(request: Request, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    """Return the page, or the part of one, that a template makes of these values."""
    return HTMLResponse(rendered(request, template, **values), status)


def rendered(request: Request, template: str, /, **values: Any) -> str:
    """Return what a template makes of these values."""
    return TEMPLATES.get_template(template).render(frame(request) | values)


def frame(request: Request) -> dict[str, Any]:
    """Return what every page has around its own content."""
    services: Services = request.app.state.services
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    root: str = request.scope.get("root_path", "")
    name: str | None = request.path_params.get("service")
    return {
        "root": root,
        "asset": lambda file: f"{root}/static/{file}?v={digest_of(file)}",
        "nonce": request.state.nonce,
        "csrf": csrf_token(request),
        "visitor": visitor,
        "person": None if visitor is None else visitor.person,
        "services": services.names,
        "states": {each: services.hub(each).state for each in services.names},
        "service": name if name in services.names else None,
        "event": request.state.event,
        "at": f"{root}/services/{name}",
        "now_ms": clock.wall_ms(),
        "zone": times.zone(clock.wall_ms()),
        "version": VERSION,
    }


def last_event(request: Request) -> str:
    """Return the id of the last event of the service. Read before the broker is asked: then what a page shows is not
    older, and a stream that goes on after this event misses nothing."""
    services: Services = request.app.state.services
    name = request.path_params.get("service")
    return services.hub(name).kept.here if name in services.names else ""


@cache
def digest_of(file: str) -> str:
    """Return what changes with the content of a static file, so that browsers may keep it for good."""
    return hashlib.sha256((STATIC / file).read_bytes()).hexdigest()[:12]
