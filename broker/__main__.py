"""The `zbroker` program. Nothing is imported before Ctrl+C is quiet, so that it never shows a traceback."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from zjobs.broker.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
