"""The reports of one session: numbered from 1, kept until the broker acknowledges them, and repeated. Pure."""

from __future__ import annotations

from collections import deque
from itertools import islice

from zjobs.messages.types import Ended, Report, Reports

REPEAT_MS = 1000
MESSAGE_BYTES = 1 << 20

# Reports that are sent one by one, as they come, cost the broker a turn and a commit each. So while some are on their
# way others gather, if there are enough to come; this many are worth a message of their own, so that neither side ever
# waits for the other.
GATHER = 32


class Outbox:
    """`acked`: the last report acknowledged; `reported`: the last one there is; `weight_bytes`: of those in between."""

    def __init__(self, acked: int = 0) -> None:
        self.acked = acked
        self.reported = acked
        self.weight_bytes = 0
        self.repeat_at_ms = 0
        self._kept: deque[Report] = deque()
        self._sent = acked  # those up to this one have been sent at least once

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, report: Report) -> None:
        self.reported += 1
        self._kept.append(report)
        self.weight_bytes += _weight(report)

    def acknowledge(self, reports: int, now_ms: int) -> None:
        """All up to number `reports` are safe; it is not below `acked` and not above `reported`."""
        for _ in range(reports - self.acked):
            self.weight_bytes -= _weight(self._kept.popleft())
        self.acked = reports
        self._sent = max(self._sent, self.acked)
        self.repeat_at_ms = now_ms + REPEAT_MS

    def due(self, session: str, now_ms: int, more_to_come: int) -> list[Reports]:
        """What is new and worth a message, or all that is not acknowledged when its time has come.

        more_to_come: how many jobs are here that have not ended.
        """
        if not self._kept:
            return []
        if self._sent == self.acked:  # nothing on its way yet
            self.repeat_at_ms = now_ms + REPEAT_MS
        elif now_ms >= self.repeat_at_ms:
            self.repeat_at_ms = now_ms + REPEAT_MS
            self._sent = self.acked
        elif self.reported - self._sent < GATHER <= more_to_come:
            return []  # the acknowledgement of what is on its way sends them, with those that come meanwhile
        messages = []
        while self._sent < self.reported:
            batch = self._batch()
            messages.append(Reports(session, self._sent + 1, batch))
            self._sent += len(batch)
        return messages

    def _batch(self) -> tuple[Report, ...]:
        """The reports after `_sent`, as many as make a message: at least one."""
        batch: list[Report] = []
        weight = 0
        for report in islice(self._kept, self._sent - self.acked, None):
            weight += _weight(report)
            if len(batch) == GATHER or (batch and weight > MESSAGE_BYTES):
                break
            batch.append(report)
        return tuple(batch)

    def unacknowledged(self) -> tuple[Report, ...]:
        """The reports after number `acked`."""
        return tuple(self._kept)


def _weight(report: Report) -> int:
    """About how many bytes it takes."""
    if not isinstance(report, Ended):
        return 32
    return 96 + len(report.result or b"") + len(report.message) + len(report.detail) + len(report.output or b"")
