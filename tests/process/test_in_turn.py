"""Promise 1: jobs run in turn, one at a time, whoever is killed or started twice."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from zjobs.messages.states import JobState

if TYPE_CHECKING:
    from tests.conftest import Service

NAMES = [f"{delivery:02}" for delivery in range(40)]


def test_jobs_run_in_the_order_of_their_ids_and_never_overlap(service: Service) -> None:
    """However they were submitted: each job starts after the one before it has ended."""
    client = service.client()
    jobs = client.submit_many("safe", NAMES[:20]) + [client.submit("once", name) for name in NAMES[20:]]
    assert [job.result(timeout=20) for job in jobs] == NAMES
    assert [job.id for job in jobs] == list(range(1, 41))
    lines = service.runs_file.read_text().splitlines()
    assert lines == [f"{event} {name}" for name in NAMES for event in ("start", "end")]


def test_a_restarted_worker_goes_on_in_turn_beside_nothing_of_the_old_one(service: Service) -> None:
    """Killed in mid-job again and again: the job runs again before those behind it, and nothing overlaps."""
    client = service.client()
    jobs = [client.submit("safe_gate" if name in ("03", "07", "11") else "safe", name) for name in NAMES[:15]]
    for name in ("03", "07", "11"):
        service.until(lambda name=name: name in service.runs("start"), f"{name} runs")
        before = jobs[
            int(name) - 1
        ]  # were it killed before the end of that one is known, that one would run again, too
        service.until(lambda before=before: before.status().state is JobState.COMPLETED, f"what is before {name} ended")
        service.worker.kill()
        service.start_worker()
        service.until(lambda name=name: service.runs("start").count(name) == 2, f"{name} runs again")
        service.open_gate(name)
    assert [job.result(timeout=20) for job in jobs] == NAMES[:15]
    assert service.runs("overlap") == []
    assert service.runs("end") == NAMES[:15]
    starts = service.runs("start")
    assert starts == sorted(starts) and len(starts) == 18


def test_a_second_worker_is_refused_and_changes_nothing(service: Service) -> None:
    """On the same pipe: exit code 75, the holder's pid in the message, and the first goes on."""
    client = service.client()
    job = client.submit("once_gate", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    second = service.run("worker", "--pipe", service.pipe, "--reports", service.reports)
    assert second.returncode == 75 and f"pid {service.worker.pid}" in second.stderr, second
    service.open_gate("a")
    assert job.result(timeout=20) == "a"
    assert service.runs("start", "overlap") == ["a"]


def test_a_second_broker_on_the_journal_is_refused_and_names_the_first(service: Service) -> None:
    """Exit code 75, with the pid and address of the one that has it; that one goes on undisturbed."""
    listen = ("--listen", f"ipc://{service.place}/other")
    second = service.run("broker", *listen, "--journal", service.journal)
    assert second.returncode == 75, second
    assert f"pid {service.broker.pid}" in second.stderr and service.listen in second.stderr
    assert service.client().submit("echo", 1).result(timeout=20) == 1


@pytest.mark.parametrize("package", ["broker", "worker"])
def test_an_address_in_use_is_refused(package: str, new_service: Callable[..., Service]) -> None:
    """Exit code 69, with the address in the message."""
    service = new_service()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        free = f"ipc://{service.place}/free"
        options = ("--listen", endpoint) if package == "broker" else ("--pipe", endpoint, "--reports", free)
        refused = service.run(package, *options, *(("--journal", service.journal) if package == "broker" else ()))
    assert refused.returncode == 69 and endpoint in refused.stderr, refused


def test_a_broker_with_another_journal_is_given_nothing_by_a_worker_that_serves_one(
    service: Service, new_service: Callable[..., Service]
) -> None:
    """The later broker hands over nothing; its info and its log name the earlier."""
    job = service.client().submit("once_gate", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    other = new_service()
    other.pipe, other.reports = service.pipe, service.reports
    other.start_broker()
    stolen = other.client().submit("once", "stolen")
    other.until_worker("foreign")
    info = other.client().info()
    assert info.worker.warning is not None and service.listen in info.worker.warning
    assert service.listen in other.broker.log
    service.open_gate("a")
    assert job.result(timeout=20) == "a"
    last = service.client().submit("once", "b")
    assert last.result(timeout=20) == "b"
    assert stolen.status().state == "queued"
    assert service.runs("start") == ["a", "b"]


def test_a_replaced_journal_takes_the_worker_over(service: Service) -> None:
    """The same address with another journal: what the worker ran for the old one is ended first."""
    service.client().submit("safe_gate", "old")
    service.until(lambda: service.runs("start"), "the job runs")
    service.broker.kill()
    service.start_broker(journal=":memory:")
    assert service.client().submit("once", "new").result(timeout=20) == "new"
    assert service.runs("start") == ["old", "new"]
    assert service.runs("end") == ["new"] and service.runs("overlap") == []


def test_services_run_side_by_side(service: Service, new_service: Callable[..., Service]) -> None:
    """Two of them on one machine know nothing of each other."""
    other = new_service("tcp://127.0.0.1:*")
    other.start_broker()
    other.start_worker()
    held = service.client().submit("once_gate", "a")
    assert other.client().submit("once", "b").result(timeout=20) == "b"
    service.open_gate("a")
    assert held.result(timeout=20) == "a"
    assert (service.runs("start"), other.runs("start")) == (["a"], ["b"])


def test_a_worker_without_a_queued_type_stops_the_hand_over_and_says_so(service: Service) -> None:
    """A forgotten --tasks fails no job: they wait, `info` tells why, and they run when the type is back."""
    client = service.client()
    jobs = [client.submit("safe_gate", "a"), client.submit("reverse", "example")]
    service.until(lambda: service.runs("start"), "the job runs")
    service.worker.kill()
    service.start_worker(tasks=False)
    note = service.until(lambda: client.info().worker.warning, "info tells why nothing is handed over")
    assert "safe_gate" in note and "--tasks" in note
    assert [job.status().state for job in jobs] == ["queued", "queued"]
    service.worker.signal(15)
    assert service.worker.ended() == 0
    service.start_worker()
    service.open_gate("a")
    assert [job.result(timeout=20) for job in jobs] == ["a", "elpmaxe"]


def test_a_task_process_dies_with_its_worker(service: Service) -> None:
    """kill -9 of the worker: what it ran ends too, before any new worker comes, though the task ignores signals."""
    service.client().submit("stubborn", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    service.worker.kill()
    service.until(lambda: service.marked() == [service.broker.pid], "the task process has ended")


def test_a_lock_that_an_orphan_holds_is_taken_after_the_orphan_is_ended(service: Service) -> None:
    """A task's fork still holds the lock of a worker that was killed: the next worker ends it, then starts."""
    client = service.client()
    client.submit("leaves_others", "a")
    before = {service.broker.pid, service.worker.pid}
    service.until(lambda: len(service.marked()) >= len(before) + 4, "the task has started its others")
    service.worker.kill()
    orphans = set(service.marked()) - before
    assert orphans, "the fork outlives its worker"
    service.start_worker()
    assert not orphans & set(service.marked())
    assert client.submit("echo", 1).result(timeout=20) == 1
