"""The sockets to one broker.

A `Connection` may be shared by threads: each request borrows a socket of its own from a pool. It survives a
fork: the child gets a pool of its own, and neither uses nor closes what it inherited (closing a ZeroMQ context
in the child would disturb the parent's connections).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import monotonic, sleep

import zmq

from zjobs.client.credentials import Key
from zjobs.client.errors import BadAddress, BrokerUnreachable, NotPermitted, UntrustedBroker
from zjobs.client.handshake import Handshake, trouble
from zjobs.client.lookup import wait_for_host
from zjobs.client.protocol import Attempt, Attempts, Topics, body_of
from zjobs.program import endpoints
from zjobs.program.links import watch_link

# No reply and no event is nearly as large: whoever sends more is not a broker.
MAX_FRAME_BYTES = 64 << 20


def _poll_ms(seconds: float) -> int:
    """Rounded up: a wait that ends early would be begun again and again until its time is really over."""
    return int(min(seconds, 86_400.0) * 1000) + 1 if seconds > 0 else 0


def new_socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, address: str, key: Key | None) -> zmq.Socket[bytes]:
    """A socket for the broker at `address`, not yet connected."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    watch_link(socket)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    socket.setsockopt(zmq.IPV6, endpoints.is_ipv6(address))
    if key is not None:
        from zjobs.program import zap  # not at the top: most starts of zclient need no key

        zap.call_with(socket, key.public, key.secret, key.server)
    return socket


_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class _Caller:
    """A REQ socket, and what is heard of its connection."""

    def __init__(self, socket: zmq.Socket[bytes], address: str, key: Key | None) -> None:
        """Connects it. Raises BadAddress when ZeroMQ does not take the address."""
        self._socket = socket
        self.stood = False  # when it last waited in vain, or just before
        # RELAXED and CORRELATE: a reply that comes too late is dropped, and never taken for the next one
        socket.setsockopt(zmq.REQ_RELAXED, 1)
        socket.setsockopt(zmq.REQ_CORRELATE, 1)
        self._handshake = Handshake(socket, address, key)
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._handshake.monitor, zmq.POLLIN)
        try:
            socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise BadAddress(f"cannot connect to {address}: {error}") from error

    def ask(self, frame: bytes, attempt: Attempt, on_retry: Callable[[], None]) -> list[bytes] | None:
        """The frames of the reply; None when none came in time, or when the connection broke. `on_retry` is called when
        no connection comes about. Raises what Handshake.read does."""
        self._socket.send(frame)
        deadline, more = attempt
        while True:
            ready = dict(self._poller.poll(_poll_ms(deadline - monotonic())))
            if self._socket in ready:
                return self._socket.recv_multipart()
            self.stood = self._handshake.stands
            if not ready:
                if not (self.stood and more):
                    return None
                deadline, more = deadline + more, 0
            elif self._handshake.read() and self.stood:
                return None
            if self._handshake.retries:
                on_retry()

    def is_sound(self) -> bool:
        """Whether it was not refused since its last request: ZeroMQ would not connect it again."""
        try:
            self._handshake.read()
        except (NotPermitted, UntrustedBroker):
            return False
        return True

    def close(self) -> None:
        self._handshake.close()
        self._socket.close()


