"""The ids of the jobs that are ready, in the order of their turn, with the number ahead of any of them.

For each priority a sorted array of ids, a byte 'waits here' for each and a count for every 1,024 of them: 9 bytes a
job, so a million cost 9 MB, and 'how many are ahead' adds up some counts (microseconds) where a COUNT over the
journal took 50 ms. Ids grow, so a new one is an append; one that comes back finds its old place still there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush

BLOCK = 1024
FEW = 1024  # places of jobs that wait no more, which are not worth clearing away


class PriorityLane:
    """The job ids of one priority, ascending."""

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


class Queue:
    """Ready jobs: greater priority first, then by id."""

    def __init__(self, ready: Mapping[int, Iterable[int]]) -> None:
        """`ready`: by priority, ids in ascending order."""
        self._lanes = {priority: PriorityLane(ids) for priority, ids in sorted(ready.items(), reverse=True)}

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def add(self, priority: int, job_id: int) -> None:
        """The job is ready; it must not have been."""
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = PriorityLane()
            self._lanes = dict(sorted(self._lanes.items(), reverse=True))
        lane.add(job_id)

    def remove(self, priority: int, job_id: int) -> None:
        """The job is no longer ready. Raises KeyError when it was not."""
        self._lanes[priority].remove(job_id)

    def first(self, count: int) -> list[int]:
        """Up to `count` ids, those whose turn comes first."""
        ids: list[int] = []
        for lane in self._lanes.values():
            if len(ids) == count:
                break
            ids += lane.first(count - len(ids))
        return ids

    def ahead(self, priority: int, job_id: int) -> int:
        """How many ready jobs come before this one."""
        count = 0
        for other, lane in self._lanes.items():
            if other <= priority:
                return count + (lane.ahead(job_id) if other == priority else 0)
            count += len(lane)
        return count


class DelayedJobs:
    """Jobs that are not ready yet, by the time at which they will be (monotonic)."""

    def __init__(self, jobs: Iterable[tuple[int, int, int]] = ()) -> None:
        """`jobs`: (ready_at, id, priority) of each."""
        self._heap = list(jobs)
        heapify(self._heap)
        self._ready_at = {job_id: ready_at for ready_at, job_id, _ in self._heap}

    def __len__(self) -> int:
        return len(self._ready_at)

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._ready_at

    def add(self, ready_at: int, job_id: int, priority: int) -> None:
        heappush(self._heap, (ready_at, job_id, priority))
        self._ready_at[job_id] = ready_at

    def remove(self, job_id: int) -> None:
        """It waits no more. Raises KeyError when it did not."""
        del self._ready_at[job_id]  # its place in the heap is passed over when its time has come, or cleared away
        if len(self._heap) > 2 * len(self._ready_at) + FEW:
            self._clear_away()

    def places(self) -> int:
        """How many places are kept, those of jobs that wait no more included."""
        return len(self._heap)

    def ready_at(self, job_id: int) -> int | None:
        """When it will be ready; None: it does not wait."""
        return self._ready_at.get(job_id)

    def next_ready_at(self) -> int | None:
        """When the first of them is ready."""
        while self._heap and self._ready_at.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def wake(self, mono_ms: int) -> list[tuple[int, int]]:
        """Removes those whose time has come, and returns them: (priority, id)."""
        ready = []
        while (at := self.next_ready_at()) is not None and at <= mono_ms:
            _, job_id, priority = heappop(self._heap)
            del self._ready_at[job_id]
            ready.append((priority, job_id))
        return ready

    def _clear_away(self) -> None:
        """Drops the places of jobs that wait no more: they are the larger part, so each costs its share once."""
        self._heap = list({place for place in self._heap if self._ready_at.get(place[1]) == place[0]})
        heapify(self._heap)
        self._ready_at = dict(self._ready_at)  # a dictionary does not shrink by itself
