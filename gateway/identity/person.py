"""The dependencies of routes on who makes a request."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable, Iterator
from typing import Annotated

from fastapi import Depends, Request

from zjobs.gateway.identity.accounts import By
from zjobs.gateway.identity.grants import ANONYMOUS, Grant, Person, csrf_of
from zjobs.gateway.identity.identity import Identity
from zjobs.gateway.identity.models import Kind
from zjobs.gateway.problems import Problem

__all__ = ["Person", "current_grant", "current_person", "identity_of", "own_login", "superuser", "until_revoked"]

CSRF_HEADER = "X-CSRF-Token"

_SAFE = ("GET", "HEAD")


def identity_of(request: Request) -> Identity:
    """Return what the application opened at its start."""
    identity: Identity = request.app.state.identity
    return identity


async def current_person(request: Request) -> Person:
    """Return the person the request is made for, by its token, or by a page's cookie.

    Raises Problem without either, unless everybody may read.
    """
    request.state.grant = None
    identity = identity_of(request)
    token = _bearer_of(request)
    presented = token if token is not None else request.cookies.get(identity.cookie)
    if presented is None and identity.config.public_read:
        return ANONYMOUS
    grant = None if presented is None else await identity.grants.of(presented)
    if grant is None:
        raise _login_needed()
    if (
        token is None
        and request.method not in _SAFE
        and not csrf_is_right(presented or "", request.headers.get(CSRF_HEADER))
    ):
        raise Problem(
            403, "csrf", f"a change by a page needs the header {CSRF_HEADER}; GET /api/v1/me returns its value"
        )
    request.state.grant = grant
    return grant.person


def _bearer_of(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def grant_of(request: Request) -> Grant | None:
    """Return what admitted the request, after `current_person`; None if everybody may read."""
    return getattr(request.state, "grant", None)


def csrf_is_right(token: str, given: str | None) -> bool:
    """Return True if the request was sent by a page of ours."""
    return given is not None and hmac.compare_digest(csrf_of(token).encode(), given.encode())


async def current_grant(request: Request, _: Annotated[Person, Depends(current_person)]) -> Grant:
    """Return the grant of the request's token. Raises Problem if there is none."""
    grant = grant_of(request)
    if grant is None:
        raise _login_needed()
    return grant


async def own_login(grant: Annotated[Grant, Depends(current_grant)]) -> Grant:
    """Return the grant of a person who logged in. Raises Problem for a program: a leaked token must not make others."""
    if grant.kind is Kind.PROGRAM:
        raise Problem(403, "not_permitted", "this needs a login; a program's token is not enough")
    return grant


async def superuser(grant: Annotated[Grant, Depends(current_grant)]) -> Grant:
    """Return the grant of a superuser. Raises Problem for others."""
    if not grant.person.superuser:
        raise Problem(403, "not_permitted", f"{grant.person.name} is not a superuser; this needs the login of one")
    return grant


def by(request: Request, grant: Grant) -> By:
    """Return the author of the request's action, for the audit trail."""
    return By(grant.person.name, address(request), identity_of(request).now())


def address(request: Request) -> str:
    """Return the address that the request comes from."""
    return request.client.host if request.client else ""


@contextlib.contextmanager
def until_revoked(request: Request, end: Callable[[], None]) -> Iterator[None]:
    """Watch the person's rights, for a reply that lasts: `end` is called once they may no longer read, or have other
    rights.

    That happens within about a second of the change, at whichever gateway it was made; also after ten seconds without
    the database. Only after `current_person`.
    """
    grant = grant_of(request)
    if grant is None:
        yield
    else:
        with identity_of(request).grants.watch(grant, end):
            yield


def _login_needed() -> Problem:
    text = "log in first: POST /api/v1/auth/token, and send what it returns as Authorization: Bearer"
    return Problem(401, "login_needed", text, {"WWW-Authenticate": "Bearer"})
