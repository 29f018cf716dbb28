"""The floor's server: `python -m benchmarks.echo` unpacks each request, packs it again and sends it back.

With a file, `python -m benchmarks.echo FILE`, it appends a page to that and flushes it to disk before each answer.
"""

from __future__ import annotations

import os
import sys

import msgpack
import zmq

PAGE_BYTES = 4096


def main() -> None:
    """Answer requests until told to end."""
    file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND) if len(sys.argv) > 1 else None
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.linger = 0
    socket.bind("tcp://127.0.0.1:*")
    endpoint: bytes = socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
    print("echo ready", endpoint.rstrip(b"\0").decode(), flush=True)
    while True:
        *envelope, body = socket.recv_multipart()
        answer = msgpack.packb(msgpack.unpackb(body))
        if file is not None:
            os.write(file, bytes(PAGE_BYTES))
            os.fdatasync(file)
        socket.send_multipart((*envelope, answer))


if __name__ == "__main__":
    main()
