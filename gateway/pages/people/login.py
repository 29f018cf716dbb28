"""Logging in and out by forms."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.accounts import Action
from zjobs.gateway.identity.models import Kind
from zjobs.gateway.identity.person import address, by, identity_of
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.visitor import Form, LoggedIn, begin_login, login_cookie, set_cookie, text_of
from zjobs.gateway.problems import Problem

ROUTES = APIRouter(route_class=PageRoute, include_in_schema=False)


@ROUTES.get("/login")
async def login(request: Request, next: str = "/") -> Response:
    """Show the form. It begins with a secret of its own, so that no other site's form can log somebody in."""
    secret = begin_login(request)
    answered = page(request, "login.html", 200, next=next, username="", problem="")
    if secret is not None:
        set_cookie(request, answered, secret, login=True)
    return answered


@ROUTES.post("/login")
async def log_in(request: Request, form: Form) -> Response:
    """Begin a session, and go to where the visitor wanted to go."""
    name, next = text_of(form, "username"), text_of(form, "next", "/")
    try:
        made = await identity_of(request).log_in(name, text_of(form, "password"), address(request), Kind.SESSION)
    except Problem as problem:
        answered = page(request, "login.html", problem.status, next=next, username=name, problem=_told(problem))
        answered.headers.update(problem.headers or {})
        return answered
    gone = RedirectResponse(request.scope.get("root_path", "") + _inside(next), 303)
    set_cookie(request, gone, made.text)
    gone.delete_cookie(login_cookie(identity_of(request)))
    return gone


@ROUTES.post("/logout")
async def log_out(request: Request, grant: LoggedIn) -> Response:
    """End the session."""
    async with identity_of(request).changing(grant) as session:
        user = await accounts.the_user(session, grant.person.name)
        await accounts.revoke_token(session, by(request, grant), user, grant.token_id, Action.LOGOUT)
    gone = RedirectResponse(f"{request.scope.get('root_path', '')}/login", 303)
    gone.delete_cookie(identity_of(request).cookie)
    return gone


def _told(problem: Problem) -> str:
    return f"{problem.detail[:1].upper()}{problem.detail[1:]}."


def _inside(path: str) -> str:
    """Return the path if it is one of ours, else the first page: a link to us must lead nowhere else."""
    is_path = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_path else "/"
