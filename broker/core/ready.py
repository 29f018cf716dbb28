"""The ids of ready jobs in their order, and how many of each kind are ahead of one; the delayed and the parked jobs.

Each priority has a sorted array of ids, a byte per id for its kind (see `estimates.kinds`) and another for whether it
waits, and for each kind a count per 1,024 ids: 11 bytes a job, 11 MB a million. Adding up counts tells how many jobs
are ahead in microseconds; a COUNT over the journal took 50 ms. Ids grow, so a new id is appended, and one that is
returned finds its old slot.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from zjobs.messages.units import JobId, Ms

BLOCK = 1024
GROUP = 32  # blocks that also have a common count
FEW = 1024  # so few stale entries are not worth removing

Counts = dict[int, int]  # how many jobs of each kind


class DelayedJob(NamedTuple):
    """A job that is ready at `ready_at` (monotonic)."""

    ready_at: Ms
    job_id: JobId
    priority: int
    kind: int


class Parked(NamedTuple):
    """A job that is held or waits for others, whatever the time. `ready_at`: when its delay ends (monotonic)."""

    ready_at: Ms
    kind: int


class Tally:
    """The counts of waiting ids of one kind, by block and by group of blocks."""

    def __init__(self, blocks: int) -> None:
        """Start with this many empty blocks."""
        self.total = 0
        self._blocks = [0] * blocks
        self._groups = [0] * -(-blocks // GROUP)

    def begin_block(self) -> None:
        """Add an empty block."""
        if len(self._blocks) % GROUP == 0:
            self._groups.append(0)
        self._blocks.append(0)

    def change(self, block: int, by: int) -> None:
        """Count more or fewer in a block."""
        self.total += by
        self._blocks[block] += by
        self._groups[block // GROUP] += by

    def before(self, block: int) -> int:
        """Return how many are in the blocks before this one."""
        group = block // GROUP
        return sum(self._groups[:group]) + sum(self._blocks[group * GROUP : block])

    def drop(self, groups: int) -> None:
        """Drop the first groups, which are empty."""
        del self._groups[:groups]
        del self._blocks[: groups * GROUP]


class PriorityLane:
    """The job ids of one priority, ascending, with their kinds."""

    def __init__(self, ascending: Iterable[int] = (), kinds: Iterable[int] = ()) -> None:
        """Start with these ids: ascending, without repeats. `kinds`: of each."""
        self._ids = array("q", ascending)
        self._kinds = bytearray(kinds)
        self._waits = bytearray(b"\x01") * len(self._ids)
        self._first = 0
        self._size = 0
        self._blocks = -(-len(self._ids) // BLOCK)
        self._tallies: dict[int, Tally] = {}
        for block in range(self._blocks):
            found = self._kinds[block * BLOCK : (block + 1) * BLOCK]
            for kind in set(found):
                self._count(block * BLOCK, kind, found.count(kind))

    def __len__(self) -> int:
        return self._size

    def __contains__(self, job_id: JobId) -> bool:
        place = bisect_left(self._ids, job_id)
        return place < len(self._ids) and self._ids[place] == job_id and bool(self._waits[place])

    def add(self, job_id: JobId, kind: int) -> None:
        """Add `job_id`, which must not be waiting already."""
        if not self._ids or job_id > self._ids[-1]:
            place = len(self._ids)
            if place == self._blocks * BLOCK:
                self._begin_block()
            self._ids.append(job_id)
            self._waits.append(1)
            self._kinds.append(kind)
        else:
            place = self._put_back(job_id, kind)
        self._count(place, kind, 1)

    def remove(self, job_id: JobId) -> int:
        """Remove `job_id`, and return its kind. Raises KeyError if it is not waiting."""
        place = bisect_left(self._ids, job_id)
        if place == len(self._ids) or self._ids[place] != job_id or not self._waits[place]:
            raise KeyError(job_id)
        kind = self._kinds[place]
        self._waits[place] = self._kinds[place] = 0
        self._tallies[kind].change(place // BLOCK, -1)
        self._size -= 1
        if place == self._first:
            self._skip_empty()
        return kind

    def first(self, count: int) -> list[JobId]:
        """Return the first ids, at most `count`."""
        ids: list[JobId] = []
        place = self._first
        while len(ids) < count and place >= 0:
            place = self._waits.find(1, place)
            if place >= 0:
                ids.append(JobId(self._ids[place]))
                place += 1
        return ids

    def ahead(self, job_id: JobId) -> int:
        """Return how many waiting ids come before `job_id`."""
        return sum(self.kinds_ahead(job_id).values())

    def kinds_ahead(self, job_id: JobId) -> Counts:
        """Return how many waiting ids of each kind come before `job_id`."""
        place = bisect_left(self._ids, job_id)
        block = place // BLOCK
        start = block * BLOCK
        return {
            kind: tally.before(block) + self._kinds.count(kind, start, place)
            for kind, tally in self._tallies.items()
            if tally.total
        }

    def kinds(self) -> Counts:
        """Return how many waiting ids of each kind there are."""
        return {kind: tally.total for kind, tally in self._tallies.items() if tally.total}

    def _count(self, place: int, kind: int, by: int) -> None:
        """Count that slots were filled or emptied."""
        tally = self._tallies.get(kind)
        if tally is None:
            tally = self._tallies[kind] = Tally(self._blocks)
        tally.change(place // BLOCK, by)
        self._size += by

    def _put_back(self, job_id: JobId, kind: int) -> int:
        place = bisect_left(self._ids, job_id)
        if self._ids[place] == job_id:
            assert not self._waits[place], f"job {job_id} waits already"
            self._waits[place] = 1
            self._kinds[place] = kind
        else:  # _skip_empty dropped its slot
            self._insert(place, job_id, kind)
        self._first = min(self._first, place)
        return place

    def _insert(self, place: int, job_id: JobId, kind: int) -> None:
        """Make a slot: the last of each block from here on moves into the next."""
        if len(self._ids) == self._blocks * BLOCK:
            self._begin_block()
        self._ids.insert(place, job_id)
        self._waits.insert(place, 1)
        self._kinds.insert(place, kind)
        for block in range(place // BLOCK + 1, self._blocks):
            moved = self._kinds[block * BLOCK]
            if moved:
                self._tallies[moved].change(block - 1, -1)
                self._tallies[moved].change(block, 1)

    def _skip_empty(self) -> None:
        """Advance to the first waiting slot, and drop the slots before it once they are the majority."""
        place = self._waits.find(1, self._first)
        self._first = len(self._waits) if place < 0 else place
        if self._first > 2 * GROUP * BLOCK and self._first > len(self._waits) // 2:
            groups = self._first // (GROUP * BLOCK)
            dropped = groups * GROUP * BLOCK
            for slots in (self._ids, self._waits, self._kinds):
                del slots[:dropped]
            for tally in self._tallies.values():
                tally.drop(groups)
            self._blocks -= groups * GROUP
            self._first -= dropped

    def _begin_block(self) -> None:
        for tally in self._tallies.values():
            tally.begin_block()
        self._blocks += 1


class Queue:
    """Ready jobs: greater priority first, then by id."""

    def __init__(self, ready: Mapping[int, tuple[Iterable[int], Iterable[int]]]) -> None:
        """Start with these jobs. `ready`: by priority, ids in ascending order, and the kind of each."""
        self._lanes = {priority: PriorityLane(*jobs) for priority, jobs in sorted(ready.items(), reverse=True)}

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def add(self, priority: int, job_id: JobId, kind: int) -> None:
        """Add a ready job, which must not be in the queue yet."""
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = PriorityLane()
            self._lanes = dict(sorted(self._lanes.items(), reverse=True))
        lane.add(job_id, kind)

    def remove(self, priority: int, job_id: JobId) -> int:
        """Remove a job that is no longer ready, and return its kind. Raises KeyError if it was not ready."""
        return self._lanes[priority].remove(job_id)

    def first(self, count: int) -> list[JobId]:
        """Return the ids of the jobs that start first, at most `count`."""
        ids: list[JobId] = []
        for lane in self._lanes.values():
            if len(ids) == count:
                break
            ids += lane.first(count - len(ids))
        return ids

    def kinds(self) -> Iterator[tuple[int, Counts]]:
        """Yield each priority, the greatest first, with the number of its jobs of each kind."""
        for priority, lane in self._lanes.items():
            if len(lane):
                yield priority, lane.kinds()

    def ahead(self, priority: int, job_id: JobId) -> int:
        """Return how many ready jobs come before this one."""
        count = 0
        for other, lane in self._lanes.items():
            if other <= priority:
                return count + (lane.ahead(job_id) if other == priority else 0)
            count += len(lane)
        return count

    def kinds_ahead(self, priority: int, job_id: JobId) -> Counts:
        """Return how many ready jobs of its own priority come before this one, by kind."""
        lane = self._lanes.get(priority)
        return {} if lane is None else lane.kinds_ahead(job_id)


class DelayedJobs:
    """Jobs that are not ready yet, by the time at which they will be (monotonic)."""

    def __init__(self, jobs: Iterable[DelayedJob] = ()) -> None:
        self._heap = list(jobs)
        heapify(self._heap)
        self._entries = {entry.job_id: entry for entry in self._heap}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, job_id: JobId) -> bool:
        return job_id in self._entries

    def add(self, job: DelayedJob) -> None:
        """Add a job."""
        heappush(self._heap, job)
        self._entries[job.job_id] = job

    def move(self, job_id: JobId, ready_at: Ms) -> None:
        """Change when a delayed job will be ready."""
        self.add(self._entries[job_id]._replace(ready_at=ready_at))
        self._remove_stale_if_many()

    def remove(self, job_id: JobId) -> int:
        """Remove a job, and return its kind. Raises KeyError if it is not delayed."""
        kind = self._entries.pop(job_id).kind  # its heap entry is stale now: skipped when due, or removed with others
        self._remove_stale_if_many()
        return kind

    def entries(self) -> int:
        """Return the size of the heap, stale entries included."""
        return len(self._heap)

    def ready_at(self, job_id: JobId) -> Ms | None:
        """Return when the job will be ready (monotonic), None if it is not delayed."""
        entry = self._entries.get(job_id)
        return None if entry is None else entry.ready_at

    def next_ready_at(self) -> Ms | None:
        """Return when the first job will be ready (monotonic), None if there are none."""
        while self._heap and self._entries.get(self._heap[0].job_id) is not self._heap[0]:
            heappop(self._heap)
        return self._heap[0].ready_at if self._heap else None

    def soonest(self) -> Iterator[DelayedJob]:
        """Yield the jobs, the soonest ready first. It walks down the heap, so jobs that nobody asks for cost nothing.

        It ends early if it meets too many stale entries.
        """
        front = [(entry, place) for place, entry in enumerate(self._heap[:1])]
        stale = 0
        while front and stale < FEW:
            entry, place = heappop(front)
            if self._entries.get(entry.job_id) is entry:
                yield entry
            else:
                stale += 1
            for below in (2 * place + 1, 2 * place + 2):
                if below < len(self._heap):
                    heappush(front, (self._heap[below], below))

    def wake(self, mono_ms: Ms) -> list[DelayedJob]:
        """Remove the jobs whose delay has ended, and return them."""
        ready = []
        while (at := self.next_ready_at()) is not None and at <= mono_ms:
            ready.append(heappop(self._heap))
            del self._entries[ready[-1].job_id]
        return ready

    def _remove_stale_if_many(self) -> None:
        """Remove stale entries once they are the majority, so that the cost of each is paid once."""
        if len(self._heap) <= 2 * len(self._entries) + FEW:
            return
        self._heap = list(self._entries.values())
        heapify(self._heap)
        self._entries = dict(self._entries)  # a dictionary does not shrink by itself
