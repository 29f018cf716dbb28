"""What the window admits, case by case, and the averages it goes by."""

from __future__ import annotations

import pytest

from zjobs.broker.core.worker.in_flight import WINDOW_BYTES, WINDOW_JOBS, WINDOW_US, Averages, Weight, Window

QUICK = Weight(100, 10, False)


def window(*jobs: Weight) -> Window:
    """A window in which these are handed over, numbered from 1."""
    handed = Window()
    for delivery, job in enumerate(jobs, 1):
        handed.add(delivery, job)
    return handed


@pytest.mark.parametrize(
    ("handed", "job", "admitted"),
    [
        # nothing is handed over: anything may be
        ([], QUICK, True),
        ([], Weight(None, 0, False), True),
        ([], Weight(10, 0, True), True),
        ([], Weight(WINDOW_US * 100, 0, False), True),
        ([], Weight(1, WINDOW_BYTES + 1, False), True),
        # something is: a type not seen yet, and a job that travels alone, go neither behind nor before others
        ([QUICK], Weight(None, 0, False), False),
        ([Weight(None, 0, False)], QUICK, False),
        ([QUICK], Weight(100, 0, True), False),
        ([Weight(100, 0, True)], QUICK, False),
        # time, jobs and bytes, each up to its bound
        ([QUICK], QUICK, True),
        ([Weight(WINDOW_US - 100, 0, False)], QUICK, True),
        ([Weight(WINDOW_US - 99, 0, False)], QUICK, False),
        ([Weight(0, 0, False)] * (WINDOW_JOBS - 1), Weight(0, 0, False), True),
        ([Weight(0, 0, False)] * WINDOW_JOBS, Weight(0, 0, False), False),
        ([Weight(0, WINDOW_BYTES - 10, False)], QUICK, True),
        ([Weight(0, WINDOW_BYTES - 9, False)], QUICK, False),
    ],
)
def test_admits(handed: list[Weight], job: Weight, admitted: bool) -> None:
    """The table says whether the job may be handed over on top of those."""
    assert window(*handed).admits(job) is admitted


def test_what_is_settled_weighs_no_more() -> None:
    """Of each kind of weight: once it is removed, whatever may be handed over beside QUICK may be again."""
    heavy = [Weight(WINDOW_US, 0, False), Weight(0, WINDOW_BYTES, False), Weight(None, 0, False), Weight(1, 0, True)]
    handed = window(QUICK, *heavy)
    for delivery in range(2, 2 + len(heavy)):
        assert not handed.admits(QUICK)
        handed.remove(delivery)
    assert handed.admits(QUICK) and len(handed) == 1


def test_two_second_jobs_get_a_window_of_one_and_no_op_jobs_stream() -> None:
    """How many jobs of one kind fit: 1 of two seconds, 4 of five milliseconds, WINDOW_JOBS of nothing."""
    fitting = []
    for expected_us in (2_000_000, 5_000, 10):
        handed, job = Window(), Weight(expected_us, 0, False)
        while handed.admits(job):
            handed.add(len(handed), job)
        fitting.append(len(handed))
    assert fitting == [1, 4, WINDOW_JOBS]


def test_averages_follow_what_is_seen() -> None:
    """None before the first, that one at first, and after a change mostly the new after some dozens."""
    averages = Averages()
    assert averages.of("x") is None
    averages.took("x", 1000)
    assert averages.of("x") == 1000 and averages.of("y") is None
    for _ in range(64):
        averages.took("x", 0)
    assert 0 < (averages.of("x") or 0) < 20
