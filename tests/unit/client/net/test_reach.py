"""What is asked of the other side without ZeroMQ, and why it does not answer."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
import warnings
from collections.abc import Iterator
from typing import NoReturn

import pytest

from zjobs.client.net import reach


@pytest.fixture
def who_never_accepts() -> Iterator[str]:
    """An endpoint that lets a connection wait for ever: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as waiting:
        for _ in range(8):
            other = waiting.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(server.getsockname())
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_an_interrupt_while_it_connects_leaves_no_socket(
    who_never_accepts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl+C comes whenever it likes."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(reach, "_ANSWER_S", 30.0)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(KeyboardInterrupt):
                reach.trouble(who_never_accepts)
            gc.collect()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert [str(warning.message) for warning in warned] == []


def test_who_cannot_be_reached(who_never_accepts: str) -> None:
    """The first address that refuses says why; a name without an address is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reach.trouble(f"tcp://127.0.0.1:{port}") == ""
    assert reach.trouble(f"tcp://127.0.0.1:{port}") == reach.NOTHING_LISTENS
    assert reach.trouble(f"tcp://localhost:{port}") == reach.NOTHING_LISTENS
    assert "is unknown" in reach.trouble("tcp://no-such-host.invalid:1")
    assert "cannot be reached" in reach.trouble(who_never_accepts)
