"""The promises about pauses: they add up, end when they were said to, and nobody lifts another's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zjobs.broker.core.people.who import Who
from zjobs.broker.core.records.jobs import Instant, Loaded
from zjobs.messages.records import QueuePause
from zjobs.messages.requests.changes import Pause, Resume
from zjobs.messages.requests.ops import Request
from zjobs.messages.states import Role


class PausePromises:
    """What the journal says is in force, and until when by the clock that nobody sets."""

    def __init__(self, hold: Callable[[bool, str], None], time: Callable[[], Instant], counts: dict[str, int]) -> None:
        self._hold = hold
        self._time = time
        self._counts = counts
        self._ends: dict[QueuePause, int | None] = {}
        self._asked: list[tuple[Who, Request]] = []

    def asked(self, asked: Iterable[tuple[Who, Request]]) -> None:
        """The next commit may end pauses because of these."""
        self._asked = [each for each in asked if isinstance(each[1], (Pause, Resume))]

    def loads(self, loaded: Loaded) -> None:
        """Over a restart the wall clock says what is left of a pause, and at most all of it is."""
        now = self._time()
        self._ends = {
            pause: None
            if pause.until_at is None
            else now.mono_ms + min(pause.until_at - now.wall_ms, pause.until_at - pause.since_at)
            for pause in loaded.pauses
        }

    def commits(self, loaded: Loaded) -> None:
        """Whatever is gone was over, or was theirs to lift; whatever stays is not over."""
        now_ms = self._time().mono_ms
        for pause, ends_ms in self._ends.items():
            over = ends_ms is not None and ends_ms <= now_ms
            if pause not in loaded.pauses:
                self._counts["timed out pauses"] += over
                self._hold(over or self._lifted(pause), f"{pause} is gone")
        self._ends = {
            pause: self._ends[pause] if pause in self._ends else self._lasts(pause, now_ms) for pause in loaded.pauses
        }
        for pause, ends_ms in self._ends.items():
            self._hold(ends_ms is None or ends_ms > now_ms, f"{pause} is not over by its time")

    def nothing_overdue(self) -> None:
        """With nothing in the way, what shall end has ended."""
        now_ms = self._time().mono_ms
        for pause, ends_ms in self._ends.items():
            self._hold(ends_ms is None or ends_ms > now_ms, f"{pause} goes on")

    def _lasts(self, pause: QueuePause, now_ms: int) -> int | None:
        return None if pause.until_at is None else now_ms + pause.until_at - pause.since_at

    def _lifted(self, pause: QueuePause) -> bool:
        for who, request in self._asked:
            if isinstance(request, Pause) and who.name == pause.owner:
                return True  # by a longer one of their own
            nobodys = who.role is Role.OPERATOR and not pause.owner
            if isinstance(request, Resume) and (request.all or who.name == pause.owner or nobodys):
                return True
        return False
