"""The decision who may connect: answers libzmq's questions (rfc.zeromq.org/spec/27) in the loop of broker or worker.

libzmq asks once for each handshake on a CURVE socket, and holds the connection until it has the answer. The public key
becomes the `User-Id` of everything that arrives on that connection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import zmq
from zmq.utils import z85

ENDPOINT = "inproc://zeromq.zap.01"
DOMAIN = b"zjobs"
SAY_EVERY_S = 60.0

_MORE = int(zmq.SNDMORE)  # pyzmq's send_multipart combines members of an enumeration, which takes as long as sending


class Gate:
    """The gate for all sockets of one context. `admits(public)`: True if the holder of this key may connect."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], admits: Callable[[str], bool]) -> None:
        self._admits = admits
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(ENDPOINT)
        self._refused = 0
        self._refused_from = ""
        self._say_at_s = float("-inf")

    def answer(self, most: int) -> None:
        """Answer at most `most` waiting questions."""
        for _ in range(most):
            try:
                question = self._question()
            except zmq.Again:
                return
            sender, _, version, request, _, address, _, mechanism, *credentials = question
            key = _z85(credentials[0]) if mechanism == b"CURVE" else ""
            admitted = self._admits(key)
            if not admitted:
                self._refused += 1
                self._refused_from = address.decode("ascii", "backslashreplace")  # libzmq's own words, not the caller's
            status = (b"200", b"OK", key.encode()) if admitted else (b"400", b"key refused", b"")
            for frame in (sender, b"", version, request, *status):
                self.socket.send(frame, _MORE)
            self.socket.send(b"")

    def _question(self) -> list[bytes]:
        # not recv_multipart, which takes twice as long: thousands may come at once while requests wait
        frame = self.socket.recv(zmq.NOBLOCK, copy=False)
        frames = [frame.bytes]
        while frame.more:
            frame = self.socket.recv(copy=False)
            frames.append(frame.bytes)
        return frames

    def refusals(self, now_s: float) -> str | None:
        """Return a sentence for the log if somebody was refused, at most once a minute. `now_s`: monotonic."""
        if not self._refused or now_s < self._say_at_s:
            return None
        where = f"the last from {self._refused_from}"
        sentence = f"refused {self._refused} connection(s) with a key not admitted here, {where}"
        self._refused, self._say_at_s = 0, now_s + SAY_EVERY_S
        return sentence


@lru_cache(maxsize=1_000)
def _z85(public: bytes) -> str:
    return z85.encode(public).decode()


def serve_with(socket: zmq.Socket[bytes], public: str, secret: str) -> None:
    """Make a socket admit only peers that the gate admits. Call it before `bind`."""
    socket.curve_server = True
    socket.curve_publickey = public.encode()
    socket.curve_secretkey = secret.encode()
    socket.zap_domain = DOMAIN
    # without this, CURVE admits any key if nobody answers the questions
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def call_with(socket: zmq.Socket[bytes], public: str, secret: str, server: str) -> None:
    """Make a socket present its key, and accept only the holder of `server`. Call it before `connect`."""
    socket.curve_publickey = public.encode()
    socket.curve_secretkey = secret.encode()
    socket.curve_serverkey = server.encode()
