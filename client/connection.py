"""The sockets to one broker. The one file of the client that knows ZeroMQ.

A `Connection` may be shared by threads: each request borrows a socket of its own from a pool. It survives a
fork: the child gets a pool of its own, and neither uses nor closes what it inherited (closing a ZeroMQ context
in the child would disturb the parent's connections).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import monotonic

import zmq

from zjobs.client.errors import BadAddress, BadReply, BrokerUnreachable

# A request without a reply is sent again on a new socket: a broker that was restarted has forgotten it. The
# pauses double, because one that is merely slow must not get more work; a large request has time to arrive.
RETRY_S = 1.0
SLOWEST_BYTES_PER_S = 1 << 20

# libzmq notices by itself when the other end closes; a cut link or a stopped process only by these.
HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS = 1000, 3000

# No reply and no event is nearly as large: whoever sends more is not a broker.
MAX_FRAME_BYTES = 64 << 20


def _poll_ms(seconds: float) -> int:
    """Rounded up: a wait that ends early would be begun again and again until its time is really over."""
    return int(seconds * 1000) + 1 if seconds > 0 else 0


_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class _Pool:
    """The context of one process and its REQ sockets without a request in flight."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._idle: list[zmq.Socket[bytes]] = []
        self._borrowed = 0
        self._closed = False

    def borrow(self) -> zmq.Socket[bytes]:
        """A connected REQ socket that nobody else has. Raises BadAddress when ZeroMQ does not take the address."""
        with self._lock:
            self._check_open()
            socket = self._idle.pop() if self._idle else self._connected()
            self._borrowed += 1
            return socket

    def borrow_feed(self) -> zmq.Socket[bytes]:
        """An unconnected SUB socket."""
        with self._lock:
            self._check_open()
            socket = self._socket(zmq.SUB)
            self._borrowed += 1
            return socket

    def give_back(self, socket: zmq.Socket[bytes], reusable: bool) -> None:
        """Ends a loan. Not reusable: a request is still in flight on it, or it is no REQ socket."""
        with self._lock:
            self._borrowed -= 1
            if reusable and not self._closed:
                self._idle.append(socket)
                return
            socket.close()
            self._end_when_unused()

    def close(self) -> None:
        """Closes what is idle; what is borrowed goes when it is given back."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().close()
            self._end_when_unused()

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        if self._context is None:
            self._context = zmq.Context()
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        return socket

    def _connected(self) -> zmq.Socket[bytes]:
        socket = self._socket(zmq.REQ)
        # RELAXED and CORRELATE: a reply that comes too late is dropped, and never taken for the next one
        socket.setsockopt(zmq.REQ_RELAXED, 1)
        socket.setsockopt(zmq.REQ_CORRELATE, 1)
        try:
            socket.connect(self._address)
        except zmq.ZMQError as error:
            socket.close()
            raise BadAddress(f"cannot connect to {self._address}: {error}") from error
        return socket

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this Client is closed")

    def _end_when_unused(self) -> None:
        # Ending a context waits for its last socket, so it must not happen while one is borrowed.
        if self._closed and not self._borrowed and self._context is not None:
            self._context.term()
            self._context = None


class Connection:
    """Requests to the broker at `address`, and feeds of its events. `timeout`: seconds for one answer."""

    def __init__(self, address: str, timeout: float) -> None:
        self.address = address
        self.timeout = timeout
        self._pools: dict[int, _Pool] = {}

    def close(self) -> None:
        self._own_pool().close()

    def request(self, frame: bytes, timeout: float | None = None) -> bytes:
        """The reply to `frame`. Raises BrokerUnreachable when none comes in `timeout` seconds."""
        timeout = self.timeout if timeout is None else timeout
        deadline = monotonic() + timeout
        patience = RETRY_S + len(frame) / SLOWEST_BYTES_PER_S
        while True:
            left = deadline - monotonic()
            reply = self._try(frame, min(left, patience))
            if reply is not None:
                return reply
            if left <= patience:
                raise BrokerUnreachable(self.address, timeout)
            patience *= 2

    def feed(self, endpoint: str) -> Feed:
        """The events at `endpoint`."""
        pool = self._own_pool()
        socket = pool.borrow_feed()
        return Feed(socket, endpoint, lambda: pool.give_back(socket, reusable=False))

    def _try(self, frame: bytes, seconds: float) -> bytes | None:
        pool = self._own_pool()
        socket = pool.borrow()
        answered = False
        try:
            socket.send(frame)
            if not socket.poll(_poll_ms(seconds)):
                return None
            frames = socket.recv_multipart()
            answered = True
        finally:
            pool.give_back(socket, reusable=answered)
        if len(frames) != 1:
            raise BadReply(f"{self.address} answered with {len(frames)} frames; it is no broker of zjobs")
        return frames[0]

    def _own_pool(self) -> _Pool:
        # Without a lock, as an inherited one may be held by a thread that was not copied. The parent's pools stay
        # in the dictionary: were they collected, their sockets would be closed.
        return self._pools.get(_forks) or self._pools.setdefault(_forks, _Pool(self.address))


class Feed:
    """Events as they come, and when their connection was lost. Belongs to one thread."""

    def __init__(self, socket: zmq.Socket[bytes], endpoint: str, give_back: Callable[[], None]) -> None:
        self.endpoint = endpoint
        self._socket = socket
        self._give_back = give_back
        self._monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        socket.connect(endpoint)

    def subscribe(self, topic: bytes) -> None:
        self._socket.subscribe(topic)

    def unsubscribe(self, topic: bytes) -> None:
        self._socket.unsubscribe(topic)

    def read(self, seconds: float) -> tuple[list[bytes], bool]:
        """(the bodies of the events that came, whether the connection was lost), after `seconds` at most."""
        ready = dict(self._poller.poll(_poll_ms(seconds)))
        lost = self._monitor in ready
        while lost and self._monitor.poll(0):
            self._monitor.recv_multipart()
        bodies: list[bytes] = []
        while self._socket in ready and self._socket.poll(0) and len(bodies) < 1000:
            bodies.append(self._socket.recv_multipart()[-1])
        return bodies, lost

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close()
        self._give_back()
