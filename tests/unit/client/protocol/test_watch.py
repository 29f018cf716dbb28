"""Waiting, against a scripted broker."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from zjobs.client import Client, errors
from zjobs.client.job import Watch
from zjobs.client.protocol.events import watch
from zjobs.client.protocol.events.watch import WatchEvent
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import Status, Wait
from zjobs.messages.states import JobState

QUEUED, RUNNING, COMPLETED = JobState.QUEUED, JobState.IN_PROGRESS, JobState.COMPLETED


def until(watching: Watch, wanted: Callable[[WatchEvent], bool]) -> WatchEvent:
    """The first news that is `wanted`."""
    while True:
        news = watching.next(60)
        assert news is not None, "no such news"
        if wanted(news):
            return news


def test_news_as_they_are_pushed(broker: Any, client: Client) -> None:
    """Every change arrives as it is pushed, the last one ends the watch, and old news are not told again."""
    broker.add(17, ahead=3)
    with client.watch([17]) as watching:
        assert watching.next(60) == WatchEvent(job=broker.jobs[17])
        running = broker.add(17, RUNNING)
        assert until(watching, lambda news: True).job == running
        old = running._replace(state=QUEUED, version=0)
        broker.emit(old)
        ended = broker.add(17, COMPLETED, "x")
        assert watching.next(60) == WatchEvent(job=ended)
        assert watching.next(60) is None
        assert not watching.unfinished
    assert len(broker.asked(Status)) == 1, "pushed, not asked for"


def test_a_refresh_when_all_have_ended_adds_no_other_jobs(broker: Any, client: Client) -> None:
    """It asks for the jobs of the watch, and there is none left to ask for."""
    broker.add(1)
    broker.add(17, COMPLETED, "x")
    with client.watch([17]) as watching:
        assert watching.next(60) == WatchEvent(job=broker.jobs[17])
        watching.refresh()
        assert watching.next(0) is None
        assert list(watching.jobs) == [17] and not watching.unfinished


def test_no_news(broker: Any, client: Client) -> None:
    """next() comes back without news when its time is over."""
    broker.add(17)
    with client.watch([17]) as watching:
        watching.next(60)
        assert watching.next(0) is None
        assert watching.next(0.01) is None
        assert watching.unfinished


def test_lost_events_are_asked_for(broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that never arrives is made up for by a request."""
    monkeypatch.setattr(watch, "CHECK_EVERY_S", 0.05)
    broker.add(17)
    with client.watch([17]) as watching:
        watching.next(60)
        broker.jobs[17] = broker.jobs[17]._replace(state=COMPLETED, version=1)
        assert watching.next(60) == WatchEvent(job=broker.jobs[17])


def test_many_jobs_with_few_topics(broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first unfinished jobs are subscribed to; the rest follow as those end."""
    monkeypatch.setattr(watch, "MOST_TOPICS", 4)
    for job_id in range(1, 21):
        broker.add(job_id)
    with client.watch(range(1, 21)) as watching:
        for job_id in range(1, 21):
            ended = broker.add(job_id, COMPLETED, job_id)
            until(watching, functools.partial(WatchEvent.__eq__, WatchEvent(job=ended)))
        assert not watching.unfinished
    topics: set[bytes] = set()
    while not broker.subscribed.empty():
        message = broker.subscribed.get()
        (topics.add if message[0] else topics.discard)(message[1:])
        assert len(topics) <= 4


def test_wait_for_none(client: Client) -> None:
    """Watching nothing is over at once."""
    with client.watch([]) as watching:
        assert watching.next(60) is None


def test_wait_returns_the_final_status(broker: Any, client: Client) -> None:
    """wait() ends with the job, and result() has its value."""
    job = client.submit("reverse", "example")
    ended: list[JobStatus] = []
    thread = threading.Thread(target=lambda: ended.append(job.wait(timeout=60)))
    thread.start()
    broker.wait_for(Wait, 1)
    broker.add(job.id, COMPLETED, "elpmaxe")
    thread.join(60)
    assert ended == [broker.jobs[job.id]]
    assert job.result() == "elpmaxe"


def test_wait_has_a_timeout(broker: Any, client: Client) -> None:
    """A job that takes too long: WaitTimeout (which is a TimeoutError), with the job's status."""
    broker.add(17, RUNNING)
    for timeout in (0, 0.05):
        with pytest.raises(TimeoutError) as caught:
            client.job(17).wait(timeout=timeout)
        assert isinstance(caught.value, errors.WaitTimeout) and caught.value.status == broker.jobs[17]


def test_a_lost_broker_is_waited_for(broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that goes away in mid-wait is told as lost, then as back, and the wait goes on to the end."""
    monkeypatch.setattr(watch, "CHECK_TIMEOUT_S", 0.2)
    broker.add(17)
    with client.watch([17]) as watching:
        watching.next(60)
        broker.stop()
        assert watching.next(60) == WatchEvent(link=False)
        broker.start()
        until(watching, lambda news: news.link is True)
        broker.add(17, COMPLETED, "x")
        assert until(watching, lambda news: news.job is not None).job == broker.jobs[17]


def test_a_broker_that_comes_back_elsewhere(broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restarted broker may have its events at another port: they are looked up again."""
    monkeypatch.setattr(watch, "CHECK_TIMEOUT_S", 0.2)
    broker.add(17)
    with client.watch([17]) as watching:
        watching.next(60)
        broker.stop()
        assert watching.next(60) == WatchEvent(link=False)
        broker.events = "tcp://127.0.0.1:*"
        broker.start()
        until(watching, lambda news: news.link is True)
        broker.requests.clear()
        broker.add(17, COMPLETED, "x")
        assert until(watching, lambda news: news.job is not None).job == broker.jobs[17]
        assert broker.asked(Status) == [], "pushed from the new place"


def test_a_broker_lost_for_good(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the client's patience is over, the wait ends as unreachable."""
    monkeypatch.setattr(watch, "CHECK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(watch, "LOST_CHECK_EVERY_S", 0.05)
    broker.add(17)
    with Client(broker.address, patience=0.3) as client, client.watch([17]) as watching:
        watching.next(60)
        broker.stop()
        assert watching.next(60) == WatchEvent(link=False)
        with pytest.raises(errors.BrokerUnreachable, match=r"within 0\.3 s"):
            watching.next(60)
    broker.start()


def test_a_journal_that_changes_in_mid_wait(broker: Any, client: Client) -> None:
    """Job 17 of another journal is not taken for ours."""
    broker.add(17)
    with client.watch([17]) as watching:
        watching.next(60)
        broker.journal = "journal-2"
        broker.add(17, COMPLETED, "another's")
        with pytest.raises(errors.BrokerChanged):
            watching.next(60)


def test_nonsense_among_the_events(broker: Any, client: Client) -> None:
    """What is no event is passed over."""
    broker.add(17)
    with client.watch([17]) as watching:
        watching.next(60)
        broker._todo.put(lambda: broker._xpub.send_multipart([b"job.17.", b"\xc1"]))
        ended = broker.add(17, COMPLETED, "x")
        assert watching.next(60) == WatchEvent(job=ended)
