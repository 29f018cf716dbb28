"""The queue against a plain sorted list."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from zjobs.broker.queue import BLOCK, Queue


class Model(RuleBasedStateMachine):
    """`waiting` is what the queue should hold, `out` what was taken from it and may come back."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.waiting: list[int] = []
        self.out: list[int] = []
        self.newest = 0

    @rule(gap=st.sampled_from((1, 2, 900)), count=st.sampled_from((1, 2, 3000, 40_000)))
    def add_new(self, gap: int, count: int) -> None:
        for _ in range(count):
            self.newest += gap
            self.queue.add(self.newest)
            self.waiting.append(self.newest)

    @precondition(lambda self: self.waiting)
    @rule(count=st.sampled_from((1, 5, BLOCK, 70 * BLOCK)))
    def take_the_first(self, count: int) -> None:
        for job_id in self.queue.first(count):
            self.queue.remove(job_id)
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
            self.queue.add(job_id)
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
            assert self.waiting[place] in self.queue
        if self.out:
            assert self.out[-1] not in self.queue


def test_the_queue_is_a_sorted_list() -> None:
    """Whatever is added, taken and put back: order, membership and the number ahead are those of a sorted list."""
    run_state_machine_as_test(
        Model,
        settings=settings(max_examples=12, stateful_step_count=20, derandomize=True, database=None, deadline=None),
    )


def test_places_in_front_are_dropped_and_made_again() -> None:
    """A long queue that was worked off keeps no memory for what is gone, and an old id still finds its place."""
    count = 130 * BLOCK
    queue = Queue(range(1, count + 1))
    for job_id in range(1, 70 * BLOCK):
        queue.remove(job_id)
        assert queue.first(1) == [job_id + 1]
    assert len(queue._ids) <= 66 * BLOCK, "the places of what is gone"
    assert queue.ahead(70 * BLOCK + 5) == 5
    queue.add(17)
    queue.add(16)
    assert queue.first(3) == [16, 17, 70 * BLOCK]
    assert queue.ahead(70 * BLOCK + 5) == 7 and len(queue) == count - 70 * BLOCK + 3


def test_an_empty_queue() -> None:
    """Has nothing first and nothing ahead of anything; its only id can come back."""
    queue = Queue()
    assert (len(queue), queue.first(3), queue.ahead(9), 9 in queue) == (0, [], 0, False)
    queue.add(9)
    queue.remove(9)
    queue.add(9)
    assert queue.first(3) == [9]
