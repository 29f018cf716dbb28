"""`python -m zjobs.worker`, and what the command `zworker` calls. Tiny, so that Ctrl+C finds no traceback to print."""

import signal
import sys


def main() -> int:
    # Until the loop has its own handler, Ctrl+C just ends us; imports take long enough to be interrupted.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from zjobs.worker import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
