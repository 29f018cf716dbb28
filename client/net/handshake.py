"""The reasons why a handshake fails, from libzmq's socket monitor and from the other side's greeting.

libzmq tries again for ever, or silently gives up; a socket that sends and waits would learn nothing. The monitor says
(as observed with libzmq 4.3.5):

    the broker does not admit our key       HANDSHAKE_FAILED_AUTH
    it has another key than we expect       HANDSHAKE_FAILED_NO_DETAIL: it hung up, as one that is just ending does
    one side has keys, the other none       HANDSHAKE_FAILED_PROTOCOL, or NO_DETAIL if the other hung up first

So after the last two we ask the other side for its mechanism, with the first bytes of ZMTP (rfc.zeromq.org/spec/23).
"""

from __future__ import annotations

import sys

import zmq

from zjobs.client.config.settings import Key
from zjobs.client.errors import KeyNeeded, KeyRefused, UntrustedBroker
from zjobs.client.net.reach import mechanism

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


class Handshake:
    """The handshakes of one socket, which must not be connected yet.

    `stands`: True if the last one succeeded and, as far as we have read, its connection was not lost since.
    """

    def __init__(self, socket: zmq.Socket[bytes], endpoint: str, key: Key | None) -> None:
        self.monitor = socket.get_monitor_socket(_EVENTS)
        self._socket = socket
        self._endpoint = endpoint
        self._key = key
        self._hang_ups = 0
        self.retries = False  # a connection could not be made
        self.stands = False
        self.hung_up = False  # the other side did, so it is worth asking for its mechanism

    def read(self) -> bool:
        """Return True if the connection was lost since the last call. Raises KeyRefused, KeyNeeded or UntrustedBroker
        if there can be no connection."""
        lost = self.read_events()
        if self.hung_up:
            self.judge(mechanism(self._endpoint))
        return lost

    def read_events(self) -> bool:
        """Return what `read` does, but do not ask the other side. Raises KeyRefused."""
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
                raise KeyRefused(f"key refused by {self._endpoint}: ask the operator of the broker for a new one")
            else:
                self._hang_ups += 1
                self.hung_up = True
        return lost

    def close(self) -> None:
        """End the monitor."""
        self._socket.disable_monitor()
        self.monitor.close()

    def judge(self, spoken: str) -> None:
        """Raise KeyNeeded or UntrustedBroker if `spoken`, the mechanism of the other side, is not ours."""
        if self._key is None and spoken == "CURVE":
            raise KeyNeeded(f"{self._endpoint} wants a key: name your key file with --key FILE")
        if self._key is not None and spoken == "NULL":
            raise UntrustedBroker(
                f"{self._endpoint} uses no keys, but {self._key.file} names one; --key '' talks to it without"
            )
        if self._key is not None and spoken == "CURVE" and self._hang_ups >= HANG_UPS:
            raise UntrustedBroker(f"{self._endpoint} does not have the key that {self._key.file} names")
