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


def test_a_worker_that_stops_waits_for_the_broker_to_take_its_result(new_service: Callable[..., Service]) -> None:
    """Within its farewell time a broker comes back: then nothing has to be kept for the next worker."""
    service = new_service()
    service.start_broker()
    service.start_worker("--farewell", "1h")
    job = service.client().submit("once_gate", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    service.broker.kill()
    service.worker.signal(signal.SIGTERM)
    service.open_gate("a")
    service.until(lambda: service.runs("end"), "the job has ended")
    service.start_broker()
    assert service.worker.ended() == 0 and spools(service) == []
    assert service.client().job(job.id).result(timeout=20) == "a"


# --- the spool: what could not be told before the end ----------------------------------------------------------


def spools(service: Service) -> list[Path]:
    """The spool of the worker, and what was set aside."""
    return sorted((service.place / "home/state/zjobs").glob("*.spool*"))


def stop_worker_first(service: Service) -> None:
    """The worker is told while a job runs, then the broker goes."""
    service.worker.signal(signal.SIGTERM)
    service.until_worker("stopping")
    service.broker.signal(signal.SIGTERM)
    assert service.broker.ended() == 0


def stop_broker_first(service: Service) -> None:
    """The broker is away when the worker is told."""
    service.broker.signal(signal.SIGTERM)
    assert service.broker.ended() == 0
    service.worker.signal(signal.SIGTERM)


def stop_both_at_once(service: Service) -> None:
    """As a system that shuts down does it."""
    for program in (service.worker, service.broker):
        program.signal(signal.SIGTERM)
    assert service.broker.ended() == 0


def kill_broker(service: Service) -> None:
    """The worker is told when the broker has been killed."""
    service.broker.kill()
    service.worker.signal(signal.SIGTERM)


STOPS = (stop_worker_first, stop_broker_first, stop_both_at_once, kill_broker)


@pytest.mark.parametrize("worker_first", [True, False], ids=["worker starts first", "broker starts first"])
@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.__name__)
def test_whoever_stops_first_no_result_is_lost(
    stop: Callable[[Service], None], worker_first: bool, new_service: Callable[..., Service]
) -> None:
    """The running job ends after its broker did; its result is there later, nothing runs twice, nothing is in doubt."""
    service = new_service()
    service.start_broker()
    service.start_worker("--farewell", "0")
    client = service.client()
    gate = client.submit("once_gate", "gate")
    jobs = client.submit_many("once", ["a", "b"]) + client.submit_many("safe", ["c", "d"])
    service.until(lambda: service.runs("start"), "the job runs")
    stop(service)
    service.open_gate("gate")
    assert service.worker.ended() == 0
    (spool,) = spools(service)
    assert spool.stat().st_mode & 0o777 == 0o600
    for start in (service.start_worker, service.start_broker)[:: 1 if worker_first else -1]:
        start()
    client = service.client()
    assert client.job(gate.id).result(timeout=20) == "gate"
    assert [client.job(job.id).result(timeout=20) for job in jobs] == ["a", "b", "c", "d"]
    assert {client.job(job.id).status().reruns for job in [gate, *jobs]} == {0}
    assert service.runs("start") == ["gate", "a", "b", "c", "d"] and service.runs("overlap") == []
    assert spools(service) == []


def test_a_job_that_was_interrupted_is_settled_by_the_spool(new_service: Callable[..., Service]) -> None:
    """A second signal while the broker is away: the job failed as its type says, those behind it run once."""
    service = new_service()
    service.start_broker()
    service.start_worker("--farewell", "0")
    client = service.client()
    jobs = [client.submit("once_gate", "gate"), client.submit("safe", "a")]
    service.until(lambda: service.runs("start"), "the job runs")
    service.broker.kill()
    for count in (1, 2):
        service.worker.signal(signal.SIGTERM)
        service.until(lambda count=count: service.worker.log.count("SIGTERM") == count, "it has heard it")
    assert service.worker.ended() == 0 and len(spools(service)) == 1
    service.start_broker()
    service.start_worker()
    status = service.client().job(jobs[0].id).wait(timeout=20)
    assert (status.state, status.reason) == ("failed", "worker_lost")
    assert "told to stop at once" in (status.message or "")
    assert service.client().job(jobs[1].id).result(timeout=20) == "a"
    assert service.runs("start") == ["gate", "a"]


def test_a_spool_outlives_a_worker_that_is_stopped_again(new_service: Callable[..., Service]) -> None:
    """It takes no broker to stop a worker that delivers; the spool is delivered by the one after it."""
    service = new_service()
    service.start_broker()
    service.start_worker("--farewell", "0")
    job = service.client().submit("once_gate", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    kill_broker(service)
    service.open_gate("a")
    assert service.worker.ended() == 0
    for number in (signal.SIGTERM, signal.SIGKILL):
        service.start_worker()
        service.worker.signal(number)
        assert service.worker.ended() in (0, -signal.SIGKILL)
        assert len(spools(service)) == 1
    service.start_worker()
    service.start_broker()
    assert service.client().job(job.id).result(timeout=20) == "a"
    assert service.runs("start") == ["a"]
    service.until(lambda: not spools(service), "the spool is removed once its reports are acknowledged")


@pytest.mark.parametrize("what", ["damaged", "foreign"])
def test_a_spool_that_cannot_be_delivered_is_set_aside(what: str, new_service: Callable[..., Service]) -> None:
    """Damaged, or of another journal: the log and `info` say where it is now, and the worker goes on without it."""
    service = new_service()
    service.start_broker()
    service.start_worker("--farewell", "0")
    client = service.client()
    client.submit("once_gate", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    kill_broker(service)
    service.open_gate("a")
    assert service.worker.ended() == 0
    (spool,) = spools(service)
    content = spool.read_bytes()
    if what == "damaged":
        content = content[:-5] + b"?" + content[-4:]
        spool.write_bytes(content)
    service.start_broker(journal=str(service.place / "other.db") if what == "foreign" else None)
    service.start_worker()
    assert service.client().submit("echo", 1).result(timeout=20) == 1
    (aside,) = spools(service)
    assert ".spool.aside-" in aside.name and aside.read_bytes() == content
    note = service.client().info().worker.warning or ""
    assert str(aside) in note and str(aside) in service.worker.log
    service.until(lambda: str(aside) in service.broker.log, "the broker's log says it, too")


def test_results_that_can_neither_be_told_nor_kept(new_service: Callable[..., Service]) -> None:
    """The worker says so and waits; told a third time it ends, and its exit code says that something is lost."""
    service = new_service()
    service.start_broker()
    service.start_worker("--farewell", "0")
    service.client().submit("once_gate", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    (lock,) = (service.place / "home/state/zjobs").iterdir()
    (lock.parent / (lock.name.removesuffix(".lock") + ".spool.new")).mkdir()
    kill_broker(service)
    service.open_gate("a")
    service.until(lambda: "ERROR   zworker: the spool: " in service.worker.log, "it says that it cannot be written")
    for count in (2, 3):
        assert service.worker.alive
        service.worker.signal(signal.SIGTERM)
        service.until(lambda count=count: service.worker.log.count("SIGTERM") == count, "it has heard it")
    assert service.worker.ended() == 73 and "reports are lost" in service.worker.log
    assert len(spools(service)) == 1


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
