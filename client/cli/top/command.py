"""The command `top`."""

from __future__ import annotations

import os
import sys
from typing import Any

from zjobs.client.aio import AsyncClient
from zjobs.client.cli import exit_codes
from zjobs.client.cli.show.console import Output
from zjobs.client.cli.show.styled import ASCII, UNICODE
from zjobs.program.cli.parse import UsageError


def top(args: dict[str, Any], output: Output) -> int:
    """Run `zclient top` until its user ends it."""
    try:
        from zjobs.client.cli.top.app import Top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise UsageError("zclient top needs the package textual: pip install 'zjobs[top]'") from None
    if output.columns is None or sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("zclient top needs a terminal; zclient status shows the queue anywhere")
    if os.environ.get("TERM") == "dumb":
        raise UsageError("zclient top needs a terminal with a cursor (TERM is dumb); zclient status needs none")
    client = AsyncClient(args["--broker"], args["--timeout"], float("inf"), args["--key"], args["--service"])
    ended_by = Top(client, UNICODE if output.in_unicode else ASCII).run(mouse=False)
    if ended_by is not None:
        raise ended_by
    return exit_codes.DONE
