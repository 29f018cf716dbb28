"""How many jobs may be handed over and not settled, and the averages that this goes by.

A window of one leaves the worker idle for a round trip after each job (5,700 no-op jobs a second against 64,000
with a window of 64); a wide window of long jobs would take them out of the broker's hands for nothing.
"""

from __future__ import annotations

from typing import NamedTuple

WINDOW_US = 20_000
WINDOW_JOBS = 512
WINDOW_BYTES = 1 << 20


class Weight(NamedTuple):
    """What a job weighs in the window. `expected_us`: its type's average, None when it has none yet.
    `alone`: it may not run twice, or was in doubt before, so it takes no neighbours along."""

    expected_us: int | None
    data_bytes: int
    alone: bool

    @property
    def closes(self) -> bool:
        """Whether nothing may be handed over beside it."""
        return self.alone or self.expected_us is None


class Window:
    """The jobs that are handed over and not settled, by number, and what they weigh together."""

    def __init__(self) -> None:
        self._weights: dict[int, Weight] = {}
        self._expected_us = 0
        self._data_bytes = 0
        self._closing = 0

    def __len__(self) -> int:
        return len(self._weights)

    def admits(self, job: Weight) -> bool:
        """Whether `job` may be handed over on top of these."""
        if not self._weights:
            return True
        if self._closing or job.alone or job.expected_us is None:
            return False
        return (
            len(self._weights) < WINDOW_JOBS
            and self._expected_us + job.expected_us <= WINDOW_US
            and self._data_bytes + job.data_bytes <= WINDOW_BYTES
        )

    def add(self, delivery: int, job: Weight) -> None:
        """Number `n` is handed over."""
        self._weights[delivery] = job
        self._expected_us += job.expected_us or 0
        self._data_bytes += job.data_bytes
        self._closing += job.closes

    def remove(self, delivery: int) -> None:
        """Number `n` is settled. Raises KeyError when it is not in here."""
        job = self._weights.pop(delivery)
        self._expected_us -= job.expected_us or 0
        self._data_bytes -= job.data_bytes
        self._closing -= job.closes


class Averages:
    """How long the jobs of each type take: a moving average over about the last 16."""

    def __init__(self) -> None:
        self._by_type: dict[str, float] = {}

    def of(self, job_type: str) -> int | None:
        average = self._by_type.get(job_type)
        return None if average is None else int(average)

    def took(self, job_type: str, elapsed_us: int) -> None:
        before = self._by_type.get(job_type)
        self._by_type[job_type] = elapsed_us if before is None else before + (elapsed_us - before) / 16
