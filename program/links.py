"""The detection of broken connections, which does not depend on how long a message takes: on a slow link that may be
minutes.

ZMTP's own time-out (ZMQ_HEARTBEAT_TIMEOUT) is reset only by whole frames, so it cuts a slow link in the middle of a
large frame, again and again. Here its PINGs only make sure that the kernel always has something to get acknowledged,
and the kernel closes a connection on which nothing is acknowledged (TCP_USER_TIMEOUT, see tcp(7)). The kernel of a
stopped process goes on acknowledging, so such a process is noticed by its own silence: see docs/protocol.md, Links.
"""

from __future__ import annotations

import zmq

PING_EVERY_MS = 1_000
UNACKNOWLEDGED_MS = 4_000
CONNECT_MS = 5_000  # libzmq would let the kernel try for minutes, at doubling intervals


def watch_link(socket: zmq.Socket[bytes]) -> None:
    """Set the options of *Links* on a socket. Call it before `bind` or `connect`."""
    socket.setsockopt(zmq.HEARTBEAT_IVL, PING_EVERY_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 0)
    socket.setsockopt(zmq.TCP_MAXRT, UNACKNOWLEDGED_MS)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
