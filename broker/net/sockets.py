"""The broker's sockets: opened, set up and bound here, used by `service`."""

from __future__ import annotations

import errno
import socket as os_sockets
import time
from collections.abc import Callable
from typing import NamedTuple

import zmq

from zjobs.broker.core.admission import Rules
from zjobs.broker.credentials import Credentials
from zjobs.broker.retention import Keep
from zjobs.program import endpoints, zap
from zjobs.program.links import watch_link

FAREWELL_MS = 1_000
TOPIC_BYTES = 1024  # the handshake of CURVE has messages of several hundred bytes
REBIND_S = 5.0
UNREAD_REPLIES = 1_000  # of one client; libzmq counts reads in batches of half as many: the protocol promises 500
REPORT_BYTES = 64 << 20  # besides the largest result
HANDSHAKE_MS = 10_000
WAITING_CONNECTIONS = 1024  # with libzmq's 100, the others try again only after a second


class Config(NamedTuple):
    """The configuration of a broker. An endpoint that is None is derived from the frontend's."""

    listen: str = endpoints.FRONTEND
    events: str | None = None
    pipe: str | None = None
    reports: str | None = None
    rules: Rules = Rules()
    keep: Keep = Keep()
    keys: Credentials | None = None


# A handshake with keys takes an I/O thread a third of a millisecond, during which its other connections wait: with one
# thread, 3,000 new connections held up everybody's requests for half a second. Without keys they compute nothing,
# and more threads would only wake each other.
IO_THREADS_WITH_KEYS = 8


class CannotBind(Exception):
    """An address at which the broker cannot listen. `in_use`: another program listens there."""

    def __init__(self, endpoint: str, error: zmq.ZMQError) -> None:
        super().__init__(f"cannot listen at {endpoint}: {error.strerror}")
        self.in_use = error.errno == zmq.EADDRINUSE


