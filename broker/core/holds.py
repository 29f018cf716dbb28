"""Who copies the journal's file at present, so that it has to stay as it is meanwhile."""

from __future__ import annotations

from typing import NamedTuple

MOST = 64


class _Hold(NamedTuple):
    until_ms: int
    undisturbed: bool


class Holds:
    """Each backup has a hold of its own, under a name that it chose: the end of one must not be the end of another,
    nor be told to it."""

    def __init__(self) -> None:
        self._holds: dict[str, _Hold] = {}

    def __bool__(self) -> bool:
        return bool(self._holds)

    def take(self, name: str, until_ms: int) -> bool:
        """Begins a hold, or lets it last until another time. Returns whether nothing was moved since it began.

        Raises ValueError when there are too many.
        """
        if name not in self._holds and len(self._holds) == MOST:
            raise ValueError(f"{MOST} backups are being made already")
        undisturbed = name not in self._holds or self._holds[name].undisturbed
        self._holds[name] = _Hold(until_ms, undisturbed)
        return undisturbed

    def end(self, name: str) -> bool:
        """Ends a hold. Returns whether it lasted, and nothing was moved since it began."""
        hold = self._holds.pop(name, None)
        return hold is not None and hold.undisturbed

    def expire(self, now_ms: int) -> None:
        """End the holds whose time is over, so that the log cannot grow without bound."""
        self._holds = {name: hold for name, hold in self._holds.items() if now_ms < hold.until_ms}

    def disturb(self) -> None:
        """The log was moved all the same."""
        self._holds = {name: hold._replace(undisturbed=False) for name, hold in self._holds.items()}

    def due_at_ms(self) -> int | None:
        """When the next of them is over (monotonic)."""
        return min((hold.until_ms for hold in self._holds.values()), default=None)
