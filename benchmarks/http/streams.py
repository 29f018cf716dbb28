"""`python -m benchmarks.http.streams URL PATH TOKEN COUNT`: opens event streams, and counts what each is sent.

Prints a line when all of them have begun. For each line on stdin it waits until nothing more comes, and prints one of
JSON. Ids are consecutive numbers: when a stream had as many events as numbers passed, and no resync, it missed none.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from urllib.parse import urlsplit

QUIET_S = 1.0
_ID = re.compile(rb"id: [0-9a-f]+-(\d+)")


class Stream(asyncio.Protocol):
    """The events that one stream received."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.first = self.last = -1
        self.events = self.resyncs = self.bytes = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count whole events, without reading them: there are many."""
        self.bytes += len(data)
        text, whole, self._rest = (self._rest + data).rpartition(b"\n\n")
        if not whole or (at := text.rfind(b"id: ")) < 0:
            self._rest = text + whole + self._rest
            return
        self.events += text.count(b"event: ")
        self.resyncs += text.count(b"event: resync")
        found = _ID.match(text, at)
        assert found is not None
        self.last = int(found[1])
        if not self.begun.done():  # it begins with the state of the service, which takes no number
            self.first, self.events = self.last, 0
            self.begun.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that nothing more comes."""
        self.lost = True
        if not self.begun.done():
            self.begun.set_exception(error or RuntimeError("the stream did not begin"))


async def run(url: str, path: str, token: str, count: int) -> None:
    """Open the streams, and answer each line on stdin."""
    at = urlsplit(url)
    head = f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Stream(head), at.hostname, at.port) for _ in range(count)]
    streams = [stream for _, stream in made]
    await asyncio.gather(*(stream.begun for stream in streams))
    print("streams ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        before = -1
        while (now := sum(stream.bytes for stream in streams)) != before:
            before = now
            await asyncio.sleep(QUIET_S)
        told = {
            "fewest": min(stream.events for stream in streams),
            "passed": max(stream.last - stream.first for stream in streams),
            "resyncs": sum(stream.resyncs for stream in streams),
            "lost": sum(stream.lost for stream in streams),
            "bytes": now,
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    url, path, token, count = sys.argv[1:]
    asyncio.run(run(url, path, token, int(count)))
