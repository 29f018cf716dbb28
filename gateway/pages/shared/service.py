"""The service that a page is about: who asks it on behalf of the visitor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Annotated, Any

from fastapi import Depends, Request

from zjobs.client.aio import AsyncClient
from zjobs.client.errors import BrokerUnreachable
from zjobs.gateway.events.hub import Hub
from zjobs.gateway.pages.shared.replies import Replies, Reply, audience
from zjobs.gateway.pages.shared.visitor import Visiting, Visitor
from zjobs.gateway.services import Services
from zjobs.program import clock


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


class Reader:
    """Asks a service on behalf of a visitor, for replies that others may see, too.

    `away`: the broker is, so the last replies are returned instead.
    """

    def __init__(self, request: Request, client: AsyncClient, hub: Hub, visitor: Visitor) -> None:
        self.client = client
        self.visitor = visitor
        self.away = False
        self._hub = hub
        self._service: str = request.path_params["service"]
        self._shared: Replies = request.app.state.replies
        self._replies: list[Reply] = []

    async def ask(self, request: Any) -> Any:
        """Return the reply to a request. Raises ZjobsError."""
        key = (
            audience(self.visitor.person, request),
            type(request),
            request,
        )  # requests are tuples, equal without fields
        return await self.get(key, lambda: self.client.ask(request))

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `make` makes of replies, for all who have the same key. Raises ZjobsError."""
        key = self._service, key
        reply = self._shared.last(key) if self.away else await self._shared.get(key, self._last_event, make)
        if reply is None:
            raise BrokerUnreachable(self.client.address, 0)
        self._replies.append(reply)
        return reply.value

    def _last_event(self) -> str:
        return f"{self._hub.kept.here} {self._shared.changes}"

    @property
    def at(self) -> int:
        """The time of the oldest reply."""
        return min((reply.at for reply in self._replies), default=clock.wall_ms())

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of all replies: what is made of the same ones is the same."""
        return frozenset(reply.number for reply in self._replies)


async def reader_of(request: Request, client: Client, hub: Events, visitor: Visiting) -> Reader:
    """Return who asks for what a page of a service shows."""
    return Reader(request, client, hub, visitor)


Reading = Annotated[Reader, Depends(reader_of)]
