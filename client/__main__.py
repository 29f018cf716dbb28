"""The start of `zclient`: silences Ctrl+C before anything that takes time is imported."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as under nohup
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main(argv: list[str] | None = None) -> int:
    """Run zclient with `argv` (by default the process's own); return the exit code."""
    from zjobs.client.cli import main as zclient  # only now: see above

    return zclient.main(sys.argv[1:] if argv is None else argv)


def run() -> NoReturn:
    """Run zclient, and end the process at once, without the interpreter's own cleanup."""
    code = main()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
