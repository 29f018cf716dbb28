"""Pausing the queue, with an end or without, and lifting pauses."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from zjobs.client.errors import BadRequest
from zjobs.client.protocol.job import milliseconds
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Client
from zjobs.gateway.pages.shared.visitor import Form, Visiting, Visitor, text_of
from zjobs.gateway.problems import Problem
from zjobs.messages.fields import MAX_REASON_CHARS
from zjobs.messages.records import QueuePause
from zjobs.messages.requests.changes import Pause, Resume
from zjobs.messages.requests.queries import Info, InfoReply

ROUTES = APIRouter(prefix="/services/{service}", route_class=PageRoute, include_in_schema=False)


@ROUTES.get("/pause")
async def ask_pause(request: Request, client: Client, visitor: Visiting) -> Response:
    """Ask for how long to pause, and why."""
    _check(visitor, "pause")
    return await _pause_page(request, client, 200, "30m" if not visitor.is_operator else "", "", "")


@ROUTES.post("/pause")
async def pause(request: Request, client: Client, visitor: Visiting, form: Form) -> Response:
    """Start nothing new. An empty duration means: until somebody resumes, which operators may say."""
    _check(visitor, "pause")
    duration, reason = text_of(form, "for").strip(), text_of(form, "reason").strip()
    wrong = ""
    for_ms = None
    if not duration and not visitor.is_operator:
        wrong = "say for how long: operators alone pause without an end"
    elif duration:
        try:
            for_ms = milliseconds("for", duration, low_ms=1)
        except BadRequest as error:
            wrong = str(error).removeprefix("for").lstrip(": ")
    if wrong or len(reason) > MAX_REASON_CHARS:
        return await _pause_page(request, client, 422, duration, reason[:MAX_REASON_CHARS], wrong)
    await client.ask(Pause(reason, None, for_ms))
    return _back(request)


async def _pause_page(
    request: Request, client: Client, status: int, duration: str, reason: str, wrong: str
) -> Response:
    info: InfoReply = await client.ask(Info())
    return page(
        request,
        "pause.html",
        status,
        info=info,
        duration=duration,
        reason=reason,
        wrong=wrong,
        most_reason=MAX_REASON_CHARS,
    )


@ROUTES.get("/resume")
async def ask_resume(request: Request, client: Client, visitor: Visiting) -> Response:
    """Show which pauses would be lifted, and which would stay."""
    _check(visitor, "resume")
    return await _resume_page(request, client, visitor, 200)


@ROUTES.post("/resume")
async def resume(request: Request, client: Client, visitor: Visiting, form: Form) -> Response:
    """Lift one's own pauses, or as an operator all, if they are those that the visitor saw."""
    _check(visitor, "resume")
    info: InfoReply = await client.ask(Info())
    if text_of(form, "seen") != _seen(info.pauses):
        return await _resume_page(request, client, visitor, 409)
    await client.ask(Resume(all=text_of(form, "all") == "yes"))
    return _back(request)


async def _resume_page(request: Request, client: Client, visitor: Visitor, status: int) -> Response:
    info: InfoReply = await client.ask(Info())
    own = [pause for pause in info.pauses if pause.owner == visitor.person.name or _is_nobodys(pause, visitor)]
    return page(
        request,
        "resume.html",
        status,
        info=info,
        own=own,
        others=[pause for pause in info.pauses if pause not in own],
        seen=_seen(info.pauses),
        changed=status == 409,
    )


def _is_nobodys(pause: QueuePause, visitor: Visitor) -> bool:
    return not pause.owner and visitor.is_operator


def _seen(pauses: tuple[QueuePause, ...]) -> str:
    return " ".join(f"{pause.since_at}-{pause.until_at or 0}" for pause in pauses)


def _check(visitor: Visitor, op: str) -> None:
    if not visitor.may(op):
        raise Problem(403, "not_permitted", f"a {visitor.person.role} may not {op} the queue")


def _back(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/services/{request.path_params['service']}", 303)
