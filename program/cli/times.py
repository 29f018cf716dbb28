"""Times of day and dates on a command line."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from zjobs.program.cli.options import duration


def time_to_come(text: str, now: datetime) -> datetime:
    """Return the next `15:00` after `now`, or a date such as `2026-11-28 15:00`, by the local clock unless it names
    another.

    Raises ValueError with a sentence.
    """
    words = text.strip()
    try:
        if "-" in words:
            told = datetime.fromisoformat(words).astimezone()
        elif ":" not in words:  # later versions of Python take 15 and 15.00 for times
            raise ValueError
        else:
            told = datetime.combine(now.date(), time.fromisoformat(words)).astimezone()
            if told <= now:
                told = datetime.combine(now.date() + timedelta(days=1), time.fromisoformat(words)).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a time such as 15:00 or '2026-11-28 15:00'") from None
    if told <= now:
        raise ValueError(f"{text!r} has passed")
    return told


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
