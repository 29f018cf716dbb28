"""Users, for superusers: add, change, give a new password, delete, revoke tokens."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.models import User
from zjobs.gateway.identity.passwords import random_password
from zjobs.gateway.identity.person import by, identity_of
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.visitor import Form, Superuser, text_of
from zjobs.gateway.problems import Problem
from zjobs.messages.fields import MAX_PERSON_CHARS, is_person_name
from zjobs.messages.states import Role

ROUTES = APIRouter(prefix="/users", route_class=PageRoute, include_in_schema=False)

_PAGE = 200


@ROUTES.get("")
async def users(request: Request, grant: Superuser, after: str = "") -> Response:
    """All users, and a form for another one."""
    return await _list(request, 200, after)


@ROUTES.post("")
async def add_user(request: Request, grant: Superuser, form: Form) -> Response:
    """Add a user with a random password, which is shown this once."""
    identity = identity_of(request)
    name, role, superuser = text_of(form, "name").strip(), _role(form), text_of(form, "superuser") == "yes"
    if not is_person_name(name):
        wrong = "a name is letters, digits and . _ @ + -, a letter or digit first"
        return await _list(request, 422, "", wrong=wrong, name=name, role=role)
    password = random_password()
    hashed = await identity.hash(password)
    try:
        async with identity.changing(grant) as session:
            await accounts.add_user(session, by(request, grant), name, role, superuser, hashed)
    except Problem as problem:
        if problem.status != 409:
            raise
        return await _list(request, 409, "", wrong=problem.detail, name=name, role=role)
    return await _user(request, name, 200, password=password)


@ROUTES.get("/{name}")
async def user(request: Request, grant: Superuser, name: str) -> Response:
    """Show a user, with everything that can be changed."""
    return await _user(request, name, 200)


@ROUTES.post("/{name}")
async def change_user(request: Request, grant: Superuser, form: Form, name: str) -> Response:
    """Change role and rights, if they are as the visitor saw them."""
    async with identity_of(request).changing(grant) as session:
        user = await accounts.the_user(session, name)
        if text_of(form, "seen") == _seen(user):
            superuser, active = (text_of(form, right) == "yes" for right in ("superuser", "active"))
            await accounts.change_user(session, by(request, grant), user, _role(form), superuser, active)
            return _back(request, name)
    return await _user(request, name, 409, changed=True)


@ROUTES.post("/{name}/password")
async def reset_password(request: Request, grant: Superuser, name: str) -> Response:
    """Give a user a random password, shown this once. All of the user's logins end."""
    identity = identity_of(request)
    password = random_password()
    hashed = await identity.hash(password)
    async with identity.changing(grant) as session:
        user = await accounts.the_user(session, name)
        await accounts.set_password(session, by(request, grant), user, hashed)
    return await _user(request, name, 200, password=password)


@ROUTES.get("/{name}/delete")
async def ask_delete(request: Request, grant: Superuser, name: str) -> Response:
    """Show what it means to delete a user."""
    async with identity_of(request).database.reading() as session:
        return page(request, "delete_user.html", 200, user=await accounts.the_user(session, name))


@ROUTES.post("/{name}/delete")
async def delete_user(request: Request, grant: Superuser, name: str) -> Response:
    """Delete a user and all tokens. The jobs stay."""
    async with identity_of(request).changing(grant) as session:
        await accounts.delete_user(session, by(request, grant), await accounts.the_user(session, name))
    return RedirectResponse(f"{request.scope.get('root_path', '')}/users", 303)


@ROUTES.post("/{name}/tokens/{token_id}/revoke")
async def revoke_token(request: Request, grant: Superuser, name: str, token_id: int) -> Response:
    """Revoke a user's token."""
    async with identity_of(request).changing(grant) as session:
        user = await accounts.the_user(session, name)
        await accounts.revoke_token(session, by(request, grant), user, token_id)
    return _back(request, name)


async def _list(request: Request, status: int, after: str, **values: Any) -> Response:
    async with identity_of(request).database.reading() as session:
        found = await accounts.list_users(session, after, _PAGE)
    values = {"wrong": "", "name": "", "role": Role.SUBMITTER} | values
    more = found[-1].name if len(found) == _PAGE else None
    return page(
        request, "users.html", status, users=found, more=more, roles=list(Role), most_name=MAX_PERSON_CHARS, **values
    )


async def _user(request: Request, name: str, status: int, **values: Any) -> Response:
    identity = identity_of(request)
    async with identity.database.reading() as session:
        user = await accounts.the_user(session, name)
        tokens = await accounts.list_tokens(session, name, identity.now())
    values = {"password": "", "changed": False} | values
    return page(request, "user.html", status, user=user, tokens=tokens, roles=list(Role), seen=_seen(user), **values)


def _seen(user: User) -> str:
    return f"{user.role} {user.superuser} {user.active}"


def _role(form: Form) -> Role:
    try:
        return Role(text_of(form, "role"))
    except ValueError:
        raise Problem(422, "bad_request", "there is no such role") from None


def _back(request: Request, name: str) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/users/{quote(name, safe='')}", 303)
