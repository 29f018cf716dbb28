"""Who gets which news, on real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from zjobs.broker.net.events import Events
from zjobs.messages import codec
from zjobs.messages.events import ALL_JOBS_TOPIC, EVENTS, JobEvent, Listening, ServiceEvent
from zjobs.messages.records import JobStatus, Paused
from zjobs.messages.states import JobState, WorkerState

PATIENCE_MS = 5_000


def event(job_id: int, version: int) -> JobEvent:
    status = JobStatus(job_id, "x", JobState.QUEUED, version, 0, 1, 0, 0, ahead=0)
    return JobEvent("journal", status, version or None, WorkerState.READY)


class Stage:
    """The events of a broker in which jobs 1 and 17 exist, at version 0."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.XPUB_MANUAL, 1)
        self.socket.bind("tcp://127.0.0.1:*")
        self.events = Events(self.socket, lambda key, job_id: True)
        self.snapshots: list[int | None] = []
        self._watchers: list[zmq.Socket[bytes]] = []  # kept, or they would be closed

    def subscriber(self, *topics: bytes) -> zmq.Socket[bytes]:
        """A watcher, once the broker has taken its subscriptions."""
        watcher = self.context.socket(zmq.SUB)
        self._watchers.append(watcher)
        watcher.setsockopt(zmq.LINGER, 0)
        watcher.connect(self.socket.getsockopt_string(zmq.LAST_ENDPOINT))
        for topic in topics:
            watcher.subscribe(topic)
            self.take()
        return watcher

    def take(self) -> None:
        """Takes the next subscription, or the end of one."""
        assert self.socket.poll(PATIENCE_MS)
        self.events.answer_subscriptions(self._snapshot, 1)

    def _snapshot(self, job_id: int | None) -> JobEvent | Listening | None:
        self.snapshots.append(job_id)
        if job_id is None:
            return Listening("journal", 40)
        return event(job_id, 0) if job_id in (1, 17) else None


@pytest.fixture
def stage() -> Iterator[Stage]:
    """An XPUB with nobody listening yet."""
    it = Stage()
    yield it
    it.context.destroy(linger=0)


def heard(watcher: zmq.Socket[bytes], count: int) -> list[tuple[int, int]]:
    """(job id, version) of the next `count` messages."""
    told = []
    for _ in range(count):
        assert watcher.poll(PATIENCE_MS), f"only {told}"
        topic, body = watcher.recv_multipart()
        job = codec.decode(body, EVENTS).job
        assert topic.startswith((b"job.%d." % job.id, b"jobs."))
        told.append((job.id, job.version))
    return told


def last_heard(watcher: zmq.Socket[bytes], stage: Stage, job_id: int) -> list[tuple[int, int]]:
    """All that comes up to a last event about `job_id`, which is left out."""
    stage.events.publish(event(job_id, 99))
    told = []
    while (item := heard(watcher, 1)[0]) != (job_id, 99):
        told.append(item)
    return told


def test_a_subscription_is_answered_with_the_present_state(stage: Stage) -> None:
    """To the asker, before anything else, whatever was published before."""
    stage.events.publish(event(17, 1))
    watcher = stage.subscriber(b"job.17.")
    stage.events.publish(event(17, 2))
    assert heard(watcher, 2) == [(17, 0), (17, 2)]


def test_the_present_state_goes_to_the_asker_alone(stage: Stage) -> None:
    """A thousand watchers of one job must not cost a million messages."""
    first = stage.subscriber(b"job.17.")
    second = stage.subscriber(b"job.17.")
    assert last_heard(first, stage, 17) == [(17, 0)]
    assert heard(second, 2) == [(17, 0), (17, 99)]


def test_a_watcher_hears_of_its_jobs_alone(stage: Stage) -> None:
    """Job 1 is not job 17."""
    watcher = stage.subscriber(b"job.1.")
    stage.subscriber(b"job.17.")
    stage.events.publish(event(17, 5))
    stage.events.publish(event(1, 5))
    assert last_heard(watcher, stage, 1) == [(1, 0), (1, 5)]


