"""Times for people: on the gateway's clock, marked up so that a script can tell them in the visitor's zone. Pure."""

from __future__ import annotations

import time

from markupsafe import Markup

from zjobs.client.wording import estimate as wording
from zjobs.client.wording import text
from zjobs.messages.records import Estimate


def zone(now_ms: int) -> str:
    """Return the zone of the times shown: `CET (UTC+01:00)`."""
    now = time.localtime(now_ms / 1000)
    offset = time.strftime("%z", now)
    told = f"UTC{offset[:3]}:{offset[3:]}"
    return "UTC" if offset == "+0000" else f"{now.tm_zone} ({told})"


def clock(at_ms: int | None, now_ms: int) -> Markup:
    """Return the time of day, with the date if it is not today."""
    return _told(at_ms, "clock", _clock(at_ms or 0, now_ms))


def second(at_ms: int) -> Markup:
    """Return the time of day to the second."""
    return _told(at_ms, "second", time.strftime("%H:%M:%S", time.localtime(at_ms / 1000)))


def moment(at_ms: int | None) -> Markup:
    """Date and time to the second."""
    return _told(at_ms, "moment", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime((at_ms or 0) / 1000)))


def ago(at_ms: int | None, now_ms: int) -> Markup:
    """Return how long ago something was. Clocks differ, so it is never negative."""
    return _told(at_ms, "ago", f"{text.age((now_ms - (at_ms or 0)) / 1000)} ago")


def took(duration_ms: int | None) -> str:
    """Return how long something took."""
    return "" if duration_ms is None else text.seconds(duration_ms / 1000)


def start(estimate: Estimate | None, now_ms: int) -> Markup:
    """Return when a queued job starts: `14:31–14:36`, `in at least 5 min`, `3–6 min after resume`; empty if unknown.

    The words are those of zclient; here hours and minutes can be told in the visitor's zone.
    """
    if estimate is None or (wording.is_unknown(estimate) and estimate.after is None):
        return Markup("")
    near = max(estimate.likely_ms or 0, estimate.upper_ms or 0) < wording.CLOCK_S * 1000
    if near or estimate.after is not None:
        told = wording.start(estimate, now_ms / 1000)
        return Markup.escape(told.removeprefix("starts ").removeprefix("start unknown, "))
    return _by_the_clock(estimate, now_ms)


def _by_the_clock(estimate: Estimate, now_ms: int) -> Markup:
    """Return `14:31–14:36`, `14:31 or later`, `by 14:36`: its end rounded up."""
    first = None if estimate.likely_ms is None else clock(now_ms + estimate.likely_ms, now_ms)
    last = None if estimate.upper_ms is None else clock(now_ms + estimate.upper_ms + 59_000, now_ms)
    if first is None:
        return Markup("by {}").format(last)
    if estimate.at_least or last is None:
        return Markup("{} or later{}").format(first, "" if last is None else Markup(", by {}").format(last))
    alike = first.striptags() == last.striptags()
    return first if alike else Markup("{}–{}").format(first, last)


def _clock(at_ms: int, now_ms: int) -> str:
    at, now = time.localtime(at_ms / 1000), time.localtime(now_ms / 1000)
    return time.strftime("%H:%M" if at[:3] == now[:3] else "%Y-%m-%d %H:%M", at)


def _told(at_ms: int | None, how: str, told: str) -> Markup:
    """Return an element with a time, for people and for programs; a dash for no time."""
    if at_ms is None:
        return Markup("–")
    utc = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms / 1000))
    return Markup('<time datetime="{}.{:03d}Z" data-show="{}">{}</time>').format(utc, at_ms % 1000, how, told)
