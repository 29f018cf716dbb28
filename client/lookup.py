"""Whether the broker's host has an address, before ZeroMQ is told to connect there.

libzmq asks the resolver in the thread that serves all its sockets. While the resolver does not answer, which may take
half a minute, nothing is told, and no socket can be closed. So the first question is asked here, in a thread that
nobody has to wait for.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from time import monotonic, sleep

from zjobs.program import endpoints

# What is said of a slow lookup is said within half a second.
SLOW_S = 0.4
AGAIN_S = 0.5

_NUMERIC = re.compile(r"[\d.]+|\[.*\]")


def wait_for_host(endpoint: str, deadline: float, tell: Callable[[str], None]) -> str:
    """Waits until the host of `endpoint` has an address, at most until `deadline`; returns why it has none, or "".

    `tell` is called with what is wrong while it is still tried.
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
    """One question to the resolver. `ended` is set when it was answered, `found` whether there is an address."""

    def __init__(self, host: str) -> None:
        self.ended = threading.Event()
        self.found = False
        threading.Thread(target=self._run, args=(host,), daemon=True).start()

    def _run(self, host: str) -> None:
        import socket  # only where there is a name to look up

        with contextlib.suppress(OSError, UnicodeError):
            self.found = bool(socket.getaddrinfo(host, None))
        self.ended.set()


def _name_in(endpoint: str) -> str:
    """The host that the resolver must be asked for; empty for an address, and for this host."""
    host = endpoint.partition("://")[2].rpartition(":")[0]
    return "" if endpoints.is_local(endpoint) or _NUMERIC.fullmatch(host) else host


def _until(deadline: float) -> float:
    return max(0.0, deadline - monotonic())
