"""The dependencies of most routes: the service's client, acting for the person who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from zjobs.client.aio import AsyncClient
from zjobs.client.job import request_key_or_new
from zjobs.gateway.events.hub import Hub
from zjobs.gateway.identity.person import Person, current_person
from zjobs.gateway.numbers import MOST
from zjobs.gateway.services import Services
from zjobs.messages.fields import MAX_PAGE, MAX_REQUEST_KEY_CHARS, MAX_TYPE_CHARS

ServiceName = Annotated[str, Path(description="The name of a service.")]
Id = Annotated[int, Path(ge=1, le=MOST, description="The job's id.")]
TypeName = Annotated[str, Path(min_length=1, max_length=MAX_TYPE_CHARS, description="The name of a type.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="At most this many.")]
Before = Annotated[int | None, Query(ge=1, le=MOST, description="Only what has a smaller number.")]
Offset = Annotated[int, Query(ge=0, le=MOST, description="The first byte.")]
Accept = Annotated[str, Header(include_in_schema=False)]
Asker = Annotated[Person, Depends(current_person)]


def services_of(request: Request) -> Services:
    """Return the services that the application offers."""
    services: Services = request.app.state.services
    return services


async def hub_of(service: ServiceName, request: Request) -> Hub:
    """Return the events of a service. Raises Problem 404."""
    return services_of(request).hub(service)


async def acting_for(service: ServiceName, request: Request, person: Asker) -> AsyncClient:
    """Return the client of a service, which asks on behalf of the person. Raises Problem 404."""
    return services_of(request).client(service).acting_for(person.name, person.role)


async def own_client(service: ServiceName, request: Request) -> AsyncClient:
    """Return the client of a service, which asks on behalf of the gateway: only after the person's was answered."""
    return services_of(request).client(service)


Client = Annotated[AsyncClient, Depends(acting_for)]
OwnClient = Annotated[AsyncClient, Depends(own_client)]
Events = Annotated[Hub, Depends(hub_of)]


async def idempotency_key(
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=MAX_REQUEST_KEY_CHARS,
            description="The request key: the same request with the same key is carried out once.",
        ),
    ] = None,
) -> str:
    """Return the request key."""
    return request_key_or_new(idempotency_key)


RequestKey = Annotated[str, Depends(idempotency_key)]
