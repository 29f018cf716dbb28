"""Runs zbroker on a wall clock that is set while it runs.

python clocked.py FILE [OPTION]...    FILE says by how many nanoseconds it is wrong at the moment
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


def main() -> None:
    file, real_ns = Path(sys.argv.pop(1)), time.time_ns
    time.time_ns = lambda: real_ns() + int(file.read_text())
    from zjobs.broker.__main__ import main as zbroker

    sys.argv[0] = "zbroker"
    zbroker()


if __name__ == "__main__":
    main()
