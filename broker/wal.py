"""Whether a write-ahead log was damaged after it had been flushed.

SQLite takes a broken frame for the end of the log (sqlite.org/fileformat2.html#walformat), which is right after a
power cut, but would silently forget the acknowledged jobs behind a flipped bit. Each commit is flushed before the next
one is begun: so what is unfinished at the end of the log can be one transaction, and a second commit behind a broken
frame means that what is broken had been whole.
"""

from __future__ import annotations

import struct
from array import array
from pathlib import Path

HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
PAGE_BYTES = 4096  # SQLite's default, which the journal is made with
MAGIC_LITTLE, MAGIC_BIG = b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"


def lost_commits(wal: Path) -> int:
    """How many commits stand behind a broken place of the log; 0 for a sound log, an empty one, or none."""
    try:
        content = wal.read_bytes()
    except FileNotFoundError:
        return 0
    if len(content) < HEADER_BYTES:
        return 0
    swap = content[:4] == MAGIC_BIG
    sums = _sums(content[:24], (0, 0), swap)
    broken = content[:4] not in (MAGIC_BIG, MAGIC_LITTLE) or sums != struct.unpack_from(">2I", content, 24)
    frame_bytes = FRAME_HEADER_BYTES + PAGE_BYTES
    salts = content[HEADER_BYTES + 8 : HEADER_BYTES + 16] if broken else content[16:24]
    commits_behind = 0
    for start in range(HEADER_BYTES, len(content) - frame_bytes + 1, frame_bytes):
        header = content[start : start + FRAME_HEADER_BYTES]
        of_this_log = header[8:16] == salts  # frames left over from before the log was begun anew have others
        if not broken:
            sums = _sums(header[:8] + content[start + FRAME_HEADER_BYTES : start + frame_bytes], sums, swap)
            broken = not of_this_log or sums != struct.unpack_from(">2I", header, 16)
        if broken and of_this_log and header[4:8] != b"\0\0\0\0":
            commits_behind += 1
    return max(0, commits_behind - 1)


def _sums(content: bytes, sums: tuple[int, int], swap: bool) -> tuple[int, int]:
    """SQLite's running checksum over words of 32 bits, in the log's byte order."""
    words = array("I", content)
    if swap != (struct.pack("=I", 1) == struct.pack(">I", 1)):
        words.byteswap()
    first, second = sums
    pairs = iter(words)
    for even, odd in zip(pairs, pairs):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
