"""The limit on attempts to log in: a pure account of attempts by name and by address.

It is kept in memory, so each gateway has its own: N gateways let N times as many guesses through, still far too few to
guess a password, and a flood of wrong logins writes nothing to the database. An account is one time, up to which the
attempts made have used up the rate (the "generic cell rate algorithm"): no counters, no windows, nothing to clear.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field

MOST_ACCOUNTS = 10_000  # accounts of each sort; the one not used for longest goes first


@dataclass(frozen=True)
class Rate:
    """`burst` attempts at once, then one every `every_ms`."""

    burst: int
    every_ms: int


PER_NAME = Rate(10, 10_000)
PER_ADDRESS = Rate(20, 3_000)


@dataclass
class _Accounts:
    rate: Rate
    most: int
    used_up_to: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def wait_ms(self, who: str, now: int) -> int:
        """Return how long until another attempt is allowed."""
        earliest = self.used_up_to.get(who, now) - (self.rate.burst - 1) * self.rate.every_ms
        return max(0, earliest - now)

    def charge(self, who: str, now: int) -> None:
        self.used_up_to[who] = max(self.used_up_to.get(who, now), now) + self.rate.every_ms
        self.used_up_to.move_to_end(who)
        if len(self.used_up_to) > self.most:
            self.used_up_to.popitem(last=False)

    def refund(self, who: str) -> None:
        if who in self.used_up_to:
            self.used_up_to[who] -= self.rate.every_ms


class Throttle:
    """Charges attempts, and refunds those that were right, so that only wrong ones count."""

    def __init__(self, per_name: Rate = PER_NAME, per_address: Rate = PER_ADDRESS, most: int = MOST_ACCOUNTS) -> None:
        self._most = most
        self._names = _Accounts(per_name, most)
        self._addresses = _Accounts(per_address, most)
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()

    def attempt(self, name: str, address: str, now: int) -> int:
        """Charge an attempt, and return 0; or charge nothing, and return how many milliseconds to wait."""
        who, network = self._account(name, address), _network(address)
        wait = max(self._names.wait_ms(who, now), self._addresses.wait_ms(network, now))
        if not wait:
            self._names.charge(who, now)
            self._addresses.charge(network, now)
        return wait

    def refund(self, name: str, address: str) -> None:
        """Refund an attempt that was not a wrong password."""
        self._names.refund(self._account(name, address))
        self._addresses.refund(_network(address))

    def welcome(self, name: str, address: str) -> None:
        """Refund the attempt, and remember that this person comes from there."""
        self.refund(name, address)
        self._welcome[name, _network(address)] = None
        self._welcome.move_to_end((name, _network(address)))
        if len(self._welcome) > self._most:
            self._welcome.popitem(last=False)

    @property
    def size(self) -> int:
        """The number of accounts and addresses that are remembered."""
        return len(self._names.used_up_to) + len(self._addresses.used_up_to) + len(self._welcome)

    def _account(self, name: str, address: str) -> str:
        """Return the account that pays. Where people have logged in before, they have an account of their own, so that
        others cannot lock them out by trying their name."""
        network = _network(address)
        return f"{name} {network}" if (name, network) in self._welcome else name


def _network(address: str) -> str:
    """Return an IPv4 address, or the /64 of an IPv6 one, which is what one host can choose from."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # no address: a Unix socket
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    return str(found.ipv4_mapped or ipaddress.ip_network((int(found) >> 64 << 64, 64)))
