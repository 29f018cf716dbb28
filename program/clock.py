"""The time in milliseconds, as messages and journals carry it.

Deadlines use the monotonic clock, which nobody can set and which counts within this process's lifetime. The wall clock
is for people, and may show any date.
"""

from __future__ import annotations

import time

from zjobs.messages.units import Ms

LATEST_WALL_MS = 253_402_300_799_000  # the year 9999, where Python's dates end


def mono_ms() -> Ms:
    """Return the milliseconds of the monotonic clock."""
    return Ms(time.monotonic_ns() // 1_000_000)


def wall_ms() -> Ms:
    """Return the milliseconds since 1970 (UTC). At a date that messages cannot carry, it stands still at the nearest
    one."""
    try:
        now_ms = time.time_ns() // 1_000_000
    except OverflowError:  # from Python 3.13 on, beyond 2262; before that, Python's clock stands still there
        now_ms = int(time.clock_gettime(time.CLOCK_REALTIME) * 1000)
    return Ms(min(max(0, now_ms), LATEST_WALL_MS))
