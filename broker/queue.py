"""The ids of the jobs that wait, in order, with the number ahead of any of them.

A sorted array of ids, a byte 'waits here' for each and a count for every 1,024 of them: 9 bytes a job, so a
million cost 9 MB, and 'how many are ahead' adds up some counts (microseconds) where a COUNT over the journal
took 50 ms. Ids grow, so a new one is an append; one that comes back finds its old place still there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

BLOCK = 1024


class Queue:
    """Job ids in ascending order."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        """`ids`: ascending, without repeats."""
        self._ids = array("q", ids)
        self._waits = bytearray(b"\x01") * len(self._ids)
        self._first = 0
        self._count_blocks()

    def __len__(self) -> int:
        return self._size

    def __contains__(self, job_id: int) -> bool:
        place = bisect_left(self._ids, job_id)
        return place < len(self._ids) and self._ids[place] == job_id and bool(self._waits[place])

    def add(self, job_id: int) -> None:
        """`job_id` waits; it must not do so already."""
        if not self._ids or job_id > self._ids[-1]:
            self._append(job_id)
        else:
            self._put_back(job_id)

    def remove(self, job_id: int) -> None:
        """`job_id` no longer waits. Raises KeyError when it did not."""
        place = bisect_left(self._ids, job_id)
        if place == len(self._ids) or self._ids[place] != job_id or not self._waits[place]:
            raise KeyError(job_id)
        self._waits[place] = 0
        self._blocks[place // BLOCK] -= 1
        self._size -= 1
        if place == self._first:
            self._skip_empty()

    def first(self, count: int) -> list[int]:
        """Up to `count` ids, those that come first."""
        ids: list[int] = []
        place = self._first
        while len(ids) < count and place >= 0:
            place = self._waits.find(1, place)
            if place >= 0:
                ids.append(self._ids[place])
                place += 1
        return ids

    def ahead(self, job_id: int) -> int:
        """How many waiting ids come before `job_id`."""
        place = bisect_left(self._ids, job_id)
        block = place // BLOCK
        return sum(self._blocks[:block]) + self._waits.count(1, block * BLOCK, place)

    def _append(self, job_id: int) -> None:
        if len(self._ids) % BLOCK == 0:
            self._blocks.append(0)
        self._ids.append(job_id)
        self._waits.append(1)
        self._blocks[-1] += 1
        self._size += 1

    def _put_back(self, job_id: int) -> None:
        place = bisect_left(self._ids, job_id)
        if self._ids[place] == job_id:
            assert not self._waits[place], f"job {job_id} waits already"
            self._waits[place] = 1
            self._blocks[place // BLOCK] += 1
            self._size += 1
        else:  # its place was dropped by _skip_empty; rare, so recounting everything (1 ms a million) will do
            self._ids.insert(place, job_id)
            self._waits.insert(place, 1)
            self._count_blocks()
        self._first = min(self._first, place)

    def _skip_empty(self) -> None:
        """Finds the first waiting place again, and drops the places before it once they are the larger part."""
        place = self._waits.find(1, self._first)
        self._first = len(self._waits) if place < 0 else place
        if self._first > 64 * BLOCK and self._first > len(self._waits) // 2:
            blocks = self._first // BLOCK
            del self._ids[: blocks * BLOCK], self._waits[: blocks * BLOCK], self._blocks[:blocks]
            self._first -= blocks * BLOCK

    def _count_blocks(self) -> None:
        starts = range(0, len(self._waits), BLOCK)
        self._blocks = [self._waits.count(1, start, start + BLOCK) for start in starts]
        self._size = sum(self._blocks)
