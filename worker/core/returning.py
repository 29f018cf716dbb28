"""What is recalled from the task process, to be returned to the broker or kept, and how long a worker that stops
waits for acknowledgements. Pure."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from zjobs.messages.units import DeliveryNumber, Ms

HURRY_MS = Ms(2000)  # the farewell time after a second signal, if it is longer
RETRY_SPOOL_MS = 1000


class Purpose(Enum):
    """Why the worker asks the task process for jobs."""

    RETURN = "return"
    KEEP = "keep"


class Return(NamedTuple):
    """Report number `report` has returned everything from delivery number `n` on."""

    report: int
    delivery: DeliveryNumber


class Returning:
    """`asked`: why the task process was asked for what it has not begun, until it answers. `wanted`: the broker wants
    that returned; `owed`: a return is told even if it is of nothing that is here. `alone`: the job that has begun and
    has nothing behind it in the task process; 0: not known of any. `returned`: until it is acknowledged."""

    def __init__(self) -> None:
        self.asked: Purpose | None = None
        self.wanted = False
        self.owed = False
        self.alone = 0
        self.returned: Return | None = None
        self._asked_for: dict[Purpose, tuple[DeliveryNumber | None, DeliveryNumber]] = {}

    def ask(self, purpose: Purpose, running: DeliveryNumber | None, taken: DeliveryNumber) -> None:
        """Records what the worker asked the task process for."""
        self.asked = purpose
        self._asked_for[purpose] = running, taken
        if purpose is Purpose.RETURN:
            self.wanted = False

    def is_new(self, purpose: Purpose, running: DeliveryNumber, taken: DeliveryNumber) -> bool:
        """Whether that was not asked yet for this running job and what is behind it. Once is enough: it may be that all
        had begun and only their ends are still to be read."""
        return self._asked_for.get(purpose) != (running, taken)


class Farewell:
    """When the reports are spooled that nobody has acknowledged by then."""

    def __init__(self, patience_ms: Ms) -> None:
        self._patience_ms = patience_ms
        self._quiet_since_ms = Ms(0)
        self._not_before_ms = Ms(0)

    @property
    def due_ms(self) -> Ms:
        """When to give up waiting for acknowledgements."""
        return max(self._not_before_ms, Ms(self._quiet_since_ms + self._patience_ms))

    def begin(self, now_ms: Ms) -> None:
        """It begins anew with everything that is told and everything that arrives: the rest is waited for."""
        self._quiet_since_ms = now_ms

    def hurry(self, now_ms: Ms) -> None:
        """Shortens the wait."""
        self._patience_ms = min(self._patience_ms, HURRY_MS)
        self.begin(now_ms)

    def end(self, now_ms: Ms) -> None:
        """Ends the wait at once."""
        self._patience_ms = Ms(0)
        self._quiet_since_ms = self._not_before_ms = now_ms

    def postpone(self, now_ms: Ms) -> None:
        """It is tried now; the next time is later."""
        self._not_before_ms = Ms(now_ms + RETRY_SPOOL_MS)
