"""What the running job reports and prints, and how much of that was told to the broker. Pure."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.messages.types import Progress

OUTPUT_BYTES = 64 << 10


class Seen(NamedTuple):
    """A look at the task process: what its task reports, and when it gave its last sign of life (0: never)."""

    fraction: float | None
    note: str | None
    sign_ms: int


class News:
    """Of one run. `output_bytes` counts all that was printed; the last OUTPUT_BYTES of it are kept."""

    def __init__(self) -> None:
        self.output_bytes = 0
        self._kept = bytearray()
        self._told_bytes = 0
        self._progress = 1  # the start
        self._fraction: float | None = None
        self._note: str | None = None
        self._changed = False

    def printed(self, data: bytes) -> None:
        self.output_bytes += len(data)
        self._kept += data[-OUTPUT_BYTES:]
        if len(self._kept) > 2 * OUTPUT_BYTES:  # not each time: moving the rest costs as much as reading it did
            del self._kept[:-OUTPUT_BYTES]

    def reported(self, fraction: float | None, note: str | None) -> None:
        if (fraction, note) != (self._fraction, self._note):
            self._fraction, self._note, self._changed = fraction, note, True

    @property
    def output(self) -> bytes | None:
        """The end of what was printed, None when nothing was."""
        return bytes(self._kept[-OUTPUT_BYTES:]) or None

    def progress(self, session: str, n: int, id: int) -> Progress | None:
        """What there is to tell since the last time, if anything."""
        fresh = min(self.output_bytes - self._told_bytes, OUTPUT_BYTES)
        if not fresh and not self._changed:
            return None
        output = bytes(self._kept[len(self._kept) - fresh :])
        self._changed = False
        self._told_bytes = self.output_bytes
        self._progress += 1
        offset = self.output_bytes - fresh
        return Progress(session, n, id, self._progress, self._fraction, self._note, offset, output)
