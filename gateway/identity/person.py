"""The person on whose behalf a request is made."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from zjobs.gateway.problems import Problem


@dataclass(frozen=True)
class Person:
    """A user, by the name and the role under which brokers know them. A superuser manages users."""

    name: str
    role: str
    superuser: bool


async def current_person(request: Request) -> Person:
    """Return who makes this request. Raises Problem 401."""
    raise Problem(401, "login_needed", "log in first", {"WWW-Authenticate": "Bearer"})
