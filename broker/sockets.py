"""The broker's sockets: opened, set up and bound here, used in `shell`."""

from __future__ import annotations

import socket as os_sockets
from typing import NamedTuple

import zmq

from zjobs.broker.core import Rules
from zjobs.broker.retention import Keep
from zjobs.messages import endpoints

FAREWELL_MS = 1_000
HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS = 1_000, 3_000
TOPIC_BYTES = 64


class Config(NamedTuple):
    """Everything a broker is told at its start. Endpoints None: the places after the frontend's."""

    listen: str = endpoints.FRONTEND
    events: str | None = None
    pipe: str | None = None
    reports: str | None = None
    rules: Rules = Rules()
    keep: Keep = Keep()


class CannotBind(Exception):
    """An address cannot be listened at; `in_use`: because somebody else does."""

    def __init__(self, endpoint: str, error: zmq.ZMQError) -> None:
        super().__init__(f"cannot listen at {endpoint}: {error.strerror}")
        self.in_use = error.errno == zmq.EADDRINUSE


class Sockets:
    """The open sockets, where they are, and a poller that watches all that can be read."""

    def __init__(self, config: Config) -> None:
        """Raises CannotBind, and ValueError for an endpoint that cannot be used."""
        self.context = zmq.Context()
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
        for socket in (self.frontend, self.events, self.reports, self.worker_monitor, self.wakeup):
            self.poller.register(socket, zmq.POLLIN)

    def all(self) -> set[object]:
        """Everything that can be read, as the poller names it."""
        return {self.frontend, self.events, self.reports, self.worker_monitor, self.wakeup.fileno()}

    def close(self) -> None:
        """Sends what is on its way to those who take it within a second, then closes everything."""
        self.reports.disable_monitor()
        self.context.destroy()
        self.wakeup.close()
        self.wakeup_sender.close()

    def _bind_ours(self, config: Config) -> None:
        self.frontend = self._socket(zmq.ROUTER)
        self.frontend.setsockopt(zmq.MAXMSGSIZE, 2 * config.rules.limits.request_bytes)
        self.events = self._socket(zmq.XPUB)
        self.events.setsockopt(zmq.XPUB_MANUAL, 1)
        self.events.setsockopt(zmq.MAXMSGSIZE, TOPIC_BYTES)
        listen = endpoints.checked(config.listen, free_port=True)
        self.frontend_at = self._bind(self.frontend, listen)
        # Beside a free port there may be none: then the events take any free one as well.
        beside = listen if listen.endswith(":*") else self.frontend_at
        events = config.events or endpoints.after(beside, endpoints.EVENTS)
        self.events_at = self._bind(self.events, endpoints.checked(events, free_port=True))

    def _dial_worker(self, config: Config) -> None:
        self.pipe_at = endpoints.checked(config.pipe or endpoints.after(self.frontend_at, endpoints.PIPE))
        self.reports_at = endpoints.checked(config.reports or endpoints.after(self.frontend_at, endpoints.REPORTS))
        self.pipe = self._socket(zmq.PUSH)
        self.pipe.setsockopt(zmq.IMMEDIATE, 1)  # nothing is queued for a worker that is not there
        self.pipe.setsockopt(zmq.SNDHWM, 0)  # bounded by the window
        self.pipe.connect(_dialled(self.pipe_at))
        self.reports = self._socket(zmq.SUB)
        self.reports.setsockopt(zmq.LINGER, 0)  # an unsent subscription is nothing to wait for
        self.reports.setsockopt(zmq.RCVHWM, 0)  # bounded by what the worker holds unacknowledged
        self.worker_monitor = self.reports.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.reports.subscribe(b"")
        self.reports.connect(_dialled(self.reports_at))

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self.context.socket(kind)
        socket.setsockopt(zmq.LINGER, FAREWELL_MS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
        return socket

    def _bind(self, socket: zmq.Socket[bytes], endpoint: str) -> str:
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise CannotBind(endpoint, error) from error
        bound: bytes = socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
        return bound.rstrip(b"\0").decode()


def _dialled(endpoint: str) -> str:
    """A broker that listens everywhere finds its worker on its own host."""
    return endpoint.replace("tcp://0.0.0.0:", "tcp://127.0.0.1:").replace("tcp://*:", "tcp://127.0.0.1:")
