"""Logging in and out, one's own password and tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response

from zjobs.gateway.identity import accounts, person
from zjobs.gateway.identity.accounts import Action
from zjobs.gateway.identity.grants import Grant, Person, csrf_of, digest_of
from zjobs.gateway.identity.models import Kind
from zjobs.gateway.identity.person import by, current_grant, current_person, identity_of, own_login
from zjobs.gateway.identity.routes.bodies import (
    Id,
    Login,
    LoginForm,
    Me,
    NamedToken,
    PasswordChange,
    TokenMade,
    TokenShown,
)
from zjobs.gateway.problems import Problem
from zjobs.messages.states import Role

ROUTES = APIRouter(prefix="/api/v1", tags=["login"])


@ROUTES.post("/auth/token")
async def log_in(request: Request, response: Response, form: Annotated[LoginForm, Form()]) -> Login:
    """Log in with name and password."""
    identity = identity_of(request)
    made = await identity.log_in(form.username, form.password, person.address(request), Kind.LOGIN)
    response.headers["Cache-Control"] = "no-store"
    return Login(access_token=made.text, expires_in=identity.config.login_lasts_s)


@ROUTES.post("/auth/session", status_code=204)
async def begin_session(request: Request, response: Response, form: Annotated[LoginForm, Form()]) -> None:
    """Log in with name and password, and get the token as a cookie: for pages."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Problem(403, "csrf", "another site's page cannot log you in")
    identity = identity_of(request)
    made = await identity.log_in(form.username, form.password, person.address(request), Kind.SESSION)
    response.set_cookie(
        identity.cookie,
        made.text,
        max_age=identity.config.login_lasts_s,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


@ROUTES.delete("/auth/token", status_code=204)
async def log_out(request: Request, response: Response, grant: Annotated[Grant, Depends(current_grant)]) -> None:
    """Revoke the token, or end the session, that this request comes with."""
    identity = identity_of(request)
    async with identity.changing(grant) as session:
        user = await accounts.the_user(session, grant.person.name)
        await accounts.revoke_token(session, by(request, grant), user, grant.token_id, Action.LOGOUT)
    if grant.kind is Kind.SESSION:
        response.delete_cookie(identity.cookie)


@ROUTES.get("/me")
async def me(request: Request, who: Annotated[Person, Depends(current_person)]) -> Me:
    """Show whom this request is made for."""
    grant = person.grant_of(request)
    cookie = request.cookies.get(identity_of(request).cookie)
    return Me(
        name=who.name,
        role=Role(who.role),
        superuser=who.superuser,
        kind=None if grant is None else grant.kind,
        expires_at=None if grant is None else grant.expires_at,
        csrf=csrf_of(cookie) if cookie and grant is not None and grant.digest == digest_of(cookie) else None,
    )


@ROUTES.put("/me/password", status_code=204)
async def change_password(
    request: Request, grant: Annotated[Grant, Depends(own_login)], change: PasswordChange
) -> None:
    """Change one's own password. All other logins end; programs' tokens stay."""
    await identity_of(request).change_password(grant, change.current, change.new, person.address(request))


@ROUTES.get("/me/tokens")
async def list_tokens(request: Request, grant: Annotated[Grant, Depends(current_grant)]) -> list[TokenShown]:
    """List one's own tokens: those of logins, and those made for programs."""
    identity = identity_of(request)
    async with identity.database.reading() as session:
        tokens = await accounts.list_tokens(session, grant.person.name, identity.now())
    return [TokenShown.of(token) for token in tokens]


@ROUTES.post("/me/tokens", status_code=201)
async def make_token(
    request: Request, response: Response, grant: Annotated[Grant, Depends(own_login)], wanted: NamedToken
) -> TokenMade:
    """Make a token for a program. It has one's own role, manages no users and makes no tokens."""
    doer = by(request, grant)
    expires_at = None if wanted.expires_in is None else doer.at + wanted.expires_in * 1000
    async with identity_of(request).changing(grant) as session:
        user = await accounts.the_user(session, grant.person.name)
        made = await accounts.add_token(session, user, Kind.PROGRAM, doer.at, expires_at, wanted.name)
        await accounts.record(session, doer, Action.TOKEN_MADE, user.name, wanted.name)
    response.headers["Cache-Control"] = "no-store"
    return TokenMade.new(made)


@ROUTES.delete("/me/tokens/{token_id}", status_code=204)
async def revoke_token(request: Request, grant: Annotated[Grant, Depends(own_login)], token_id: Id) -> None:
    """Revoke one of one's own tokens. Streams that were opened with it end within about a second."""
    async with identity_of(request).changing(grant) as session:
        user = await accounts.the_user(session, grant.person.name)
        await accounts.revoke_token(session, by(request, grant), user, token_id)
