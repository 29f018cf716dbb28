"""`python -m zjobs.gateway`, and what the command `zgateway` calls."""

from __future__ import annotations

import signal
import sys


def main(argv: list[str] | None = None) -> int:
    """Run zgateway; return its exit code."""
    # Until the server has its own handler, Ctrl+C just ends us; imports take long enough to be interrupted.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        import fastapi  # noqa: F401
    except ModuleNotFoundError as error:
        print(f"zgateway: {error.name} is missing: pip install 'zjobs[gateway]'", file=sys.stderr)
        return 78
    from zjobs.gateway import cli

    return cli.run(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