class _Pool:
    """The context of one process and its REQ sockets without a request in flight."""

    def __init__(self, address: str, key: Key | None) -> None:
        self._address = address
        self._key = key
        self._lock = threading.Lock()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._idle: list[_Caller] = []
        self._borrowed = 0
        self._closed = False

    def borrow(self) -> _Caller:
        """A connected REQ socket that nobody else has. Raises BadAddress when ZeroMQ does not take the address."""
        with self._lock:
            self._check_open()
            caller = self._sound_idle() or _Caller(self._socket(zmq.REQ), self._address, self._key)
            self._borrowed += 1
            return caller

    def borrow_feed(self) -> zmq.Socket[bytes]:
        """An unconnected SUB socket."""
        with self._lock:
            self._check_open()
            socket = self._socket(zmq.SUB)
            self._borrowed += 1
            return socket

    def give_back(self, caller: _Caller, reusable: bool) -> None:
        """Ends a loan. Not reusable: a request is still in flight on it."""
        with self._lock:
            self._borrowed -= 1
            if reusable and not self._closed:
                self._idle.append(caller)
                return
            caller.close()
            self._end_when_unused()

    def give_back_feed(self, socket: zmq.Socket[bytes]) -> None:
        with self._lock:
            self._borrowed -= 1
            socket.close()
            self._end_when_unused()

    def close(self) -> None:
        """Closes what is idle; what is borrowed goes when it is given back."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().close()
            self._end_when_unused()

    def _sound_idle(self) -> _Caller | None:
        while self._idle:
            caller = self._idle.pop()
            if caller.is_sound():
                return caller
            caller.close()
        return None

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        if self._context is None:
            self._context = zmq.Context()
        return new_socket(self._context, kind, self._address, self._key)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this Client is closed")

    def _end_when_unused(self) -> None:
        # Ending a context waits for its last socket, so it must not happen while one is borrowed.
        if self._closed and not self._borrowed and self._context is not None:
            self._context.term()
            self._context = None


class Connection:
    """Requests to the broker at `address`, and feeds of its events. `timeout`: seconds for one answer.

    key: what to show, and to expect; None: a connection without keys. `on_trouble`, if set, is told why the first
    connection does not come about, while it is tried again.
    """

    def __init__(self, address: str, timeout: float, key: Key | None = None) -> None:
        self.address = address
        self.timeout = timeout
        self.key = key
        self.on_trouble: Callable[[str], None] | None = None
        self._told = ""
        self._trouble: str | None = None  # why no connection came about; None: not looked at
        self._host_known = False
        self._pools: dict[int, _Pool] = {}

    def close(self) -> None:
        self._own_pool().close()

    def request(self, frame: bytes, timeout: float | None = None, reply_bytes: int = 0) -> bytes:
        """The reply to `frame`, which may have `reply_bytes`.

        Raises BrokerUnreachable when none comes in `timeout` seconds, those not counted which the bytes need while
        the connection stands; and what Handshake.read does.
        """
        timeout = self.timeout if timeout is None else timeout
        begun = monotonic()
        if not self._host_known and (why := wait_for_host(self.address, begun + timeout, self._tell)):
            raise BrokerUnreachable(self.address, timeout, why)
        self._host_known = True
        attempts = Attempts(timeout, len(frame) + reply_bytes, begun)
        while True:
            reply, stood = self._try(frame, attempts.begin(monotonic()))
            if reply is not None:
                return reply
            pause = attempts.failed(monotonic(), stood)
            if pause is None:
                raise BrokerUnreachable(self.address, timeout, self._trouble or "")
            sleep(pause)

    def feed(self, endpoint: str) -> Feed:
        """The events at `endpoint`."""
        pool = self._own_pool()
        socket = pool.borrow_feed()
        return Feed(socket, endpoint, self.key, lambda: pool.give_back_feed(socket))

    def _try(self, frame: bytes, attempt: Attempt) -> tuple[bytes | None, bool]:
        """The reply, if one came, and whether there was a connection at the end (or in the end no more)."""
        pool = self._own_pool()
        caller = pool.borrow()
        frames = None
        try:
            frames = caller.ask(frame, attempt, self._look_for_trouble)
        finally:
            pool.give_back(caller, reusable=frames is not None)
        if frames is None:
            return None, caller.stood
        self._trouble = ""
        return body_of(frames, self.address), True

    def _look_for_trouble(self) -> None:
        """Finds out why no connection comes about, and tells it at once: once, and not when there was one before."""
        if self._trouble is None:
            self._trouble = trouble(self.address)
            if self._trouble:
                self._tell(self._trouble)

    def _tell(self, why: str) -> None:
        if why != self._told and self.on_trouble is not None:
            self.on_trouble(why)
        self._told = why

    def _own_pool(self) -> _Pool:
        # Without a lock, as an inherited one may be held by a thread that was not copied. The parent's pools stay
        # in the dictionary: were they collected, their sockets would be closed.
        return self._pools.get(_forks) or self._pools.setdefault(_forks, _Pool(self.address, self.key))


class Feed:
    """Events as they come, and when their connection was lost. Belongs to one thread."""

    def __init__(
        self, socket: zmq.Socket[bytes], endpoint: str, key: Key | None, give_back: Callable[[], None]
    ) -> None:
        self.endpoint = endpoint
        self._socket = socket
        self._give_back = give_back
        self._handshake = Handshake(socket, endpoint, key)
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._handshake.monitor, zmq.POLLIN)
        socket.connect(endpoint)

    def subscribe(self, topics: Topics) -> None:
        """Ends some subscriptions and begins others."""
        for topic in topics.dropped:
            self._socket.unsubscribe(topic)
        for topic in topics.added:
            self._socket.subscribe(topic)

    def read(self, seconds: float) -> tuple[list[bytes], bool]:
        """(the bodies of the events that came, whether the connection was lost), after `seconds` at most.

        Raises what Handshake.read does.
        """
        ready = dict(self._poller.poll(_poll_ms(seconds)))
        lost = self._handshake.monitor in ready and self._handshake.read()
        bodies: list[bytes] = []
        while self._socket in ready and self._socket.poll(0) and len(bodies) < 1000:
            bodies.append(self._socket.recv_multipart()[-1])
        return bodies, lost

    def close(self) -> None:
        self._handshake.close()
        self._give_back()
