"""The service that a page is about: its client, which asks on behalf of the visitor."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from zjobs.client.aio import AsyncClient
from zjobs.gateway.events.hub import Hub
from zjobs.gateway.pages.visit.visitor import Visiting
from zjobs.gateway.services import Services


def services_of(request: Request) -> Services:
    """Return the services that there are."""
    services: Services = request.app.state.services
    return services


async def client_of(request: Request, service: str, visitor: Visiting) -> AsyncClient:
    """Return the client of a service, which asks on behalf of the visitor. Raises Problem 404."""
    return services_of(request).client(service).acting_for(visitor.person.name, visitor.person.role)


async def hub_of(request: Request, service: str) -> Hub:
    """Return the events of a service. Raises Problem 404."""
    return services_of(request).hub(service)


Client = Annotated[AsyncClient, Depends(client_of)]
Events = Annotated[Hub, Depends(hub_of)]
