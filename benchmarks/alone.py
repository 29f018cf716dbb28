"""A client with one job at a time, through the library: `python -m benchmarks.alone BROKER COUNT`.

It prints a line when its connections stand, runs COUNT jobs once it is told to on stdin, and prints another one.
"""

from __future__ import annotations

import sys

from benchmarks.load import TEXT, TYPE
from zjobs.client import Client

WARM_UP = 20


def main() -> None:
    """Run jobs one at a time: some to warm up, then, after a line on stdin, those that count."""
    with Client(sys.argv[1], timeout=60) as client:
        for _ in range(WARM_UP):
            client.submit(TYPE, TEXT).result(timeout=60)
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(int(sys.argv[2])):
            client.submit(TYPE, TEXT).result(timeout=60)
        print("done", flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
