"""Who copies the journal's file at present, so that no checkpoint may change it meanwhile."""

from __future__ import annotations

from typing import NamedTuple

MOST = 64


class _Pause(NamedTuple):
    until_ms: int
    undisturbed: bool


class CheckpointPauses:
    """Each backup has a pause of its own, under a name that it chose: the end of one must not be the end of another,
    nor be told to it."""

    def __init__(self) -> None:
        self._checkpoint_pauses: dict[str, _Pause] = {}

    def __bool__(self) -> bool:
        return bool(self._checkpoint_pauses)

    def begin(self, name: str, until_ms: int) -> bool:
        """Begins a pause, or lets it last until another time. Returns whether nothing was moved since it began.

        Raises ValueError when there are too many.
        """
        if name not in self._checkpoint_pauses and len(self._checkpoint_pauses) == MOST:
            raise ValueError(f"{MOST} backups are being made already; try again when one has ended")
        undisturbed = name not in self._checkpoint_pauses or self._checkpoint_pauses[name].undisturbed
        self._checkpoint_pauses[name] = _Pause(until_ms, undisturbed)
        return undisturbed

    def end(self, name: str) -> bool:
        """Ends a pause. Returns whether it lasted, and nothing was moved since it began."""
        pause = self._checkpoint_pauses.pop(name, None)
        return pause is not None and pause.undisturbed

    def expire(self, now_ms: int) -> None:
        """End the pauses whose time is over, so that the log cannot grow without bound."""
        self._checkpoint_pauses = {
            name: pause for name, pause in self._checkpoint_pauses.items() if now_ms < pause.until_ms
        }

    def disturb(self) -> None:
        """The log was moved all the same."""
        self._checkpoint_pauses = {
            name: pause._replace(undisturbed=False) for name, pause in self._checkpoint_pauses.items()
        }

    def due_at_ms(self) -> int | None:
        """When the next of them is over (monotonic)."""
        return min((pause.until_ms for pause in self._checkpoint_pauses.values()), default=None)
