"""The settings that all figures share: how much to measure, where processes run, where files go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# A figure's name and its value in one repetition.
Measured = Iterator[tuple[str, float]]


class Size(NamedTuple):
    """The amount to measure. Rates are counted for `seconds`; each wait ends at `patience_s` with an error."""

    seconds: float
    jobs: int
    latencies: int
    watchers: int
    cold_starts: int
    depths: tuple[int, ...]
    peer_jobs: int
    peer_latencies: int
    patience_s: float


FULL = Size(2.0, 20_000, 1_000, 1_000, 20, (0, 100_000, 1_000_000), 3_000, 100, 600.0)
QUICK = Size(0.3, 3_000, 200, 200, 5, (0, 10_000, 100_000), 300, 10, 60.0)


class Placement(NamedTuple):
    """The cores for each kind of process. `server`: broker, echo server, redis-server, beanstalkd."""

    name: str
    client: frozenset[int]
    server: frozenset[int]
    worker: frozenset[int]

    def __str__(self) -> str:
        cores = (f"{role} on {','.join(map(str, sorted(getattr(self, role))))}" for role in self._fields[1:])
        return f"{self.name}: {'; '.join(cores)}"


def placements() -> tuple[Placement, Placement]:
    """Return two placements: everything on one core, and the server on a second one. With one core, they are the same.

    No more than two cores are used, whatever there is, so that figures of different machines mean the same. The
    server gets a core to itself: it is the part that all clients share, and what limits a rate. Without pinning,
    the kernel moves processes about, and a REQ echo is three times as fast on one core as it is across two.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    first, last = frozenset(cores[:1]), frozenset(cores[-1:])
    return Placement("one", first, first, first), Placement("two", first, last, first)


class Bench(NamedTuple):
    """The settings of one run. `directory`: for journals and logs; whoever makes files there removes them."""

    size: Size
    directory: Path
    one_core: Placement
    two_cores: Placement
