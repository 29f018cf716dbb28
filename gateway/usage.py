"""The commands and options of zgateway, from which its command line is parsed and its help pages are made."""

from __future__ import annotations

import re
from pathlib import Path

from zjobs.program import logs
from zjobs.program.cli.options import Command, Option, Program
from zjobs.program.version import VERSION

OK, USAGE_ERROR, UNAVAILABLE, CANNOT_CREATE, REFUSED = 0, 64, 69, 73, 78

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/\s]+):(?P<port>\d{1,5}|\*)\Z")


def address(text: str) -> tuple[str, int]:
    """Return the host and the port of HOST:PORT; port 0 for `*`, any free one. Raises ValueError with a sentence."""
    match = _ADDRESS.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not an address such as 127.0.0.1:8080")
    port = 0 if match["port"] == "*" else int(match["port"])
    if match["port"] != "*" and not 1 <= port <= 65535:
        raise ValueError(f"{text}: a port is a number from 1 to 65535")
    return match["host"].strip("[]"), port


SERVE = ("",)  # the options of the program alone

ZGATEWAY = Program(
    "zgateway",
    f"zgateway {VERSION}",
    "zgateway offers zjobs services over HTTP, to people who log in.",
    (
        Command("", "", ""),
        Command(
            "password",
            "NAME",
            "give a user a new random password",
            """\
Give the user NAME a new random password, print it, and end all of the user's logins,
even while a gateway runs.""",
        ),
    ),
    (
        Option("--listen", "HOST:PORT", "where to listen", SERVE, read=address, default="127.0.0.1:8080"),
        Option(
            "--database",
            "URL",
            "where users, tokens and the audit trail are kept, such as postgresql+asyncpg://HOST/NAME; if omitted,"
            " gateway.db in the folder zjobs of your state directory (~/.local/state)",
        ),
        Option(
            "--config",
            "FILE",
            "the services to offer; if omitted, those of zclient (~/.config/zjobs/config.toml), or without such a file"
            " the broker that zclient would ask, as the service default",
            SERVE,
            read=Path,
        ),
        Option("--public-read", "", "let people who are not logged in see what a viewer sees", SERVE),
        logs.LEVEL,
    ),
    {
        OK: "stopped in order",
        USAGE_ERROR: "wrong usage",
        UNAVAILABLE: "the address is in use",
        CANNOT_CREATE: "the address or the database cannot be used",
        REFUSED: "the configuration is refused",
    },
    """\
When zgateway accepts requests, it prints one line: zgateway ready URL. On SIGTERM or
Ctrl+C it ends its event streams, answers what it has accepted and ends. Jobs do not
depend on it: it may be stopped, restarted, or run twice at any time.

The first start makes the user admin. Its password is random and printed once, after the
ready line, unless the environment variable ZGATEWAY_ADMIN_PASSWORD sets it. If it is lost,
run: zgateway password admin.

It speaks plain HTTP. On a network, run it behind a proxy that speaks TLS.""",
)
