"""The events for one watch of a blocking client."""

from __future__ import annotations

from collections.abc import Callable

import zmq

from zjobs.client.config.settings import Key
from zjobs.client.errors import NotPermitted, UntrustedBroker
from zjobs.client.net.handshake import Handshake
from zjobs.client.protocol.actions import Topics, poll_ms
from zjobs.messages.events import subscription_of


class Feed:
    """Receives events, and notices when their connection was lost. Only one thread may use it at a time."""

    def __init__(
        self, socket: zmq.Socket[bytes], endpoint: str, key: Key | None, give_back: Callable[[Feed], None]
    ) -> None:
        self.endpoint = endpoint
        self._socket = socket
        self._give_back = give_back
        self._topics: set[bytes] = set()
        self._was_lost = False
        self._handshake = Handshake(socket, endpoint, key)
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._handshake.monitor, zmq.POLLIN)
        socket.connect(endpoint)

    def subscribe(self, topics: Topics) -> None:
        """End some subscriptions and begin others."""
        for topic in topics.dropped:
            self._socket.unsubscribe(topic)
        for topic in topics.added:
            self._socket.subscribe(topic)
        self._topics.difference_update(topics.dropped)
        self._topics.update(topics.added)

    def read(self, seconds: float) -> tuple[list[bytes], bool]:
        """Wait at most `seconds`; return the bodies of the events, and whether the connection was lost.

        Raises what Handshake.read raises.
        """
        ready = dict(self._poller.poll(poll_ms(seconds)))
        lost = self._handshake.monitor in ready and self._read_handshake()
        bodies: list[bytes] = []
        while self._socket in ready and self._socket.poll(0) and len(bodies) < 1000:
            topic, *_, body = self._socket.recv_multipart()
            if subscription_of(topic) in self._topics:  # not of an earlier watch
                bodies.append(body)
        return bodies, lost

    def _read_handshake(self) -> bool:
        lost = True  # or refused
        try:
            lost = self._handshake.read()
        finally:
            self._was_lost |= lost
        return lost

    def close(self) -> None:
        """End the subscriptions, and give the connection back."""
        self.subscribe(Topics((), tuple(self._topics)))
        self._give_back(self)

    def is_sound(self) -> bool:
        """Return False if the connection was lost or refused, or is not there yet."""
        try:
            self._was_lost |= bool(self._handshake.monitor.poll(0)) and self._handshake.read_events()
        except (NotPermitted, UntrustedBroker):  # a new connection finds out why
            self._was_lost = True
        return self._handshake.stands and not self._was_lost

    def end(self) -> None:
        """Close the connection."""
        self._handshake.close()
        self._socket.close()
