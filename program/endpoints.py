"""Where the sockets are: the defaults, the ports after the frontend's, what a user may write."""

from __future__ import annotations

import os
import re

FRONTEND = "tcp://127.0.0.1:5570"
ENVIRONMENT_VARIABLE = "ZJOBS_BROKER"

# The places after the frontend: events is the port after it, pipe the next one, then reports.
EVENTS, PIPE, REPORTS = 1, 2, 3
_SUFFIXES = {EVENTS: ".events", PIPE: ".pipe", REPORTS: ".reports"}

_TCP = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/\s]+):(?P<port>\d+|\*)\Z")
_IPC = re.compile(r"ipc://(?P<path>\S+)\Z")


def checked(endpoint: str, free_port: bool = False) -> str:
    """`endpoint`, if it is one: tcp://HOST:PORT or ipc://PATH.

    free_port: the port may be `*`, any free one. Raises ValueError with a sentence otherwise.
    """
    if _IPC.match(endpoint):
        return endpoint
    match = _TCP.match(endpoint)
    if match is None:
        raise ValueError(f"{endpoint!r} is not an endpoint such as tcp://127.0.0.1:5570 or ipc:///run/zjobs")
    port = match["port"]
    if port == "*":
        if not free_port:
            raise ValueError(f"{endpoint}: the port must be a number here, because the other side dials it")
    elif not 1 <= int(port) <= 65535:
        raise ValueError(f"{endpoint}: a port is a number from 1 to 65535")
    return endpoint


def with_transport(address: str) -> str:
    """`address`, or tcp:// before it where it is HOST:PORT alone."""
    return f"tcp://{address}" if _TCP.match(f"tcp://{address}") else address


def after(endpoint: str, places: int) -> str:
    """The endpoint `places` after this one: tcp ports count up, ipc paths get a suffix.

    A free port (`*`) stays one. Raises ValueError when there is no such port.
    """
    match = _TCP.match(endpoint)
    if match is None:
        return endpoint + _SUFFIXES[places]
    if match["port"] == "*":
        return endpoint
    return checked(f"tcp://{match['host']}:{int(match['port']) + places}")


def seen_from(endpoint: str, dialled: str) -> str:
    """`endpoint` as a client reaches it that dialled `dialled`: the same port, on the host it dialled.

    A broker that binds tcp://*:5570 does not know by which of its names it is reached.
    """
    there, ours = _TCP.match(endpoint), _TCP.match(dialled)
    if there is None or ours is None:
        return endpoint
    return f"tcp://{ours['host']}:{there['port']}"


def from_here(endpoint: str) -> str:
    """`endpoint`, as it is dialled on the host that it was bound on."""
    for everywhere, here in (("0.0.0.0", "127.0.0.1"), ("*", "127.0.0.1"), ("[::]", "[::1]")):
        endpoint = endpoint.replace(f"tcp://{everywhere}:", f"tcp://{here}:")
    return endpoint


def is_ipv6(endpoint: str) -> bool:
    """Whether a socket needs ZMQ_IPV6 for it."""
    return "[" in endpoint


def is_local(endpoint: str) -> bool:
    """Whether only this host can reach what is bound here."""
    match = _TCP.match(endpoint)
    if match is None:
        return True
    host = match["host"].strip("[]")
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def address(endpoint: str) -> str:
    """A name for the place itself, the same for each way to write it: what lock files are called by.

    A relative ipc path is one from the current directory. Raises OSError when the host has no address.
    """
    match = _TCP.match(endpoint)
    if match is None:
        path = endpoint.removeprefix("ipc://")
        # a name that begins with @ is no file: it is the same from everywhere
        return endpoint if path.startswith("@") else f"ipc://{os.path.realpath(path)}"
    import socket  # not at the top: it would cost every start of zclient 2 ms, and workers alone come here

    host = match["host"].strip("[]")
    if host != "*":
        host = socket.getaddrinfo(host, None)[0][4][0]
    return f"tcp://{host}:{match['port']}"
