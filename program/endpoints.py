"""Addresses of the sockets: the defaults, the ports after the frontend's, and the forms that a user may write."""

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
    """Return `endpoint` if it is valid: tcp://HOST:PORT or ipc://PATH. Raises ValueError with a sentence if not.

    With `free_port`, the port may be `*`: any free one.
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
    """Return `address`, with tcp:// in front if it is HOST:PORT alone."""
    return f"tcp://{address}" if _TCP.match(f"tcp://{address}") else address


def after(endpoint: str, places: int) -> str:
    """Return the endpoint `places` after this one: tcp ports count up, ipc paths get a suffix.

    A free port (`*`) stays free. Raises ValueError if there is no such port.
    """
    match = _TCP.match(endpoint)
    if match is None:
        return endpoint + _SUFFIXES[places]
    if match["port"] == "*":
        return endpoint
    return checked(f"tcp://{match['host']}:{int(match['port']) + places}")


def seen_from(endpoint: str, dialled: str) -> str:
    """Return `endpoint` as seen by a client that dialled `dialled`: the same port, on the host that it dialled.

    A broker that binds tcp://*:5570 does not know under which name clients reach it.
    """
    there, ours = _TCP.match(endpoint), _TCP.match(dialled)
    if there is None or ours is None:
        return endpoint
    return f"tcp://{ours['host']}:{there['port']}"


def from_here(endpoint: str) -> str:
    """Return `endpoint` as a program on the same host dials it."""
    for everywhere, here in (("0.0.0.0", "127.0.0.1"), ("*", "127.0.0.1"), ("[::]", "[::1]")):
        endpoint = endpoint.replace(f"tcp://{everywhere}:", f"tcp://{here}:")
    return endpoint


def is_ipv6(endpoint: str) -> bool:
    """Return True if a socket needs ZMQ_IPV6 for this endpoint."""
    return "[" in endpoint


def is_local(endpoint: str) -> bool:
    """Return True if only this host can reach a socket bound here."""
    match = _TCP.match(endpoint)
    if match is None:
        return True
    host = match["host"].strip("[]")
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def address(endpoint: str) -> str:
    """Return one name for this address, however it is written; lock files are named by it.

    A relative ipc path counts from the current directory. Raises OSError if the host has no address.
    """
    match = _TCP.match(endpoint)
    if match is None:
        path = endpoint.removeprefix("ipc://")
        # a name that begins with @ is not a file: it is the same from everywhere
        return endpoint if path.startswith("@") else f"ipc://{os.path.realpath(path)}"
    import socket  # not at the top: only workers need it, and it would cost every start of zclient 2 ms

    host = match["host"].strip("[]")
    if host != "*":
        host = socket.getaddrinfo(host, None)[0][4][0]
    return f"tcp://{host}:{match['port']}"
