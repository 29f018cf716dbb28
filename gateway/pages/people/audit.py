"""The audit trails: the gateway's, of logins and users, and a broker's, of its queue."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.person import identity_of
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Client
from zjobs.gateway.pages.shared.visitor import Superuser, Visiting
from zjobs.gateway.problems import Problem
from zjobs.messages.fields import MAX_ID
from zjobs.messages.requests.queries import Audit, AuditReply

ROUTES = APIRouter(route_class=PageRoute, include_in_schema=False)

_PAGE = 100

Before = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
BeforeNumber = Annotated[int | None, Query(ge=1, le=MAX_ID)]


@ROUTES.get("/audit")
async def audit(request: Request, grant: Superuser, before: Before = None) -> Response:
    """Show who logged in, who could not, and what was changed of users and tokens."""
    async with identity_of(request).database.reading() as session:
        entries = await accounts.list_entries(session, before, _PAGE)
    more = entries[-1].id if len(entries) == _PAGE else None
    return page(request, "audit.html", 200, entries=entries, more=more)


@ROUTES.get("/services/{service}/audit")
async def service_audit(request: Request, client: Client, visitor: Visiting, before: BeforeNumber = None) -> Response:
    """Show who cancelled, retried, forgot, paused and resumed what."""
    if not visitor.may("audit"):
        raise Problem(403, "not_permitted", f"a {visitor.person.role} may not read the audit trail")
    reply: AuditReply = await client.ask(Audit(_PAGE, before))
    return page(request, "service_audit.html", 200, entries=reply.entries, more=reply.before)
