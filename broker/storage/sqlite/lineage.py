"""The check that a write-ahead log belongs to the journal's file beside it.

SQLite does not check: it lays whatever log it finds over the file. A file that was copied into place beside the log of
another file, or of another day, would become a mixture of both. So each transaction counts itself in the journal's one
row (`commits`), and the counts in file and log are compared as they are on disk. The log's first transaction must be
the one after the file's last; or, after a crash while the log was moved into the file, one of those already moved.

The row is read from the raw page, because SQLite never shows the file without its log. That page is always the same:
the table is the first that a journal is created with, and none of its pages ever moves.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from zjobs.broker.storage.sqlite import wal

JOURNAL_PAGE = 3  # 1 is the schema, 2 belongs to auto_vacuum
COMMITS_COLUMN = 7
LEAF = 0x0D  # sqlite.org/fileformat2.html#b_tree_pages
INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}


class Stand(NamedTuple):
    """The state of a journal: its identity, and how many transactions it has seen (0 before format 3)."""

    journal: str
    commits: int


def of_file(file: str) -> Stand | None:
    """Return the state of the file without its log, None if it cannot be told, as in the middle of a checkpoint."""
    with open(file, "rb") as content:
        content.seek((JOURNAL_PAGE - 1) * wal.PAGE_BYTES)
        return _stand(content.read(wal.PAGE_BYTES))


def of_log(file: str) -> Stand | None:
    """Return the state after the first transaction in the log of `file`, None if the log has none."""
    try:
        descriptor = os.open(f"{file}-wal", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        salts = os.pread(descriptor, 8, 16)
        size, at = wal.FRAME_HEADER_BYTES + wal.PAGE_BYTES, wal.HEADER_BYTES
        while True:
            header = os.pread(descriptor, wal.FRAME_HEADER_BYTES, at)
            if len(header) < wal.FRAME_HEADER_BYTES or header[8:16] != salts:
                return None
            if int.from_bytes(header[:4], "big") == JOURNAL_PAGE:
                return _stand(os.pread(descriptor, wal.PAGE_BYTES, at + wal.FRAME_HEADER_BYTES))
            at += size
    finally:
        os.close(descriptor)


def fits(file: Stand | None, log: Stand | None, together: Stand | None = None) -> bool:
    """True if the log may have been begun on this file. `together`: the state that SQLite sees with both, if it can
    read them."""
    if file is None or log is None:
        return True
    newest = file if together is None else together
    return file.journal == log.journal == newest.journal and log.commits - 1 <= file.commits <= newest.commits


def _stand(page: bytes) -> Stand | None:
    """Return the state from the one row on the page, None if the page is torn, or not one of ours."""
    try:
        row = _row(page)
    except (IndexError, KeyError, ValueError):
        return None
    if not row or not isinstance(row[0], str):
        return None
    commits = row[COMMITS_COLUMN] if len(row) > COMMITS_COLUMN else 0
    return Stand(row[0], commits) if isinstance(commits, int) else None


def _row(page: bytes) -> list[int | str]:
    """Return the columns of a table's only row (sqlite.org/fileformat2.html#record_format)."""
    if len(page) < wal.PAGE_BYTES or page[0] != LEAF or page[3:5] != b"\0\1":
        raise ValueError("not one row")
    size, at = _varint(page, int.from_bytes(page[8:10], "big"))
    _, at = _varint(page, at)
    record = page[at : at + size]
    value_at, place = _varint(record, 0)
    kinds = []
    while place < value_at:
        kind, place = _varint(record, place)
        kinds.append(kind)
    row: list[int | str] = []
    for kind in kinds:
        if kind >= 13 and kind % 2:
            end = value_at + (kind - 13) // 2
            row.append(record[value_at:end].decode())
        else:
            end = value_at + INTEGER_BYTES[kind]
            row.append(int(kind == 9) if value_at == end else int.from_bytes(record[value_at:end], "big", signed=True))
        value_at = end
    if value_at != size or len(record) != size:
        raise ValueError("another row's bytes")
    return row


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of up to nine bytes, and where the next value begins."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | content[place] & 0x7F
        if content[place] < 0x80:
            return value, place + 1
    return value << 8 | content[at + 8], at + 9
