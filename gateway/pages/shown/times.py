"""Times for people: on the gateway's clock, marked up so that a script can tell them in the visitor's zone. Pure."""

from __future__ import annotations

import time

from markupsafe import Markup

from zjobs.client.wording import estimate as wording
from zjobs.client.wording import text
from zjobs.messages.records import Estimate
from zjobs.messages.states import Awaited

_AWAITED = {Awaited.RESUME: "after resume", Awaited.WORKER: "once a worker is ready"}


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
    if estimate is None:
        return Markup("")
    after = "" if estimate.after is None else _AWAITED[estimate.after]
    if wording.is_unknown(estimate):
        return Markup.escape(after)
    if not estimate.likely_ms and not estimate.upper_ms and not estimate.at_least:
        return Markup.escape(after or "next")
    if after:
        return Markup.escape(f"{wording.span(estimate)} {after}")
    upper_ms = estimate.upper_ms or 0
    if estimate.at_least or estimate.likely_ms is None or upper_ms < wording.CLOCK_S * 1000:
        return Markup.escape(f"in {wording.span(estimate)}")
    first, last = now_ms + estimate.likely_ms, now_ms + upper_ms + 59_000
    if _clock(first, now_ms) == _clock(last, now_ms):
        return clock(first, now_ms)
    return Markup("{}–{}").format(clock(first, now_ms), clock(last, now_ms))


def _clock(at_ms: int, now_ms: int) -> str:
    at, now = time.localtime(at_ms / 1000), time.localtime(now_ms / 1000)
    return time.strftime("%H:%M" if at[:3] == now[:3] else "%Y-%m-%d %H:%M", at)


def _told(at_ms: int | None, how: str, told: str) -> Markup:
    """Return an element with a time, for people and for programs; a dash for no time."""
    if at_ms is None:
        return Markup("–")
    utc = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms / 1000))
    return Markup('<time datetime="{}.{:03d}Z" data-show="{}">{}</time>').format(utc, at_ms % 1000, how, told)