class Sockets:
    """The open sockets, their addresses, and a poller that watches everything readable."""

    def __init__(self, config: Config) -> None:
        """Open and bind the sockets. Raises CannotBind, and ValueError for an endpoint that cannot be used."""
        self.context = zmq.Context(1 if config.keys is None else IO_THREADS_WITH_KEYS)
        self.frontend_at = self.events_at = self.pipe_at = self.reports_at = ""
        self._keys = config.keys
        self.gate = zap.Gate(self.context, lambda key: self._admits(key)) if config.keys else None
        try:
            self._bind_ours(config)
            self._dial_worker(config)
        except BaseException:
            self.context.destroy(linger=0)
            raise
        self.wakeup, self.wakeup_sender = os_sockets.socketpair()
        self.wakeup.setblocking(False)
        self.wakeup_sender.setblocking(False)
        self.poller = zmq.Poller()
        self._watch_all()

    def all(self) -> set[object]:
        """Return all readable sockets, as the poller names them."""
        return {self.frontend, self.events, self.reports, self.worker_monitor, self.wakeup.fileno()}

    def close(self) -> None:
        """Send what is pending to peers that accept it within a second, then close everything."""
        self.reports.disable_monitor()
        self.context.destroy()
        self.wakeup.close()
        self.wakeup_sender.close()

    def _watch_all(self) -> None:
        for socket in (self.frontend, self.events, self.reports, self.worker_monitor, self.wakeup):
            self.poller.register(socket, zmq.POLLIN)
        if self.gate is not None:
            self.poller.register(self.gate.socket, zmq.POLLIN)

    def _bind_ours(self, config: Config) -> None:
        self._limits = config.rules.limits
        self.frontend = self._frontend_socket()
        self.events = self._events_socket()
        listen = endpoints.checked(config.listen, free_port=True)
        self.frontend_at = self._bind(self.frontend, listen)
        # The port after a free one may be in use, so the events take any free one as well.
        beside = listen if listen.endswith(":*") else self.frontend_at
        events = config.events or endpoints.after(beside, endpoints.EVENTS)
        self.events_at = self._bind(self.events, endpoints.checked(events, free_port=True))

    def _dial_worker(self, config: Config) -> None:
        self.pipe_at = endpoints.checked(config.pipe or endpoints.after(self.frontend_at, endpoints.PIPE))
        self.reports_at = endpoints.checked(config.reports or endpoints.after(self.frontend_at, endpoints.REPORTS))
        self.pipe = self._calling(zmq.PUSH)
        self.pipe.setsockopt(zmq.IMMEDIATE, 1)  # queue nothing for a worker that is not connected
        self.pipe.setsockopt(zmq.SNDHWM, 0)  # bounded by the window
        _dial(self.pipe, self.pipe_at)
        self.reports = self._calling(zmq.SUB)
        self.reports.setsockopt(zmq.LINGER, 0)  # an unsent subscription is not worth waiting for
        self.reports.setsockopt(zmq.RCVHWM, 0)  # bounded by the worker's unacknowledged reports
        self.reports.setsockopt(zmq.MAXMSGSIZE, config.rules.limits.result_bytes + REPORT_BYTES)
        self.worker_monitor = self.reports.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.reports.subscribe(b"")
        _dial(self.reports, self.reports_at)

    def _admits(self, key: str) -> bool:
        assert self._keys is not None
        self._keys.refresh()
        return self._keys.who(key) is not None

    def reopen_events(self) -> None:
        """End all event streams; admitted clients reconnect by themselves."""
        self._let_go(self.events, self.events_at)
        self.events = self._anew(self._events_socket, self.events_at)

    def reopen_frontend(self) -> None:
        """Cut all connections of clients. They repeat what was not answered."""
        self._let_go(self.frontend, self.frontend_at)
        self.frontend = self._anew(self._frontend_socket, self.frontend_at)

    def _let_go(self, socket: zmq.Socket[bytes], endpoint: str) -> None:
        self.poller.unregister(socket)
        socket.unbind(endpoint)
        socket.close(linger=0)

    def _anew(self, make: Callable[[], zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
        """Open a socket at an address that another one of ours held a moment ago: libzmq releases addresses and
        descriptors in its own time. Raises CannotBind."""
        deadline = time.monotonic() + REBIND_S
        while True:
            socket = None
            try:
                socket = make()
                _bind(socket, endpoint)
                self.poller.register(socket, zmq.POLLIN)
                return socket
            except zmq.ZMQError as error:
                if socket is not None:
                    socket.close(linger=0)
                if error.errno not in (zmq.EADDRINUSE, errno.EMFILE, errno.ENFILE) or time.monotonic() > deadline:
                    raise CannotBind(endpoint, error) from error
                time.sleep(0.001)

    def _frontend_socket(self) -> zmq.Socket[bytes]:
        socket = self._served(zmq.ROUTER)
        socket.setsockopt(zmq.MAXMSGSIZE, 2 * self._limits.request_bytes)
        socket.setsockopt(zmq.SNDHWM, UNREAD_REPLIES)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # so that it reports replies for which it has no room
        return socket

    def _events_socket(self) -> zmq.Socket[bytes]:
        socket = self._served(zmq.XPUB)
        socket.setsockopt(zmq.XPUB_MANUAL, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, TOPIC_BYTES)
        return socket

    def _served(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._socket(kind)
        socket.setsockopt(zmq.BACKLOG, WAITING_CONNECTIONS)
        if self._keys is not None:
            zap.serve_with(socket, self._keys.public, self._keys.secret)
        return socket

    def _calling(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._socket(kind)
        if self._keys is not None:
            zap.call_with(socket, self._keys.public, self._keys.secret, self._keys.worker)
        return socket

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self.context.socket(kind)
        socket.setsockopt(zmq.LINGER, FAREWELL_MS)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)  # a connection that stays silent is closed after that
        watch_link(socket)
        return socket

    def _bind(self, socket: zmq.Socket[bytes], endpoint: str) -> str:
        try:
            _bind(socket, endpoint)
        except zmq.ZMQError as error:
            raise CannotBind(endpoint, error) from error
        bound: bytes = socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
        return bound.rstrip(b"\0").decode()


def _bind(socket: zmq.Socket[bytes], endpoint: str) -> None:
    socket.setsockopt(zmq.IPV6, endpoints.is_ipv6(endpoint))
    socket.bind(endpoint)


def _dial(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Connect. A broker that listens everywhere finds its worker on its own host."""
    endpoint = endpoints.from_here(endpoint)
    socket.setsockopt(zmq.IPV6, endpoints.is_ipv6(endpoint))
    socket.connect(endpoint)
