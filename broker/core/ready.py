"""The ids of ready jobs in turn, and how many are ahead of each; and the delayed jobs.

Each priority has a sorted array of ids, a byte per id that says whether it waits, and a count per 1,024 ids: 9 bytes a
job, 9 MB a million. Adding up counts finds how many are ahead in microseconds; a COUNT over the journal took 50 ms. Ids
grow, so a new one is appended, and one that is returned finds its old slot.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush

BLOCK = 1024
FEW = 1024  # stale entries that are not worth removing


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
        """Add `job_id`, which must not be waiting already."""
        if not self._ids or job_id > self._ids[-1]:
            self._append(job_id)
        else:
            self._put_back(job_id)

    def remove(self, job_id: int) -> None:
        """Remove `job_id`. Raises KeyError if it is not waiting."""
        place = bisect_left(self._ids, job_id)
        if place == len(self._ids) or self._ids[place] != job_id or not self._waits[place]:
            raise KeyError(job_id)
        self._waits[place] = 0
        self._blocks[place // BLOCK] -= 1
        self._size -= 1
        if place == self._first:
            self._skip_empty()

    def first(self, count: int) -> list[int]:
        """Return the first ids, at most `count`."""
        ids: list[int] = []
        place = self._first
        while len(ids) < count and place >= 0:
            place = self._waits.find(1, place)
            if place >= 0:
                ids.append(self._ids[place])
                place += 1
        return ids

    def ahead(self, job_id: int) -> int:
        """Return how many waiting ids come before `job_id`."""
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
        else:  # _skip_empty dropped its slot; that is rare, so recounting all (1 ms a million) will do
            self._ids.insert(place, job_id)
            self._waits.insert(place, 1)
            self._count_blocks()
        self._first = min(self._first, place)

    def _skip_empty(self) -> None:
        """Advance to the first waiting slot, and drop the slots before it once they are the majority."""
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
        """Start with these jobs: (ready_at, id, priority)."""
        self._heap = list(jobs)
        heapify(self._heap)
        self._ready_at = {job_id: ready_at for ready_at, job_id, _ in self._heap}

    def __len__(self) -> int:
        return len(self._ready_at)

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._ready_at

    def add(self, ready_at: int, job_id: int, priority: int) -> None:
        """Add a job that is ready at `ready_at` (monotonic)."""
        heappush(self._heap, (ready_at, job_id, priority))
        self._ready_at[job_id] = ready_at

    def remove(self, job_id: int) -> None:
        """Remove a job. Raises KeyError if it is not delayed."""
        del self._ready_at[job_id]  # its heap entry is stale now; it is skipped when due, or removed with others
        if len(self._heap) > 2 * len(self._ready_at) + FEW:
            self._remove_stale()

    def entries(self) -> int:
        """Return the size of the heap, stale entries included."""
        return len(self._heap)

    def ready_at(self, job_id: int) -> int | None:
        """Return when the job will be ready (monotonic), None if it is not delayed."""
        return self._ready_at.get(job_id)

    def next_ready_at(self) -> int | None:
        """Return when the first job will be ready (monotonic), None without jobs."""
        while self._heap and self._ready_at.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def first(self, count: int) -> list[int]:
        """Return the ids of the jobs that will be ready soonest, at most `count`.

        Walks down the heap, so that those behind cost nothing; stale entries among them are looked at, but not many.
        """
        ids: dict[int, None] = {}
        front = [(entry, place) for place, entry in enumerate(self._heap[:1])]
        for _ in range(count + FEW):
            if not front or len(ids) == count:
                break
            (at, job_id, _), place = heappop(front)
            if self._ready_at.get(job_id) == at:
                ids[job_id] = None
            for below in (2 * place + 1, 2 * place + 2):
                if below < len(self._heap):
                    heappush(front, (self._heap[below], below))
        return list(ids)

    def wake(self, mono_ms: int) -> list[tuple[int, int]]:
        """Remove the jobs whose delay has ended, and return them as (priority, id)."""
        ready = []
        while (at := self.next_ready_at()) is not None and at <= mono_ms:
            _, job_id, priority = heappop(self._heap)
            del self._ready_at[job_id]
            ready.append((priority, job_id))
        return ready

    def _remove_stale(self) -> None:
        """Drop stale entries. They are the majority, so the cost of each is paid once."""
        self._heap = list({entry for entry in self._heap if self._ready_at.get(entry[1]) == entry[0]})
        heapify(self._heap)
        self._ready_at = dict(self._ready_at)  # a dictionary does not shrink by itself
