"""Who copies the journal's file: each backup is told of its own hold alone."""

from __future__ import annotations

import pytest

from zjobs.broker.core.holds import MOST, Holds


def test_overlapping_holds_do_not_end_each_other() -> None:
    """The file stays as it is until the last one ends."""
    holds = Holds()
    assert holds.take("a", 100) and holds.take("b", 200)
    assert holds.end("a") and holds
    assert holds.end("b") and not holds


def test_each_is_told_what_happened_since_it_began() -> None:
    """A move of the log disturbs those that were there, however long they are made to last, and no later one."""
    holds = Holds()
    holds.take("a", 100)
    holds.disturb()
    assert holds.take("b", 100)
    assert not holds.take("a", 300)
    assert holds.end("b") and not holds.end("a")


def test_a_hold_that_is_over_or_unknown_did_not_last() -> None:
    """Each at its own time."""
    holds = Holds()
    holds.take("a", 100)
    holds.take("b", 200)
    assert holds.due_at_ms() == 100
    holds.expire(99)
    assert holds.due_at_ms() == 100
    holds.expire(100)
    assert holds.due_at_ms() == 200
    assert not holds.end("a") and not holds.end("c") and holds.end("b")
    assert holds.due_at_ms() is None


def test_there_are_not_too_many() -> None:
    """One more is refused; those that are there may be made longer."""
    holds = Holds()
    for number in range(MOST):
        holds.take(str(number), 100)
    with pytest.raises(ValueError, match="being made already"):
        holds.take("more", 100)
    assert holds.take("0", 200)
