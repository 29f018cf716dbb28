"""Watching all jobs, against a scripted broker."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.client import Client, errors
from zjobs.client.net.connection import run
from zjobs.client.protocol.actions import Ask, Heard, Listen, Sleep
from zjobs.client.protocol.events import watch, watch_all
from zjobs.client.protocol.events.watch import WatchEvent
from zjobs.messages import codec
from zjobs.messages.events import Listening, ServiceEvent
from zjobs.messages.records import JobStatus, Limits
from zjobs.messages.requests.queries import Hello, HelloReply, List, ListReply
from zjobs.messages.states import JobState, WorkerState

QUEUED, RUNNING, COMPLETED = JobState.QUEUED, JobState.IN_PROGRESS, JobState.COMPLETED


def job(job_id: int, version: int = 0, state: JobState = QUEUED) -> JobStatus:
    return JobStatus(job_id, "t", state, version, 0, 1, 0, 0)


def test_every_change_after_watch_returns(broker: Any, client: Client) -> None:
    """When watch() returns the subscription is in force: nothing that happens afterwards is missed."""
    told = [job(1), job(2), job(1, 1, COMPLETED)]
    with client.watch() as watching:
        for each in told:
            broker.emit_change(each)
        assert [watching.next(60) for _ in told] == [WatchEvent(job=each) for each in told]
        assert watching.next(0) is None


def test_as_an_iterator(broker: Any, client: Client) -> None:
    """A watch can be iterated over: of some jobs until all have ended, of all jobs for ever."""
    broker.add(1)
    seen = []
    for news in client.watch([1]):
        seen.append(news.job and news.job.state)
        if len(seen) == 1:
            broker.add(1, COMPLETED, "x")
    assert seen == [QUEUED, COMPLETED]
    watching = client.watch()
    broker.emit_change(job(7))
    assert next(iter(watching)) == WatchEvent(job=job(7))
    watching.close()
    watching.close()


def test_a_gap_is_told_and_repaired(broker: Any, client: Client) -> None:
    """After missed changes: how many, then what became of the jobs known before and of those submitted meanwhile."""
    with client.watch() as watching:
        for each in (job(1), job(2)):
            broker.emit_change(each)
        assert [watching.next(60) for _ in range(2)] == [WatchEvent(job=job(1)), WatchEvent(job=job(2))]
        broker.emit_change(job(1, 1, COMPLETED), lost=True)
        broker.emit_change(job(3), lost=True)
        broker.emit_change(job(4))
        assert [watching.next(60) for _ in range(4)] == [
            WatchEvent(missed=2),
            WatchEvent(job=job(4)),
            WatchEvent(job=job(1, 1, COMPLETED)),
            WatchEvent(job=job(3)),
        ]
        assert watching.next(0) is None


def test_the_very_last_change_is_lost(broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """No later event shows the gap: the count in the answer to a request does, and it is repaired as any other."""
    monkeypatch.setattr(watch, "CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(watch_all, "ON_ITS_WAY_S", 0.05)
    with client.watch() as watching:
        broker.emit_change(job(1))
        assert watching.next(60) == WatchEvent(job=job(1))
        broker.emit_change(job(1, 1, COMPLETED), lost=True)
        broker.emit_change(job(2), lost=True)
        heard = [watching.next(60) for _ in range(3)]
        assert sorted(heard, key=str) == sorted(
            [WatchEvent(missed=2), WatchEvent(job=job(1, 1, COMPLETED)), WatchEvent(job=job(2))], key=str
        )
        broker.emit_change(job(3))
        assert watching.next(60) == WatchEvent(job=job(3)), "and nothing is missed any more"


def test_a_broker_that_comes_back(broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happened while the broker was out of reach is told when it answers again."""
    monkeypatch.setattr(watch, "CHECK_TIMEOUT_S", 0.2)
    with client.watch() as watching:
        broker.emit_change(job(1))
        assert watching.next(60) == WatchEvent(job=job(1))
        broker.stop()
        assert watching.next(60) == WatchEvent(link=False)
        broker.emit_change(job(1, 1, COMPLETED), lost=True)
        broker.emit_change(job(2), lost=True)
        broker.start()
        heard = [watching.next(60) for _ in range(4)]
        assert sorted(heard, key=str) == sorted(
            [WatchEvent(link=True), WatchEvent(missed=2), WatchEvent(job=job(1, 1, COMPLETED)), WatchEvent(job=job(2))],
            key=str,
        )


def test_places_in_the_queue_are_no_change(broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request now and then, which finds out whether the broker is there, tells only what was really missed."""
    monkeypatch.setattr(watch, "CHECK_EVERY_S", 0.01)
    with client.watch() as watching:
        broker.emit_change(job(1)._replace(ahead=3))
        watching.next(60)
        broker.jobs[1] = job(1)._replace(ahead=2)
        broker.jobs[9] = job(9)
        assert watching.next(0.1) is None
        broker.jobs[1] = started = job(1)._replace(state=RUNNING, progress=1)
        assert watching.next(60) == WatchEvent(job=started)


def test_what_is_remembered_is_bounded(broker: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that runs for weeks does not grow with the jobs it has seen."""
    monkeypatch.setattr(watch_all, "MOST_JOBS", 3)
    with client.watch() as watching:
        for number in range(1, 8):
            broker.emit_change(job(number))
            watching.next(60)
        assert list(watching.jobs) == [5, 6, 7]


def test_a_journal_put_back_from_a_backup(broker: Any, client: Client) -> None:
    """Changes counted from an earlier number are no gap, and news of the older state are told."""
    with client.watch() as watching:
        broker.emit_change(job(1, 5))
        watching.next(60)
        broker.change = 0
        broker._todo.put(
            lambda: broker._xpub.send_multipart([b"jobs.", watch.codec.encode(Listening(broker.journal, 0))])
        )
        broker.emit_change(job(1, 2))
        assert watching.next(60) == WatchEvent(job=job(1, 2))


def test_nobody_confirms_the_subscription(broker: Any) -> None:
    """An events socket that stays silent is no subscription: unreachable, in time."""
    broker.emit_change(job(1))
    with Client(broker.address, timeout=0.2) as client:
        broker.script = [lambda request: broker.answer(request)._replace(events="tcp://127.0.0.1:9")]
        with pytest.raises(errors.BrokerUnreachable, match=":9 within"):
            client.watch()


def test_what_comes_in_one_piece_with_another_journal(client: Client) -> None:
    """What came before the change of journal is given out first, even beside the answer to the subscription."""
    before, after = ServiceEvent("j", WorkerState.READY, None), ServiceEvent("j", WorkerState.ABSENT, None)
    events = [Listening("j", 0), after, after._replace(journal="k")]
    outcomes: dict[Any, Any] = {
        Ask: {Hello: HelloReply("j", "0", "ipc:///e", Limits()), List: ListReply("j", (), None)},
        Listen: Heard([codec.encode(event) for event in events], False, 0.0),
    }

    def perform(action: Any) -> Any:
        if isinstance(action, Ask):
            return outcomes[Ask][type(action.request)]
        return 0.0 if isinstance(action, Sleep) else outcomes.get(type(action))

    watching = watch_all.WatchingAll(client)
    run(watching.begin(), perform)
    assert run(watching.next(60.0), perform) == WatchEvent(service=after, before=before)
    with pytest.raises(errors.BrokerChanged):
        run(watching.next(60.0), perform)
