"""What the running job reports and prints, and how much of that was told to the broker. Pure."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.messages.dispatch import Output, Progress
from zjobs.messages.units import DeliveryNumber, JobId, Ms

PIECE_BYTES = 16 << 10  # no more than one message has over a slow link (see `flow`)


class Seen(NamedTuple):
    """A look at the task process: what its task reports, and when it last showed liveness (0: never)."""

    fraction: float | None
    note: str | None
    sign_ms: Ms


class OutputBuffer:
    """Of one run. `output_bytes` counts all that was printed. Of what was not told yet, the last `most_bytes` are kept:
    the broker would drop the rest of it, too."""

    def __init__(self, most_bytes: int) -> None:
        self.output_bytes = 0
        self._most_bytes = most_bytes
        self._untold = bytearray()
        self._progress = 1  # the start
        self._fraction: float | None = None
        self._note: str | None = None
        self._changed = False

    def printed(self, data: bytes) -> None:
        """Records output."""
        self.output_bytes += len(data)
        self._untold += data
        if len(self._untold) > 2 * self._most_bytes:  # not each time: moving the rest costs as much as reading it did
            self._forget_the_rest()

    def _forget_the_rest(self) -> None:
        if len(self._untold) > self._most_bytes:
            del self._untold[: -self._most_bytes]

    def reported(self, fraction: float | None, note: str | None) -> None:
        """Records progress."""
        if (fraction, note) != (self._fraction, self._note):
            self._fraction, self._note, self._changed = fraction, note, True

    def pieces(self, delivery: DeliveryNumber, id: JobId, most: int) -> list[Output]:
        """Return the beginning of what was not told yet, in at most `most` pieces."""
        self._forget_the_rest()
        pieces: list[Output] = []
        while self._untold and len(pieces) < most:
            offset = self.output_bytes - len(self._untold)
            body = bytes(self._untold[:PIECE_BYTES])
            del self._untold[:PIECE_BYTES]
            self._progress += 1
            pieces.append(Output(delivery, id, self._progress, offset, body))
        return pieces

    def last(self, delivery: DeliveryNumber, id: JobId) -> tuple[list[Output], bytes | None]:
        """All that was not told yet: pieces, and the rest of at most PIECE_BYTES, None if there is none."""
        self._forget_the_rest()
        pieces = self.pieces(delivery, id, max(0, len(self._untold) - 1) // PIECE_BYTES)
        return pieces, bytes(self._untold) or None

    def progress(self, session: str, delivery: DeliveryNumber, id: JobId) -> Progress | None:
        """What the task reports, if that is something else than the last time."""
        if not self._changed:
            return None
        self._changed = False
        self._progress += 1
        return Progress(session, delivery, id, self._progress, self._fraction, self._note)
