"""The services that the gateway offers: a client and the events of each, which all requests share."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from zjobs.client import AsyncClient
from zjobs.client.config import services as configured
from zjobs.gateway.events.hub import Hub
from zjobs.gateway.problems import Problem
from zjobs.gateway.together import Together

# The name of the only service where none is configured.
DEFAULT = "default"
# For how many people a view is kept.
MOST_VIEWS = 1_000


class View(NamedTuple):
    """The ways to ask a service on behalf of a person: a client, and status requests that are made as one."""

    client: AsyncClient
    together: Together


class Services:
    """The services by their names. `file` names them; without it, `zclient`'s configuration does. Raises BadConfig."""

    def __init__(self, file: Path | None = None) -> None:
        known = configured.load(None if file is None else str(file))
        self._configured = {} if known is None else known.named
        self._clients: dict[str, AsyncClient] = {}
        self._hubs: dict[str, Hub] = {}
        self._running: list[asyncio.Task[None]] = []
        self._views: dict[tuple[str, str, str], View] = {}

    @property
    def names(self) -> list[str]:
        """The names, in the order of the configuration."""
        return list(self._configured) or [DEFAULT]

    def open(self) -> None:
        """Connect to the brokers and watch them. Raises BadKeyFile and BadAddress."""
        for name, service in self._configured.items():
            self._clients[name] = AsyncClient(service.broker, key=service.key)
        if not self._configured:
            self._clients[DEFAULT] = AsyncClient()
        self._hubs = {name: Hub(client) for name, client in self._clients.items()}
        self._running = [asyncio.create_task(hub.run()) for hub in self._hubs.values()]

    def end_streams(self) -> None:
        """End all event streams: the gateway is about to stop."""
        for hub in self._hubs.values():
            hub.close()

    async def close(self) -> None:
        """Close the connections."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for client in self._clients.values():
            client.close()

    def client(self, name: str) -> AsyncClient:
        """Return the client of a service. Raises Problem 404."""
        return self._clients[self._known(name)]

    def acting_for(self, name: str, person: str, role: str) -> View:
        """Return the view of a service for a person, in their role. Raises Problem 404."""
        view = self._views.get((name, person, role))
        if view is None:
            if len(self._views) >= MOST_VIEWS:
                self._views.clear()  # rare, and costs each person a new one
            client = self.client(name).acting_for(person, role)
            view = self._views[name, person, role] = View(client, Together(client))
        return view

    def hub(self, name: str) -> Hub:
        """Return the events of a service. Raises Problem 404."""
        return self._hubs[self._known(name)]

    def _known(self, name: str) -> str:
        if name not in self._clients:
            raise Problem(404, "no_such_service", f"there is no service {name}; /api/v1/services lists them")
        return name
