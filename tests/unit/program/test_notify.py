"""What a service manager is told: compared with a socket that stands in for systemd's."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from zjobs.messages.units import Ms
from zjobs.program.notify import STATUS_EVERY_MS, Notifier


class Manager:
    """The other end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def told(self) -> list[str]:
        """What came since the last call."""
        messages = []
        try:
            while True:
                messages.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return messages


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


def environment(manager: Manager, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.socket.getsockname(), **more}


def test_without_a_manager_nothing_is_sent_or_due() -> None:
    """The state is not even computed."""
    notifier = Notifier({})
    notifier.ready()
    notifier.turned(lambda: pytest.fail("nobody asks"), Ms(0))
    notifier.stopping()
    assert notifier.due_at_ms() is None


def test_the_environment_is_not_inherited(manager: Manager) -> None:
    """A task must not speak for the worker."""
    given = environment(manager, WATCHDOG_USEC="3000000", WATCHDOG_PID="1", HOME="/")
    Notifier(given)
    assert given == {"HOME": "/"}


def test_ready_and_stopping(manager: Manager) -> None:
    """Each is one message."""
    notifier = Notifier(environment(manager))
    notifier.ready()
    notifier.stopping()
    assert manager.told() == ["READY=1", "STOPPING=1"]


def test_an_abstract_address() -> None:
    """One that begins with @, as in containers."""
    manager = Manager(f"\0zjobs test {os.getpid()}")
    Notifier({"NOTIFY_SOCKET": f"@zjobs test {os.getpid()}"}).ready()
    assert manager.told() == ["READY=1"]
    manager.socket.close()


def test_a_manager_that_is_gone(manager: Manager) -> None:
    """Is no reason to fail."""
    notifier = Notifier(environment(manager))
    manager.socket.close()
    notifier.ready()


def test_the_status_is_sent_when_it_has_changed(manager: Manager) -> None:
    """At most once a second; a change in between is sent when the second is over."""
    notifier = Notifier(environment(manager))
    notifier.turned(lambda: "one", Ms(5_000))
    notifier.turned(lambda: "one", Ms(5_100))
    assert manager.told() == ["STATUS=one"] and notifier.due_at_ms() is None
    notifier.turned(lambda: "two", Ms(5_200))
    assert manager.told() == [] and notifier.due_at_ms() == 5_000 + STATUS_EVERY_MS
    notifier.turned(lambda: "one", Ms(5_300))
    assert notifier.due_at_ms() is None
    notifier.turned(lambda: "three", Ms(5_000 + STATUS_EVERY_MS))
    assert manager.told() == ["STATUS=three"]


def test_the_watchdog_is_fed_thrice_in_its_time(manager: Manager) -> None:
    """By turns alone: without one, nothing is sent."""
    notifier = Notifier(environment(manager, WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid())))
    for at in (0, 10, 999, 1_000, 1_500, 2_001):
        notifier.turned(lambda: "", Ms(at))
    assert manager.told() == ["WATCHDOG=1"] * 3
    assert notifier.due_at_ms() == 3_001


@pytest.mark.parametrize("given", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": ""}, {"WATCHDOG_USEC": "soon"}])
def test_a_watchdog_that_is_not_meant(manager: Manager, given: dict[str, str]) -> None:
    """It is another process's, or none."""
    notifier = Notifier(environment(manager, **{"WATCHDOG_USEC": "3000000", **given}))
    notifier.turned(lambda: "", Ms(0))
    assert manager.told() == [] and notifier.due_at_ms() is None