def answer(listener: zmq.Socket[bytes]) -> object:
    """What a subscription to all jobs is told first."""
    assert listener.poll(PATIENCE_MS)
    topic, body = listener.recv_multipart()
    assert topic.startswith(ALL_JOBS_TOPIC)
    return codec.decode(body, EVENTS)


def test_a_listener_hears_of_all_from_a_change_on(stage: Stage) -> None:
    """`jobs.` is every job, from now on: the answer says after which change, and nothing is told of a job before it."""
    listener = stage.subscriber(b"jobs.")
    for job_id in (1, 17, 99):
        stage.events.publish(event(job_id, 1))
    assert answer(listener) == Listening("journal", 40)
    assert heard(listener, 3) == [(1, 1), (17, 1), (99, 1)]
    assert stage.snapshots == [None]


def test_a_listener_is_answered_alone(stage: Stage) -> None:
    """Another one that listens already is not told again."""
    first = stage.subscriber(b"jobs.")
    second = stage.subscriber(b"jobs.")
    stage.events.publish(event(5, 1))
    for listener in (first, second):
        assert isinstance(answer(listener), Listening) and heard(listener, 1) == [(5, 1)]


def test_an_id_without_a_job_is_answered_by_silence_and_forgotten(stage: Stage) -> None:
    """Or whoever subscribes to made-up ids would have the broker remember them for ever."""
    stage.subscriber(b"job.5.")
    assert stage.snapshots == [5]
    assert not stage.events.wanted(5)


@pytest.mark.parametrize("topic", [b"", b"j", b"job.", b"job.1", b"job.1.e", b"jobs.x", b"job.01.", b"nonsense"])
def test_other_subscriptions_get_nothing(stage: Stage, topic: bytes) -> None:
    """Not everything to those who subscribe to less than a topic; and nothing is thought wanted."""
    watcher = stage.subscriber(topic)
    assert not stage.events.wanted(1) and not stage.snapshots
    stage.subscriber(b"job.1.")
    stage.events.publish(event(1, 1))
    watcher.subscribe(b"job.17.")
    stage.take()
    assert heard(watcher, 1) == [(17, 0)]


@pytest.mark.parametrize("how", ["unsubscribes", "leaves"])
def test_who_goes_takes_nothing_from_others(stage: Stage, how: str) -> None:
    """A job is watched from the first subscription until it ends, whatever others say meanwhile."""
    first, second = stage.subscriber(b"job.17."), stage.subscriber(b"job.17.")
    first.unsubscribe(b"job.17.") if how == "unsubscribes" else first.close()
    stage.take()
    assert stage.events.wanted(17) and not stage.events.wanted(1)
    end = event(17, 3)
    stage.events.publish(end._replace(job=end.job._replace(state=JobState.CANCELLED)))
    assert heard(second, 2) == [(17, 0), (17, 3)]
    assert not stage.events.wanted(17)


def test_the_number_of_subscriptions_a_turn_is_bounded(stage: Stage) -> None:
    """Those that are left are taken in the next turn, which is told."""
    stage.subscriber(b"job.17.")
    assert stage.events.answer_subscriptions(lambda _: None, 0) is True
    assert stage.events.answer_subscriptions(lambda _: None, 10) is False


def test_the_service_is_told_of_to_listeners_to_all(stage: Stage) -> None:
    """Who watches one job hears of jobs alone."""
    listener, watcher = stage.subscriber(b"jobs."), stage.subscriber(b"job.17.")
    told = ServiceEvent("journal", WorkerState.ABSENT, Paused(5, "lamp"))
    stage.events.publish_service(told)
    assert [answer(listener), answer(listener)] == [Listening("journal", 40), told]
    assert last_heard(watcher, stage, 17) == [(17, 0)]
