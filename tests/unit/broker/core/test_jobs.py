"""The table of transitions: every state meets every step."""

from __future__ import annotations

import pytest

from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.jobs import TRANSITIONS, Job, Step, next_state
from zjobs.messages.states import JobState

# What docs/protocol.md draws, written down a second time.
ARROWS = {
    ("queued", "dispatch", "in_progress"),
    ("queued", "cancel", "cancelled"),
    ("in_progress", "return", "queued"),
    ("in_progress", "complete", "completed"),
    ("in_progress", "fail", "failed"),
    ("in_progress", "retry", "queued"),
    ("in_progress", "rerun", "queued"),
    ("in_progress", "lose", "failed"),
    ("in_progress", "cancel", "cancelled"),
}


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("state", JobState)
def test_every_state_meets_every_step(state: JobState, step: Step) -> None:
    """An arrow of the drawing leads where it says; everything else is a bug and said to be one."""
    job = Job(7, "x", state, 0, 0, 0, 0, 0)
    targets = [target for source, name, target in ARROWS if (source, name) == (state.value, step.value)]
    if targets:
        assert [next_state(job, step, state).value] == targets
    else:
        with pytest.raises(AssertionError, match=f"job 7: no step {step.value} from {state.value}"):
            next_state(job, step, state)


def test_no_arrow_leaves_a_final_state() -> None:
    """Final is final; and every state but the first can be reached only by an arrow of the table."""
    assert not [state for state, _ in TRANSITIONS if state.final]


def test_changes_are_nothing_until_something_is_put_in() -> None:
    """A turn without changes makes no commit."""
    assert not Changes()
    for name, empty in vars(Changes()).items():
        changes = Changes()
        value = {1: 1} if isinstance(empty, dict) else [()] if name == "pauses" else [1]
        setattr(changes, name, value)
        assert changes, name
