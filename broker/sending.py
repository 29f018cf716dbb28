"""Dispatched jobs on their way to the worker: large data in pieces, and no more at a time than the link can soon carry
(docs/protocol.md, Large bodies).

Pure: the data of a job that was submitted in an earlier turn is read by the turn after its dispatch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from zjobs.broker.core.records.effects import Changes, Dispatched
from zjobs.broker.core.records.jobs import Job
from zjobs.messages.dispatch import Arrived, DispatchedJob, Heartbeat, Jobs, Piece, Received, Sent
from zjobs.messages.flow import Cutter, Flow
from zjobs.messages.units import DeliveryNumber, JobId, Ms

OVERHEAD_BYTES = 32  # roughly what a job takes besides its data


class Sending:
    """The dispatched jobs that are not sent yet, in the order of their delivery numbers."""

    def __init__(self, first_round: int) -> None:
        """Start empty. `first_round`: a number that earlier brokers of the journal are unlikely to have used."""
        self._queue: deque[tuple[DeliveryNumber, DispatchedJob]] = deque()
        self._without_data: list[Dispatched] = []  # behind those in the queue
        self._flow = Flow(first_round)
        self._cutter = Cutter()

    def start_over(self) -> None:
        """Begin a new round with the jobs that are added next, because those sent may be lost."""
        self._queue.clear()
        self._without_data.clear()
        self._flow.begin_round()
        self._cutter.start_over()

    def add(self, dispatched: Sequence[Dispatched], changes: Changes) -> None:
        """Add jobs. `changes`: those of the turn, with the data of jobs that were submitted in it."""
        if not dispatched:
            return
        all_new = all(job.id in changes.added and job.retry_of is None for _, job in dispatched)
        at_hand = all_new and not self._without_data
        self._without_data += dispatched
        if at_hand:
            self.supply(dict(changes.data))

    @property
    def lacks(self) -> tuple[JobId, ...]:
        """The jobs whose data must be read before they can be sent."""
        return tuple(job.id for _, job in self._without_data)

    def supply(self, data: Mapping[JobId, bytes]) -> None:
        """Supply the data of the jobs in `lacks`. A job that is not in `data` has none."""
        for delivery, job in self._without_data:
            self._queue.append((delivery, _with_data(job, data.get(job.id))))
        self._without_data.clear()

    def hears(self, message: Heartbeat | Received, now_ms: Ms) -> bool:
        """Process what the worker says has arrived. Return True if part of the current round was lost."""
        if isinstance(message, Heartbeat):
            self._flow.hears(message.arrived, now_ms)
            return False
        self._flow.hears(Arrived(message.round, message.count), now_ms)
        if message.round == self._flow.round:
            self._cutter.skip(message.taken + 1, message.held_bytes)
        return message.again and message.round == self._flow.round

    def sent(self, session: str) -> Sent:
        """Return how much was sent in this round, for the worker to compare."""
        return Sent(session, self._flow.round, self._flow.count)

    def due(self, session: str, wanted: Callable[[DeliveryNumber], bool], now_ms: Ms) -> Iterator[Jobs | Piece]:
        """Yield the messages that the link has room for. `wanted(n)`: False if delivery n was recalled."""
        while self._flow.has_room():
            while self._queue and not wanted(self._queue[0][0]):
                self._queue.popleft()
            if not self._queue:
                return
            yield self._piece(session, now_ms) or self._jobs(session, wanted, now_ms)

    def _piece(self, session: str, now_ms: Ms) -> Piece | None:
        delivery, job = self._queue[0]
        if job.data is None:
            return None
        offset = self._cutter.sent_bytes(delivery)
        body = self._cutter.cut(delivery, job.data, self._flow.piece_bytes)
        if body is None:
            return None
        self._flow.sends(len(body), now_ms)
        return Piece(session, self._flow.round, delivery, offset, body)

    def _jobs(self, session: str, wanted: Callable[[DeliveryNumber], bool], now_ms: Ms) -> Jobs:
        """Return the next jobs with consecutive numbers, at least one, up to the size of a message."""
        first, size, most = self._queue[0][0], 0, self._flow.piece_bytes
        batch: list[DispatchedJob] = []
        while self._queue:
            delivery, job = self._queue[0]
            rest = job if batch else self._rest(delivery, job)  # only the first may be sent in part
            more = len(rest.data or b"")
            if batch and (delivery != first + len(batch) or size + more > most or not wanted(delivery)):
                break
            batch.append(rest)
            size += OVERHEAD_BYTES + more
            self._queue.popleft()
        self._flow.sends(size, now_ms)
        return Jobs(session, first, tuple(batch), self._flow.round)

    def _rest(self, delivery: DeliveryNumber, job: DispatchedJob) -> DispatchedJob:
        """Return the job with the part of its data that is not sent yet."""
        begun = self._cutter.sent_bytes(delivery)
        if not begun or job.data is None:
            return job
        return job._replace(data=job.data[begun:], data_from=begun)


def _with_data(job: Job, data: bytes | None) -> DispatchedJob:
    return DispatchedJob(job.id, job.type, data, job.attempts + job.reruns + 1, job.time_limit_ms)
