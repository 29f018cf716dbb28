"""The services that the gateway offers: a client for each, which all requests share."""

from __future__ import annotations

from pathlib import Path

from zjobs.client import AsyncClient
from zjobs.client import services as configured
from zjobs.gateway.problems import Problem

# The name of the only service where none is configured.
DEFAULT = "default"


class Services:
    """The services by their names. `file` names them; without it, `zclient`'s configuration does. Raises BadConfig."""

    def __init__(self, file: Path | None = None) -> None:
        known = configured.load(None if file is None else str(file))
        self._configured = {} if known is None else known.named
        self._clients: dict[str, AsyncClient] = {}

    @property
    def names(self) -> list[str]:
        """In the order of the configuration."""
        return list(self._configured) or [DEFAULT]

    def open(self) -> None:
        """Make the clients; each connects when it is first asked. Raises BadKeyFile and BadAddress."""
        for name, service in self._configured.items():
            self._clients[name] = AsyncClient(service.broker, key=service.key)
        if not self._configured:
            self._clients[DEFAULT] = AsyncClient()

    def close(self) -> None:
        """Close the clients' connections."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def client(self, name: str) -> AsyncClient:
        """Return the client of a service. Raises Problem 404."""
        try:
            return self._clients[name]
        except KeyError:
            raise Problem(404, "no_such_service", f"there is no service {name}") from None
