"""Who copies the journal's file: each backup is told of its own hold alone."""

from __future__ import annotations

import pytest

from zjobs.broker.checkpoint_pauses import MOST, CheckpointPauses


def test_overlapping_holds_do_not_end_each_other() -> None:
    """The file stays as it is until the last one ends."""
    checkpoint_pauses = CheckpointPauses()
    assert checkpoint_pauses.begin("a", 100) and checkpoint_pauses.begin("b", 200)
    assert checkpoint_pauses.end("a") and checkpoint_pauses
    assert checkpoint_pauses.end("b") and not checkpoint_pauses


def test_each_is_told_what_happened_since_it_began() -> None:
    """A move of the log disturbs those that were there, however long they are made to last, and no later one."""
    checkpoint_pauses = CheckpointPauses()
    checkpoint_pauses.begin("a", 100)
    checkpoint_pauses.disturb()
    assert checkpoint_pauses.begin("b", 100)
    assert not checkpoint_pauses.begin("a", 300)
    assert checkpoint_pauses.end("b") and not checkpoint_pauses.end("a")


def test_a_hold_that_is_over_or_unknown_did_not_last() -> None:
    """Each at its own time."""
    checkpoint_pauses = CheckpointPauses()
    checkpoint_pauses.begin("a", 100)
    checkpoint_pauses.begin("b", 200)
    assert checkpoint_pauses.due_at_ms() == 100
    checkpoint_pauses.expire(99)
    assert checkpoint_pauses.due_at_ms() == 100
    checkpoint_pauses.expire(100)
    assert checkpoint_pauses.due_at_ms() == 200
    assert not checkpoint_pauses.end("a") and not checkpoint_pauses.end("c") and checkpoint_pauses.end("b")
    assert checkpoint_pauses.due_at_ms() is None


def test_there_are_not_too_many() -> None:
    """One more is refused; those that are there may be made longer."""
    checkpoint_pauses = CheckpointPauses()
    for number in range(MOST):
        checkpoint_pauses.begin(str(number), 100)
    with pytest.raises(ValueError, match="being made already"):
        checkpoint_pauses.begin("more", 100)
    assert checkpoint_pauses.begin("0", 200)
