"""The two channels between broker and worker, with what ZeroMQ may do to messages on them.

The pipe is bound by the worker, so a connection that was cut leaves a queue of its own behind, whose messages may
still be read long after a newer connection delivers (`stale`). The reports come in at the broker's one connecting
socket: what is lost is lost, the rest keeps its order.
"""

from __future__ import annotations

from collections import deque


class Network:
    def __init__(self) -> None:
        self.pipe: deque[bytes] = deque()
        self.stale: deque[bytes] = deque()
        self.reports: deque[bytes] = deque()
        self.pipe_up = self.reports_up = False
        self.broker_sees_loss = False
        self.worker_sees_subscription = False

    def connect(self) -> None:
        """Both connections stand (again)."""
        self.pipe_up = True
        if not self.reports_up:
            self.reports_up = True
            self.worker_sees_subscription = True

    def publish(self, frame: bytes) -> None:
        """Without a subscriber it is lost."""
        if self.reports_up:
            self.reports.append(frame)

    def cut_pipe(self, arrived: int) -> None:
        """All but the first `arrived` messages on their way are lost; those are read at any time later."""
        self.stale.extend(list(self.pipe)[:arrived])
        self.pipe.clear()
        self.pipe_up = False

    def cut_reports(self, arrived: int) -> None:
        """All but the first `arrived` messages on their way are lost."""
        self.reports = deque(list(self.reports)[:arrived])
        self.broker_sees_loss = self.broker_sees_loss or self.reports_up
        self.reports_up = False

    def broker_ends(self, arrived: int) -> None:
        """`arrived`: how many messages reached the worker all the same."""
        self.cut_pipe(arrived)
        self.cut_reports(0)
        self.broker_sees_loss = False

    def worker_ends(self, arrived: int) -> None:
        """`arrived`: how many messages reached the broker all the same."""
        self.cut_pipe(0)
        self.stale.clear()
        self.cut_reports(arrived)
        self.worker_sees_subscription = False
