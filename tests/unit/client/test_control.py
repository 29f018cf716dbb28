"""What the library does with jobs that exist, against a scripted broker."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any

import pytest

from zjobs.client import Client, errors
from zjobs.client.protocol import operations
from zjobs.client.protocol.job import milliseconds
from zjobs.messages.records import JobStatus, Limits
from zjobs.messages.requests.changes import Cancel, Pause, Resume, Retry, Submit
from zjobs.messages.requests.ops import Error
from zjobs.messages.requests.queries import List, Wait
from zjobs.messages.states import ErrorCode, JobState

QUEUED, RUNNING, COMPLETED = JobState.QUEUED, JobState.IN_PROGRESS, JobState.COMPLETED
FAILED, CANCELLED = JobState.FAILED, JobState.CANCELLED


def test_priority_delay_and_time_limit(broker: Any, client: Client) -> None:
    """Keyword arguments of submit and submit_many travel with each job, seconds as milliseconds."""
    client.submit("t", "a", priority=-7, delay=1.5, time_limit=0.0001)
    client.submit_many("t", ["a", "b"], priority=1000, delay=0, time_limit=90)
    client.submit("t", "a")
    sent = [(job.priority, job.delay_ms, job.time_limit_ms) for r in broker.asked(Submit) for job in r.jobs]
    assert sent == [(-7, 1500, 1), (1000, 0, 90_000), (1000, 0, 90_000), (0, 0, None)]


@pytest.mark.parametrize(
    ("seconds", "low_ms", "ms"),
    [
        (0.0004, 0, 0),
        (0.0005, 0, 1),
        (0.0004, 1, 1),
        (1.2344, 0, 1234),
        (1.2346, 0, 1235),
        (2.5, 0, 2500),
        ("1m", 1, 60000),
    ],
)
def test_durations_are_rounded_to_milliseconds(seconds: Any, low_ms: int, ms: int) -> None:
    """To the nearest; one that must be more than 0 never becomes 0."""
    assert milliseconds("delay", seconds, low_ms) == ms


@pytest.mark.parametrize("wrong", [{"priority": 1001}, {"priority": -1001}, {"delay": -1}, {"time_limit": 0}])
def test_what_no_job_can_have(broker: Any, client: Client, wrong: dict[str, Any]) -> None:
    """Numbers out of their bounds are refused before anything is sent."""
    with pytest.raises(errors.BadRequest):
        client.submit("t", "a", **wrong)
    assert broker.requests == []


def test_cancel(broker: Any, client: Client) -> None:
    """Each job is told as it is now, in the order asked; ids without a job are told apart."""
    broker.add(1)
    broker.add(2, RUNNING)
    broker.add(3, COMPLETED, "x")
    reply = client.cancel([3, 1, 99, 2])
    assert [(job.id, job.state, job.cancelling) for job in reply.jobs] == [
        (3, COMPLETED, False),
        (1, CANCELLED, False),
        (2, RUNNING, True),
    ]
    assert [missing.id for missing in reply.missing] == [99]


def test_more_ids_than_a_request_takes(broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel and forget of many jobs are several requests and one answer."""
    monkeypatch.setattr(operations, "IDS_A_REQUEST", 2)
    for job_id in (1, 2, 3):
        broker.add(job_id)
    broker.add(4, RUNNING)
    reply = client.cancel([1, 2, 3, 98, 99])
    assert ([job.id for job in reply.jobs], len(reply.missing)) == ([1, 2, 3], 2)
    assert [request.ids for request in broker.asked(Cancel)] == [(1, 2), (3, 98), (99,)]
    dropped = client.forget([1, 2, 3, 4, 99])
    assert (dropped.forgotten, dropped.kept, dropped.missing[0].id) == ((1, 2, 3), (4,), 99)


