"""Times by the wall clock at which something is due."""

from __future__ import annotations

from zjobs.broker.core.timing.deadlines import FEW, LOOK_AGAIN_MS, Deadlines, utc


def test_what_is_due_comes_once_and_in_order() -> None:
    """The soonest first, and not what another time was set for, or none."""
    times = Deadlines([(1, 500), (2, 300)])
    for key, at in ((3, 400), (4, 200), (2, 900), (4, None), (3, 400)):
        times.set(key, at)
    assert (times.first(), len(times)) == (400, 3)
    assert times.take_due(399) == [] and times.take_due(500) == [3, 1] and times.take_due(500) == []
    assert times.take_due(2_000) == [2] and times.first() is None


def test_how_long_nothing_can_be_due() -> None:
    """Never long: the clock may be set meanwhile. What is over is due now."""
    times: Deadlines[str] = Deadlines()
    assert times.due_in_ms(0) is None
    times.set("a", 1_000_000)
    assert times.due_in_ms(999_000) == 1_000 and times.due_in_ms(0) == LOOK_AGAIN_MS and times.due_in_ms(2_000_000) == 0


def test_times_that_are_set_again_and_again_take_no_room() -> None:
    """Stale entries are removed once there are more of them than others."""
    times = Deadlines([(1, 500)])
    for at in range(10 * FEW):
        times.set(2, at)
    assert len(times._heap) <= FEW + 2 * 2


def test_a_time_for_people() -> None:
    """Whoever reads it, wherever they are."""
    assert utc(1_764_554_400_123) == "2025-12-01 02:00:00 UTC"
