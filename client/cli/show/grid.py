"""A table that fits the width available. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zjobs.client.cli.show.styled import Glyphs, Line, cut, line, padded, width

GAP = "  "
# Of the last column, which has whole sentences.
LAST_COLUMNS = 14


class Column(NamedTuple):
    """A column. least: how narrow it may be made; 0 if it is never cut. leaves: the greater, the sooner it is left out
    if there is no room; 0 if never."""

    right: bool = False
    least: int = 0
    leaves: int = 0


class Grid:
    """The widths of columns, made to fit `columns`. The last one takes what is left; one without content is left out,
    whatever `heads` say. last: how much of the last one shall be seen before others give way."""

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
        self._widths = {place: max(width(row[place]) for row in (*heads, *rows)) for place in used}
        self._last = len(kinds) - 1
        self._wanted = min(self._widths.pop(self._last, 0), last)
        while self._over() > 0 and (self._narrow() or self._leave_out()):
            pass

    def line(self, row: Sequence[Line]) -> Line:
        """Return a row as a line."""
        parts: list[Line] = []
        for place, wide in self._widths.items():
            parts.append(padded(cut(row[place], wide, self._glyphs.cut), wide, self._kinds[place].right))
        spans = [span for part in parts for span in (*part, *line(GAP))]
        whole = line(*spans, *row[self._last])
        return cut(whole, self._columns, self._glyphs.cut)

    def _over(self) -> int:
        """By how many columns the row is too wide."""
        return sum(wide + len(GAP) for wide in self._widths.values()) + self._wanted - self._columns

    def _narrow(self) -> bool:
        """Narrows the widest column that may be, as far as that helps; False: there is none."""
        able = [place for place in self._widths if 0 < self._kinds[place].least < self._widths[place]]
        if not able:
            return False
        widest = max(able, key=lambda place: self._widths[place])
        self._widths[widest] = max(self._kinds[widest].least, self._widths[widest] - self._over())
        return True

    def _leave_out(self) -> bool:
        able = [place for place in self._widths if self._kinds[place].leaves]
        if not able:
            return False
        del self._widths[max(able, key=lambda place: self._kinds[place].leaves)]
        return True
