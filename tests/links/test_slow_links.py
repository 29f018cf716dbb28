"""Large messages over slow links, and links that break: real programs in two network namespaces.

None of these tests is about how fast something is. What a link has carried is counted: a body that was begun anew would
have passed it twice.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from zjobs.client import Client
from zjobs.messages.states import JobState, WorkerState

if TYPE_CHECKING:
    from tests.conftest import Service
    from tests.links.conftest import Link

pytestmark = pytest.mark.links

MIB = 1 << 20
ONCE = 1.25  # the bytes of a body with everything around it: headers, heartbeats, other messages; twice it would be 2
LONG_S = 110.0

Start = Callable[[str], "Service"]
MakeClient = Callable[..., Client]


class States:
    """Asks again and again, from near, what the worker is, until told to stop."""

    def __init__(self, client: Client) -> None:
        self.heard: list[WorkerState] = []
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> States:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.1):
            self.heard.append(self._client.info().worker.state)


def test_a_large_result_arrives_over_a_slow_link(linked: Start, link: Link, client_at: MakeClient) -> None:
    """16 MiB at 2 Mbit/s, in one go, and the worker is `ready` all the while."""
    service = linked("far")
    client = client_at(service, "near")
    link.slow_down("2mbit")
    before = link.sent_bytes("far")
    with States(client_at(service, "near")) as states:
        result = client.submit("make", 16 * MIB - 5).result(timeout=LONG_S)  # five more say that it is binary
    assert len(result) == 16 * MIB - 5
    assert set(states.heard) == {WorkerState.READY} and len(states.heard) > 100
    assert link.sent_bytes("far") - before < 16 * MIB * ONCE


def test_small_messages_are_not_held_up_by_large_ones(linked: Start, link: Link, client_at: MakeClient) -> None:
    """While a large result travels, the next job begins, is told to end and ends, before that result is there."""
    service = linked("far")
    client = client_at(service, "near")
    for job in (client.submit("make", 1), client.submit("until_told", "")):
        job.result(timeout=LONG_S)  # both are short, as far as is known: so they are handed over together
    link.slow_down("1mbit")
    client.pause()
    large, next_one = client.submit("make", 4 * MIB), client.submit("until_told", "small")
    client.resume()
    work = service.place / "work"
    service.until((work / "began-small").exists, "the next job began")
    client.cancel([next_one.id])
    service.until((work / "ended-small").exists, "the next job was told to end")
    assert large.status().state is JobState.IN_PROGRESS, "the result is still on its way"
    assert len(large.result(timeout=LONG_S)) == 4 * MIB
    service.until(lambda: next_one.status().state is JobState.CANCELLED, "the next job is cancelled")


def test_large_data_arrives_over_a_slow_link(linked: Start, link: Link, client_at: MakeClient) -> None:
    """A submit of a mebibyte is taken once, at its first attempt; meanwhile another client far away is answered."""
    service = linked("near")
    client, other = client_at(service, "far"), client_at(service, "far")
    link.slow_down("2mbit")
    before = link.sent_bytes("far")
    with States(other) as states:
        job = client.submit("measure", bytes(MIB - 100))
    assert link.sent_bytes("far") - before < MIB * ONCE
    assert len(states.heard) > 5 and job.id == 1
    assert job.result(timeout=LONG_S) == MIB - 100


def test_many_large_jobs_in_one_submit(linked: Start, link: Link, client_at: MakeClient) -> None:
    """A request that takes many times the client's timeout arrives all the same, at its first attempt."""
    service = linked("near")
    client = client_at(service, "far", 2.0)
    link.slow_down("4mbit")
    before = link.sent_bytes("far")
    jobs = client.submit_many("measure", [bytes(MIB // 2)] * 12)
    assert [job.id for job in jobs] == list(range(1, 13))
    assert link.sent_bytes("far") - before < 6 * MIB * ONCE


def test_large_data_reaches_a_worker_over_a_slow_link(linked: Start, link: Link, client_at: MakeClient) -> None:
    """A cancel passes the data of the next job."""
    service = linked("far")
    client = client_at(service, "near")
    assert client.submit("measure", b"x").result(timeout=LONG_S) == 1
    link.slow_down("1mbit")
    before = link.sent_bytes("near")
    job = client.submit("measure", bytes(MIB - 100))
    assert job.result(timeout=LONG_S) == MIB - 100
    assert link.sent_bytes("near") - before < MIB * ONCE


def test_a_job_is_cancelled_while_its_data_travels(linked: Start, link: Link, client_at: MakeClient) -> None:
    """It does not begin, the rest of its data is not sent, and the job behind it runs."""
    service = linked("far")
    client = client_at(service, "near")
    assert client.submit("measure", b"x").result(timeout=LONG_S) == 1
    link.slow_down("1mbit")
    before = link.sent_bytes("near")
    job = client.submit("measure", bytes(MIB - 100))
    service.until(lambda: link.sent_bytes("near") - before > MIB * 0.2, "a part of the data was sent")
    client.cancel([job.id])
    assert client.submit("measure", b"behind").result(timeout=LONG_S) == 6
    status = job.status()
    assert (status.state, status.run, status.started_at) == (JobState.CANCELLED, 0, None)
    assert link.sent_bytes("near") - before < MIB * 0.8


@pytest.mark.parametrize("size", [1000, 3 * MIB], ids=["idle", "a large result on its way"])
def test_a_cut_link_is_noticed(linked: Start, link: Link, client_at: MakeClient, size: int) -> None:
    """The broker sees that its worker is silent, then gone; when the link is back, a result goes on where it was."""
    service = linked("far")
    client = client_at(service, "near")
    link.slow_down("2mbit")
    before = link.sent_bytes("far")
    job = client.submit("make", size)
    service.until(lambda: link.sent_bytes("far") - before > size * 0.6, "more than half of it was sent")
    link.cut()
    service.until(lambda: client.info().worker.state is WorkerState.SILENT, "the worker is silent")
    service.until(lambda: client.info().worker.state is WorkerState.ABSENT, "the worker is gone")
    link.slow_down("2mbit")
    service.until(lambda: client.info().worker.state is WorkerState.READY, "the worker is back")
    assert len(job.result(timeout=LONG_S)) == size
    assert link.sent_bytes("far") - before < size * ONCE + 200_000


def test_a_watcher_notices_a_cut_link(linked: Start, link: Link, client_at: MakeClient) -> None:
    """It hears that the broker is lost, and when the link is back of the end it missed."""
    service = linked("near")
    client, near = client_at(service, "far", 2.0), client_at(service, "near")
    job = near.submit("until_told", "watched")
    with client.watch([job.id]) as watch:
        link.cut()
        news: list[Any] = []
        service.until(lambda: news.append(watch.next(0.1)) or watch.lost, "the watcher sees that the broker is lost")
        near.cancel([job.id])
        link.slow_down("2mbit")
        service.until(lambda: not watch.unfinished or watch.next(0.1), "the end is heard")
        while watch.unfinished:
            watch.next(1.0)
        assert watch.jobs[job.id].state is JobState.CANCELLED


def test_a_stopped_worker_is_noticed(linked: Start, link: Link, client_at: MakeClient) -> None:
    """Its kernel goes on acknowledging; its heartbeats tell."""
    service = linked("far")
    client = client_at(service, "near")
    service.worker.signal(signal.SIGSTOP)
    service.until(lambda: client.info().worker.state is WorkerState.SILENT, "the worker is silent")
    service.worker.signal(signal.SIGCONT)
    service.until(lambda: client.info().worker.state is WorkerState.READY, "the worker is back")


def test_a_stopped_broker_is_noticed(linked: Start, link: Link, client_at: MakeClient) -> None:
    """A request is given up after the client's timeout."""
    from zjobs.client import BrokerUnreachable

    service = linked("near")
    client = client_at(service, "far", 2.0)
    service.broker.signal(signal.SIGSTOP)
    with pytest.raises(BrokerUnreachable):
        client.info()
    service.broker.signal(signal.SIGCONT)
    assert client.info().worker.state is WorkerState.READY
