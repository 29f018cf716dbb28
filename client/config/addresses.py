"""The addresses of a broker: one, or several that are tried in order."""

from __future__ import annotations

from collections.abc import Sequence

from zjobs.client.errors import BadAddress
from zjobs.program import endpoints


class Addresses:
    """The addresses at which a broker may be. A client uses one as long as it gets replies there, and then goes on to
    the next; after the last comes the first. All of them lead to the same journal."""

    def __init__(self, given: str | Sequence[str]) -> None:
        """Check the addresses. `given`: a list, or text with commas. Raises BadAddress."""
        parts = given.split(",") if isinstance(given, str) else given
        try:
            every = [endpoints.checked(endpoints.with_transport(part.strip())) for part in parts]
        except ValueError as error:
            raise BadAddress(str(error)) from None
        if not every:
            raise BadAddress("the list of addresses is empty")
        self.every = tuple(dict.fromkeys(every))
        self._position = 0

    @property
    def current(self) -> str:
        """The address in use."""
        return self.every[self._position]

    @property
    def several(self) -> bool:
        """True if there is more than one address."""
        return len(self.every) > 1

    @property
    def text(self) -> str:
        """All addresses, in the form in which they may be given."""
        return ",".join(self.every)

    @property
    def named(self) -> str:
        """All addresses, for a sentence."""
        return " or ".join(self.every)

    def leave(self, address: str) -> bool:
        """Go on to the next address, unless that was done already. Return False when all were tried."""
        if self.current == address:
            self._position = (self._position + 1) % len(self.every)
        return self._position > 0

    def why(self, troubles: dict[str, str]) -> str:
        """Return what is wrong at all of them, given what is wrong at each."""
        told = {address: troubles[address] for address in self.every if troubles.get(address)}
        if len(set(told.values())) == 1:
            return next(iter(told.values()))
        return "; ".join(f"{address}: {why}" for address, why in told.items())
