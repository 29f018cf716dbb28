"""Times of day and dates, as people write them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

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


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-01 02:00 Europe/Berlin", "2026-12-01T01:00"),
        ("2026-12-01T02:00Z", "2026-12-01T02:00"),
        ("2026-12-01T02:00-05:00", "2026-12-01T07:00"),
        ("2027-07-01 02:00  Europe/Berlin", "2027-07-01T00:00"),
        ("02:00 Pacific/Auckland", "2026-11-29T13:00"),
        ("2027-10-31 02:30 Europe/Berlin", "2027-10-31T00:30"),
    ],
)
def test_a_time_in_a_zone(text: str, utc: str) -> None:
    """Winter and summer; a time of day is that zone's next; of one that occurs twice, the first."""
    now = datetime(2026, 11, 28, 14, 30, tzinfo=timezone.utc)
    assert time_to_come(text, now).timestamp() == datetime.fromisoformat(f"{utc}+00:00").timestamp()


def test_a_time_that_clocks_skip() -> None:
    """A date is refused; the next such time of day is one that exists."""
    with pytest.raises(ValueError, match="does not exist: clocks are set forward at that hour"):
        time_to_come("2027-03-28 02:30 Europe/Berlin", NOW)
    before = datetime(2027, 3, 28, 1, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    told = time_to_come("02:30 Europe/Berlin", before)
    assert told == datetime(2027, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("02:00 Europe/Berln", "'Europe/Berln' is not a time zone such as Europe/Berlin"),
        ("02:00 Europe", "'Europe' is not a time zone"),
        ("2026-12-01 02:00+01:00 Europe/Berlin", "is not a time such as"),
    ],
)
def test_zones_that_do_not_exist(text: str, why: str) -> None:
    """A folder of zones is none, and nobody means an offset and a zone."""
    with pytest.raises(ValueError, match=why):
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
