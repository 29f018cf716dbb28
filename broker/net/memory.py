"""How much memory peers make the broker take up.

libzmq bounds messages and not bytes, and keeps a message whose end has not come, of any size, outside every bound it
has. What is waiting in it cannot be asked for. So the whole process is looked at: when it has grown too much, the
connections of clients are cut, and what libzmq held for them is gone. Honest clients come back by themselves.

What was freed stays with glibc, which keeps it for the next time: 600 watchers that came and left would have taken
60 MiB for good. So it is given back to the system every ten seconds while the process is clearly larger than it ever
was after that; this takes a few milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

GROWTH_BYTES = 1 << 30
LOOK_EVERY_MS = 250
SETTLED_AFTER_MS = 1_000  # libzmq gives back what it held in its own time
GIVE_BACK_EVERY_MS = 10_000
GIVE_BACK_BYTES = 8 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Tells when the process has grown by more than GROWTH_BYTES. On systems without /proc it never does."""

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
        return None if self._statm is None else self._look_at_ms

    def grown(self, now_ms: int) -> int:
        """By how many bytes it has grown, if that is too much and it is time to look; else 0."""
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
        """The connections were cut: what is left a little later is where growth is counted from."""
        self._settling = True
        self._look_at_ms = now_ms + SETTLED_AFTER_MS

    def close(self) -> None:
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None

    def taken_up(self) -> int:
        """How many bytes of memory the process has at present."""
        return 0 if self._statm is None else int(os.pread(self._statm, 256, 0).split()[1]) * PAGE_BYTES


def _trim() -> None:
    """glibc keeps what was freed; here it is not needed soon."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
