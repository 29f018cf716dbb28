"""The start of zgateway: its configuration from the command line, and an exit code for each reason to end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from zjobs.client.errors import ZjobsError
from zjobs.gateway.app import create_app
from zjobs.gateway.config import Config
from zjobs.gateway.identity.database import Unusable
from zjobs.gateway.identity.identity import FIRST_USER, prepare, reset_password
from zjobs.gateway.server import serve
from zjobs.gateway.usage import CANNOT_CREATE, OK, REFUSED, UNAVAILABLE, USAGE_ERROR, ZGATEWAY
from zjobs.program import logs
from zjobs.program.cli.parse import UsageError, parse
from zjobs.program.notify import Notifier

PASSWORD = "ZGATEWAY_ADMIN_PASSWORD"
log = logging.getLogger(__name__)


def run(argv: Sequence[str]) -> int:
    """Run the gateway until a signal ends it. Return the exit code."""
    try:
        command, values = parse(ZGATEWAY, list(argv))
        if command:
            print(asyncio.run(reset_password(values["--database"], values["NAME"])))
            return OK
        config = _config(values)
        logs.start(values["--log-level"], "zgateway")
        notifier = Notifier()
        with _listening(config) as listener:
            password = asyncio.run(prepare(config))
            app = create_app(config)
            log.info("services: %s", ", ".join(app.state.services.names))

            def ready(listener: socket.socket) -> None:
                _say_ready(listener, password)
                notifier.ready()

            def stopping() -> None:
                notifier.stopping()
                app.state.services.end_streams()

            serve(app, listener, ready, stopping)
            log.info("ended")
    except UsageError as error:
        return _refused(USAGE_ERROR, f"{error}")
    except ZjobsError as error:
        return _refused(REFUSED, f"{error}")
    except Unusable as error:
        return _refused(CANNOT_CREATE, f"{error}")
    except OSError as error:
        code = UNAVAILABLE if error.errno == errno.EADDRINUSE else CANNOT_CREATE
        return _refused(code, f"cannot listen at {config.host} port {config.port}: {error.strerror}")
    return OK


def _config(values: dict[str, Any]) -> Config:
    host, port = values["--listen"]
    return Config(
        host, port, values["--database"], values["--config"], values["--public-read"], os.environ.get(PASSWORD)
    )


def _listening(config: Config) -> socket.socket:
    (family, *_, at), *_ = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
    listener = socket.create_server(at[:2], family=family, backlog=1024)
    # its connections inherit this; otherwise the second part of each answer waits 40 ms for the client's kernel
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _say_ready(listener: socket.socket, password: str | None) -> None:
    host, port, *_ = listener.getsockname()
    shown = f"[{host}]" if ":" in host else host
    log.info("requests at http://%s:%d", shown, port)
    with contextlib.suppress(BrokenPipeError):
        print(f"zgateway ready http://{shown}:{port}", flush=True)
        if password is not None:
            print(f"first login: {FIRST_USER}, password {password}", flush=True)


def _refused(code: int, sentence: str) -> int:
    print(f"zgateway: {sentence}", file=sys.stderr)
    return code