def test_parts_of_two_journals_are_not_put_together(
    broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the journal changes between two parts, the answer is an exception."""
    monkeypatch.setattr(operations, "IDS_A_REQUEST", 1)
    broker.script = [broker.answer, lambda request: broker.answer(request)._replace(journal="journal-2")]
    with pytest.raises(errors.BrokerChanged):
        client.cancel([1, 2])


def test_retry(broker: Any, client: Client) -> None:
    """Copies of ended jobs are new jobs; the same key makes them once."""
    for job_id in (1, 2):
        broker.add(job_id, FAILED)
    copies = client.retry([1, 2], request_key="again")
    assert [job.id for job in copies] == [3, 4] and copies[0].journal == broker.journal
    assert [job.id for job in client.retry([1, 2], request_key="again")] == [3, 4]
    assert client.job(1).retry().id == 5
    keys = [request.request_key for request in broker.asked(Retry)]
    assert keys[:2] == ["again", "again"] and len(keys[2]) == 32


def test_too_many_copies_for_one_request_are_made_in_halves(broker: Any, client: Client) -> None:
    """Each under a key of its own, the same for the same ids; in the order of the ids."""
    for job_id in range(1, 8):
        broker.add(job_id, FAILED)
    broker.limits = Limits(request_jobs=3)
    assert [job.id for job in client.retry(range(1, 8), request_key="k")] == list(range(8, 15))
    asked = [(request.request_key, request.ids) for request in broker.asked(Retry)]
    assert [key for key, _ in asked] == ["k", "k.1", "k.1.1", "k.1.2", "k.2"]
    assert sum((ids for key, ids in asked if key in ("k.1.1", "k.1.2", "k.2")), ()) == tuple(range(1, 8))
    assert [job.id for job in client.retry(range(1, 8), request_key="k")] == list(range(8, 15))


def test_a_retry_that_is_never_small_enough_fails(broker: Any, client: Client) -> None:
    """One job cannot be halved; the key of an exception in the middle is that of the whole."""
    broker.limits = Limits(request_jobs=1)
    broker.script = [lambda request: Error(ErrorCode.TOO_LARGE, "too large")] * 2
    with pytest.raises(errors.TooLarge):
        client.retry([1, 2], request_key="k")
    broker.add(1, FAILED)
    broker.script = [broker.answer, broker.answer, lambda request: Error(ErrorCode.NOT_FINISHED, "it runs")]
    with pytest.raises(errors.NotFinished) as caught:
        client.retry([1, 2], request_key="k")
    assert caught.value.request_key == "k"


def test_a_retry_without_an_answer_tells_its_key(broker: Any, client: Client) -> None:
    """As with submit: repeating under the exception's key makes no second copy."""
    broker.script = [lambda request: Error(ErrorCode.STORAGE, "full")]
    with pytest.raises(errors.StorageFailed) as caught:
        client.retry([1], request_key="mine")
    assert caught.value.request_key == "mine"


def test_a_job_controls_itself(broker: Any, client: Client) -> None:
    """job.cancel() tells what the job has become, job.log() what it has printed."""
    job = client.submit("t", "a")
    broker.logs[job.id] = b"line\n\xff"
    assert job.log() == b"line\n\xff"
    assert job.cancel().state is CANCELLED
    with pytest.raises(errors.Expired):
        client.job(99).cancel()


def test_a_job_of_another_journal_is_left_alone(broker: Any, client: Client) -> None:
    """Job 1 of this journal is not cancelled, retried or shown for job 1 of the one before."""
    job = client.submit("t", "a")
    broker.journal = "journal-2"
    for act in (job.cancel, job.retry, job.log):
        with pytest.raises(errors.BrokerChanged):
            act()
    assert broker.jobs[1].state is QUEUED and not broker.asked(Retry)


def test_pause_and_resume(broker: Any, client: Client) -> None:
    """pause tells the pause, resume the one it lifted, or that there was none."""
    assert client.pause("lens cap").paused.reason == "lens cap" == broker.paused.reason
    was = client.resume().was
    assert was is not None and was.reason == "lens cap"
    assert client.resume(all=True).was is None
    assert [request.all for request in broker.asked(Resume)] == [False, True]


def test_pauses_with_an_end(broker: Any, client: Client) -> None:
    """As a duration or a time, and not as both."""
    until = datetime(2030, 1, 1, tzinfo=timezone.utc)
    for given in ({"duration": "30m"}, {"duration": 1.5}, {"until": until}, {}):
        client.pause(**given)
    told = [(request.until_at, request.for_ms) for request in broker.asked(Pause)]
    assert told == [(None, 1_800_000), (None, 1_500), (1_893_456_000_000, None), (None, None)]
    for wrong in ({"duration": 5, "until": until}, {"duration": 0}, {"duration": "soon"}):
        with pytest.raises(errors.BadRequest):
            client.pause(**wrong)


def test_pause_that_waits(broker: Any, client: Client) -> None:
    """Until the worker has nothing any more; its end, a resume, and what is too long."""
    broker.add(1, JobState.IN_PROGRESS)
    broker.add(2)
    broker.dispatched = [1, 2]
    reply = client.pause("lens cap")
    assert (reply.running, reply.may_start) == (1, (2,))
    with pytest.raises(errors.StillRunning) as caught:
        client.pause(wait=True, timeout=0.05)
    assert caught.value.dispatched == 2 and broker.paused is not None
    broker.script = [broker.answer, broker.answer, lambda request: broker.dispatched.clear() or broker.answer(request)]
    assert client.pause("again", wait=True).paused.reason == "again" and not broker.script
    broker.dispatched = [1]
    broker.script = [broker.answer, broker.answer, lambda request: client_resumes(broker) or broker.answer(request)]
    with pytest.raises(errors.Resumed):
        client.pause(wait=True)


def test_a_pause_that_waits_outlasts_a_lost_broker(broker: Any) -> None:
    """Up to the client's patience."""
    broker.dispatched = [1]
    broker.add(1)
    with Client(broker.address, timeout=0.05, patience=60) as client:
        client.pause()
        broker.script = [broker.answer, *[lambda request: None] * 3, lambda request: broker.dispatched.clear()]
        client.wait_until_idle()
        client.patience = 0.0
        broker.dispatched = [1]
        broker.script = [lambda request: None] * 100
        with pytest.raises(errors.BrokerUnreachable):
            client.wait_until_idle()


def client_resumes(broker: Any) -> None:
    broker.paused = None


def test_list_goes_over_short_and_empty_pages(broker: Any, client: Client) -> None:
    """Newest first, over pages that are short or empty, and no request more than needed."""
    for job_id in (3, 4, 41, 57):
        broker.add(job_id, FAILED if job_id == 41 else COMPLETED)
    assert [job.id for job in client.list()] == [57, 41, 4, 3]
    assert [job.id for job in client.list(state="failed")] == [41] == [job.id for job in client.list(FAILED)]
    assert [job.id for job in client.list(type="nosuch")] == []
    assert [job.id for job in client.list(before=41)] == [4, 3]
    broker.requests.clear()
    assert [job.id for job in client.list(limit=1)] == [57]
    assert [job.id for job in client.list(limit=0)] == []
    assert broker.requests == [List(limit=1)]
    with pytest.raises(ValueError, match="finished"):
        next(iter(client.list(state="finished")))


def test_list_over_a_change_of_journal(broker: Any, client: Client) -> None:
    """Pages of two journals are not one list."""
    for job_id in (5, 55):
        broker.add(job_id, COMPLETED)
    jobs = client.list()
    assert next(jobs).id == 55
    broker.journal = "journal-2"
    with pytest.raises(errors.BrokerChanged):
        next(jobs)


def test_wait_for_several(broker: Any, client: Client) -> None:
    """wait() returns when all have ended, with how each did; a timeout tells one that goes on."""
    for job_id in (1, 2):
        broker.add(job_id)
    with pytest.raises(errors.WaitTimeout) as caught:
        client.wait([1, 2], timeout=0.05)
    assert caught.value.status == broker.jobs[1]
    ended: list[dict[int, JobStatus]] = []
    thread = threading.Thread(target=lambda: ended.append(client.wait([1, 2])))
    before = len(broker.asked(Wait))
    thread.start()
    broker.wait_for(Wait, before + 1)
    broker.add(2, FAILED)
    broker.add(1, COMPLETED, "x")
    thread.join(60)
    assert ended == [broker.jobs]
