"""`python -m benchmarks.http.one_line`: the least that FastAPI answers, on the gateway's server."""

from __future__ import annotations

import socket

from fastapi import FastAPI

from zjobs.gateway.server import serve

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    """Return the one line."""
    return {"hello": "world"}


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    serve(
        app,
        listening,
        lambda listener: print(f"one_line ready http://127.0.0.1:{listener.getsockname()[1]}", flush=True),
        lambda: None,
    )
