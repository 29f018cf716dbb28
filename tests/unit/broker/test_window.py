"""What the window admits, case by case, and the averages it goes by."""

from __future__ import annotations

import pytest

from zjobs.broker.window import WINDOW_BYTES, WINDOW_JOBS, WINDOW_US, Averages, Load, Weight, admits

QUICK = Weight(100.0, 10, False)


@pytest.mark.parametrize(
    ("load", "job", "admitted"),
    [
        # nothing is handed over: anything may be
        (Load(), QUICK, True),
        (Load(), Weight(None, 0, False), True),
        (Load(), Weight(10.0, 0, True), True),
        (Load(), Weight(WINDOW_US * 100.0, 0, False), True),
        (Load(), Weight(1.0, WINDOW_BYTES + 1, False), True),
        # something is: a type not seen yet, and a job that travels alone, go neither behind nor before others
        (Load().plus(QUICK), Weight(None, 0, False), False),
        (Load().plus(Weight(None, 0, False)), QUICK, False),
        (Load().plus(QUICK), Weight(100.0, 0, True), False),
        (Load().plus(Weight(100.0, 0, True)), QUICK, False),
        # time, jobs and bytes, each up to its bound
        (Load().plus(QUICK), QUICK, True),
        (Load(1, WINDOW_US - 100.0), QUICK, True),
        (Load(1, WINDOW_US - 99.0), QUICK, False),
        (Load(WINDOW_JOBS - 1), Weight(0.0, 0, False), True),
        (Load(WINDOW_JOBS), Weight(0.0, 0, False), False),
        (Load(1, 0.0, WINDOW_BYTES - 10), QUICK, True),
        (Load(1, 0.0, WINDOW_BYTES - 9), QUICK, False),
    ],
)
def test_admits(load: Load, job: Weight, admitted: bool) -> None:
    """The table says whether the job may be handed over on top of the load."""
    assert admits(load, job) is admitted


def test_two_second_jobs_get_a_window_of_one_and_no_op_jobs_stream() -> None:
    """How many jobs of one kind fit: 1 of two seconds, 4 of five milliseconds, WINDOW_JOBS of nothing."""
    fitting = []
    for expected_us in (2_000_000.0, 5_000.0, 10.0):
        load, job = Load(), Weight(expected_us, 0, False)
        while admits(load, job):
            load = load.plus(job)
        fitting.append(load.jobs)
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
