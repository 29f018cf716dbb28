"""Which jobs `list` is asked for."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zjobs.broker.core.records.jobs import Job
from zjobs.broker.requests.filters import fits, text_fits
from zjobs.messages.requests.queries import List
from zjobs.messages.states import JobState

JOB = Job(
    17,
    "reverse",
    JobState.COMPLETED,
    1,
    0,
    1,
    0,
    1000,
    owner="alice",
    name="scan 3",
    submitter="alice@lab3",
    comment="the blue lens",
)


@pytest.mark.parametrize(
    ("wanted", "fitting"),
    [
        (List(), True),
        (List(type="reverse", name="scan*", owner="alice", submitter="*@lab3", state=JobState.COMPLETED), True),
        (List(type="swap"), False),
        (List(name="scan"), False),
        (List(name=""), False),
        (List(owner="bob"), False),
        (List(submitter="bob@*"), False),
        (List(comment="*lens*"), True),
        (List(comment="lens"), False),
        (List(state=JobState.FAILED), False),
    ],
)
def test_all_that_is_given_must_fit(wanted: List, fitting: bool) -> None:
    """What is not given fits whatever it is."""
    assert fits(wanted, JOB) is fitting


def test_whether_a_job_runs_is_not_looked_at() -> None:
    """The journal does not know: a job that has not ended may be queued or in progress."""
    queued = JOB._replace(state=JobState.QUEUED)
    assert fits(List(state=JobState.IN_PROGRESS), queued) and fits(List(state=JobState.QUEUED), queued)


@given(st.text("ab*", max_size=6), st.text("ab*", max_size=8))
@example("ab*ba", "aba")
def test_a_star_stands_for_any_text(wanted: str, text: str) -> None:
    """And everything else for itself; compared with a regular expression, which may take long for much of this."""
    pattern = ".*".join(map(re.escape, wanted.split("*")))
    assert text_fits(wanted, text) is (re.fullmatch(pattern, text, re.DOTALL) is not None)
