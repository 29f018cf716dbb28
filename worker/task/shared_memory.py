"""A few kilobytes of memory shared by the worker and its task process, for what must not wait for a packet.

    task process -> worker   its liveness, and the progress that its task reports
    worker -> task process   which job is to end, whose jobs they are, and whether output is being read (see `output`)

Each word is written by one side only and by one machine instruction. The progress is longer than that, so it carries
a checksum: half of one is not mistaken for a change.
"""

from __future__ import annotations

import math
import mmap
import struct
import time
import zlib
from typing import NamedTuple

from zjobs.messages.units import DeliveryNumber, Ms

SHARED_BYTES = 8192
MAX_NOTE_CHARS = 1000
MAX_ADDRESS_CHARS = 200

_SIGN, _TO_END, _READS = 0, 1, 2
_SERVICE_AT, _SERVICE = 6144, struct.Struct("256p256p")  # behind the longest note
_CHECKSUM_AT, _PROGRESS_AT = 64, 68
_PROGRESS = struct.Struct("=QdH")  # the job's number, the fraction (NaN: none), the length of the note


class Told(NamedTuple):
    """The last progress that the task of a job has reported. None: none was reported."""

    delivery: DeliveryNumber
    fraction: float | None
    note: str | None


class SharedMemory:
    """One side's view of the shared memory behind the descriptor `fd`, which may be closed afterwards."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, SHARED_BYTES)
        self._words = memoryview(self._map)[:_CHECKSUM_AT].cast("Q")
        # Kept here, because tasks and their tests replace the clock in its module and under any module's name for it.
        self._clock_ns = time.monotonic_ns

    def close(self) -> None:
        """Close the shared memory."""
        self._words.release()
        self._map.close()

    # --- written by the task process ---------------------------------------------------------------------

    def give_sign(self) -> None:
        """Record a liveness timestamp: the task process lives, and its interpreter runs."""
        self._words[_SIGN] = self._clock_ns() // 1_000_000

    @property
    def sign_ms(self) -> Ms:
        """The last liveness timestamp, on the monotonic clock; 0 before the first."""
        return Ms(self._words[_SIGN])

    def tell(self, delivery: DeliveryNumber, fraction: float | None, note: str | None) -> None:
        """Replace the progress by that of the job with this number."""
        text = (note or "")[:MAX_NOTE_CHARS].encode("utf-8", "replace")
        body = _PROGRESS.pack(delivery, math.nan if fraction is None else fraction, len(text)) + text
        packed = zlib.crc32(body).to_bytes(4, "little") + body
        self._map[_CHECKSUM_AT : _CHECKSUM_AT + len(packed)] = packed

    def told(self) -> Told | None:
        """Return the last progress, None before the first, or while one is being written."""
        delivery, fraction, length = _PROGRESS.unpack_from(self._map, _PROGRESS_AT)
        end = _PROGRESS_AT + _PROGRESS.size
        body = self._map[_PROGRESS_AT : end + length]
        if delivery == 0 or zlib.crc32(body) != int.from_bytes(self._map[_CHECKSUM_AT:_PROGRESS_AT], "little"):
            return None
        note = body[_PROGRESS.size :].decode("utf-8", "replace")
        return Told(delivery, None if math.isnan(fraction) else min(1.0, max(0.0, fraction)), note or None)

    # --- written by the worker -----------------------------------------------------------------------------

    @property
    def to_end(self) -> int:
        """The number of the job that is to end, 0 for none. Numbers are never used twice in a task process."""
        return self._words[_TO_END]

    @to_end.setter
    def to_end(self, delivery: DeliveryNumber) -> None:
        self._words[_TO_END] = delivery

    @property
    def service(self) -> tuple[bytes, bytes]:
        """The identity of the journal whose jobs are run, and its broker's address, empty if unknown; written before
        the first of these jobs is sent."""
        journal, broker = _SERVICE.unpack_from(self._map, _SERVICE_AT)
        return journal, broker

    @service.setter
    def service(self, service: tuple[bytes, bytes]) -> None:
        _SERVICE.pack_into(self._map, _SERVICE_AT, *service)

    @property
    def reads(self) -> int:
        """A count that grows by one when the worker begins to read output, and again afterwards: odd in between."""
        return self._words[_READS]

    @reads.setter
    def reads(self, count: int) -> None:
        self._words[_READS] = count
