"""How long the last runs of each type took. The journal keeps it, so a restarted broker goes on with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from zjobs.broker.core.estimates.spans import Span, span_of_run
from zjobs.messages.dispatch import Ended
from zjobs.messages.states import FailReason, Outcome

RECENT = 50
MOST_TYPES = 1_000  # of which runs are kept; beyond them, the type that came first goes


def tells_duration(ended: Ended) -> bool:
    """Whether a run says how long its type takes: it completed, or reached its time limit. How long it took to fail, or
    until somebody ended it, says nothing about a run that does its work."""
    return ended.outcome is Outcome.COMPLETED or ended.reason is FailReason.TIMED_OUT


class History:
    """The last runs of each type, in microseconds, the newest last.

    A run takes the time from the end of the one before, if the worker went from one to the other. Of short jobs, that
    is most of what they take.
    """

    def __init__(self, runs: Mapping[str, Sequence[int]]) -> None:
        self._runs = {name: deque(durations, RECENT) for name, durations in runs.items()}
        self._spans: dict[str, Span] = {}
        self._ended: list[tuple[str, int, bool]] = []
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
        """A run has ended in this turn. `tells`: see `tells_duration`."""
        self._ended.append((name, elapsed_us, tells))

    def end_turn(self, mono_ms: int, busy: bool) -> dict[str, tuple[int, ...]]:
        """Add the runs of this turn, and return all runs of the types that changed; none: drop them.

        `busy`: whether the worker goes on with another job now.
        """
        changed: dict[str, None] = {}
        if self._ended:
            gap_us = self._gap_us(mono_ms)
            for name, elapsed_us, tells in self._ended:
                if tells:
                    changed |= self._add(name, elapsed_us + gap_us)
            self._ended = []
            self._busy_since_ms = mono_ms
        if not busy:
            self._busy_since_ms = None
        return {name: tuple(self.of(name)) for name in changed}

    def _gap_us(self, mono_ms: int) -> int:
        """How long the worker took between the runs that ended in this turn, for each."""
        if self._busy_since_ms is None:
            return 0
        elapsed_us = sum(ended[1] for ended in self._ended)
        return max(0, (mono_ms - self._busy_since_ms) * 1000 - elapsed_us) // len(self._ended)

    def _add(self, name: str, duration_us: int) -> dict[str, None]:
        """Add a run, and return which types have changed."""
        changed: dict[str, None] = {name: None}
        if name not in self._runs:
            if len(self._runs) == MOST_TYPES:
                oldest = next(iter(self._runs))
                del self._runs[oldest]
                self._spans.pop(oldest, None)
                changed[oldest] = None
            self._runs[name] = deque(maxlen=RECENT)
        self._runs[name].append(duration_us)
        self._spans.pop(name, None)
        return changed
