"""`python still_server.py FOLDER`: the gateway's application before the broker that `zclient` would ask.

Its event streams end at once: what tries everything would wait for their end. Prints where it is.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

from zjobs.gateway.app import create_app
from zjobs.gateway.config import Config, PasswordCost
from zjobs.gateway.identity.identity import prepare
from zjobs.gateway.server import serve

PASSWORD = "correct horse battery"


def main(folder: str) -> None:
    """Answer requests until it is told to end."""
    cheap = PasswordCost(time_cost=1, memory_cost=8, parallelism=1)
    database = f"sqlite:///{folder}/gateway.db"
    config = Config(
        "127.0.0.1", 0, database, Path(folder) / "config.toml", admin_password=PASSWORD, password_cost=cheap
    )
    asyncio.run(prepare(config))
    app = create_app(config)

    def ready(listener: socket.socket) -> None:
        app.state.services.end_streams()
        print(f"zstill_server ready http://127.0.0.1:{listener.getsockname()[1]}", flush=True)

    serve(app, socket.create_server(("127.0.0.1", 0), backlog=1024), ready, app.state.services.end_streams)


if __name__ == "__main__":
    main(sys.argv[1])
