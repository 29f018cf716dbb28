"""The visitor of a page, known by the cookie alone, which a login on a page sets."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from zjobs.gateway.identity.grants import ANONYMOUS, Grant, Person, csrf_of
from zjobs.gateway.identity.identity import Identity
from zjobs.gateway.identity.models import Kind
from zjobs.gateway.identity.person import csrf_is_right, identity_of
from zjobs.gateway.problems import Problem
from zjobs.gateway.web.body_limit import MOST_BYTES
from zjobs.messages.requests.ops import OPERATIONS
from zjobs.messages.states import Role

CSRF_FIELD = "csrf"
# The forms of one page have few fields; a schema may have more properties than that only to do harm.
_MOST_FIELDS = 500

_OPERATIONS = {operation.name: operation for operation in OPERATIONS}


@dataclass(frozen=True)
class Visitor:
    """The visitor. `grant`: None without a login, where everybody may read. `only_looks`: nothing can be done, because
    the broker is away."""

    person: Person
    grant: Grant | None = None
    only_looks: bool = False

    def may(self, op: str, owner: str | None = None) -> bool:
        """Return True if the broker permits this operation on jobs of this owner. It decides anew when it is
        asked to."""
        operation, role = _OPERATIONS[op], Role(self.person.role)
        return (
            not self.only_looks
            and role in operation.roles
            and (owner in (None, self.person.name) or role not in operation.own_only)
        )

    @property
    def is_operator(self) -> bool:
        """True if nothing of the queue is refused."""
        return self.person.role == Role.OPERATOR


async def visitor_of(request: Request) -> Visitor:
    """Return who visits. Raises Problem 401 for somebody who must log in first."""
    identity = identity_of(request)
    cookie = request.cookies.get(identity.cookie)
    grant = None if cookie is None else await identity.grants.of(cookie)
    if grant is not None and grant.kind is Kind.SESSION:
        request.state.visitor = Visitor(grant.person, grant)
    elif identity.config.public_read:
        request.state.visitor = Visitor(ANONYMOUS)
    else:
        raise Problem(401, "login_needed", "log in first")
    visitor: Visitor = request.state.visitor
    return visitor


async def member_of_staff(visitor: Annotated[Visitor, Depends(visitor_of)]) -> Grant:
    """Return what lets a superuser in. Raises Problem."""
    grant = await logged_in(visitor)
    if not grant.person.superuser:
        raise Problem(403, "not_permitted", f"{grant.person.name} is not a superuser; log in as one")
    return grant


async def logged_in(visitor: Annotated[Visitor, Depends(visitor_of)]) -> Grant:
    """Return what lets somebody in who has logged in. Raises Problem."""
    if visitor.grant is None:
        raise Problem(401, "login_needed", "log in first")
    return visitor.grant


Visiting = Annotated[Visitor, Depends(visitor_of)]
LoggedIn = Annotated[Grant, Depends(logged_in)]
Superuser = Annotated[Grant, Depends(member_of_staff)]


# --- forms ---------------------------------------------------------------------------------------------------


def csrf_token(request: Request) -> str:
    """Return what the forms of a page send along: other sites can make a browser send the cookie, but not read this."""
    secret = _secret(request)
    return "" if secret is None else csrf_of(secret)


def begin_login(request: Request) -> str | None:
    """Return a secret for the form of a login, which has no session yet, unless the visitor has one."""
    if _secret(request) is not None:
        return None
    request.state.login_secret = secrets.token_urlsafe(24)
    secret: str = request.state.login_secret
    return secret


def set_cookie(request: Request, response: Response, value: str, login: bool = False) -> None:
    """Let the browser keep the session, or the secret of a login that has just begun."""
    identity = identity_of(request)
    response.set_cookie(
        login_cookie(identity) if login else identity.cookie,
        value,
        max_age=identity.config.login_lasts_s,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


async def check_form(request: Request) -> None:
    """Let a form through that one of our pages has sent. Raises Problem."""
    secret = _secret(request)
    form = await form_of(request)
    if secret is None or not csrf_is_right(secret, text_of(form, CSRF_FIELD)):
        raise Problem(403, "csrf", "this form is of an earlier login: go back, reload the page and send it again")


async def form_of(request: Request) -> FormData:
    """Return what a form has sent. The first call reads it."""
    return await request.form(max_fields=_MOST_FIELDS, max_part_size=MOST_BYTES)


def text_of(form: FormData, name: str, otherwise: str = "") -> str:
    """Return the text of a field."""
    value = form.get(name)
    return otherwise if value is None or isinstance(value, UploadFile) else value


Form = Annotated[FormData, Depends(form_of)]


def login_cookie(identity: Identity) -> str:
    """Return the name of the cookie that a login begins with."""
    return f"{identity.cookie}_login"


def _secret(request: Request) -> str | None:
    identity = identity_of(request)
    begun: str | None = getattr(request.state, "login_secret", None)
    return begun or request.cookies.get(identity.cookie) or request.cookies.get(login_cookie(identity))
