"""A bound on the memory that peers make the broker use.

libzmq bounds messages, not bytes. A message that is not complete is outside every bound, whatever its size, and libzmq
does not say how much it buffers. So we look at the whole process. When it has grown too much, the broker cuts the
connections of clients, and libzmq frees what it held for them. Honest clients reconnect by themselves.

glibc keeps freed memory for later use: 600 watchers that came and left would have taken 60 MiB for good. So every ten
seconds, if the process is clearly larger than the smallest size this has ever achieved, we return freed memory to the
system. That takes a few milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

GROWTH_BYTES = 1 << 30
LOOK_EVERY_MS = 250
SETTLED_AFTER_MS = 1_000  # libzmq frees what it held in its own time
GIVE_BACK_EVERY_MS = 10_000
GIVE_BACK_BYTES = 8 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """A watch on the size of the process, which must not grow by more than GROWTH_BYTES. Without /proc it sees
    nothing."""

    def __init__(self, now_ms: int) -> None:
        self._statm: int | None = None
        with contextlib.suppress(OSError):
            # opened once: it must still be readable when no descriptor is left
            self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._floor = self.taken_up()
        self._look_at_ms = now_ms
        self._settling = False
        self._give_back_at_ms = now_ms + GIVE_BACK_EVERY_MS
        self._kept = self._floor

    def due_at_ms(self) -> int | None:
        """Return when to look next, None for never."""
        return None if self._statm is None else self._look_at_ms

    def grown(self, now_ms: int) -> int:
        """Return by how many bytes the process has grown if that is too much; 0 if it is not, or it is not yet time to
        look."""
        if now_ms < self._look_at_ms or self._statm is None:
            return 0
        self._look_at_ms = now_ms + LOOK_EVERY_MS
        if self._settling:
            self._settling = False
            _trim()
            self._floor = self.taken_up()
        taken_up = self.taken_up()
        growth = taken_up - self._floor
        self._floor += min(growth, 0)
        if now_ms >= self._give_back_at_ms and taken_up > self._kept + GIVE_BACK_BYTES:
            self._give_back_at_ms = now_ms + GIVE_BACK_EVERY_MS
            _trim()
            self._kept = min(self._kept, self.taken_up())
        return growth if growth > GROWTH_BYTES else 0

    def cut(self, now_ms: int) -> None:
        """Record that the connections were cut. Growth then counts from the size a little later."""
        self._settling = True
        self._look_at_ms = now_ms + SETTLED_AFTER_MS

    def close(self) -> None:
        """Close the file that tells the size."""
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None

    def taken_up(self) -> int:
        """Return how many bytes of memory the process uses."""
        return 0 if self._statm is None else int(os.pread(self._statm, 256, 0).split()[1]) * PAGE_BYTES


def _trim() -> None:
    """Return the memory that glibc keeps to the system."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
