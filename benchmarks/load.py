"""The load of clients: one request at a time, or a hundred in flight. The same code for the floor and for zjobs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import zmq

TYPE = "reverse"
TEXT = "example"
IN_FLIGHT = 100
ANSWER_MS = 30_000

_keys = itertools.count()


def submit_frame() -> bytes:
    """Return a request that submits one job, packed as a client without the library would."""
    key = f"{time.time_ns() // 1_000_000:012x}{next(_keys):020x}"
    jobs = [{"type": TYPE, "data": msgpack.packb(TEXT)}]
    return msgpack.packb({"v": 1, "op": "submit", "request_key": key, "jobs": jobs})  # type: ignore[no-any-return]


def checked(frame: bytes) -> dict[str, Any]:
    """Return an unpacked reply. Raises RuntimeError for an error."""
    reply: dict[str, Any] = msgpack.unpackb(frame)
    if reply["op"] == "error":
        raise RuntimeError(f"{reply['code']}: {reply['message']}")
    return reply


class Peer:
    """A client's socket at `endpoint`. For `with`."""

    def __init__(self, kind: int, endpoint: str) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(kind)
        self.socket.linger = 0
        self.socket.rcvtimeo = ANSWER_MS  # so that no figure can hang
        self.socket.connect(endpoint)

    def __enter__(self) -> zmq.Socket[bytes]:
        return self.socket

    def __exit__(self, *_: object) -> None:
        self._context.destroy()


def ask(socket: zmq.Socket[bytes], **fields: Any) -> dict[str, Any]:
    """Return the reply to a request on a REQ socket. Raises RuntimeError for an error, zmq.Again for none."""
    socket.send(msgpack.packb({"v": 1, **fields}))
    return checked(socket.recv())


def one_at_a_time(once: Callable[[], object], seconds: float) -> tuple[float, list[float]]:
    """Call `once` for `seconds`; return how often a second, and how long each call took in microseconds."""
    took_us: list[float] = []
    begun = before = time.perf_counter()
    while before - begun < seconds:
        once()
        now = time.perf_counter()
        took_us.append((now - before) * 1e6)
        before = now
    return len(took_us) / (before - begun), took_us


def timed_us(once: Callable[[], object]) -> float:
    """Return how long one call takes, in microseconds."""
    begun = time.perf_counter()
    once()
    return (time.perf_counter() - begun) * 1e6


def round_trips(endpoint: str, seconds: float) -> float:
    """Return the requests a second that submit a job each, over one REQ socket."""
    with Peer(zmq.REQ, endpoint) as socket:
        one_at_a_time(lambda: round_trip(socket), seconds / 10)
        return one_at_a_time(lambda: round_trip(socket), seconds)[0]


def round_trip(socket: zmq.Socket[bytes]) -> None:
    """Submit one job on a REQ socket."""
    socket.send(submit_frame())
    checked(socket.recv())


def pipelined(endpoint: str, seconds: float) -> float:
    """Return the requests a second that submit a job each, over one DEALER socket with IN_FLIGHT in flight."""
    with Peer(zmq.DEALER, endpoint) as socket:
        for _ in range(IN_FLIGHT):
            socket.send_multipart((b"", submit_frame()))
        answers = _answered(socket)
        for _ in range(5 * IN_FLIGHT):
            next(answers)
        rate, _ = one_at_a_time(lambda: next(answers), seconds)
        for _ in range(IN_FLIGHT):
            socket.recv_multipart()
        return rate


def _answered(socket: zmq.Socket[bytes]) -> Iterator[None]:
    while True:
        checked(socket.recv_multipart()[-1])
        socket.send_multipart((b"", submit_frame()))
        yield


def percentiles(values: list[float]) -> tuple[float, float]:
    """Return the 50th and the 99th percentile."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
