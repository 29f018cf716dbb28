"""Flow control between broker and worker: bounds what is on its way, and counts what has arrived (docs/protocol.md,
Large bodies).

Heartbeats and other small messages share a connection with bodies of many mebibytes, and TCP buffers hold more than a
slow link can carry in seconds. So the sender keeps little on its way, and cuts large bodies into pieces. Pure.
"""

from __future__ import annotations

from collections import deque

from zjobs.messages.dispatch import Arrived
from zjobs.messages.units import Ms

FIRST_BYTES = 256 << 10
LEAST_BYTES = 64 << 10
MOST_BYTES = 1 << 20
QUICK_MS, SLOW_MS = 100, 300
CONFIRM_BYTES = 32 << 10  # less than LEAST_BYTES, so that no sender waits for a confirmation that never comes


class Flow:
    """The sender's side of one channel: counted messages by round, and how many bytes may be on their way."""

    def __init__(self, round: int = 0) -> None:
        self.round = round
        self.count = 0
        self._limit = FIRST_BYTES
        self._on_way: deque[tuple[int, Ms]] = deque()  # bytes of a message, when it was sent
        self._on_way_bytes = 0
        self._was_full = False

    @property
    def piece_bytes(self) -> int:
        """The size of the largest body in one message."""
        return self._limit // 4

    def has_room(self) -> bool:
        """Return True if another message may be sent now."""
        full = self._on_way_bytes >= self._limit
        self._was_full |= full
        return not full

    def sends(self, size: int, now_ms: Ms) -> None:
        """Count a message of about `size` bytes that is sent."""
        self.count += 1
        self._on_way.append((size, now_ms))
        self._on_way_bytes += size

    def hears(self, arrived: Arrived, now_ms: Ms) -> bool:
        """Record how many messages the receiver has counted. Return True if they are more than before.

        Counts of an earlier round mean nothing.
        """
        if arrived.round != self.round:
            return False
        sent_ms = None
        while self._on_way and self.count - len(self._on_way) < arrived.count:
            size, sent_ms = self._on_way.popleft()
            self._on_way_bytes -= size
        if sent_ms is not None:
            self._adapt(now_ms - sent_ms)
        return sent_ms is not None

    def begin_round(self) -> None:
        """Begin a round, in which everything unconfirmed is sent again."""
        self.round += 1
        self.count = 0
        self._on_way.clear()
        self._on_way_bytes = 0

    def _adapt(self, took_ms: int) -> None:
        """Adapt the limit to the link: about what it carries in a quarter of a second."""
        if took_ms > SLOW_MS:
            self._limit = max(LEAST_BYTES, self._limit // 2)
        elif took_ms < QUICK_MS and self._was_full:  # a lone small message says nothing about how much the link carries
            self._limit = min(MOST_BYTES, self._limit * 2)
        self._was_full = False


class Cutter:
    """The progress of the next body, which is cut into pieces."""

    def __init__(self) -> None:
        self._number = 0
        self._sent_bytes = 0

    def sent_bytes(self, number: int) -> int:
        """Return how much of the body of this number was sent in pieces."""
        return self._sent_bytes if number == self._number else 0

    def cut(self, number: int, body: bytes, piece_bytes: int) -> bytes | None:
        """Return the next piece, which begins at `sent_bytes`, None if the rest is no larger than a piece."""
        start = self.sent_bytes(number)
        if len(body) - start <= piece_bytes:
            return None
        self._number, self._sent_bytes = number, start + piece_bytes
        return body[start : self._sent_bytes]

    def skip(self, number: int, held_bytes: int) -> None:
        """Record that the receiver already has this much of the body."""
        if number == self._number:
            self._sent_bytes = max(self._sent_bytes, held_bytes)

    def start_over(self) -> None:
        """Begin with the next body at its start."""
        self._number = self._sent_bytes = 0


class Arrivals:
    """The receiver's side: how many counted messages of the present round came, and the beginning of the next body."""

    def __init__(self, most_bytes: int) -> None:
        self._round = 0
        self._count = 0
        self._unconfirmed_bytes = 0
        self._most_bytes = most_bytes
        self._held = bytearray()

    @property
    def arrived(self) -> Arrived:
        """The present round, and how many of its messages came."""
        return Arrived(self._round, self._count)

    @property
    def held_bytes(self) -> int:
        """The number of bytes of the next body that have come."""
        return len(self._held)

    def receives(self, round: int, size: int) -> None:
        """Count a message of about `size` bytes that came."""
        if round != self._round:
            self._round, self._count = round, 0
        self._count += 1
        self._unconfirmed_bytes += size

    def confirms(self) -> bool:
        """Return True if enough has come since the last confirmation to be worth a message."""
        if self._unconfirmed_bytes < CONFIRM_BYTES:
            return False
        self._unconfirmed_bytes = 0
        return True

    def start_over(self) -> None:
        """Count anew. What is held of a body is still its beginning."""
        self._round = self._count = 0

    def lacks(self, round: int, count: int) -> bool:
        """Return True if some of the `count` messages sent earlier in this round were lost."""
        return count > (self._count if round == self._round else 0)

    def hold(self, offset: int, body: bytes) -> None:
        """Keep the new part of a piece of the next body, unless there is a gap before it or the body is too large. In
        another round, the same body may be cut differently."""
        if offset <= len(self._held) and offset + len(body) <= self._most_bytes:
            self._held += body[len(self._held) - offset :]

    def joined(self, offset: int, tail: bytes | None) -> tuple[bytes | None] | None:
        """Return the whole body, in a tuple. Its end, `tail`, begins at `offset`. None if the part before that is
        missing."""
        if not offset:
            return (tail,)
        if offset > len(self._held) or tail is None:
            return None
        return (bytes(self._held[:offset]) + tail,)

    def drop(self) -> None:
        """Drop what is held, because another body comes next."""
        self._held.clear()
