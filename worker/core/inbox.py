"""The jobs of one session on their way into the task process, in order of their delivery numbers. Pure.

It holds the jobs that arrived and have neither ended nor been returned. All up to `offered` are with the task process,
and the first of these is the one that runs.
"""

from __future__ import annotations

from zjobs.messages import codec
from zjobs.messages.dispatch import Arrived, DispatchedJob, Jobs, Piece, Received, Sent
from zjobs.messages.flow import CONFIRM_BYTES, Arrivals
from zjobs.messages.units import DeliveryNumber


class Inbox:
    """The jobs of a session. `taken`: the number of the last one that arrived."""

    def __init__(self) -> None:
        self.taken = DeliveryNumber(0)
        self.offered = DeliveryNumber(0)
        self._jobs: dict[DeliveryNumber, DispatchedJob] = {}
        self._arrivals = Arrivals(codec.MAX_DATA_BYTES)
        self._lost_round: int | None = None  # the round in which messages of the broker were lost

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, delivery: DeliveryNumber) -> bool:
        return delivery in self._jobs

    def __getitem__(self, delivery: DeliveryNumber) -> DispatchedJob:
        return self._jobs[delivery]

    @property
    def running(self) -> DeliveryNumber | None:
        """The number of the job that runs, None if none does."""
        delivery = next(iter(self._jobs), None)
        return delivery if delivery is not None and delivery <= self.offered else None

    @property
    def unbegun(self) -> bool:
        """True if some job has not begun, as far as is known."""
        return len(self._jobs) > (self.running is not None)

    @property
    def arrived(self) -> Arrived:
        """The present round, and how many of its messages came."""
        return self._arrivals.arrived

    # --- what arrives ----------------------------------------------------------------------------------------

    def count(self, message: Jobs | Piece) -> None:
        """Count a message that came, whatever becomes of it."""
        size = CONFIRM_BYTES if isinstance(message, Piece) else sum(32 + len(job.data or b"") for job in message.jobs)
        self._arrivals.receives(message.round, size)

    def keep(self, piece: Piece) -> None:
        """Keep the beginning of the data of the next job."""
        if piece.number == self.taken + 1:
            self._arrivals.hold(piece.offset, piece.body)

    def accept(self, message: Jobs) -> None:
        """Add the jobs that come after `taken`. One whose data began in pieces is added only if all of them came."""
        repeated = self.taken + 1 - message.first
        if repeated < 0:
            return
        for job in message.jobs[repeated:]:
            whole = self._arrivals.joined(job.data_from, job.data)
            if whole is None:
                self._lost_round = message.round
                return
            self._arrivals.drop()
            self.taken = DeliveryNumber(self.taken + 1)
            self._jobs[self.taken] = job._replace(data=whole[0], data_from=0) if job.data_from else job

    def compare(self, sent: Sent) -> None:
        """Compare how much was sent with how much came: what is missing is lost."""
        if self._arrivals.lacks(sent.round, sent.count):
            self._lost_round = sent.round

    def confirmation(self, session: str) -> Received | None:
        """Return how much has come, if that is much or something was lost; None the next time."""
        held_bytes = self._arrivals.held_bytes
        if self._lost_round is not None:
            lost, self._lost_round = self._lost_round, None
            return Received(session, self.taken, lost, 0, held_bytes, again=True)
        return Received(session, self.taken, *self.arrived, held_bytes) if self._arrivals.confirms() else None

    # --- what leaves -----------------------------------------------------------------------------------------

    def offer(self) -> DeliveryNumber | None:
        """Return the next number for the task process, None if it has all."""
        if self.offered == self.taken:
            return None
        self.offered = DeliveryNumber(self.offered + 1)
        return self.offered

    def recall(self, numbers: list[DeliveryNumber]) -> None:
        """Record that the task process has not begun these, the last ones offered."""
        if numbers:
            self.offered = DeliveryNumber(min(numbers) - 1)

    def end(self, delivery: DeliveryNumber) -> DispatchedJob:
        """Remove the job that has ended, and return it."""
        return self._jobs.pop(delivery)

    def give_back(self) -> list[DeliveryNumber]:
        """Remove all jobs that are not with the task process. Return their numbers."""
        unbegun = [delivery for delivery in self._jobs if delivery > self.offered]
        for delivery in unbegun:
            del self._jobs[delivery]
        return unbegun

    def resume(self, delivery: DeliveryNumber) -> None:
        """Continue with this number; the numbers from the first one returned on are void."""
        self.taken = self.offered = DeliveryNumber(delivery - 1)
        self._arrivals.drop()
