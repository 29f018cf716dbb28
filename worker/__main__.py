"""The program behind `zworker` and `python -m zjobs.worker`: tiny, so that Ctrl+C finds no traceback to print."""

from __future__ import annotations

import signal
import sys


def main(argv: list[str] | None = None) -> int:
    """Run zworker; return its exit code."""
    if sys.platform != "linux":  # before the imports, which need Linux
        print("zworker: this program runs only on Linux (the Windows Subsystem for Linux will do)", file=sys.stderr)
        return 78
    # Until the loop has its own handler, Ctrl+C just ends us; imports take long enough to be interrupted.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from zjobs.worker import cli

    return cli.main(argv)


if __name__ == "__main__":
    sys.exit(main())
