"""The clocks of the programs, whatever date the host's own shows."""

from __future__ import annotations

import pytest

from zjobs.program import clock


@pytest.mark.parametrize(
    ("wall_ns", "wall_ms"),
    [
        (-(10**18), 0),
        (-1, 0),
        (10**18, 10**12),
        (10**19, 10**13),  # beyond what 64 bits of nanoseconds hold, in 2286
        (10**22, clock.LATEST_WALL_MS),
    ],
)
def test_any_date_is_one_that_messages_carry(wall_ns: int, wall_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 1970 and beyond 2262."""
    monkeypatch.setattr("time.time_ns", lambda: wall_ns)
    assert clock.wall_ms() == wall_ms


def test_a_clock_that_python_cannot_read_is_read_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer ones raise an error for a date beyond 2262."""

    def raises() -> int:
        raise OverflowError("timestamp too large")

    monkeypatch.setattr("time.time_ns", raises)
    monkeypatch.setattr("time.clock_gettime", lambda clock: 10**10 + 0.25)
    assert clock.wall_ms() == 10**13 + 250
