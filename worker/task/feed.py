"""Jobs on their way into the task process: offered, sent, and recalled while it has not begun them.

The packets in the task process's socket are jobs that it has not begun. We keep a duplicate of its end, and reading a
packet there recalls the job. The task process may read between two of our reads; but it runs a job only if it has run
the one sent before, so the first packet that we read recalls all those sent after it, whoever reads them.
"""

from __future__ import annotations

import socket
from collections import deque

from zjobs.messages.dispatch import DispatchedJob
from zjobs.messages.units import DeliveryNumber, JobId
from zjobs.worker.task import packets, platform

# With 1 job ahead, the task process idles while we turn around: 13,000 jobs/s instead of 110,000. A socket of this kind
# holds 278 small packets unread, or 11 of the largest.
JOBS_AHEAD = 64
# Of jobs with large results only this many, because all their results are read in one turn.
FEW_AHEAD = 8
NONE = DeliveryNumber(0)


class Feed:
    """The jobs that one task process was offered and that have not ended."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[DeliveryNumber, DispatchedJob, int]] = deque()
        self._sent: dict[DeliveryNumber, tuple[int, JobId]] = {}  # what the task process has: packet and job of each
        self._packet = 0
        self._ahead = FEW_AHEAD

    @property
    def begins(self) -> bool:
        """True if the next job sent will find the task process idle."""
        return bool(self._waiting) and not self._sent

    @property
    def far_ahead(self) -> bool:
        """True if the task process has work for a while: more than it is given if jobs are long."""
        return len(self._sent) >= JOBS_AHEAD // 2

    @property
    def sent(self) -> list[DeliveryNumber]:
        """The numbers of the jobs that the task process has, in order."""
        return list(self._sent)

    @property
    def first(self) -> tuple[DeliveryNumber, JobId]:
        """The number and id of the job that runs, or runs next; 0 if there is none."""
        for delivery, (_, job_id) in self._sent.items():
            return delivery, job_id
        return NONE, JobId(0)

    def offer(self, delivery: DeliveryNumber, job: DispatchedJob, result_bytes: int) -> None:
        """Add a job, to run after those offered before."""
        self._waiting.append((delivery, job, result_bytes))

    def send(self, ours: socket.socket) -> None:
        """Send as many jobs ahead as the task process should have, through our end of its socket."""
        while self._waiting and len(self._sent) < self._ahead:
            delivery, job, result_bytes = self._waiting[0]
            after, _ = next(reversed(self._sent.values()), (0, NONE))
            try:
                packet = (self._packet + 1, after, delivery, job.type, job.data, result_bytes, job.id, job.attempt)
                packets.send(ours, packet, platform.DONT_WAIT)
            except OSError:  # no room: a result will make some, or the next heartbeat tries again
                return
            self._waiting.popleft()
            self._packet += 1
            self._sent[delivery] = self._packet, job.id

    def has_sent(self, number: int) -> bool:
        """True if the packet of this number was sent and not recalled."""
        return any(number == packet for packet, _ in self._sent.values())

    def ended(self, delivery: DeliveryNumber, large: bool) -> None:
        """Remove a job that has ended. `large`: its result did not fit a packet."""
        del self._sent[delivery]
        self._ahead = FEW_AHEAD if large else min(self._ahead + 1, JOBS_AHEAD)

    def recall(self, theirs: socket.socket | None) -> list[DeliveryNumber]:
        """Return the numbers of all jobs that have not begun, and now never will unless offered again. `theirs`: our
        duplicate of the task process's end, None if there is no task process."""
        numbers = []
        while theirs is not None:
            try:
                packet = packets.receive(theirs, platform.DONT_WAIT)
            except OSError:  # BlockingIOError: nothing left
                break
            except packets.Garbled:
                continue
            if packet:
                numbers.append(packet[2])
        if numbers:
            numbers = [delivery for delivery in self._sent if delivery >= numbers[0]]
            for delivery in numbers:
                del self._sent[delivery]
        numbers += [delivery for delivery, _, _ in self._waiting]
        self._waiting.clear()
        return numbers
