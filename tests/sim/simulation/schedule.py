"""Scenarios made up from a seed: mostly small steps, so that things go wrong in between them."""

from __future__ import annotations

import random

from simulation.tasks import BEHAVIOURS, TYPES

# A line, and how often it comes up. {few}: a small number, {jobs}: what to submit, {ms}: a time,
# {ids}: of jobs, most often new ones. Some are several lines, which would seldom come together.
WEIGHTED = (
    (12, "submit {jobs}"),
    (3, "repeat {few}"),
    (5, "cancel {ids}"),
    (6, "connect; submit {long}^9; broker; worker; task 1; cancel running"),
    (4, "broker; worker; task 1; worker dies {few}"),
    (2, "submit {long}^9; connect; broker; worker; task 1; worker dies {few}; worker starts; connect; run 10"),
    (3, "retry {ids}"),
    (2, "forget {ids}"),
    (3, "hold {ids}"),
    (3, "release {ids}"),
    (3, "edit {priority} {ids}"),
    (1, "edit at {soon} {ids}"),
    (1, "edit by {soon} {ids}"),
    (1, "submit quick:ok*3@{for} quick:ok*3<{for}; broker; worker; {clock}run {ms}; broker"),
    (1, "submit {long} quick:ok*4<50; connect; broker; worker; task 1; worker; broker; wait 60; broker; run {ms}"),
    (10, "submit quick:ok*6; broker; connect; worker; {change} -1 -2 -3; broker; task {few}; worker; run {ms}"),
    (1, "pause"),
    (1, "pause {who} {for}"),
    (1, "pause {who} {for}; broker; broker dies after {few}; clock {step}; broker starts; run {ms}"),
    (1, "resume {who}"),
    (6, "resume"),
    (1, "pause on {when}"),
    (1, "keep {keep}"),
    (1, "clock {step}"),
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
    (4, "broker dies {side} 1; worker stops; task 2; run 5100; {spool}; worker starts; connect; run {ms}"),
    (3, "worker stops; broker dies {side} {few}; run {ms}; {spool}; run 5100; broker starts; worker starts"),
    (1, "worker disk fills"),
    (2, "worker disk empties"),
    (3, "task dies"),
    (2, "submit quick:ok*4; broker; connect; worker; pause; broker; task {few}; run {ms}"),
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
    clocks = random.Random(-1 - seed)  # of its own, so that how far a clock is set changes nothing else of a scenario
    lines = "; ".join(_filled(line, rng, clocks) for line in drawn).split("; ")
    return ["worker starts", "submit quick:ok retry:ok", "run 10", *lines]


def _filled(line: str, rng: random.Random, clocks: random.Random) -> str:
    return line.format(
        few=rng.choice((0, 1, 1, 2, 3, 8)),
        ms=rng.choice(TIMES_MS),
        jobs=_jobs(rng),
        long=f"{rng.choice(('long', 'mail', 'hasty'))}:{rng.choice(('ok', 'slow', 'deaf', 'late', 'die'))}",
        ids=" ".join(str(rng.choice((-1, -1, -2, -3, -4, -5, -8, -12, 1, 5))) for _ in range(rng.choice((1, 1, 2, 4)))),
        when=rng.choice(("never", "lost", "failed")),
        side=rng.choice(("before", "after")),
        spool=f"worker crashes {rng.choice(('before', 'after'))} {rng.choice(('Save', 'Remove', 'SetAside'))}Spool",
        who=rng.choice(("ann", "bob")),
        **{"for": rng.choice((1, 50, 700))},
        keep=rng.choice(("", "3", "0 500", "8 2000")),
        priority=rng.choice((-5, 0, 5)),
        soon=rng.choice((1, 300, 4000)),
        clock=rng.choice(("", "", "clock -300; ", "clock 700; ")),
        change=rng.choice(("hold", "edit 5")),
        step=rng.choice((-10_000, -300, 300, 10_000)) * clocks.choice((1, 1, 10_000, 10**9)),
    )


def _jobs(rng: random.Random) -> str:
    return " ".join(
        f"{rng.choice(list(TYPES))}:{rng.choice(('ok', 'ok', 'ok', *BEHAVIOURS))}*{rng.choice((1, 1, 1, 2, 4, 12))}"
        f"{rng.choice(('', '', '', '^5', '^-5', '^1'))}{rng.choice(('', '', '', '', '', '', '+40', '+700'))}"
        f"{rng.choice(('', '', '', '', '', '!30', '!150'))}{rng.choice(('', '', '', '', '~-1', '~-2'))}"
        f"{rng.choice(('', '', '', '', '', '', '', '', '<700', '<3000'))}"
        for _ in range(rng.choice((1, 1, 2, 3)))
    )
