"""Histories while they happen: each record one line, appended in one write, so that a kill cuts none of them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


class Recorder:
    """Appends to `file`; any number of processes may do so at once. The clock is the machine's monotonic one."""

    def __init__(self, file: Path | str) -> None:
        self._fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, what: str, **fields: Any) -> None:
        line = json.dumps({"what": what, "at": time.monotonic(), **fields}) + "\n"
        os.write(self._fd, line.encode())

    def close(self) -> None:
        os.close(self._fd)
