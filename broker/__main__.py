"""The `zbroker` program. It imports nothing before Ctrl+C is silenced, so that it never shows a traceback."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run zbroker; exit with its exit code."""
    if sys.platform != "linux":
        print("zbroker: this program runs only on Linux (the Windows Subsystem for Linux will do)", file=sys.stderr)
        sys.exit(78)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from zjobs.broker.cli.main import run

    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # An ordinary exit would close journals that were only examined, or found damaged; and closing writes to them.
    os._exit(code)


if __name__ == "__main__":
    main()
