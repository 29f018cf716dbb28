"""Checks whether an endpoint can be reached: its host's address, what listens there, and its mechanism.

libzmq asks the resolver in the thread that serves all its sockets. While the resolver does not answer, which may take
half a minute, libzmq reports nothing and cannot close a socket. So we ask first, in a thread that nobody has to wait
for.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from zjobs.program import endpoints

if TYPE_CHECKING:
    import socket

NOTHING_LISTENS = "nothing listens there"

# A slow lookup is reported within half a second.
SLOW_S = 0.4
AGAIN_S = 0.5

_NUMERIC = re.compile(r"[\d.]+|\[.*\]")


# The signature and the major version: enough for the other side to send the rest of its greeting.
_GREETING = b"\xff" + bytes(8) + b"\x7f\x03"
_GREETING_BYTES = 64
_MECHANISM = slice(12, 32)
_ANSWER_S = 0.3


def wait_for_host(endpoint: str, deadline: float, tell: Callable[[str], None]) -> str:
    """Wait until the host of `endpoint` has an address, at most until `deadline`. Return why it has none, or "".

    Calls `tell` with the reason while it is still trying.
    """
    host = _name_in(endpoint)
    while host:
        lookup = _Lookup(host)
        if not lookup.ended.wait(min(SLOW_S, _until(deadline))):
            why = f"still looking up {host}"
            tell(why)
            if not lookup.ended.wait(_until(deadline)):
                return why
        if lookup.found:
            return ""
        why = f"the host {host} is unknown"
        tell(why)
        if monotonic() >= deadline:
            return why
        sleep(min(AGAIN_S, _until(deadline)))
    return ""


class _Lookup:
    """A question to the resolver. `ended` is set with the answer. `found`: True if there is an address."""

    def __init__(self, host: str) -> None:
        self.ended = threading.Event()
        self.found = False
        threading.Thread(target=self._run, args=(host,), daemon=True).start()

    def _run(self, host: str) -> None:
        import socket  # not at the top: usually there is no name to look up

        with contextlib.suppress(OSError, UnicodeError):
            self.found = bool(socket.getaddrinfo(host, None))
        self.ended.set()


def _name_in(endpoint: str) -> str:
    """Return the host to ask the resolver for; empty for an address, and for this host."""
    host = endpoint.partition("://")[2].rpartition(":")[0]
    return "" if endpoints.is_local(endpoint) or _NUMERIC.fullmatch(host) else host


def _until(deadline: float) -> float:
    return max(0.0, deadline - monotonic())


def trouble(endpoint: str) -> str:
    """Return why a connection to `endpoint` fails; "" if it succeeds."""
    import socket  # not at the top: only needed when something went wrong

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
    """Open a connection to `endpoint` without ZeroMQ. Raises OSError."""
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
    """Connect a socket; close it if that fails, even by Ctrl+C (socket.create_connection would leak it)."""
    try:
        connection.settimeout(_ANSWER_S)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def mechanism(endpoint: str) -> str:
    """Return the security mechanism the peer requires: NULL (no keys) or CURVE; "" if it cannot be learnt."""
    greeting = b""
    try:
        with _plain(endpoint) as connection:
            connection.sendall(_GREETING)
            while len(greeting) < _GREETING_BYTES and (more := connection.recv(_GREETING_BYTES - len(greeting))):
                greeting += more
    except OSError:
        return ""
    return greeting[_MECHANISM].rstrip(b"\0").decode("ascii", "replace")
