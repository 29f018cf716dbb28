"""The pauses in force. Several people may pause the queue, each for a time of their own.

The queue runs when no pause is left. Each pause belongs to whoever asked for it, and ends by itself or is lifted; its
end lifts nobody else's. Ends are kept by the monotonic clock, like the delays of jobs, so setting the wall clock moves
none of them. Across a restart the wall clock says how much is left, at most the whole time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from zjobs.broker.core.people.who import Who
from zjobs.broker.core.records.jobs import CLOCK_SLACK_MS, Instant
from zjobs.messages.fields import MAX_DURATION_MS
from zjobs.messages.records import Paused, QueuePause
from zjobs.messages.requests.changes import Pause, Resume
from zjobs.messages.requests.ops import Error
from zjobs.messages.states import ErrorCode, Role
from zjobs.messages.units import Ms

MOST = 100


class _InForce(NamedTuple):
    """A pause as the journal has it, and when it ends (monotonic); None if it lasts until it is lifted."""

    pause: QueuePause
    ends_ms: int | None

    def outlasts(self, other: _InForce) -> bool:
        """True if this pause makes `other`, an earlier one of the same person, unnecessary."""
        mine, theirs = self.pause, other.pause
        same = (mine.owner, mine.submitter) == (theirs.owner, theirs.submitter)
        return same and (self.ends_ms is None or (other.ends_ms is not None and other.ends_ms <= self.ends_ms))


class Pauses:
    """The pauses in force, oldest first. `for_clients`: with their ends by the present wall clock."""

    def __init__(self, kept: Iterable[QueuePause], now: Instant) -> None:
        self._in_force = [_InForce(pause, _end_after_restart(pause, now)) for pause in kept]
        self.for_clients: tuple[QueuePause, ...] = ()
        self.look(now)

    def __len__(self) -> int:
        return len(self._in_force)

    @property
    def kept(self) -> tuple[QueuePause, ...]:
        """The pauses as the journal keeps them."""
        return tuple(each.pause for each in self._in_force)

    @property
    def oldest(self) -> Paused | None:
        """The time and reason of the oldest pause; None if the queue runs."""
        return Paused(self.for_clients[0].since_at, self.for_clients[0].reason) if self.for_clients else None

    @property
    def endless(self) -> bool:
        """True if one of them lasts until somebody lifts it."""
        return any(each.ends_ms is None for each in self._in_force)

    def left_ms(self, now: Instant) -> int:
        """Return how long until the last of those that end by themselves."""
        return max((each.ends_ms - now.mono_ms for each in self._in_force if each.ends_ms is not None), default=0)

    def begin(self, owner: str, reason: str, lasts_ms: int | None, now: Instant, submitter: str = "") -> None:
        """Add a pause. `lasts_ms`: None if it lasts until it is lifted. `submitter`: who asks by their own account,
        where there is no owner."""
        until_at = None if lasts_ms is None else Ms(now.wall_ms + lasts_ms)
        pause = QueuePause(owner, reason, now.wall_ms, until_at, submitter)
        self._in_force.append(_InForce(pause, None if lasts_ms is None else now.mono_ms + lasts_ms))
        self.look(now)

    def replace(self, owner: str, reason: str, lasts_ms: int | None, now: Instant, submitter: str = "") -> None:
        """Add a pause in place of those of the same person that would not outlast it."""
        self.begin(owner, reason, lasts_ms, now, submitter)
        *others, new = self._in_force
        self._in_force = [each for each in others if not new.outlasts(each)] + [new]
        self.look(now)

    def lift(self, chosen: Callable[[QueuePause], bool], now: Instant) -> tuple[QueuePause, ...]:
        """End the pauses that `chosen` accepts, and return them."""
        return self._remove(lambda each: chosen(each.pause), now)

    def end_due(self, now: Instant) -> tuple[QueuePause, ...]:
        """End the pauses whose time is over, and return them."""
        due = self.next_end_ms()
        if due is None or due > now.mono_ms:
            return ()
        return self._remove(lambda each: each.ends_ms is not None and each.ends_ms <= now.mono_ms, now)

    def next_end_ms(self) -> int | None:
        """Return when the next pause ends by itself (monotonic), None for never."""
        return min((each.ends_ms for each in self._in_force if each.ends_ms is not None), default=None)

    def look(self, now: Instant) -> None:
        """Recompute the ends by the present wall clock. An end that was told stands while it is right to within a
        second."""
        if not self._in_force and not self.for_clients:
            return
        before = {each[:3]: each.until_at for each in self.for_clients}
        self.for_clients = tuple(
            pause if ends_ms is None else pause._replace(until_at=_wall_end(pause, before.get(pause[:3]), ends_ms, now))
            for pause, ends_ms in self._in_force
        )

    def _remove(self, ends: Callable[[_InForce], bool], now: Instant) -> tuple[QueuePause, ...]:
        ended = tuple(each.pause for each in self._in_force if ends(each))
        self._in_force = [each for each in self._in_force if not ends(each)]
        self.look(now)
        return ended


def refusal(request: Pause, who: Who, pauses: int, now: Instant) -> Error | None:
    """Return why `who` may not make this pause, None if they may. `pauses`: how many are in force."""
    if request.until_at is not None and request.for_ms is not None:
        return Error(ErrorCode.BAD_REQUEST, "pause: until_at and for_ms exclude each other")
    lasts_ms = duration_ms(request, now)
    if lasts_ms is None and who.role is not Role.OPERATOR:
        what = f"{who.name} is a {who.role.value} and must say how long; a pause without end needs the role operator"
        return Error(ErrorCode.NOT_PERMITTED, what)
    if lasts_ms is not None and not 0 < lasts_ms <= MAX_DURATION_MS:
        return Error(ErrorCode.BAD_REQUEST, "pause: until_at must be in the future, at most 100 years from now")
    if pauses >= MOST:
        return Error(ErrorCode.QUEUE_FULL, f"{pauses} pauses are in force already; wait until some end")
    return None


def duration_ms(request: Pause, now: Instant) -> int | None:
    """Return how long the pause lasts, None if until it is lifted."""
    return request.for_ms if request.until_at is None else request.until_at - now.wall_ms


def lifting_refusal(request: Resume, who: Who) -> Error | None:
    """Return why `who` may not lift these pauses, None if they may."""
    if request.all and who.role is not Role.OPERATOR:
        what = f"{who.name} is a {who.role.value}; only a key of the role operator may lift the pauses of others"
        return Error(ErrorCode.NOT_PERMITTED, what)
    return None


def lifts(request: Resume, who: Who, pause: QueuePause) -> bool:
    """True if this request lifts this pause: one's own; for operators also those without an owner, such as the
    broker's."""
    return request.all or pause.owner == who.name or (who.role is Role.OPERATOR and not pause.owner)


def audit_text(pause: QueuePause) -> str:
    """Return a pause for the audit trail: whose it is, where that matters, and why."""
    return ": ".join(part for part in (pause.owner, pause.reason) if part)


def begun_by(pause: QueuePause) -> str:
    """Return the same for the entry of its beginning: with how long it lasts, in whole seconds, unless it is lifted."""
    lasts = "" if pause.until_at is None else f"for {max(0, pause.until_at - pause.since_at) // 1000} s"
    return ", ".join(part for part in (audit_text(pause), lasts) if part)


def _end_after_restart(pause: QueuePause, now: Instant) -> int | None:
    if pause.until_at is None:
        return None
    return now.mono_ms + min(pause.until_at - now.wall_ms, pause.until_at - pause.since_at)


def _wall_end(pause: QueuePause, told: Ms | None, ends_ms: int, now: Instant) -> Ms:
    present = Ms(max(0, now.wall_ms + ends_ms - now.mono_ms))
    stands = (at for at in (pause.until_at, told) if at is not None and abs(present - at) <= CLOCK_SLACK_MS)
    return next(stands, present)
