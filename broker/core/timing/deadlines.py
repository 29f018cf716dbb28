"""Times by the wall clock at which something is due.

The wall clock may be set at any moment. So a turn asks again each time whether a time has come, and never reckons with
how long that will take.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from zjobs.messages.units import JobId, Ms

FEW = 1024  # so few stale entries are not worth removing
LOOK_AGAIN_MS = 10_000  # the wall clock may have been set meanwhile

Key = TypeVar("Key", JobId, str)


def utc(at_ms: int) -> str:
    """Return a time for people: `2026-12-01 01:00:00 UTC`."""
    return f"{datetime.fromtimestamp(at_ms // 1000, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


class Deadlines(Generic[Key]):
    """Times by key, the soonest first."""

    def __init__(self, times: Iterable[tuple[Key, Ms]] = ()) -> None:
        self._times: dict[Key, Ms] = dict(times)
        self._build()

    def __len__(self) -> int:
        return len(self._times)

    def set(self, key: Key, at_ms: Ms | None) -> None:
        """Set the time of a key; None removes it."""
        if at_ms is None:
            self._times.pop(key, None)
        elif self._times.get(key) != at_ms:
            self._times[key] = at_ms
            heappush(self._heap, (at_ms, key))
        if len(self._heap) > 2 * len(self._times) + FEW:
            self._build()

    def first(self) -> Ms | None:
        """Return the soonest time, None if there is none."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)  # stale: its key has another time, or none
        return self._heap[0][0] if self._heap else None

    def take_due(self, wall_ms: Ms) -> list[Key]:
        """Remove the keys whose time has come, and return them."""
        due: list[Key] = []
        while (at := self.first()) is not None and at <= wall_ms:
            due.append(heappop(self._heap)[1])
            del self._times[due[-1]]
        return due

    def due_in_ms(self, wall_ms: Ms) -> int | None:
        """Return in how long to look again, None for never."""
        at = self.first()
        return None if at is None else min(max(0, at - wall_ms), LOOK_AGAIN_MS)

    def _build(self) -> None:
        self._heap: list[tuple[Ms, Key]] = [(at, key) for key, at in self._times.items()]
        heapify(self._heap)
