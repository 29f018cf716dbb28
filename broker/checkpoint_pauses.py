"""Backups in progress, during which no checkpoint may change the journal's file."""

from __future__ import annotations

from typing import NamedTuple

MOST = 64


class _Pause(NamedTuple):
    until_ms: int
    undisturbed: bool


class CheckpointPauses:
    """The pauses of all backups. Each backup names its own, so that it can neither end nor mistake another's."""

    def __init__(self) -> None:
        self._checkpoint_pauses: dict[str, _Pause] = {}

    def __bool__(self) -> bool:
        return bool(self._checkpoint_pauses)

    def begin(self, name: str, until_ms: int) -> bool:
        """Begin a pause or prolong it. Return True if no checkpoint has run since it began.

        Raises ValueError if there are too many.
        """
        if name not in self._checkpoint_pauses and len(self._checkpoint_pauses) == MOST:
            raise ValueError(f"{MOST} backups are being made already; try again when one has ended")
        undisturbed = name not in self._checkpoint_pauses or self._checkpoint_pauses[name].undisturbed
        self._checkpoint_pauses[name] = _Pause(until_ms, undisturbed)
        return undisturbed

    def end(self, name: str) -> bool:
        """End a pause. Return True if it lasted, and no checkpoint has run since it began."""
        pause = self._checkpoint_pauses.pop(name, None)
        return pause is not None and pause.undisturbed

    def expire(self, now_ms: int) -> None:
        """End the pauses whose time is over, so that the log cannot grow without bound."""
        self._checkpoint_pauses = {
            name: pause for name, pause in self._checkpoint_pauses.items() if now_ms < pause.until_ms
        }

    def disturb(self) -> None:
        """Record that a checkpoint ran all the same."""
        self._checkpoint_pauses = {
            name: pause._replace(undisturbed=False) for name, pause in self._checkpoint_pauses.items()
        }

    def due_at_ms(self) -> int | None:
        """Return when the next pause expires (monotonic), None without pauses."""
        return min((pause.until_ms for pause in self._checkpoint_pauses.values()), default=None)
