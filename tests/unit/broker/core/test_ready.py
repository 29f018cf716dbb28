"""The line of one priority against a plain sorted list; the queue of all and the waiting room against sorting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.examples import examples
from zjobs.broker.core.ready import BLOCK, Counts, DelayedJob, DelayedJobs, PriorityLane, Queue


def kind(job_id: int) -> int:
    """Neighbours are of different kinds, and some kinds come late."""
    return 1 + job_id % 3 + 3 * (job_id // (50 * BLOCK) % 2)


def counted(ids: Iterable[int]) -> Counts:
    return dict(Counter(map(kind, ids)))


def lane(ids: Iterable[int] = ()) -> PriorityLane:
    ids = list(ids)
    return PriorityLane(ids, map(kind, ids))


def there(counts: Counts) -> Counts:
    """The kinds of which there are any."""
    return {kind: count for kind, count in counts.items() if count}


class Model(RuleBasedStateMachine):
    """`waiting` is what the queue should hold, `out` what was taken from it and may come back."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = lane()
        self.waiting: list[int] = []
        self.out: list[int] = []
        self.newest = 0

    @rule(gap=st.sampled_from((1, 2, 900)), count=st.sampled_from((1, 2, 3000, 40_000)))
    def add_new(self, gap: int, count: int) -> None:
        for _ in range(count):
            self.newest += gap
            self.queue.add(self.newest, kind(self.newest))
            self.waiting.append(self.newest)

    @precondition(lambda self: self.waiting)
    @rule(count=st.sampled_from((1, 5, BLOCK, 70 * BLOCK)))
    def take_the_first(self, count: int) -> None:
        for job_id in self.queue.first(count):
            assert self.queue.remove(job_id) == kind(job_id)
        self.out += self.waiting[:count]
        del self.waiting[:count]

    @precondition(lambda self: self.waiting)
    @rule(where=st.floats(0, 1, exclude_max=True))
    def take_any(self, where: float) -> None:
        job_id = self.waiting.pop(int(where * len(self.waiting)))
        self.queue.remove(job_id)
        self.out.append(job_id)

    @precondition(lambda self: self.out)
    @rule(where=st.floats(0, 1, exclude_max=True), most=st.sampled_from((1, 3)))
    def put_back(self, where: float, most: int) -> None:
        for _ in range(min(most, len(self.out))):
            job_id = self.out.pop(int(where * len(self.out)))
            self.queue.add(job_id, kind(job_id))
            self.waiting = sorted([*self.waiting, job_id])

    @precondition(lambda self: self.out)
    @rule(where=st.floats(0, 1, exclude_max=True))
    def take_what_is_not_there(self, where: float) -> None:
        with pytest.raises(KeyError):
            self.queue.remove(self.out[int(where * len(self.out))])

    @invariant()
    def is_the_same(self) -> None:
        assert len(self.queue) == len(self.waiting)
        assert self.queue.first(7) == self.waiting[:7]
        for place in {0, len(self.waiting) // 2, len(self.waiting) - 1} if self.waiting else ():
            assert self.queue.ahead(self.waiting[place]) == place
            assert there(self.queue.kinds_ahead(self.waiting[place])) == counted(self.waiting[:place])
            assert self.waiting[place] in self.queue
        assert there(self.queue.kinds()) == counted(self.waiting)
        if self.out:
            assert self.out[-1] not in self.queue


def test_a_line_is_a_sorted_list() -> None:
    """Whatever is added, taken and put back: order, membership and the number ahead are those of a sorted list."""
    run_state_machine_as_test(
        Model,
        settings=examples(6, steps=20),
    )


def test_places_in_front_are_dropped_and_made_again() -> None:
    """A long queue that was worked off keeps no memory for what is gone, and an old id still finds its place."""
    count = 130 * BLOCK
    queue = lane(range(1, count + 1))
    for job_id in range(1, 70 * BLOCK):
        queue.remove(job_id)
        assert queue.first(1) == [job_id + 1]
    assert len(queue._ids) <= 66 * BLOCK, "the places of what is gone"
    assert queue.ahead(70 * BLOCK + 5) == 5
    queue.add(17, kind(17))
    queue.add(16, kind(16))
    assert queue.first(3) == [16, 17, 70 * BLOCK]
    assert there(queue.kinds_ahead(count)) == counted([16, 17, *range(70 * BLOCK, count)])
    assert queue.ahead(70 * BLOCK + 5) == 7 and len(queue) == count - 70 * BLOCK + 3


def test_an_empty_line() -> None:
    """Has nothing first and nothing ahead of anything; its only id can come back."""
    queue = lane()
    assert (len(queue), queue.first(3), queue.ahead(9), 9 in queue) == (0, [], 0, False)
    queue.add(9, 1)
    queue.remove(9)
    queue.add(9, 1)
    assert queue.first(3) == [9]


# --- all priorities together --------------------------------------------------------------------------------------


class Queues(RuleBasedStateMachine):
    """`ready` is what the queue should hold, as (-priority, id)."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue({0: ([1, 2, 3], map(kind, [1, 2, 3])), 5: ([], [])})
        self.ready = [(0, 1), (0, 2), (0, 3)]
        self.newest = 3

    @rule(priority=st.sampled_from((-1000, -1, 0, 1, 5)), count=st.sampled_from((1, 2, 40)))
    def add(self, priority: int, count: int) -> None:
        for _ in range(count):
            self.newest += 1
            self.queue.add(priority, self.newest, kind(self.newest))
            self.ready.append((-priority, self.newest))
        self.ready.sort()

    @precondition(lambda self: self.ready)
    @rule(where=st.floats(0, 1, exclude_max=True), back=st.booleans())
    def remove(self, where: float, back: bool) -> None:
        priority, job_id = self.ready.pop(int(where * len(self.ready)))
        assert self.queue.remove(-priority, job_id) == kind(job_id)
        with pytest.raises(KeyError):
            self.queue.remove(-priority, job_id)
        if back:
            self.queue.add(-priority, job_id, kind(job_id))
            self.ready = sorted([*self.ready, (priority, job_id)])

    @invariant()
    def is_the_same(self) -> None:
        assert len(self.queue) == len(self.ready)
        for count in (0, 1, 7, 10_000):
            assert self.queue.first(count) == [job_id for _, job_id in self.ready[:count]]
        for place, (priority, job_id) in enumerate(self.ready[::5]):
            assert self.queue.ahead(-priority, job_id) == 5 * place
            before = [other for lane, other in self.ready if lane == priority and other < job_id]
            assert there(self.queue.kinds_ahead(-priority, job_id)) == counted(before)
        lanes = sorted({priority for priority, _ in self.ready})
        assert [(priority, there(counts)) for priority, counts in self.queue.kinds()] == [
            (-lane, counted(job_id for priority, job_id in self.ready if priority == lane)) for lane in lanes
        ]


def test_the_queue_is_sorted_by_priority_and_id() -> None:
    """Whatever is added, taken and put back; priorities that nobody used before take their place among the others."""
    run_state_machine_as_test(
        Queues,
        settings=examples(15, steps=20),
    )


def test_jobs_of_a_priority_that_is_not_there() -> None:
    """How many would be ahead of one: all of greater priority."""
    queue = Queue({3: ([4, 9], [1, 1]), -3: ([1], [1])})
    assert [queue.ahead(priority, 5) for priority in (9, 3, 0, -3, -9)] == [0, 1, 2, 3, 3]
    assert queue.kinds_ahead(0, 5) == {}


# --- waiting ----------------------------------------------------------------------------------------------------------


class Rooms(RuleBasedStateMachine):
    """`waiting` is what should wait: id to (ready_at, priority)."""

    def __init__(self) -> None:
        super().__init__()
        self.room = DelayedJobs([DelayedJob(50, 1, 7, kind(1)), DelayedJob(10, 2, 0, kind(2))])
        self.waiting = {1: (50, 7), 2: (10, 0)}
        self.now = 0

    @rule(job_id=st.integers(1, 9), after=st.sampled_from((-5, 0, 3, 3, 100)), priority=st.sampled_from((0, 5)))
    def add(self, job_id: int, after: int, priority: int) -> None:
        if job_id not in self.waiting:
            self.room.add(DelayedJob(self.now + after, job_id, priority, kind(job_id)))
            self.waiting[job_id] = (self.now + after, priority)

    @rule(job_id=st.integers(1, 9))
    def remove(self, job_id: int) -> None:
        if self.waiting.pop(job_id, None) is not None:
            assert self.room.remove(job_id) == kind(job_id)
        else:
            with pytest.raises(KeyError):
                self.room.remove(job_id)

    @rule(step=st.sampled_from((-20, 1, 3, 200)))
    def time_passes(self, step: int) -> None:
        self.now += step

    @rule()
    def take(self) -> None:
        ready = {job_id: at for job_id, at in self.waiting.items() if at[0] <= self.now}
        taken = self.room.wake(self.now)
        assert sorted(taken) == self._sorted(ready)
        for job_id in ready:
            del self.waiting[job_id]

    def _sorted(self, waiting: dict[int, tuple[int, int]]) -> list[DelayedJob]:
        return sorted(DelayedJob(at, job_id, priority, kind(job_id)) for job_id, (at, priority) in waiting.items())

    @invariant()
    def is_the_same(self) -> None:
        assert len(self.room) == len(self.waiting)
        assert list(self.room.soonest()) == self._sorted(self.waiting)
        assert self.room.next_ready_at() == min((at for at, _ in self.waiting.values()), default=None)
        assert [job_id in self.room for job_id in range(1, 10)] == [
            delivery in self.waiting for delivery in range(1, 10)
        ]


def test_those_whose_time_has_come_are_taken_and_no_others() -> None:
    """Whatever is added, removed and added again, and however the clock goes."""
    run_state_machine_as_test(
        Rooms,
        settings=examples(30, steps=30),
    )


def test_places_of_jobs_that_wait_no_more_are_cleared_away() -> None:
    """Or cancelled jobs with a delay of a year would stay in memory for a year."""
    room = DelayedJobs(DelayedJob(1_000_000 + job_id, job_id, 0, 1) for job_id in range(100_000))
    for job_id in range(0, 100_000):
        if job_id % 100:
            room.remove(job_id)
    assert room.entries() < 4 * len(room) == 4_000
    assert room.next_ready_at() == 1_000_000
    assert [job.job_id for job in islice(room.soonest(), 3)] == [0, 100, 200]
    assert len(room.wake(2_000_000)) == 1_000
