"""`python -m benchmarks.http.client URL KIND PATH TOKEN CONNECTIONS SECONDS`: asks again and again.

Prints one line of JSON: requests a second, how long they took, and how many there were with those that came before the
measurement. It does as little as it can: it writes bytes that
are ready, and looks for the end of the answer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from urllib.parse import urlsplit

from benchmarks.load import TEXT, TYPE, percentiles

_BODY = json.dumps({"type": TYPE, "data": TEXT}).encode()
_keys = itertools.count()


class Requests:
    """Makes requests, all alike but for their keys."""

    def __init__(self, kind: str, path: str, host: str, token: str) -> None:
        method = "POST" if kind == "submit" else "GET"
        self._begin = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n".encode()
        if token:
            self._begin += f"Authorization: Bearer {token}\r\n".encode()
        self._is_submit = kind == "submit"
        self.status = b"201" if self._is_submit else b"200"

    def next(self) -> bytes:
        """Return the next request."""
        if not self._is_submit:
            return self._begin + b"\r\n"
        key = b"%012x%020x" % (time.time_ns() // 1_000_000, next(_keys))
        head = b"Idempotency-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return self._begin + head % (key, len(_BODY)) + _BODY


class Connection(asyncio.Protocol):
    """A connection with one request at a time, until it is stopped."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._came = b""
        self._asked_at = 0.0
        self.answers = 0
        self.took_us: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.goes_on = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask at once."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Ask again once the answer is whole."""
        self._came += data
        head, found, body = self._came.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        if head[9:12] != self._requests.status:
            self._end(RuntimeError(self._came.decode()))
            return
        self.answers += 1
        self.took_us.append((time.perf_counter() - self._asked_at) * 1e6)
        self._came = b""
        if self.goes_on:
            self._ask()
        else:
            self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail: the server must not be the one to close the connection."""
        self._end(error or RuntimeError("the connection was closed"))

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(self._requests.next())

    def _end(self, error: Exception | None) -> None:
        if not self.ended.done():
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)


async def measured(url: str, kind: str, path: str, token: str, count: int, seconds: float) -> dict[str, float]:
    """Return the requests a second over `count` connections, and how long each took."""
    at = urlsplit(url)
    requests = Requests(kind, path, at.netloc, token)
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(requests), at.hostname, at.port) for _ in range(count)]
    connections = [connection for _, connection in made]
    await asyncio.sleep(seconds / 4)  # until everything is warm
    for connection in connections:
        connection.took_us.clear()
    begun = time.perf_counter()
    await asyncio.sleep(seconds)
    took_us = [each for connection in connections for each in connection.took_us]
    rate = len(took_us) / (time.perf_counter() - begun)
    for connection in connections:
        connection.goes_on = False
    await asyncio.gather(*(connection.ended for connection in connections))
    p50, p99 = percentiles(took_us)
    answers = sum(connection.answers for connection in connections)
    return {"rate": rate, "p50_us": p50, "p99_us": p99, "answers": answers}


if __name__ == "__main__":
    url, kind, path, token, connections, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(measured(url, kind, path, token, int(connections), float(seconds)))), flush=True)
