"""A few kilobytes of memory that the worker and its task process share, for what must not wait for a packet.

    task process -> worker   its last liveness, and the progress its task reports
    worker -> task process   which job is to end, whose jobs they are, and whether output is being read (see `capture`)

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

PAGE_BYTES = 8192
MAX_NOTE_CHARS = 1000
MAX_ADDRESS_CHARS = 200

_SIGN, _TO_END, _READS = 0, 1, 2
_SERVICE_AT, _SERVICE = 6144, struct.Struct("256p256p")  # behind the longest note
_CHECKSUM_AT, _PROGRESS_AT = 64, 68
_PROGRESS = struct.Struct("=QdH")  # the job's number, the fraction (NaN: none), the length of the note


class Told(NamedTuple):
    """What the task of job number `n` has reported last. None: nothing of the kind."""

    delivery: DeliveryNumber
    fraction: float | None
    note: str | None


class Page:
    """One side's view of the page that the descriptor `fd` stands for; the descriptor may be closed afterwards."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, PAGE_BYTES)
        self._words = memoryview(self._map)[:_CHECKSUM_AT].cast("Q")
        # Kept here, for tasks and their tests replace the clock in its module and wherever a module has a name for it.
        self._clock_ns = time.monotonic_ns

    def close(self) -> None:
        """Close the shared memory."""
        self._words.release()
        self._map.close()

    # --- written by the task process ---------------------------------------------------------------------

    def give_sign(self) -> None:
        """The task process lives, and its interpreter runs."""
        self._words[_SIGN] = self._clock_ns() // 1_000_000

    @property
    def sign_ms(self) -> Ms:
        """When it gave the last sign, on the monotonic clock; 0 before the first."""
        return Ms(self._words[_SIGN])

    def tell(self, delivery: DeliveryNumber, fraction: float | None, note: str | None) -> None:
        """Progress of job number `n`; it replaces what was told before."""
        text = (note or "")[:MAX_NOTE_CHARS].encode("utf-8", "replace")
        body = _PROGRESS.pack(delivery, math.nan if fraction is None else fraction, len(text)) + text
        packed = zlib.crc32(body).to_bytes(4, "little") + body
        self._map[_CHECKSUM_AT : _CHECKSUM_AT + len(packed)] = packed

    def told(self) -> Told | None:
        """The last progress; None when there was none yet, or it is just being written."""
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
        """The number of the job that is to end; 0: none yet. Numbers are never used twice in a task process."""
        return self._words[_TO_END]

    @to_end.setter
    def to_end(self, delivery: DeliveryNumber) -> None:
        self._words[_TO_END] = delivery

    @property
    def service(self) -> tuple[bytes, bytes]:
        """The identity of the journal whose jobs are run, and its broker's address, empty if it is not known; written
        before the first of these jobs is sent."""
        journal, broker = _SERVICE.unpack_from(self._map, _SERVICE_AT)
        return journal, broker

    @service.setter
    def service(self, service: tuple[bytes, bytes]) -> None:
        _SERVICE.pack_into(self._map, _SERVICE_AT, *service)

    @property
    def reads(self) -> int:
        """Grows by one when the worker begins to read output and when it has done so: odd in between."""
        return self._words[_READS]

    @reads.setter
    def reads(self, count: int) -> None:
        self._words[_READS] = count
