"""The reports of one session: numbered from 1, kept until the broker acknowledges them, sent again if they were lost.

They are never sent again merely because time has passed: a large one may take minutes to arrive. Pure.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from zjobs.messages.dispatch import Ack, Arrived, Ended, Output, Piece, Report, Reports
from zjobs.messages.flow import Cutter, Flow
from zjobs.messages.units import Ms

# Reports that are sent one by one, as they come, cost the broker a turn and a commit each. So while some are on their
# way, others gather, if enough are to come. This many are worth a message of their own, so neither side ever waits for
# the other.
GATHER = 32


class Outbox:
    """The reports that the broker has not acknowledged. `acked`: the last one acknowledged. `reported`: the last one
    there is. `weight_bytes`: that of those in between. `flow`: what is on its way, including the progress of jobs."""

    def __init__(self, acked: int = 0) -> None:
        self.acked = acked
        self.reported = acked
        self.weight_bytes = 0
        self.flow = Flow()
        self._cutter = Cutter()
        self._kept: deque[tuple[Report, int]] = deque()  # with their weights
        self._sent = acked  # those up to this one have been sent whole in this round

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, report: Report) -> None:
        """Add a report."""
        self.reported += 1
        weight = _weight(report)
        self._kept.append((report, weight))
        self.weight_bytes += weight

    def hears(self, ack: Ack, now_ms: Ms) -> bool:
        """Record what the broker has: its `reports` is between `acked` and `reported`. Return True if it is more than
        before."""
        more = ack.reports > self.acked
        for _ in range(ack.reports - self.acked):
            self.weight_bytes -= self._kept.popleft()[1]
        self.acked = ack.reports
        self._sent = max(self._sent, self.acked)
        if ack.round == self.flow.round:
            more |= self.flow.hears(Arrived(ack.round, ack.count), now_ms)
            self._cutter.skip(ack.reports + 1, ack.held_bytes)
            if ack.again:
                self.start_over()
        return more

    def start_over(self) -> None:
        """Begin a new round with everything that is not acknowledged, because something may be lost."""
        self._sent = self.acked
        self.flow.begin_round()
        self._cutter.start_over()

    def due(self, session: str, now_ms: Ms, more_to_come: int) -> list[Piece | Reports]:
        """Return the new messages that are worth sending, as far as there is room.

        more_to_come: how many jobs are here that have not ended.
        """
        if self._sent > self.acked and self.reported - self._sent < GATHER <= more_to_come:
            return []  # they follow the next acknowledgement, with those that come meanwhile
        due: list[Piece | Reports] = []
        while self._sent < self.reported and self.flow.has_room():
            due.append(self._piece(session, now_ms) or self._batch(session, now_ms))
        return due

    def _piece(self, session: str, now_ms: Ms) -> Piece | None:
        """Return a piece of the result of the next report, if that is too large for one message."""
        report, number = self._kept[self._sent - self.acked][0], self._sent + 1
        if not isinstance(report, Ended) or report.result is None:
            return None
        offset = self._cutter.sent_bytes(number)
        body = self._cutter.cut(number, report.result, self.flow.piece_bytes)
        if body is None:
            return None
        self.flow.sends(len(body), now_ms)
        return Piece(session, self.flow.round, number, offset, body)

    def _batch(self, session: str, now_ms: Ms) -> Reports:
        """Return the reports after `_sent` that fit into one message: at least one."""
        batch: list[Report] = []
        weight, most = 0, self.flow.piece_bytes
        for report, more in islice(self._kept, self._sent - self.acked, None):
            rest = report
            if not batch:  # only the first may have been sent in part
                rest = self._rest(report, self._sent + 1)
                more = _weight(rest)
            if batch and (len(batch) == GATHER or weight + more > most):
                break
            weight += more
            batch.append(rest)
        first = self._sent + 1
        self._sent += len(batch)
        self.flow.sends(weight, now_ms)
        return Reports(session, first, tuple(batch), self.flow.round)

    def _rest(self, report: Report, number: int) -> Report:
        """Return the report with the part of its result that is not sent yet."""
        begun = self._cutter.sent_bytes(number)
        if not begun or not isinstance(report, Ended) or report.result is None:
            return report
        return report._replace(result=report.result[begun:], result_from=begun)

    def unacknowledged(self) -> tuple[Report, ...]:
        """Return the reports after number `acked`."""
        return tuple(report for report, _ in self._kept)


def _weight(report: Report) -> int:
    """Return roughly how many bytes a report takes."""
    if isinstance(report, Output):
        return 64 + len(report.body)
    if not isinstance(report, Ended):
        return 32
    return 96 + len(report.result or b"") + len(report.message) + len(report.detail) + len(report.output or b"")
