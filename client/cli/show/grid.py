"""A table that fits the width available. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zjobs.client.cli.show.styled import Glyphs, Line, cut, line, padded, width

GAP = "  "
# Room for the last column, which has whole sentences: a quarter of the width before others are narrowed, and this many
# columns before some are left out.
WIDE_PART = 4
LAST_COLUMNS = 14


class Column(NamedTuple):
    """A column. least: how narrow it may be made; 0 if it is never cut. leaves: the greater, the sooner it is left out
    if there is no room; 0 if never."""

    right: bool = False
    least: int = 0
    leaves: int = 0


class Grid:
    """The widths of columns, made to fit `columns`. The last one takes what is left; one without content is left out,
    whatever its `heads`. last: how much of the last one must be visible before others are left out."""

    def __init__(
        self,
        kinds: Sequence[Column],
        heads: Sequence[Sequence[Line]],
        rows: Sequence[Sequence[Line]],
        columns: int,
        glyphs: Glyphs,
        last: int = LAST_COLUMNS,
    ) -> None:
        self._columns = columns
        self._glyphs = glyphs
        self._kinds = kinds
        used = [place for place in range(len(kinds)) if any(row[place] for row in rows)]
        widths = {place: max(width(row[place]) for row in (*heads, *rows)) for place in used}
        self._last = len(kinds) - 1
        wide = widths.pop(self._last, 0)
        room = columns - min(wide, max(last, columns // WIDE_PART))
        self._widths = self._narrowed(widths, room)
        while _taken(self._widths) > columns - min(wide, last) and (leaving := self._leaving(widths)) is not None:
            del widths[leaving]
            self._widths = self._narrowed(widths, room)

    def line(self, row: Sequence[Line]) -> Line:
        """Return a row as a line."""
        parts: list[Line] = []
        for place, wide in self._widths.items():
            parts.append(padded(cut(row[place], wide, self._glyphs.cut), wide, self._kinds[place].right))
        spans = [span for part in parts for span in (*part, *line(GAP))]
        whole = line(*spans, *row[self._last])
        return cut(whole, self._columns, self._glyphs.cut)

    def _narrowed(self, widths: dict[int, int], room: int) -> dict[int, int]:
        """Return the widths with the widest columns narrowed, as far as that is allowed and helps."""
        narrowed = dict(widths)
        while (over := _taken(narrowed) - room) > 0:
            able = [place for place, wide in narrowed.items() if 0 < self._kinds[place].least < wide]
            if not able:
                break
            widest = max(able, key=lambda place: narrowed[place])
            narrowed[widest] = max(self._kinds[widest].least, narrowed[widest] - over)
        return narrowed

    def _leaving(self, widths: dict[int, int]) -> int | None:
        """Return the column to leave out first, None if no more may be."""
        able = [place for place in widths if self._kinds[place].leaves]
        return max(able, key=lambda place: self._kinds[place].leaves, default=None)


def _taken(widths: dict[int, int]) -> int:
    """Return how much room the columns take, with the gaps after them."""
    return sum(wide + len(GAP) for wide in widths.values())
