"""The needs of most routes: the service's client, acting for the person who asks, and the kinds of parameters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request

from zjobs.client.aio import AsyncClient
from zjobs.client.protocol.job import gone
from zjobs.gateway.identity.person import current_person
from zjobs.gateway.numbers import MOST
from zjobs.gateway.services import Services, View
from zjobs.gateway.together import Together
from zjobs.gateway.web.documents import ALWAYS, fails
from zjobs.messages.fields import MAX_PAGE, MAX_REQUEST_KEY_CHARS, MAX_TYPE_CHARS
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.changes import CancelReply
from zjobs.messages.requests.queries import StatusReply

PREFIX = "/api/v1/services"

ServiceName = Annotated[str, Path(description="The name of a service.")]
Id = Annotated[int, Path(ge=1, le=MOST, description="The job's id.")]
TypeName = Annotated[str, Path(min_length=1, max_length=MAX_TYPE_CHARS, description="The name of a type.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="At most this many.")]
Before = Annotated[int | None, Query(ge=1, le=MOST, description="Only what has a smaller number.")]
Offset = Annotated[int, Query(ge=0, le=MOST, description="The first byte.")]
Accept = Annotated[str, Header(include_in_schema=False)]
RequestKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=MAX_REQUEST_KEY_CHARS,
        description="The request key: the same request with the same key is carried out once.",
    ),
]


def routes_of(tag: str) -> APIRouter:
    """Return a router for routes of each service."""
    return APIRouter(prefix=f"{PREFIX}/{{service}}", tags=[tag], responses=fails(*ALWAYS))


def services_of(request: Request) -> Services:
    """Return the services that the application offers."""
    services: Services = request.app.state.services
    return services


async def client_for(request: Request, service: ServiceName) -> AsyncClient:
    """Return the client of a service, which asks on behalf of the person who makes the request. Raises Problem.

    Each route depends on this alone: FastAPI needs as long to find one dependency as this function for everything.
    """
    return (await _view(request, service)).client


async def together_for(request: Request, service: ServiceName) -> Together:
    """Return the status requests of the person who makes the request. Raises Problem."""
    return (await _view(request, service)).together


async def _view(request: Request, service: str) -> View:
    person = await current_person(request)
    return services_of(request).acting_for(service, person.name, person.role)


def only(reply: StatusReply | CancelReply) -> JobStatus:
    """Return the one job that was asked for. Raises NotFound or Expired."""
    for missing in reply.missing:
        raise gone(missing)
    return reply.jobs[0]


Client = Annotated[AsyncClient, Depends(client_for)]
Statuses = Annotated[Together, Depends(together_for)]
