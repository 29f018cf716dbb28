"""Styled text: lines of spans, in colour on a terminal, plain elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from zjobs.client.wording import text


class Style(Enum):
    """The meaning of a span. The value is the SGR code with which any terminal shows it."""

    PLAIN = ""
    STRONG = "1"
    FAINT = "2"
    GOOD = "32"
    BAD = "31"
    WARNING = "33"
    ACTIVE = "36"


class Span(NamedTuple):
    """Text in one style, without control characters: whoever makes a span has replaced them."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]
BLANK: Line = ()


class Glyphs(NamedTuple):
    """The symbols of the display, in Unicode or ASCII."""

    runs: str
    completed: str
    failed: str
    cancelled: str
    delayed: str
    full: str
    half: str
    empty: str
    between: str
    cut: str
    chosen: str
    to: str


UNICODE = Glyphs("▶", "✓", "✗", "–", "·", "━", "╸", "─", "·", "…", "▌", "–")
ASCII = Glyphs(">", "+", "x", "-", ".", "#", "", "-", "|", "~", "*", "-")


def line(*parts: str | Span) -> Line:
    """Return a line of these spans; plain text becomes one."""
    spans = (Span(part) if isinstance(part, str) else part for part in parts)
    return tuple(span for span in spans if span.text)


def spelled(of: Line, glyphs: Glyphs) -> Line:
    """Return a line whose ranges (3–6 min) are written with the available symbols."""
    return tuple(Span(span.text.replace(UNICODE.to, glyphs.to), span.style) for span in of)


def width(of: Line) -> int:
    """Return how many columns a line takes."""
    return sum(text.width(span.text) for span in of)


def cut(of: Line, columns: int, mark: str) -> Line:
    """Return a line of at most `columns`; `mark` stands for what is cut off."""
    if width(of) <= columns:
        return of
    spans: list[Span] = []
    left = columns - text.width(mark)
    for span in of:
        kept = text.cut(span.text, max(0, left))
        spans.append(Span(kept, span.style))
        left -= text.width(kept)
        if kept != span.text:
            break
    return line(*spans, Span(mark if columns > 0 else "", Style.FAINT))


def padded(of: Line, columns: int, right: bool = False) -> Line:
    """Return a line of exactly `columns`, filled up after the text, or before it with `right`."""
    space = " " * (columns - width(of))
    return line(space, *of) if right else line(*of, space)


def flowed(parts: Iterable[Line], columns: int, between: str) -> list[Line]:
    """Return the parts one after another, on as many lines as they need."""
    lines: list[Line] = []
    for part in filter(None, parts):
        joined = line(*lines[-1], Span(f" {between} ", Style.FAINT), *part) if lines else part
        if lines and width(joined) <= columns:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def wrapped(sentence: str, columns: int, indent: str = "  ") -> list[str]:
    """Return a text on as many lines as it needs; those after the first are indented. Words that are too long are
    broken."""
    words = sentence.lstrip(" ")
    lines = [sentence[: len(sentence) - len(words)][:columns]]
    for word in words.split(" "):
        rest = word
        joined = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
        if text.width(joined) <= columns:
            lines[-1] = joined
            continue
        while rest:
            if lines[-1].strip():
                lines.append(indent)
            kept = text.cut(rest, max(1, columns - text.width(lines[-1]))) or rest[:1]
            lines[-1] += kept
            rest = rest[len(kept) :]
    return lines


def bar(fraction: float, columns: int, glyphs: Glyphs, style: Style) -> Line:
    """Return a progress bar, which is full only when all is done."""
    steps = 2 if glyphs.half else 1
    done = int(fraction * columns * steps + 1e-6)
    full = glyphs.full * (done // steps) + (glyphs.half if done % steps else "")
    return line(Span(full, style), Span(glyphs.empty * (columns - len(full)), Style.FAINT))


def plain(of: Line) -> str:
    """Return a line as text."""
    return "".join(span.text for span in of).rstrip()


def coloured(of: Sequence[Span]) -> str:
    """Return a line as a terminal shows it in colour."""
    return "".join(f"\x1b[{span.style.value}m{span.text}\x1b[0m" if span.style.value else span.text for span in of)
