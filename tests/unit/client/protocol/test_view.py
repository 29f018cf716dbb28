"""The statuses of jobs: the newest counts, in whatever order things are heard."""

from __future__ import annotations

import itertools

import pytest

from zjobs.client.protocol.events.watch import Statuses, is_newer
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState

QUEUED, RUNNING, COMPLETED = JobState.QUEUED, JobState.IN_PROGRESS, JobState.COMPLETED


def status(version: int, progress: int, state: JobState = QUEUED, ahead: int | None = None) -> JobStatus:
    return JobStatus(17, "reverse", state, version, progress, 1, 0, 0, ahead=ahead)


ENDED = status(1, 0, COMPLETED)
CASES = [
    (None, status(0, 0), True, "the first that is heard"),
    (status(0, 0), status(0, 1, RUNNING), True, "greater progress"),
    (status(0, 1, RUNNING), status(1, 0, COMPLETED), True, "a greater version, though progress starts anew"),
    (status(0, 1, RUNNING), status(0, 0), False, "smaller progress"),
    (status(1, 0, COMPLETED), status(0, 9, RUNNING), False, "a smaller version, whatever the progress"),
    (status(0, 0, ahead=3), status(0, 0, ahead=3), False, "the same again"),
    (status(0, 0, ahead=3), status(0, 0, ahead=2), True, "the same but for the place in the queue"),
    (ENDED, ENDED._replace(submitter="ann@bench"), False, "an end that was told, now with the texts of a reply"),
    (ENDED._replace(submitter="ann@bench"), ENDED, False, "an end that was told, now by an event without texts"),
]


@pytest.mark.parametrize(("known", "heard", "news", "why"), CASES, ids=[case[3] for case in CASES])
def test_is_news(known: JobStatus | None, heard: JobStatus, news: bool, why: str) -> None:
    """(version, progress) decides what is newer."""
    assert is_newer(known, heard) is news


def test_every_order_ends_the_same() -> None:
    """However the news of a job are shuffled and repeated, the final state is what is known, and it has ended."""
    said = [status(0, 0), status(0, 1, RUNNING), status(1, 0), status(1, 1, RUNNING), status(2, 0, COMPLETED)]
    for order in itertools.permutations(said):
        statuses = Statuses(iter([17, 18]))
        for heard in (*order, *order):
            statuses.merge(heard)
        assert statuses.jobs == {17: said[-1]}
        assert list(statuses.unfinished) == [18]
