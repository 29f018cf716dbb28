"""The orderly end of broker and worker: nothing is lost, nothing runs twice, nothing is left."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack
import pytest

from zjobs.client import JobFailed

if TYPE_CHECKING:
    from tests.conftest import Service

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)


@SIGNALS
def test_the_worker_finishes_the_running_job_and_returns_the_rest(number: signal.Signals, service: Service) -> None:
    """Exit code 0; what had not begun runs with the next worker, and counts as nothing."""
    client = service.client()
    gate = client.submit("once_gate", "gate")
    jobs = client.submit_many("safe", ["a", "b", "c"])
    service.until(lambda: service.runs("start"), "the job runs")
    service.worker.signal(number)
    service.until_worker("stopping")
    service.open_gate("gate")
    assert service.worker.ended() == 0
    assert gate.result(timeout=20) == "gate"
    assert service.runs("start") == ["gate"]
    service.start_worker()
    assert [job.result(timeout=20) for job in jobs] == ["a", "b", "c"]
    assert {job.status().reruns for job in jobs} == {0}


@SIGNALS
def test_a_second_signal_stops_the_worker_at_once(number: signal.Signals, service: Service) -> None:
    """The job is killed and goes back to its place, or is failed if its type forbids another run."""
    client = service.client()
    jobs = [client.submit("stubborn", "a"), client.submit("safe", "b")]
    for kind in ("again", "never"):
        if kind == "never":
            jobs = [client.submit("once_gate", "c"), client.submit("safe", "d")]
        name = "a" if kind == "again" else "c"
        service.until(lambda name=name: name in service.runs("start"), "the job runs")
        service.worker.signal(number)
        service.until_worker("stopping")
        service.worker.signal(number)
        assert service.worker.ended() == 0
        status = jobs[0].status()
        assert status.state == ("queued" if kind == "again" else "failed")
        assert status.reason == "worker_lost" and "told to stop at once" in (status.message or "")
        service.open_gate("a")
        service.start_worker()
        assert jobs[1].wait(timeout=20).state == "completed"
    assert service.runs("start") == ["a", "a", "b", "c", "d"] and service.runs("overlap") == []
    with pytest.raises(JobFailed):
        jobs[0].result(timeout=20)


@SIGNALS
def test_the_broker_closes_its_journal(number: signal.Signals, service: Service) -> None:
    """Exit code 0; one file is left, without a log beside it, and the next broker goes on with it."""
    client = service.client()
    jobs = [client.submit("once_gate", "a"), client.submit("safe", "b")]
    service.until(lambda: service.runs("start"), "the job runs")
    service.broker.signal(number)
    assert service.broker.ended() == 0
    assert Path(service.journal).exists() and not Path(service.journal + "-wal").exists()
    service.start_broker()
    service.open_gate("a")
    assert [service.client().job(job.id).result(timeout=20) for job in jobs] == ["a", "b"]
    assert service.runs("start") == ["a", "b"]


def test_the_broker_answers_what_it_has_taken(new_service: Callable[..., Service]) -> None:
    """Told to end while it takes a submit: every reply up to that one still leaves, and the job is in the journal."""
    service = new_service()
    service.start_broker(fatal=("told", "submitted", 2))
    service.start_worker()
    large = service.client().submit("echo", b"x" * 250_000)
    assert large.result(timeout=20)
    with service.dealer(unread=1) as client:
        for _ in range(100):
            client.send_multipart([b"", msgpack.packb({"v": 1, "op": "result", "id": large.id})])
        jobs = [{"type": "safe", "data": None}]
        client.send_multipart([b"", msgpack.packb({"v": 1, "op": "submit", "request_key": "k", "jobs": jobs})])
        replies = [msgpack.unpackb(client.recv_multipart()[-1]) for _ in range(101)]
    assert [reply["op"] for reply in replies].count("result") == 100
    (taken,) = [reply for reply in replies if reply["op"] == "submit"]
    assert service.broker.ended() == 0
    service.start_broker()
    assert service.client().job(taken["first_id"]).status().type == "safe"


def test_a_worker_without_a_broker_keeps_its_result_for_it(service: Service) -> None:
    """Told to stop while nobody takes its last result, it waits for the broker and then ends."""
    job = service.client().submit("once_gate", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    service.broker.kill()
    service.worker.signal(signal.SIGTERM)
    service.open_gate("a")
    service.until(lambda: service.runs("end"), "the job has ended")
    service.until(lambda: "waiting for the broker" in service.worker.log, "the worker says what it waits for")
    assert service.worker.alive
    service.start_broker()
    assert service.worker.ended() == 0
    assert service.client().job(job.id).result(timeout=20) == "a"


def test_a_worker_that_was_never_asked_ends_at_once(new_service: Callable[..., Service]) -> None:
    """No broker, no session: one signal is enough."""
    service = new_service()
    service.start_worker()
    service.worker.signal(signal.SIGTERM)
    assert service.worker.ended() == 0


def test_an_orderly_end_leaves_no_process_and_no_file(service: Service) -> None:
    """What a task started is ended with it; of the locks, empty files stay, of ipc sockets their names (as libzmq
    leaves them, because by then they may be another's), and of the rest the journal alone."""
    client = service.client()
    job = client.submit("leaves_others", "a")
    service.until(lambda: len(service.marked()) >= 6, "the task has started its others")
    service.open_gate("a")
    assert len(job.result(timeout=20)) == 3
    for program in (service.worker, service.broker):
        program.signal(signal.SIGTERM)
        assert program.ended() == 0
    assert service.marked() == []
    left = {path.name for path in service.place.iterdir()} - {"home", "work", "tmp"}
    logs = {program.log_file.name for program in service.programs}
    assert left - logs == {"journal.db", "journal.db.lock", "f", "f.events", "f.pipe", "f.reports"}
    (lock,) = (service.place / "home/state/zjobs").iterdir()
    assert lock.read_bytes() == (service.place / "journal.db.lock").read_bytes() == b""
