"""Read by schemathesis: whom its requests are from."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import Any

import schemathesis

from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.accounts import By
from zjobs.gateway.identity.database import Database
from zjobs.gateway.identity.models import Kind
from zjobs.messages.fields import MAX_REQUEST_KEY_CHARS
from zjobs.messages.states import Role
from zjobs.program import clock

DATABASE = os.environ["GATEWAY_DATABASE"]


async def new_token() -> str:
    """A login of a superuser, whatever became of them before."""
    database, by = Database(DATABASE), By("", "", clock.wall_ms())
    async with database.changing() as (session, _):
        user = await accounts.find_user(session, "tester")
        user = user or await accounts.add_user(session, by, "tester", Role.OPERATOR, True, "")
        user.role, user.superuser, user.active = Role.OPERATOR.value, True, True
        made = await accounts.add_token(session, user, Kind.LOGIN, by.at, None)
    await database.close()
    return made.text


@schemathesis.auth(refresh_interval=None)
class Login:
    """The token that a request comes with. What concerns people may end logins, so another one follows."""

    token = ""

    def get(self, case: Any, context: Any) -> str:
        """Return a token that is valid."""
        token = Login.token or asyncio.run(new_token())
        Login.token = token if case.operation.path.startswith("/api/v1/services/") else ""
        return token

    def set(self, case: Any, token: str, context: Any) -> None:
        """Put it into the request, and a new request key in the place of one: an old one would be of another job."""
        headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
        for name, value in headers.items():
            if name.lower() == "idempotency-key" and 1 <= len(str(value)) <= MAX_REQUEST_KEY_CHARS:
                headers[name] = uuid.uuid4().hex
        case.headers = headers
