"""What people write to their jobs: names, comments, and who they say they are."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.broker.requests.job_status import job_event, job_status
from zjobs.messages.requests.changes import NewJob, Retry, Submit, SubmitReply
from zjobs.messages.requests.ops import Error
from zjobs.messages.states import ErrorCode, JobState
from zjobs.messages.units import JobId

JOB = NewJob("once", b"x", name="scan 3", comment="after the new lens")


def submit(bench: Any, job: NewJob, key: str = "k", owner: str = "", submitter: str = "alice@lab3") -> Any:
    bench.ask(Submit(key, (job,), submitter=submitter), owner=owner)
    return bench.reply()


def test_texts_are_kept(bench: Any) -> None:
    """They are on disk, for as long as the job."""
    submit(bench, JOB)
    bench.cancel(1)
    bench.restart()
    job = bench.job(1)
    assert (job.name, job.comment, job.submitter) == ("scan 3", "after the new lens", "alice@lab3")


@pytest.mark.parametrize("other", [{"name": "scan 4"}, {"comment": ""}, {"name": "", "comment": "scan 3"}])
def test_texts_are_part_of_what_a_request_key_stands_for(bench: Any, other: dict[str, str]) -> None:
    """Another name or comment is another job; a name is no comment."""
    first = submit(bench, JOB)
    assert submit(bench, JOB) == first
    reply = submit(bench, JOB._replace(**other))
    assert isinstance(reply, Error) and reply.code is ErrorCode.KEY_CONFLICT


def test_the_submitter_has_no_part_in_request_keys(bench: Any) -> None:
    """Nobody checks it: whoever repeats a request gets the job, and it stays whose it was."""
    assert submit(bench, JOB) == submit(bench, JOB, submitter="mallory@lab3") == SubmitReply("journal", 1, 1, False)
    assert bench.job(1).submitter == "alice@lab3"


def test_a_submitter_counts_only_where_nothing_is_proven(bench: Any) -> None:
    """A job with an owner has none, a copy neither."""
    submit(bench, JOB, owner="bob")
    bench.cancel(1)
    bench.ask(Retry("again", (JobId(1),), "alice@lab3"), owner="bob")
    bench.turn()
    assert [(bench.job(job_id).owner, bench.job(job_id).submitter) for job_id in (1, 2)] == [("bob", "")] * 2


def test_a_copy_has_the_texts_and_the_submitter_of_the_retry(bench: Any) -> None:
    """It is the same job, and asked for by whoever copied it."""
    submit(bench, JOB)
    bench.cancel(1)
    bench.ask(Retry("again", (JobId(1),), "bob@lab3"))
    bench.turn()
    job = bench.job(2)
    assert (job.name, job.comment, job.submitter) == ("scan 3", "after the new lens", "bob@lab3")


@pytest.mark.parametrize(
    ("jobs", "digest"),
    [
        ((NewJob("a", b"b"),), "a56cbf07f1daf61ffcdb98ce39a1e8c8"),
        ((NewJob("a", b"b", 5, 30, 700), NewJob("c")), "6781fbe009afc60024e985fba39b7d18"),
    ],
)
def test_digests_stay_as_they_are(bench: Any, jobs: tuple[NewJob, ...], digest: str) -> None:
    """They are in journals: a request that is repeated after an update must be known. These are of format 5."""
    bench.ask(Submit("k", jobs))
    assert bench.turn().changes.submitted["", "k"].digest.hex() == digest


def test_texts_count_for_what_a_retry_may_copy(make: Any) -> None:
    """They are copied like data, so they are bounded like data."""
    bench = make(request_bytes=4_000)
    long = JOB._replace(comment="ü" * 2_000)
    assert submit(bench, long, "1").first_id == 1 and submit(bench, long, "2").first_id == 2
    bench.cancel(1, 2)
    reply = bench.retry(1, 2)
    assert isinstance(reply, Error) and reply.code is ErrorCode.TOO_LARGE
    assert bench.retry(1).first_id == 3


def test_events_have_no_texts(ready: Any) -> None:
    """Not even of the job that runs; the status has them all, but for the comment."""
    submit(ready, JOB)
    ready.heartbeat()
    job = ready.job(1)
    told = job_event(ready.core, job, None, ready.now).job
    assert (told.name, told.submitter, told.comment, told.state) == ("", "", "", JobState.QUEUED)
    status = job_status(ready.core, job, ready.now)
    assert (status.name, status.submitter, status.comment) == ("scan 3", "alice@lab3", "")
