"""Messages to the service manager that has started a program, as systemd takes them: sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, MutableMapping

from zjobs.messages.units import Ms

STATUS_EVERY_MS = 1_000


class Notifier:
    """Tells the manager that the program is ready, how it is, that its loop still turns, and that it stops.

    It sends nothing if there is no manager, and a message that does not arrive is no reason to fail.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Take what the manager says out of the environment, so that no program started from here speaks to it."""
        address = environment.pop("NOTIFY_SOCKET", "")
        watchdog_us, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        meant = address and watchdog_us.isdigit() and pid in ("", str(os.getpid()))
        self._feed_every_ms = max(1, int(watchdog_us) // 3_000) if meant else None  # thrice in the time allowed
        self._feed_at_ms = Ms(0)
        self._status = ""
        self._status_at_ms = Ms(0)
        self._late = False  # the status has changed, and was not sent because the one before is too new

    def ready(self) -> None:
        """Say that the program takes requests."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Say that the program is about to end."""
        self._send("STOPPING=1")

    def turned(self, status: Callable[[], str], now_ms: Ms) -> None:
        """Say that the program has done a round of its work, and how it is. To be called after each; sends seldom."""
        if not self._address:
            return
        if self._feed_every_ms is not None and now_ms >= self._feed_at_ms:
            self._feed_at_ms = Ms(now_ms + self._feed_every_ms)
            self._send("WATCHDOG=1")
        text = status()
        self._late = text != self._status and now_ms < self._status_at_ms
        if text != self._status and not self._late:
            self._status, self._status_at_ms = text, Ms(now_ms + STATUS_EVERY_MS)
            self._send(f"STATUS={text}")

    def due_at_ms(self) -> Ms | None:
        """Return when the next message is due, None if nothing is until something happens."""
        due = [] if self._feed_every_ms is None else [self._feed_at_ms]
        return min([*due, self._status_at_ms] if self._late else due, default=None)

    def _send(self, message: str) -> None:
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.sendto(message.encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, self._address)
