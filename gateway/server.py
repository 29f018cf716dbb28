"""The HTTP server: uvicorn, told when to begin and how to end."""

from __future__ import annotations

import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

# How long answers may still take after a signal.
FAREWELL_S = 10


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopping = stopping

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal. uvicorn would raise it again at the end, as if to be told to stop were an error."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what was imported stays, so the collector need not look through it again and again
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()  # before the server waits for all answers: a stream would never end by itself
        await super().shutdown(sockets)


def serve(
    app: FastAPI, listener: socket.socket, ready: Callable[[socket.socket], None], stopping: Callable[[], None]
) -> None:
    """Answer requests at `listener` until a signal ends it. `ready` is called when it begins, `stopping` before the
    last answers are waited for."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=FAREWELL_S,
        server_header=False,
    )
    _Server(config, lambda: ready(listener), stopping).run([listener])
