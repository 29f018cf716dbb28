"""Kinds of jobs. Jobs of the same type and time limit are of one kind: estimated alike, and counted together.

A queued job's kind is one byte in memory, a number from this table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from zjobs.messages.units import Ms

OTHER = 255  # all further kinds, about which nothing is known


class Kind(NamedTuple):
    """A type and a time limit. `time_limit_ms`: the job's own limit; None means that of its type."""

    type: str
    time_limit_ms: Ms | None = None


class Numbers(dict[Kind, int]):
    """Numbers each kind when it is first looked up; see `Kinds`."""

    def __missing__(self, kind: Kind) -> int:
        number = self[kind] = min(len(self) + 1, OTHER)
        return number

    def kinds(self) -> tuple[Kind, ...]:
        """Return the kinds that have a number of their own, in order."""
        return tuple(map(Kind._make, list(self)[: OTHER - 1]))


class Kinds:
    """Numbers the kinds of queued jobs, from 1. A number without jobs may be reused for another kind."""

    def __init__(self, kinds: Sequence[Kind], counts: Mapping[int, int]) -> None:
        """Start with these kinds. `counts`: the number of jobs of each, by the kind's number."""
        self._kinds = [Kind(""), *kinds]
        self._numbers = {kind: number for number, kind in enumerate(kinds, 1)}
        self._counts = [counts.get(number, 0) for number in range(OTHER + 1)]

    def add(self, kind: Kind) -> int:
        """Count one more job of a kind, and return the kind's number."""
        number = self._numbers.get(kind) or self._number_for(kind)
        self._counts[number] += 1
        return number

    def remove(self, number: int) -> None:
        """Count one job fewer."""
        self._counts[number] -= 1

    def __iter__(self) -> Iterator[tuple[int, Kind | None]]:
        """Yield each number that has jobs, with its kind; None stands for all further kinds."""
        for number, kind in enumerate(self._kinds):
            if self._counts[number]:
                yield number, kind
        if self._counts[OTHER]:
            yield OTHER, None

    def _number_for(self, kind: Kind) -> int:
        if len(self._kinds) < OTHER:
            number = len(self._kinds)
            self._kinds.append(kind)
        else:
            number = next((number for number in range(1, OTHER) if not self._counts[number]), OTHER)
            if number == OTHER:
                return OTHER
            del self._numbers[self._kinds[number]]
            self._kinds[number] = kind
        self._numbers[kind] = number
        return number
