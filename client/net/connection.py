"""The sockets to one broker.

A `Connection` may be shared by threads: each request borrows a socket of its own from a pool. It survives a
fork: the child gets a pool of its own, and neither uses nor closes what it inherited (closing a ZeroMQ context
in the child would disturb the parent's connections).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar, cast

from zjobs.client.config.addresses import Addresses
from zjobs.client.config.settings import Key, Settings
from zjobs.client.errors import BrokerUnreachable
from zjobs.client.net.pool import SocketPool
from zjobs.client.net.reach import trouble, wait_for_host
from zjobs.client.protocol.actions import (
    RETRY_S,
    WAIT_S,
    Action,
    Ask,
    Attempt,
    Attempts,
    Await,
    Flow,
    Sleep,
    body_of,
    kept_s,
    read_reply,
    reply_bytes,
    waiting_request,
)
from zjobs.messages import codec

if TYPE_CHECKING:
    from zjobs.client.net.feed import Feed

T = TypeVar("T")

_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class Connection:
    """Sends requests to the broker, and opens feeds of its events. `timeout`: seconds for one reply.

    `key`: None for a connection without keys. `on_trouble`, if set, is called with the reason if the first connection
    fails at every address, while they are tried again.
    """

    def __init__(self, addresses: Addresses, timeout: float, key: Key | None = None) -> None:
        self.addresses = addresses
        self.timeout = timeout
        self.key = key
        self.on_trouble: Callable[[str], None] | None = None
        self._told = ""
        self._troubles: dict[str, str] = {}  # why there was no connection, by address; empty if there was one
        self._resolved_hosts: set[str] = set()
        self._pools: dict[int, SocketPool] = {}

    def close(self) -> None:
        """Close the sockets of this process."""
        self._own_pool().close()

    def request(self, frame: bytes, timeout: float | None = None, reply_bytes: int = 0, waits: float = 0.0) -> bytes:
        """Send `frame` and return the reply, which may have `reply_bytes`. `waits`: how long the broker may keep it.

        Raises BrokerUnreachable when none comes within `timeout` seconds, not counting the time that the bytes need,
        or for which the broker may keep it, while the connection stands; and what Handshake.read raises.
        """
        timeout = self.timeout if timeout is None else timeout
        begun = monotonic()
        attempts = Attempts(timeout, len(frame) + reply_bytes, begun, waits)
        connected = False
        while True:
            address, stood = self.addresses.current, False
            if self._find_host(address, begun + timeout):
                reply, stood = self._try(address, frame, attempts.begin(monotonic()))
                if reply is not None:
                    return reply
            pause = attempts.failed(monotonic(), stood)
            connected = connected or stood
            if pause is None:
                raise BrokerUnreachable(self.addresses.named, timeout, self.addresses.why(self._troubles), connected)
            if not self.addresses.leave(address):
                sleep(pause)

    def feed(self, endpoint: str, shared: bool) -> Feed:
        """Return a feed of the events at `endpoint`. `shared`: its connection may be one used before."""
        return self._own_pool().borrow_feed(endpoint, shared)

    def _find_host(self, address: str, deadline: float) -> bool:
        """Wait until the host's name has an address; only briefly if another broker may be tried."""
        if address not in self._resolved_hosts:
            until = min(deadline, monotonic() + RETRY_S) if self.addresses.several else deadline
            if why := wait_for_host(address, until, partial(self._tell, address)):
                self._troubles[address] = why
                return False
            self._resolved_hosts.add(address)
        return True

    def _try(self, address: str, frame: bytes, attempt: Attempt) -> tuple[bytes | None, bool]:
        """Return the reply, if one came, and whether there was a connection at the end, or until just before."""
        pool = self._own_pool()
        caller = pool.borrow(address)
        frames = None
        try:
            frames = caller.ask(frame, attempt, partial(self._look_for_trouble, address), not self.addresses.several)
        finally:
            pool.give_back(caller, reusable=frames is not None)
        if frames is None:
            return None, caller.stood
        self._troubles = dict.fromkeys(self.addresses.every, "")
        return body_of(frames, address), True

    def _look_for_trouble(self, address: str) -> None:
        """Find out why there is no connection and report it at once; only once, and not after there was one."""
        if address not in self._troubles:
            self._tell(address, trouble(address))

    def _tell(self, address: str, why: str) -> None:
        """Report what is wrong once it is known for every address."""
        self._troubles[address] = why
        told = self.addresses.why(self._troubles) if all(map(self._troubles.get, self.addresses.every)) else ""
        if told and told != self._told and self.on_trouble is not None:
            self.on_trouble(told)
        self._told = told

    def _own_pool(self) -> SocketPool:
        # Without a lock: a thread that the fork did not copy may hold an inherited one. The parent's pools stay in the
        # dictionary, because collecting them would close their sockets.
        return self._pools.get(_forks) or self._pools.setdefault(_forks, SocketPool(self.key))


class FlowRunner(Settings):
    """A client's settings and its connection; performs flows by waiting."""

    def __init__(
        self,
        broker: str | Sequence[str] | None,
        timeout: float,
        patience: float,
        key: str | os.PathLike[str] | None,
        service: str | None,
    ) -> None:
        super().__init__(broker, timeout, patience, key, service)
        self.connection = Connection(self.addresses, timeout, self.key)

    def _ask(self, request: Any, kind: type[T], timeout: float | None = None) -> T:
        """Send `request` and return the reply, which must be a `kind`."""
        body = self.connection.request(
            codec.encode(request, self.person), timeout, reply_bytes(request), kept_s(request)
        )
        return read_reply(body, kind, self.address)

    def _perform(self, action: Action) -> Any:
        if isinstance(action, Ask):
            return self._ask(*action)
        if isinstance(action, Await):
            return self._await(action)
        assert isinstance(action, Sleep)
        if action.seconds:
            sleep(action.seconds)
        return monotonic()

    def _await(self, action: Await) -> Any:
        request = waiting_request(action, min(action.seconds, WAIT_S))
        return self._ask(request, action.kind, action.timeout)

    def _run(self, flow: Flow[T]) -> T:
        return run(flow, self._perform)


def run(flow: Flow[T], perform: Any) -> T:
    """Perform the actions of `flow` and return its result."""
    try:
        action = next(flow)
        while True:
            try:
                outcome = perform(action)
            except Exception as error:
                action = flow.throw(error)
            else:
                action = flow.send(outcome)
    except StopIteration as done:
        return cast("T", done.value)
