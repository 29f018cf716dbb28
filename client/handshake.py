"""Why no connection comes about: told by libzmq's socket monitor, and by what the other side says of itself.

libzmq tries again and again for as long as one likes, or gives up in silence; a socket that sends and waits would learn
nothing. What the monitor says (tried with libzmq 4.3.5):

    the broker does not admit our key       HANDSHAKE_FAILED_AUTH
    it has another key than we expect       HANDSHAKE_FAILED_NO_DETAIL: it hung up. So does one that is just ending
    one side has keys, the other none       HANDSHAKE_FAILED_PROTOCOL, or NO_DETAIL when the other hung up first

So after the latter two the other side is asked, by the first bytes of ZMTP (rfc.zeromq.org/spec/23), what it speaks.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import zmq

from zjobs.client.credentials import Key
from zjobs.client.errors import KeyNeeded, KeyRefused, UntrustedBroker

if TYPE_CHECKING:
    import socket

NOTHING_LISTENS = "nothing listens there"

_EVENTS = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)

# A broker that ends in the middle of a handshake hangs up once; one with another key does every time.
HANG_UPS = 2

# The signature and the major version: enough for the other side to send the rest of its greeting.
_GREETING = b"\xff" + bytes(8) + b"\x7f\x03"
_GREETING_BYTES = 64
_MECHANISM = slice(12, 32)
_ANSWER_S = 0.3


class Handshake:
    """Watches the handshakes of one socket, which must not be connected yet.

    `stands`: whether the last one succeeded and its connection was not lost since, as far as was read.
    """

    def __init__(self, socket: zmq.Socket[bytes], endpoint: str, key: Key | None) -> None:
        self.monitor = socket.get_monitor_socket(_EVENTS)
        self._socket = socket
        self._endpoint = endpoint
        self._key = key
        self._hang_ups = 0
        self.retries = False  # whether a connection could not be made
        self.stands = False
        self.hung_up = False  # whether the other side did, so that it is worth asking for its mechanism

    def read(self) -> bool:
        """Whether the connection was lost since. Raises KeyRefused, KeyNeeded or UntrustedBroker when there can be
        none."""
        lost = self.take()
        if self.hung_up:
            self.judge(mechanism(self._endpoint))
        return lost

    def take(self) -> bool:
        """As `read`, but asks nobody. Raises KeyRefused."""
        lost = self.hung_up = False
        while self.monitor.poll(0):
            event = int.from_bytes(self.monitor.recv_multipart()[0][:2], sys.byteorder)
            if event == zmq.EVENT_DISCONNECTED:
                lost = True
                self.stands = False
            elif event == zmq.EVENT_CONNECT_RETRIED:
                self.retries = True
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._hang_ups = 0
                self.stands = True
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise KeyRefused(f"key refused by {self._endpoint}")
            else:
                self._hang_ups += 1
                self.hung_up = True
        return lost

    def close(self) -> None:
        self._socket.disable_monitor()
        self.monitor.close()

    def judge(self, spoken: str) -> None:
        """Raises KeyNeeded or UntrustedBroker when the mechanism that the other side speaks is not ours."""
        if self._key is None and spoken == "CURVE":
            raise KeyNeeded(f"{self._endpoint} wants a key: --key FILE")
        if self._key is not None and spoken == "NULL":
            raise UntrustedBroker(f"{self._endpoint} uses no keys, but {self._key.file} names one (--key '': use none)")
        if self._key is not None and spoken == "CURVE" and self._hang_ups >= HANG_UPS:
            raise UntrustedBroker(f"{self._endpoint} does not have the key that {self._key.file} names")


def trouble(endpoint: str) -> str:
    """Why no connection to `endpoint` comes about; "" when one does."""
    import socket  # only where something went wrong

    try:
        _plain(endpoint).close()
    except socket.gaierror:
        return f"the host {endpoint.partition('://')[2].rpartition(':')[0]} is unknown"
    except (ConnectionRefusedError, FileNotFoundError):
        return NOTHING_LISTENS
    except OSError as error:
        return f"it cannot be reached ({error.strerror or error})"
    return ""


def _plain(endpoint: str) -> socket.socket:
    """A connection to `endpoint` without ZeroMQ. Raises OSError."""
    import socket

    scheme, _, place = endpoint.partition("://")
    if scheme == "ipc":
        return _connected(socket.socket(socket.AF_UNIX), "\0" + place[1:] if place.startswith("@") else place)
    host, _, port = place.rpartition(":")
    refusal: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host.strip("[]"), int(port), 0, socket.SOCK_STREAM):
        try:
            return _connected(socket.socket(family, kind, protocol), address)
        except OSError as error:
            refusal = refusal or error
    raise refusal or OSError(f"{host} has no address")


def _connected(connection: socket.socket, address: Any) -> socket.socket:
    """The same, connected. It is closed when that fails, be it by Ctrl+C (socket.create_connection would leak it)."""
    try:
        connection.settimeout(_ANSWER_S)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def mechanism(endpoint: str) -> str:
    """Return the security mechanism the peer requires: NULL (no keys) or CURVE; "" when that cannot be learnt."""
    greeting = b""
    try:
        with _plain(endpoint) as connection:
            connection.sendall(_GREETING)
            while len(greeting) < _GREETING_BYTES and (more := connection.recv(_GREETING_BYTES - len(greeting))):
                greeting += more
    except OSError:
        return ""
    return greeting[_MECHANISM].rstrip(b"\0").decode("ascii", "replace")
