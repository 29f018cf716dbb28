"""One's own account: the password, and tokens for programs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from zjobs.client.errors import BadRequest
from zjobs.client.protocol.job import milliseconds
from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.accounts import Action
from zjobs.gateway.identity.grants import Grant
from zjobs.gateway.identity.models import Kind
from zjobs.gateway.identity.passwords import LONGEST, SHORTEST
from zjobs.gateway.identity.person import address, by, identity_of
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.visitor import Form, LoggedIn, text_of
from zjobs.gateway.problems import Problem
from zjobs.messages.fields import MAX_PERSON_CHARS, is_person_name

ROUTES = APIRouter(prefix="/account", route_class=PageRoute, include_in_schema=False)


@ROUTES.get("")
async def account(request: Request, grant: LoggedIn, done: str = "") -> Response:
    """Show the forms for the password and the tokens."""
    return await _page(request, grant, 200, done=done)


@ROUTES.post("/password")
async def change_password(request: Request, grant: LoggedIn, form: Form) -> Response:
    """Change one's own password. All other logins end."""
    new = text_of(form, "new")
    wrong = wrong_password(new, text_of(form, "again"))
    if not wrong:
        try:
            await identity_of(request).change_password(grant, text_of(form, "current"), new, address(request))
            return _done(request, "password")
        except Problem as problem:
            if problem.status not in (403, 429):
                raise
            wrong = problem.detail
    return await _page(request, grant, 422, wrong_password=wrong)


@ROUTES.post("/tokens")
async def make_token(request: Request, grant: LoggedIn, form: Form) -> Response:
    """Make a token for a program, and show it this once."""
    name, lasts = text_of(form, "name").strip(), text_of(form, "lasts").strip()
    doer = by(request, grant)
    try:
        expires_at = doer.at + milliseconds("it", lasts, low_ms=1000) if lasts else None
        if not is_person_name(name):
            raise BadRequest("a name is letters, digits and . _ @ + -")
        async with identity_of(request).changing(grant) as session:
            user = await accounts.the_user(session, grant.person.name)
            made = await accounts.add_token(session, user, Kind.PROGRAM, doer.at, expires_at, name)
            await accounts.record(session, doer, Action.TOKEN_MADE, user.name, name)
    except BadRequest as error:
        return await _page(request, grant, 422, wrong_token=str(error), token_name=name, lasts=lasts)
    except Problem as problem:
        if problem.status != 409:
            raise
        return await _page(request, grant, 409, wrong_token=problem.detail, token_name=name, lasts=lasts)
    return await _page(request, grant, 200, made=made.text, token_name=name)


@ROUTES.post("/tokens/{token_id}/revoke")
async def revoke_token(request: Request, grant: LoggedIn, token_id: int) -> Response:
    """Revoke one of one's own tokens."""
    async with identity_of(request).changing(grant) as session:
        user = await accounts.the_user(session, grant.person.name)
        await accounts.revoke_token(session, by(request, grant), user, token_id)
    return _done(request, "revoked")


def wrong_password(new: str, again: str) -> str:
    """Say what is wrong with a new password that somebody has typed twice; empty: nothing is."""
    if new != again:
        return "the new password was typed in two ways"
    return "" if SHORTEST <= len(new) <= LONGEST else f"a password has {SHORTEST} to {LONGEST} characters"


async def _page(request: Request, grant: Grant, status: int, **values: Any) -> Response:
    identity = identity_of(request)
    async with identity.database.reading() as session:
        tokens = await accounts.list_tokens(session, grant.person.name, identity.now())
    values = {"wrong_password": "", "wrong_token": "", "token_name": "", "lasts": "", "made": "", "done": ""} | values
    return page(
        request,
        "account.html",
        status,
        tokens=tokens,
        own_id=grant.token_id,
        shortest=SHORTEST,
        longest=LONGEST,
        most_name=MAX_PERSON_CHARS,
        **values,
    )


def _done(request: Request, what: str) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/account?done={what}", 303)
