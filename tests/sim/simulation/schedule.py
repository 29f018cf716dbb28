"""Scenarios made up from a seed: mostly small steps, so that things go wrong in between them."""

from __future__ import annotations

import random

from simulation.tasks import BEHAVIOURS, TYPES

# A line, and how often it comes up. {few}: a small number, {jobs}: what to submit, {ms}: a time.
WEIGHTED = (
    (12, "submit {jobs}"),
    (3, "repeat {few}"),
    (24, "broker {few}"),
    (10, "broker"),
    (24, "worker {few}"),
    (10, "worker"),
    (20, "task {few}"),
    (12, "wait {ms}"),
    (6, "run {ms}"),
    (12, "connect"),
    (4, "worker stale {few}"),
    (3, "worker stale"),
    (4, "cut pipe {few}"),
    (4, "cut reports {few}"),
    (3, "broker dies before {few}"),
    (4, "broker dies after {few}"),
    (9, "broker starts"),
    (2, "disk fills"),
    (3, "disk empties"),
    (10, "worker starts"),
    (1, "worker starts few"),
    (5, "worker dies {few}"),
    (2, "worker stops"),
    (1, "worker stops at once"),
    (3, "task dies"),
)
RESTORING = ((4, "backup"), (3, "restore {few}"))
TIMES_MS = (0, 1, 5, 49, 50, 60, 200, 1000, 1001, 3100)


def made_up(seed: int, length: int, restoring: bool) -> list[str]:
    """The lines of scenario number `seed`.

    Each has its own mixture, in which some lines are missing: faults of every kind all the time would leave no
    scenario in which a window opens, or a queue builds up, before the one fault that matters.
    """
    rng = random.Random(seed)
    table = WEIGHTED + (RESTORING if restoring else ())
    weights = [weight * rng.choice((0, 1, 1, 3)) for weight, _ in table]
    weights[0] = weights[0] or 1
    drawn = rng.choices([line for _, line in table], weights, k=length)
    return ["worker starts", "submit quick:ok retry:ok", "run 10", *(_filled(line, rng) for line in drawn)]


def _filled(line: str, rng: random.Random) -> str:
    return line.format(few=rng.choice((0, 1, 1, 2, 3, 8)), ms=rng.choice(TIMES_MS), jobs=_jobs(rng))


def _jobs(rng: random.Random) -> str:
    return " ".join(
        f"{rng.choice(list(TYPES))}:{rng.choice(('ok', 'ok', 'ok', *BEHAVIOURS))}*{rng.choice((1, 1, 1, 2, 4, 12))}"
        for _ in range(rng.choice((1, 1, 2, 3)))
    )
