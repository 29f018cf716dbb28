"""The floor's server: `python -m benchmarks.echo` unpacks each request, packs it again and sends it back."""

from __future__ import annotations

import msgpack
import zmq


def main() -> None:
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.linger = 0
    socket.bind("tcp://127.0.0.1:*")
    endpoint: bytes = socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
    print("echo ready", endpoint.rstrip(b"\0").decode(), flush=True)
    while True:
        *envelope, body = socket.recv_multipart()
        socket.send_multipart((*envelope, msgpack.packb(msgpack.unpackb(body))))


if __name__ == "__main__":
    main()
