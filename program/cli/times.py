"""Times of day and dates, as people write them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone, tzinfo

from zjobs.program.cli.options import duration

EXAMPLE = "15:00, '2026-12-01 15:00' or '2026-12-01 15:00 Europe/Berlin'"
DAYS_LOOKED_AT = 4  # clocks are not set forward at the same hour day after day


def from_now(text: str) -> datetime:
    """Return what `time_to_come` returns at the present time."""
    return time_to_come(text, datetime.now().astimezone())


def time_to_come(text: str, now: datetime) -> datetime:
    """Return the next `15:00` after `now`, or a date such as `2026-11-28 15:00`.

    Both are by the local clock unless a time zone follows (`Europe/Berlin`) or, in a date, an offset (`+01:00`, `Z`). A
    time that occurs twice because clocks are set back means the first. Raises ValueError with a sentence for what is no
    time, for a date that is over, and for one that does not exist because clocks are set forward; the next `02:30` is
    one that exists.
    """
    words, zone = _words_and_zone(text)
    try:
        if "-" in words:
            told = _dated(words, zone)
        elif ":" in words:  # later versions of Python take 15 and 15.00 for times
            told = _next(time.fromisoformat(words), zone, now)
        else:
            raise ValueError
    except _Gap:
        raise ValueError(f"{text!r} does not exist: clocks are set forward at that hour") from None
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a time such as {EXAMPLE}") from None
    if told <= now:
        raise ValueError(f"{text!r} has passed")
    return told


def zone_named(name: str) -> tzinfo:
    """Return a time zone. Raises ValueError with a sentence."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # most times are local

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone such as Europe/Berlin") from None


def end_of_pause(text: str, now: datetime) -> tuple[float | None, datetime | None]:
    """Return how long a pause lasts, in seconds, or when it ends: `30m`, `15:00`; neither for an empty text.

    Raises ValueError with a sentence.
    """
    words = text.strip()
    if not words:
        return None, None
    if ":" in words or "-" in words:
        return None, time_to_come(words, now)
    try:
        seconds = duration(words)
    except ValueError:
        raise ValueError(f"{words!r} is neither a duration such as 30m nor a time such as 15:00") from None
    if not seconds:
        raise ValueError(f"{words!r} must be more than 0")
    return seconds, None


class _Gap(Exception):
    """A time that does not exist, because clocks are set forward."""


def _words_and_zone(text: str) -> tuple[str, tzinfo | None]:
    words = text.strip()
    first, _, last = words.rpartition(" ")
    if first and last[:1].isalpha():
        return first.strip(), zone_named(last)
    return words, None


def _dated(words: str, zone: tzinfo | None) -> datetime:
    told = datetime.fromisoformat(f"{words[:-1]}+00:00" if words.endswith("Z") else words)
    if told.tzinfo is None:
        return _placed(told, zone)
    if zone is not None:
        raise ValueError("an offset and a time zone")
    return told.astimezone()


def _next(at: time, zone: tzinfo | None, now: datetime) -> datetime:
    today: date = now.astimezone(zone).date()
    for days in range(DAYS_LOOKED_AT):
        try:
            told = _placed(datetime.combine(today + timedelta(days), at), zone)
        except _Gap:
            continue
        if told > now:
            return told
    raise _Gap


def _placed(told: datetime, zone: tzinfo | None) -> datetime:
    """Return the moment at which clocks there show this. Raises _Gap if they never do."""
    there = told.astimezone() if zone is None else told.replace(tzinfo=zone)
    if there.astimezone(timezone.utc).astimezone(zone).replace(tzinfo=None) != told:
        raise _Gap
    return there
