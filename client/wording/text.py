"""Values as text for people and for programs: characters that a terminal can show, durations, sizes, JSON. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from enum import Enum
from typing import Any

# Characters that a terminal acts upon: the control characters of ASCII and ISO 8859, except newline and tab.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def harmless(text: str) -> str:
    """Return `text` for a terminal: lines and visible characters as they are, control characters as \\x1b and the
    like."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def printable(text: str) -> str:
    """Return `text` as one line for a terminal: control characters are shown as \\x1b and the like."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> list[str]:
    """Return the lines of a text without control characters."""
    return [printable(line) for line in text.expandtabs(4).split("\n")]


def seconds(value_s: float) -> str:
    """Return a duration for people: 1.2 s, 2 min 5 s, 3 h 20 min, 4 d 1 h."""
    if value_s < 60:
        return f"{value_s:.1f} s"
    whole = int(value_s)
    for size, unit, small, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {small_unit}"
    return f"{whole} s"


def exact(duration_ms: int) -> str:
    """Return a duration that somebody chose: 10 min, 1 min 30 s, 0.5 s."""
    if duration_ms < 60_000:
        return f"{duration_ms / 1000:g} s"
    whole, _, unit = seconds(duration_ms / 1000).rpartition(" 0 ")
    return whole or unit


def age(value_s: float) -> str:
    """Return how long ago something was, in one unit: 28 s, 5 min, 3 h, 2 d."""
    whole = max(0, int(value_s))
    size, unit = next((step for step in ((86400, "d"), (3600, "h"), (60, "min")) if whole >= step[0]), (1, "s"))
    return f"{whole // size} {unit}"


def moment(at_ms: int | None) -> str:
    """Return a wall clock time in the local time zone; a dash for None."""
    if at_ms is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000)) + f".{at_ms % 1000:03d}"


def second(at_ms: int) -> str:
    """Return a wall clock time to the second."""
    return moment(at_ms)[:19]


def near(at_s: float, now_s: float, form: str) -> str:
    """Return a time in a form of strftime, with the day if it is not today."""
    at, now = time.localtime(at_s), time.localtime(now_s)
    if at[:3] == now[:3]:
        return time.strftime(form, at)
    return time.strftime(f"%a {form}" if 0 < at_s - now_s < 6 * 86_400 else f"%Y-%m-%d {form}", at)


def clock_time(at_s: float) -> str:
    """Return the time of day: 21:03:12."""
    return time.strftime("%H:%M:%S", time.localtime(at_s))


def percent(fraction: float) -> str:
    """Return a percentage, rounded down: 100 % means that all is done."""
    return f"{int(fraction * 100 + 1e-6)} %"


def bar(fraction: float, width: int) -> str:
    """Return a progress bar of `width` characters: [####------]."""
    inner = max(1, width - 2)
    full = int(fraction * inner + 1e-6)
    return f"[{'#' * full}{'-' * (inner - full)}]"


def width(text: str) -> int:
    """Return how many columns `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata  # not at the top: it is large, and seldom needed

    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in ("Mn", "Me", "Cf") for c in text)


def cut(text: str, columns: int) -> str:
    """Return as much of the beginning of `text` as fits into `columns`."""
    shown = text[:columns]
    while width(shown) > columns:
        shown = shown[:-1]
    return shown


def whole_seconds(value_s: float) -> str:
    """Return a duration without fractions: 28 s."""
    return f"{max(0, round(value_s))} s" if value_s < 60 else seconds(value_s)


def byte_count(count: int | None) -> str:
    """Return a size for people: 1.5 MiB."""
    if count is None:
        return "none"
    for size, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def result_text(value: Any) -> str:
    """Return a result that is not bytes: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json_text(value, ascii_only=False)


def escaped(text: str) -> str:
    """Return `text` as part of a line: backslash, newline, carriage return and tab are escaped."""
    return "".join(_ESCAPES.get(c, c) for c in text)


def json_text(value: Any, ascii_only: bool = True) -> str:
    """Return `value` as JSON on one line. Bytes become {"base64": …}, NaN and the infinities text."""
    import json  # not needed to submit a job

    return json.dumps(_jsonable(value), ensure_ascii=ascii_only, allow_nan=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        import base64

        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    if hasattr(value, "_asdict"):
        return _jsonable(value._asdict())
    if isinstance(value, Mapping):
        return {_json_key(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    return value


def _json_key(key: Any) -> str:
    """Return a key for JSON, which has only text keys; those of msgpack may be anything hashable."""
    return key if isinstance(key, str) else json_text(key)
