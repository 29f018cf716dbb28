"""Whom a client talks to, with which key, and for how long it waits."""

from __future__ import annotations

import os

from zjobs.client import credentials
from zjobs.client.errors import BadAddress, BrokerChanged
from zjobs.program import endpoints

# How long a wait outlasts a lost broker: longer than a restart takes, with a large journal too.
PATIENCE_S = 60.0


class Settings:
    """What `Client` and `AsyncClient` are made with; see there."""

    def __init__(self, broker: str | None, timeout: float, patience: float, key: str | os.PathLike[str] | None) -> None:
        address = broker or os.environ.get(endpoints.ENVIRONMENT_VARIABLE) or endpoints.FRONTEND
        try:
            self.address = endpoints.checked(endpoints.with_transport(address))
        except ValueError as error:
            raise BadAddress(str(error)) from None
        self.timeout = timeout
        self.patience = patience
        file = credentials.key_file(key)
        self.key = None if file is None else credentials.load(file)

    def check_journal(self, heard: str, expected: str | None) -> None:
        """Raises BrokerChanged when the broker runs on another journal than `expected` (None: whichever)."""
        if expected is not None and heard != expected:
            raise BrokerChanged(self.address)
