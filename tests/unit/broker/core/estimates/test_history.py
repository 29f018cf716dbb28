"""Which runs are remembered, for how long, and how long each is said to have taken."""

from __future__ import annotations

import pytest

from zjobs.broker.core.estimates.history import MOST_TYPES, RECENT, History, tells_duration
from zjobs.messages.dispatch import Ended
from zjobs.messages.states import FailReason, Outcome
from zjobs.messages.units import DeliveryNumber, Us


@pytest.mark.parametrize(
    ("outcome", "reason", "tells"),
    [
        (Outcome.COMPLETED, None, True),
        (Outcome.FAILED, FailReason.TIMED_OUT, True),
        (Outcome.FAILED, FailReason.RAISED, False),
        (Outcome.FAILED, FailReason.BAD_DATA, False),
        (Outcome.FAILED, FailReason.TASK_DIED, False),
        (Outcome.CANCELLED, None, False),
        (Outcome.INTERRUPTED, None, False),
    ],
)
def test_which_runs_count(outcome: Outcome, reason: FailReason | None, tells: bool) -> None:
    """Those that show how long a run takes that does its work: no failures, no cancelled or lost ones."""
    assert tells_duration(Ended(DeliveryNumber(1), outcome, Us(5), reason=reason)) is tells


def test_the_last_runs_of_each_type_are_kept() -> None:
    """A type has a history of its own; the oldest of its runs goes first."""
    history = History({"a": tuple(range(RECENT))})
    history.ended("a", 99, True)
    history.ended("b", 7, True)
    history.ended("c", 7, False)
    assert history.end_turn(0, False) == {"a": (*range(1, RECENT), 99), "b": (7,)}
    assert history.end_turn(0, False) == {} and not history.of("c")
    assert history.span_of("b", None).likely_us == 7
    history.ended("b", 9, True)
    history.end_turn(0, False)
    assert history.span_of("b", None).likely_us == 8 and history.span_of("b", 5).likely_us == 5


def test_a_run_takes_from_the_end_of_the_one_before() -> None:
    """If the worker went from one to the other; what runs were in between shares the rest of the time."""
    history = History({})
    history.ended("a", 2_000, True)
    assert history.end_turn(100, True) == {"a": (2_000,)}, "nobody knows when it could have begun"
    for elapsed_us in (1_000, 3_000):
        history.ended("a", elapsed_us, True)
    assert history.end_turn(110, True) == {"a": (2_000, 4_000, 6_000)}
    history.end_turn(120, False)
    history.ended("a", 1_000, True)
    assert history.end_turn(200, True)["a"][-1] == 1_000, "the worker was idle"
    history.ended("a", 9_000, True)
    assert history.end_turn(201, True)["a"][-1] == 9_000, "clocks differ a little"


def test_a_type_of_which_nothing_was_heard_for_long_makes_room() -> None:
    """Types are bounded, whatever names workers have."""
    history = History({f"t{number}": (1,) for number in range(MOST_TYPES)})
    history.ended("new", 5, True)
    assert history.end_turn(0, False) == {"t0": (), "new": (5,)}
    assert not history.of("t0") and list(history.of("t1")) == [1]
