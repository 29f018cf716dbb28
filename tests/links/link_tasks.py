"""Tasks whose results are large (`zworker --tasks link_tasks`)."""

from __future__ import annotations

import time
from pathlib import Path

from zjobs.worker.tasks import task


@task(max_reruns=1000)
def make(size: int) -> bytes:
    """So many bytes."""
    return bytes(size)


@task
def measure(data: bytes) -> int:
    """How many bytes came."""
    return len(data)


@task(max_reruns=1000)
def until_told(name: str) -> None:
    """Runs until it is told to end, and leaves a file then; without a name it ends at once."""
    if not name:
        return
    Path(f"began-{name}").touch()
    try:
        while True:
            time.sleep(0.01)
    finally:
        Path(f"ended-{name}").touch()
