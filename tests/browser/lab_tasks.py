"""The tasks of a service that screenshots are made of. With LAB_FAST set they end at once."""

from __future__ import annotations

import math
import os
import time

from zjobs.worker import tasks
from zjobs.worker.tasks import task

FAST = "LAB_FAST" in os.environ
PACE_S = 0.7


def _spectrum() -> list[float]:
    """Two lines on a slope."""
    return [
        round(0.2 + x / 400 + math.exp(-((x - 70) ** 2) / 90) + 0.6 * math.exp(-((x - 130) ** 2) / 40), 4)
        for x in range(200)
    ]


@task(time_limit=1200, max_attempts=3)
def measure(count: int, context: tasks.Context, exposure: float = 0.5) -> list[float]:
    """Take spectra, and return their mean."""
    if not FAST:
        for number in range(1, count + 1):
            print(f"spectrum {number:2} of {count}: peak at 532.{number * 7 % 10} nm, {840 + number * 13 % 37} counts")
            context.progress(number / count, f"spectrum {number} of {count}")
            time.sleep(PACE_S)
    return _spectrum()


@task
def lamp_check(lamp: str = "D2") -> str:
    """See whether a lamp is stable."""
    print(f"warming up lamp {lamp}")
    if lamp == "Hg":
        raise RuntimeError("lamp not stable: 4.1 % drift in 60 s")
    return f"{lamp} is stable: 0.2 % drift in 60 s"


@task
def image(size: int = 48) -> list[list[float]]:
    """Scan an area."""
    middle = size / 2

    def at(x: int, y: int) -> float:
        return round(math.exp(-((x - middle) ** 2 + (y - middle * 1.2) ** 2) / 90) + 0.1 * math.sin(x / 3), 3)

    return [[at(x, y) for x in range(size)] for y in range(size)]
