"""Times of day and dates, as people write them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from zjobs.program.cli.times import end_of_pause, time_to_come

NOW = datetime(2026, 11, 28, 14, 30).astimezone()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("15:00", datetime(2026, 11, 28, 15)),
        ("14:30", datetime(2026, 11, 29, 14, 30)),
        (" 09:05:30 ", datetime(2026, 11, 29, 9, 5, 30)),
        ("2026-12-01 08:00", datetime(2026, 12, 1, 8)),
        ("2026-12-01T08:00", datetime(2026, 12, 1, 8)),
    ],
)
def test_the_next_such_time(text: str, told: datetime) -> None:
    """By the local clock; of a time of day without a date, the next one."""
    assert time_to_come(text, NOW) == told.astimezone()


def test_a_time_that_names_its_zone() -> None:
    """Wherever one is."""
    assert time_to_come("2026-12-01 08:00+02:00", NOW).utcoffset() is not None
    difference = time_to_come("2026-12-01 08:00+00:00", NOW) - time_to_come("2026-12-01 08:00+02:00", NOW)
    assert difference == timedelta(hours=2)


@pytest.mark.parametrize("text", ["", "noon", "25:00", "2026-13-01 08:00", "2026-11-31", "15.00", "9999999-01-01"])
def test_what_is_no_time(text: str) -> None:
    """A sentence with an example."""
    with pytest.raises(ValueError, match="is not a time such as 15:00"):
        time_to_come(text, NOW)


def test_a_date_that_is_over() -> None:
    """It is not taken for another year's."""
    with pytest.raises(ValueError, match="has passed"):
        time_to_come("2026-11-28 14:30", NOW)


@pytest.mark.parametrize(
    ("text", "seconds", "at"),
    [
        ("30m", 1_800, None),
        (" 90 ", 90, None),
        ("15:00", None, datetime(2026, 11, 28, 15)),
        ("2026-12-01 08:00", None, datetime(2026, 12, 1, 8)),
        ("", None, None),
    ],
)
def test_the_end_of_a_pause(text: str, seconds: float | None, at: datetime | None) -> None:
    """After a time, at a time, or not by itself."""
    assert end_of_pause(text, NOW) == (seconds, at and at.astimezone())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", "'soon' is neither a duration such as 30m nor a time such as 15:00"),
        ("0m", "'0m' must be more than 0"),
        ("25:00", "is not a time such as 15:00"),
        ("2026-11-28 14:00", "has passed"),
    ],
)
def test_what_is_no_end_of_a_pause(text: str, why: str) -> None:
    """A sentence says why."""
    with pytest.raises(ValueError, match=why):
        end_of_pause(text, NOW)
