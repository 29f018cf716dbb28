"""The sockets of one process: REQ sockets, each borrowed for one request at a time, and one for events."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import zmq

from zjobs.client.config.settings import Key
from zjobs.client.errors import BadAddress, NotPermitted, UntrustedBroker
from zjobs.client.net.handshake import Handshake
from zjobs.client.protocol.actions import Attempt, poll_ms
from zjobs.program import endpoints
from zjobs.program.links import watch_link

if TYPE_CHECKING:
    from zjobs.client.net.feed import Feed

# No reply or event comes near this size: whoever sends more is not a broker.
MAX_FRAME_BYTES = 64 << 20


def new_socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, address: str, key: Key | None) -> zmq.Socket[bytes]:
    """Open a socket for the broker at `address`, not yet connected."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    watch_link(socket)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    socket.setsockopt(zmq.IPV6, endpoints.is_ipv6(address))
    if key is not None:
        from zjobs.program import zap  # not at the top: most starts of zclient need no key

        zap.call_with(socket, key.public, key.secret, key.server)
    return socket


class _Caller:
    """A REQ socket, and the state of its connection."""

    def __init__(self, socket: zmq.Socket[bytes], address: str, key: Key | None) -> None:
        """Connect the socket. Raises BadAddress if ZeroMQ rejects the address."""
        self.address = address
        self._socket = socket
        self.stood = False  # there was a connection when it last waited in vain, or just before
        # RELAXED and CORRELATE: a reply that comes too late is dropped, and never mistaken for the next one
        socket.setsockopt(zmq.REQ_RELAXED, 1)
        socket.setsockopt(zmq.REQ_CORRELATE, 1)
        self._handshake = Handshake(socket, address, key)
        # The sockets' own descriptors: zmq_poll asks every socket four times. They tell only once, so each socket is
        # read until nothing is left before they are polled.
        self._monitor_file = int(self._handshake.monitor.getsockopt(zmq.FD))
        self._files, self._monitor = select.poll(), select.poll()
        self._files.register(int(socket.getsockopt(zmq.FD)), select.POLLIN)
        for files in (self._files, self._monitor):
            files.register(self._monitor_file, select.POLLIN)
        self._handshake.monitor.getsockopt(zmq.EVENTS)  # a descriptor signals nothing before this first look
        try:
            socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise BadAddress(f"cannot connect to {address}: {error}") from error

    def ask(
        self, frame: bytes, attempt: Attempt, on_retry: Callable[[], None], insists: bool = True
    ) -> list[bytes] | None:
        """Send a request and return the frames of the reply, None if none came in time or the connection broke.

        Calls `on_retry` when a connection fails, and goes on if it `insists`. Raises what Handshake.read raises.
        """
        self._socket.send(frame)
        deadline, more = attempt
        while True:
            try:
                return self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                ready = self._files.poll(poll_ms(deadline - monotonic()))
            self.stood = self._handshake.stands
            if not ready:
                if not (self.stood and more):
                    return None
                deadline, more = deadline + more, 0
            elif any(file == self._monitor_file for file, _ in ready) and self._handshake.read() and self.stood:
                return None
            if self._handshake.retries:
                on_retry()
                if not (insists or self.stood):
                    return None

    def is_sound(self) -> bool:
        """Return False if the broker has refused it since its last request: ZeroMQ would not connect it again."""
        try:
            if self._monitor.poll(0):
                self._handshake.read()
        except (NotPermitted, UntrustedBroker):
            return False
        return True

    def close(self) -> None:
        self._handshake.close()
        self._socket.close()


class SocketPool:
    """The context of one process, its REQ sockets without a request in flight, and one connection for events."""

    def __init__(self, key: Key | None) -> None:
        self._key = key
        self._lock = threading.Lock()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._idle: list[_Caller] = []
        self._idle_feed: Feed | None = None
        self._borrowed = 0
        self._closed = False

    def borrow(self, address: str) -> _Caller:
        """Return a connected REQ socket that nobody else has. Raises BadAddress if ZeroMQ rejects the address."""
        with self._lock:
            self._check_open()
            caller = self._sound_idle(address) or _Caller(self._socket(zmq.REQ, address), address, self._key)
            self._borrowed += 1
            return caller

    def borrow_feed(self, endpoint: str, shared: bool) -> Feed:
        """Return a feed without subscriptions. `shared`: its connection may be that of an earlier feed."""
        with self._lock:
            self._check_open()
            feed = self._sound_feed(endpoint) if shared else None
            if feed is None:
                from zjobs.client.net.feed import Feed  # not at the top: submits need no events

                give_back = partial(self._give_back_feed, shared)
                feed = Feed(self._socket(zmq.SUB, endpoint), endpoint, self._key, give_back)
            self._borrowed += 1
            return feed

    def give_back(self, caller: _Caller, reusable: bool) -> None:
        """End a loan. `reusable`: False while a request is still in flight on it."""
        with self._lock:
            self._borrowed -= 1
            if reusable and not self._closed:
                self._idle.append(caller)
                return
            caller.close()
            self._end_when_unused()

    def _give_back_feed(self, shared: bool, feed: Feed) -> None:
        with self._lock:
            self._borrowed -= 1
            if shared and self._idle_feed is None and not self._closed:
                self._idle_feed = feed
                return
            feed.end()
            self._end_when_unused()

    def close(self) -> None:
        """Close idle sockets now, and borrowed ones when they are given back."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().close()
            if self._idle_feed is not None:
                self._idle_feed.end()
                self._idle_feed = None
            self._end_when_unused()

    def _sound_idle(self, address: str) -> _Caller | None:
        while self._idle:
            caller = self._idle.pop()
            if caller.address == address and caller.is_sound():
                return caller
            caller.close()
        return None

    def _sound_feed(self, endpoint: str) -> Feed | None:
        feed, self._idle_feed = self._idle_feed, None
        if feed is not None and not (feed.endpoint == endpoint and feed.is_sound()):
            feed.end()
            return None
        return feed

    def _socket(self, kind: int, address: str) -> zmq.Socket[bytes]:
        if self._context is None:
            self._context = zmq.Context()
        return new_socket(self._context, kind, address, self._key)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this Client is closed")

    def _end_when_unused(self) -> None:
        # Ending a context waits for its last socket, so it must not happen while one is borrowed.
        if self._closed and not self._borrowed and self._context is not None:
            self._context.term()
            self._context = None
