"""The durations of the last runs of each type. They are journaled, so a restarted broker still has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from zjobs.broker.core.estimates.spans import Span, span_of_run
from zjobs.messages.dispatch import Ended
from zjobs.messages.states import FailReason, Outcome

RECENT = 50
MOST_TYPES = 1_000  # types whose runs are kept; beyond this, the oldest is dropped


def tells_duration(ended: Ended) -> bool:
    """True if a run tells how long its type takes: it completed, or reached its time limit. The time until a run
    failed, or somebody ended it, says nothing about a run that does its work."""
    return ended.outcome is Outcome.COMPLETED or ended.reason is FailReason.TIMED_OUT


class History:
    """The durations of the last runs of each type, in microseconds, newest last.

    If the worker went straight from one run to the next, the time between them counts as part of the second. For short
    jobs, that is most of it.
    """

    def __init__(self, runs: Mapping[str, Sequence[int]]) -> None:
        self._runs = {name: deque(durations, RECENT) for name, durations in runs.items()}
        self._spans: dict[str, Span] = {}
        self._new: dict[str, list[int]] = {}  # runs of this turn
        self._ended = 0  # all runs of this turn, whether they tell a duration or not
        self._elapsed_us = 0  # their total
        self._busy_since_ms: int | None = None

    def of(self, name: str) -> Sequence[int]:
        """Return how long the last runs took."""
        return self._runs.get(name, ())

    def span_of(self, name: str, limit_us: int | None) -> Span:
        """Estimate a run that has not begun, and is killed at its limit."""
        span = self._spans.get(name)
        if span is None:
            span = self._spans[name] = span_of_run(self.of(name), None)
        return span.at_most(limit_us)

    def ended(self, name: str, elapsed_us: int, tells: bool) -> None:
        """Record a run that ended in this turn. `tells`: see `tells_duration`."""
        self._ended += 1
        self._elapsed_us += elapsed_us
        if tells:
            self._new.setdefault(name, []).append(elapsed_us)

    def end_turn(self, mono_ms: int, busy: bool) -> dict[str, tuple[int, ...]]:
        """Add the runs of this turn. Return the runs of each type that changed; an empty tuple drops the type.

        `busy`: True if the worker now goes on with another job.
        """
        if not self._ended:
            if not busy:
                self._busy_since_ms = None
            return {}
        gap_us = self._gap_us(mono_ms)
        changed = self._make_room()
        for name, runs in self._new.items():
            kept = self._runs.setdefault(name, deque(maxlen=RECENT))
            kept.extend(elapsed_us + gap_us for elapsed_us in runs[-RECENT:])
            self._spans.pop(name, None)
            changed[name] = tuple(kept)
        self._ended, self._elapsed_us, self._new = 0, 0, {}
        self._busy_since_ms = mono_ms if busy else None
        return changed

    def _gap_us(self, mono_ms: int) -> int:
        """Return the average time between the runs that ended in this turn."""
        if self._busy_since_ms is None:
            return 0
        return max(0, (mono_ms - self._busy_since_ms) * 1000 - self._elapsed_us) // self._ended

    def _make_room(self) -> dict[str, tuple[int, ...]]:
        """Drop the oldest types if there will be too many. Return them, each with an empty tuple of runs."""
        more = len(self._new.keys() - self._runs.keys())
        dropped = list(self._runs)[: max(0, len(self._runs) + more - MOST_TYPES)] if more else []
        for name in dropped:
            del self._runs[name]
            self._spans.pop(name, None)
        return {name: () for name in dropped}
