"""A fair queue of waiting requests: no client's requests hold up those of others.

A client is the holder of a key or, without keys, a connection. The queue adds up the time spent on each client, and
next serves the one with the least (start-time fair queueing: Goyal, Vin, Cheng, 1996). A client that was silent starts
level with the others. Silence earns no credit, but a rare request still goes before the hundreds of a client that
floods. The connections of one client take turns, and the requests of one connection keep their order.

A request that cannot be split and takes long (a submit of 10,000 jobs) makes its client rest for the same time again
while anybody else asks, so others find the broker free half of the time.

The number and size of waiting requests are bounded for each connection and each client. Requests beyond that are
refused, since a ROUTER cannot read from some connections and not from others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar

QUEUE_REQUESTS = 512  # of one connection
CLIENT_REQUESTS = 5_000
CLIENT_BYTES = 64 << 20
ALL_REQUESTS = 50_000
ALL_BYTES = 256 << 20
LONG_S = 0.05
OTHERS_ASKED_S = 1.0
REMEMBERED = 10_000

Request = TypeVar("Request")


class ClientQueue(Generic[Request]):
    """The requests of one connection, in the order in which they came."""

    def __init__(self, client: Client[Request], connection: bytes) -> None:
        self.client = client
        self.connection = connection
        self.requests: deque[tuple[Request, int]] = deque()
        self.postponed = False
        self.changes = False  # one of its requests changes something in this turn; set by the reader

    @property
    def first(self) -> Request:
        """The request to serve next. Raises IndexError if none waits."""
        return self.requests[0][0]


class Client(Generic[Request]):
    """A client's account and its queues.

    `served_s`: the time spent on it, on the scale of FairQueue. `queues`: those that are not postponed.
    """

    def __init__(self, name: str, served_s: float) -> None:
        self.name = name
        self.served_s = served_s
        self.rests_until_s = 0.0
        self.queues: deque[ClientQueue[Request]] = deque()
        self.requests = self.bytes = 0
        self.queued = False


class FairQueue(Generic[Request]):
    """All waiting requests. Callers `put` a request, serve the `next` queue, then report the time it `took`."""

    def __init__(self) -> None:
        self._queues: dict[bytes, ClientQueue[Request]] = {}
        self._clients: dict[str, Client[Request]] = {}
        self._turns: list[tuple[float, int, Client[Request]]] = []
        self._postponed: list[ClientQueue[Request]] = []
        self._most_clients = REMEMBERED
        self._level_s = 0.0
        self._order = 0
        self._last_client = ""
        self._another_at_s = -OTHERS_ASKED_S
        self._requests = self._bytes = 0

    def __len__(self) -> int:
        return self._requests

    @property
    def full(self) -> bool:
        """True if nothing more should be read from the sockets."""
        return self._requests >= ALL_REQUESTS or self._bytes >= ALL_BYTES

    def put(self, client_name: str, connection: bytes, request: Request, size: int) -> bool:
        """Add a request of `size` bytes. Return False if its client or connection has too many waiting."""
        queue = self._queues.get(connection)
        client = self._client(client_name) if queue is None else queue.client
        if client.requests:
            if client.requests >= CLIENT_REQUESTS or client.bytes + size > CLIENT_BYTES:
                return False
            if queue is not None and len(queue.requests) >= QUEUE_REQUESTS:
                return False
        if not client.queues and not client.requests:
            client.served_s = max(client.served_s, self._level_s)
        if queue is None:
            queue = self._queues[connection] = ClientQueue(client, connection)
            client.queues.append(queue)
            self._enqueue(client)
        queue.requests.append((request, size))
        self._count(client, 1, size)
        return True

    def next(self, now_s: float) -> ClientQueue[Request] | None:
        """Return the queue to serve next, None if none waits or all of them rest or are postponed."""
        resting = []
        found = None
        while self._turns and found is None:
            served_s, _, client = heappop(self._turns)
            client.queued = False
            if not client.queues:
                continue
            if served_s < client.served_s:  # charged since it was queued
                self._enqueue(client)
            elif self._rests(client, now_s):
                resting.append(client)
            else:
                found = client
        for client in resting:
            self._enqueue(client)
        if found is None:
            return None
        self._level_s = max(self._level_s, found.served_s)
        if found.name != self._last_client:
            self._last_client, self._another_at_s = found.name, now_s
        queue = found.queues.popleft()
        found.queues.append(queue)
        self._enqueue(found)
        return queue

    def ready_at_s(self, now_s: float) -> float:
        """Return when the next request may be served: now, unless every client that asks is resting."""
        soonest_s = None
        for _, _, client in self._turns:
            if not self._rests(client, now_s):
                return now_s
            soonest_s = min(client.rests_until_s, soonest_s or client.rests_until_s)
        return now_s if soonest_s is None else soonest_s

    def took(self, client: Client[Request], seconds: float) -> None:
        """Charge the client for this much time."""
        client.served_s += seconds
        if not self._requests:  # nobody waits, so nobody is behind
            self._level_s = max(self._level_s, client.served_s)

    def rest(self, client: Client[Request], seconds: float, now_s: float) -> None:
        """Make the client rest if it kept the others waiting longer than LONG_S without a break."""
        if seconds > LONG_S:
            client.rests_until_s = now_s + seconds

    def done(self, queue: ClientQueue[Request]) -> None:
        """Remove the first request of a queue; it is answered."""
        _, size = queue.requests.popleft()
        self._count(queue.client, -1, -size)
        if not queue.requests and not queue.postponed:
            self._forget(queue)

    def postpone(self, queue: ClientQueue[Request]) -> None:
        """Skip the queue until `release`, because its first request waits for the commit."""
        queue.postponed = True
        queue.client.queues.remove(queue)
        self._postponed.append(queue)

    def release(self) -> None:
        """Serve all postponed queues again."""
        for queue in self._postponed:
            queue.postponed = False
            if queue.requests:
                queue.client.queues.appendleft(queue)
                self._enqueue(queue.client)
            else:
                self._forget(queue)
        self._postponed = []

    def clients(self) -> int:
        """Return the number of clients remembered."""
        return len(self._clients)

    def waiting(self) -> Iterator[Request]:
        """Iterate over all waiting requests."""
        return (request for queue in self._queues.values() for request, _ in queue.requests)

    def _rests(self, client: Client[Request], now_s: float) -> bool:
        return now_s < client.rests_until_s and now_s - self._another_at_s < OTHERS_ASKED_S

    def _enqueue(self, client: Client[Request]) -> None:
        if not client.queued:
            client.queued = True
            self._order += 1
            heappush(self._turns, (client.served_s, self._order, client))

    def _count(self, client: Client[Request], more: int, more_bytes: int) -> None:
        client.requests += more
        client.bytes += more_bytes
        self._requests += more
        self._bytes += more_bytes

    def _forget(self, queue: ClientQueue[Request]) -> None:
        """Drop an empty queue."""
        client = queue.client
        del self._queues[queue.connection]
        if client.queues and client.queues[-1] is queue:  # the usual case: its turn has just ended
            client.queues.pop()
        elif queue in client.queues:
            client.queues.remove(queue)

    def _client(self, name: str) -> Client[Request]:
        """Return the client of this name. An idle one is remembered while its account still matters."""
        client = self._clients.get(name)
        if client is None:
            if len(self._clients) >= self._most_clients:
                self._clients = {name: client for name, client in self._clients.items() if self._matters(client)}
                self._most_clients = max(REMEMBERED, 2 * len(self._clients))
            client = self._clients[name] = Client(name, self._level_s)
        return client

    def _matters(self, client: Client[Request]) -> bool:
        return client.requests > 0 or client.queued or client.served_s > self._level_s
