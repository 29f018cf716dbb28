"""What is broken, when and for how long: drawn from a seed, so that the same seed breaks the same things."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

KILLS = ("kill broker", "kill worker")
FAULTS = (
    *KILLS,
    "kill broker and worker",
    "backup",
    "stop broker",
    "stop worker",
    "second broker",
    "second worker",
    "kill submitter",
    "kill watcher",
    "kill waiter",
    "cut clients",
    "stall clients",
    "half-open clients",
    "cut worker",
    "stall worker",
    "half-open worker",
    "slow clients",
    "slow worker",
    "end broker",
    "end worker",
    "end broker and worker",
    "end worker and broker",
)
DATABASE = ("kill database", "sessions end")
# These can go on while the other half of a step happens.
OVERLAPPING = ("cut", "stall", "half-open", "slow", "stop")


MOST_CLOCK_S = 86_400.0
CLOCK_EVERY = 5  # steps of the schedule


class Step(NamedTuple):
    """After `pause_s`, `fault` for `hold_s` seconds; `inside`: what happens meanwhile, or nothing."""

    pause_s: float
    fault: str
    hold_s: float
    inside: str | None


def clocks(seed: int) -> Iterator[float]:
    """By how many seconds the broker's wall clock is wrong, one after the other; apart from the steps."""
    draw = random.Random(f"clocks {seed}")
    while True:
        yield draw.choice((0.0, draw.uniform(-2.0, 2.0), draw.uniform(-MOST_CLOCK_S, MOST_CLOCK_S)))


def steps(seed: int, kills_only: bool = False, database: bool = False) -> Iterator[Step]:
    """An endless schedule. `database`: the journal is in one, which fails, too, and has backups of its own."""
    draw = random.Random(seed)
    faults = [fault for fault in FAULTS if fault != "backup"] + list(DATABASE) * 3 if database else FAULTS
    while True:
        if kills_only:
            kills = KILLS + DATABASE if database else KILLS
            yield Step(draw.uniform(0.02, 0.3), draw.choice(kills), draw.choice((0.0, 0.0, 0.05)), None)
            continue
        fault = draw.choice(faults)
        inside = None
        if fault.startswith(OVERLAPPING) and draw.random() < 0.4:
            inside = draw.choice([kill for kill in KILLS if not (fault.startswith("stop") and fault[5:] in kill)])
        # now and then a quiet time, in which watchers must have heard of everything
        pause_s = 7.0 if draw.random() < 0.06 else draw.uniform(0.02, 0.8)
        hold_s = draw.choice((0.05, 0.3, 1.0, 4.5)) if fault.startswith(OVERLAPPING) else draw.choice((0.0, 0.2))
        yield Step(pause_s, fault, hold_s, inside)
