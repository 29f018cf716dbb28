"""Numbers as pictures: a list as a line in SVG, a matrix as a PNG of one byte a number. Pure."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 640, 200
MOST_POINTS = 600  # more than a screen has columns for
MOST_PIXELS = 512  # of a side
_LEFT, _TOP = 56, 10  # room for the numbers beside the plot
_ROOM_X, _ROOM_Y = WIDTH - _LEFT - 8, HEIGHT - 2 * _TOP - 16

# From dark to light, in steps that eyes see as equal (viridis, by six of its colours).
_COLOURS = ((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37))


def line_plot(numbers: Sequence[float]) -> Markup:
    """Draw a list of numbers as a line: with gaps where a number is not finite, and the extremes of each column if
    there are more numbers than columns."""
    finite = [float(each) for each in numbers if _is_finite(each)]
    low, high = min(finite), max(finite)
    pieces = "".join(_piece(points, len(numbers), low, high) for points in _runs(numbers))
    label = f"Line of {len(numbers)} numbers from {low:.6g} to {high:.6g}"
    bottom, right = _TOP + _ROOM_Y, _LEFT + _ROOM_X
    return Markup(
        '<svg class="plot" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<path class="axis" d="M{l} {t}V{b}H{r}"/>{pieces}'
        '<text x="{x}" y="{t}" dy=".7em" text-anchor="end">{high}</text>'
        '<text x="{x}" y="{b}" text-anchor="end">{low}</text>'
        '<text x="{l}" y="{n}">0</text><text x="{r}" y="{n}" text-anchor="end">{last}</text></svg>'
    ).format(
        w=WIDTH,
        h=HEIGHT,
        label=label,
        l=_LEFT,
        t=_TOP,
        b=bottom,
        r=right,
        x=_LEFT - 6,
        n=bottom + 16,
        pieces=Markup(pieces),
        high=f"{high:.4g}",
        low=f"{low:.4g}",
        last=len(numbers) - 1,
    )


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer that no float holds
        return False


def _runs(numbers: Sequence[float]) -> list[list[tuple[int, float]]]:
    """Return the finite numbers with their places, in runs without a gap, thinned to what can be seen."""
    runs: list[list[tuple[int, float]]] = [[]]
    step = max(1, -(-2 * len(numbers) // MOST_POINTS))
    for start in range(0, len(numbers), step):
        inside = [
            (start + place, float(each)) for place, each in enumerate(numbers[start : start + step]) if _is_finite(each)
        ]
        if not inside:
            runs.append([])
        elif len(inside) <= 2:
            runs[-1] += inside
        else:
            ends = {min(inside, key=lambda point: point[1]), max(inside, key=lambda point: point[1])}
            runs[-1] += sorted(ends)
    return [run for run in runs if run]


def _piece(points: Sequence[tuple[int, float]], count: int, low: float, high: float) -> str:
    across, up = max(1, count - 1), (high / 4 - low / 4) or 1.0  # quarters: differences of the greatest are no floats
    at = [
        f"{_LEFT + _ROOM_X * place / across:.1f} {_TOP + _ROOM_Y * (1 - (number / 4 - low / 4) / up):.1f}"
        for place, number in points
    ]
    dot = f'<circle class="dot" r="2" cx="{at[0].split()[0]}" cy="{at[0].split()[1]}"/>' if len(at) == 1 else ""
    return dot or f'<path class="line" d="M{"L".join(at)}"/>'


# --- matrices ----------------------------------------------------------------------------------------------------


def matrix_image(rows: Sequence[Sequence[float]]) -> str:
    """Return a matrix as the URL of an image, a pixel for each number (or for some of them, beyond 512 in a row or
    column)."""
    across, down = (-(-size // MOST_PIXELS) for size in (len(rows[0]), len(rows)))
    chosen = [row[::across] for row in rows[::down]]
    finite = [float(each) for row in chosen for each in row if _is_finite(each)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    up = high / 4 - low / 4  # as above
    lines = b"".join(
        b"\0"
        + bytes(1 + int(254 * ((each / 4 - low / 4) / up if up else 0)) if _is_finite(each) else 0 for each in row)
        for row in chosen
    )
    return "data:image/png;base64," + base64.b64encode(_png(len(chosen[0]), len(chosen), lines)).decode()


def _png(width: int, height: int, lines: bytes) -> bytes:
    """Return a PNG with a palette, whose colour 0 is transparent, for values that are not numbers."""
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", b"\0\0\0" + _palette()), (b"tRNS", b"\0"), (b"IDAT", zlib.compress(lines))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in [*chunks, (b"IEND", b"")])


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _palette() -> bytes:
    colours = bytearray()
    for step in range(255):
        place, part = divmod(step / 254 * (len(_COLOURS) - 1), 1)
        before, after = _COLOURS[int(place)], _COLOURS[min(int(place) + 1, len(_COLOURS) - 1)]
        colours += bytes(round(one + (other - one) * part) for one, other in zip(before, after))
    return bytes(colours)
