"""Promise 5: no final event is missed by a watcher that stays connected or comes back. Events alone, no requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq

if TYPE_CHECKING:
    from tests.conftest import Service

FINAL = ("completed", "failed", "cancelled")


class Watchers:
    """Many SUB sockets, each with one job; what they heard."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sockets: dict[zmq.Socket[bytes], int] = {}
        self.heard: dict[zmq.Socket[bytes], list[dict[str, Any]]] = {}

    def watch(self, *ids: int) -> None:
        for job_id in ids:
            socket = self._service.subscriber(b"job.%d." % job_id)
            self._sockets[socket] = job_id
            self.heard[socket] = []

    def read(self) -> None:
        for socket, job_id in self._sockets.items():
            while socket.poll(0):
                topic, body = socket.recv_multipart()
                assert topic.startswith(f"job.{job_id}.".encode())
                self.heard[socket].append(msgpack.unpackb(body)["job"])

    def until_all(self, condition: Callable[[list[dict[str, Any]]], object], what: str) -> None:
        """Waits until what each of them heard fulfils the condition."""

        def fulfilled() -> bool:
            self.read()
            return all(condition(events) for events in self.heard.values())

        self._service.until(fulfilled, f"all watchers heard {what}")


@pytest.fixture
def watchers(service: Service) -> Watchers:
    return Watchers(service)


def ended(events: list[dict[str, Any]]) -> bool:
    return bool(events) and events[-1]["state"] in FINAL


def test_who_comes_late_hears_the_end_all_the_same(service: Service, watchers: Watchers) -> None:
    """Subscribing brings the present status, also long after the end, and to every one who asks."""
    client = service.client()
    jobs = [client.submit("echo", 1), client.submit("killed")]
    assert [job.wait(timeout=20).state for job in jobs] == ["completed", "failed"]
    watchers.watch(*[job.id for job in jobs] * 20)
    watchers.until_all(ended, "the end")
    assert all(len(events) == 1 for events in watchers.heard.values()), "a snapshot goes to the asker alone"


def test_every_watcher_hears_the_whole_life(service: Service, watchers: Watchers) -> None:
    """Queued, in progress, completed: pushed, in an order that version and progress tell."""
    client = service.client()
    gate = client.submit("safe_gate", "gate")
    job = client.submit("safe_gate", "job")
    watchers.watch(*[job.id] * 50)
    watchers.until_all(lambda events: events, "the present status")
    for name in ("gate", "job"):
        service.until(lambda name=name: name in service.runs("start"), f"{name} runs")
        if name == "job":
            watchers.until_all(lambda events: events[-1]["state"] == "in_progress", "the start")
        service.open_gate(name)
    watchers.until_all(ended, "the end")
    assert gate.result(timeout=20) == "gate"
    for events in watchers.heard.values():
        assert [event["state"] for event in events] == ["queued", "in_progress", "completed"]
        order = [(event["version"], event["progress"]) for event in events]
        assert order == sorted(set(order))


def test_the_end_is_heard_after_the_broker_was_killed_and_started_again(service: Service, watchers: Watchers) -> None:
    """The sockets come back by themselves, and the end that came in between is told to each of them."""
    client = service.client()
    gate = client.submit("once_gate", "gate")
    jobs = client.submit_many("echo", range(20))
    watchers.watch(*[job.id for job in [gate, *jobs]] * 3)
    watchers.until_all(lambda events: events, "the present status")
    service.until_state(gate.id, "in_progress")
    service.broker.kill()
    service.open_gate("gate")
    service.until(lambda: service.runs("end"), "the running job has ended meanwhile")
    service.start_broker()
    watchers.until_all(ended, "the end")


@pytest.mark.parametrize("place", ["before", "after", "sent"])
def test_the_end_is_heard_when_the_broker_dies_while_it_takes_the_result(
    place: str, new_service: Callable[..., Service]
) -> None:
    """Killed around the very commit of the end, before the event of it could leave."""
    service = new_service()
    service.start_broker(fatal=(place, "results", 1))
    job = service.client().submit("once_gate", "a")
    watchers = Watchers(service)
    watchers.watch(*[job.id] * 30)
    watchers.until_all(lambda events: events, "the present status")
    service.open_gate("a")
    service.start_worker()
    service.broker.ended()
    service.start_broker()
    watchers.until_all(ended, "the end")
    assert service.runs("start") == ["a"]


def test_listeners_to_all_jobs_see_gaps(service: Service) -> None:
    """`jobs.` says from where on it tells, then brings the news of every job; the change numbers have no gap."""
    service.until_worker("ready")
    with service.subscriber(b"jobs.") as listener:
        client = service.client()
        assert listener.poll(20_000)
        since = msgpack.unpackb(listener.recv_multipart()[1])
        assert since["op"] == "listening"
        last = [client.submit("echo", number) for number in range(5)][-1]
        changes, ids = [], []
        while not (ids and ids[-1] == (last.id, "completed")):
            assert listener.poll(20_000)
            topic, body = listener.recv_multipart()
            event = msgpack.unpackb(body)
            assert topic.startswith(b"jobs.")
            ids.append((event["job"]["id"], event["job"]["state"]))
            changes += [event["change"]] if event["change"] is not None else []
    assert changes == list(range(since["change"] + 1, since["change"] + 1 + len(changes)))


def test_topics_that_are_none_disturb_nobody(service: Service, watchers: Watchers) -> None:
    """Subscriptions to anything: nothing comes of them, and others get their news."""
    topics = (b"", b"job.", b"job.1", b"job.0.", b"job.-1.", b"job." + b"9" * 50, b"\0\xff", b"job.999.")
    with service.subscriber(*topics) as odd:
        job = service.client().submit("echo", 1)
        watchers.watch(job.id)
        watchers.until_all(ended, "the end")
        assert not odd.poll(0)
