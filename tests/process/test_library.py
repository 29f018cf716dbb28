"""The Python API against a real service: as in the README, shared by threads, on both sides of a fork."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from zjobs import client as library
from zjobs.client import Client
from zjobs.messages.states import ErrorCode

if TYPE_CHECKING:
    from tests.conftest import Service


def test_submit_status_wait_result(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything by one object; the broker's address from the environment."""
    monkeypatch.setenv("ZJOBS_BROKER", service.endpoint)
    with Client() as client:
        job = client.submit("reverse", "example")
        assert job.id == 1
        assert job.wait(timeout=20).state == "completed" == job.status().state
        assert job.result(timeout=20) == client.job(1).result(timeout=20) == "elpmaxe"
        assert [job.id for job in client.submit_many("safe", ["a", "b"])] == [2, 3]


def test_a_wait_ends_in_time_and_the_job_goes_on(service: Service) -> None:
    """`WaitTimeout` is a TimeoutError with the last status; the same job can be waited for again."""
    job = service.client().submit("once_gate", "a")
    with pytest.raises(TimeoutError) as caught:
        job.result(timeout=0.1)
    assert isinstance(caught.value, library.WaitTimeout) and not caught.value.status.state.final
    service.open_gate("a")
    assert job.result(timeout=20) == "a"


def test_errors_have_types(service: Service, new_service: Callable[..., Service]) -> None:
    """One for each code that can be provoked here."""
    service.until_worker("ready")
    client = service.client()
    with pytest.raises(library.UnknownType, match="reverse"):
        client.submit("fly", 1)
    with pytest.raises(library.TooLarge):
        client.submit("echo", b"x" * (2 << 20))
    client.submit("echo", 1, request_key="k")
    with pytest.raises(library.KeyConflict):
        client.submit("echo", 2, request_key="k")
    narrow = new_service()
    narrow.start_broker("--max-queued", "3")
    with pytest.raises(library.QueueFull):
        narrow.client().submit_many("anything", range(4))
    assert set(library.errors.BY_CODE) == {code.value for code in ErrorCode}


def test_many_jobs_are_split_into_requests(new_service: Callable[..., Service]) -> None:
    """As many as the limits ask for, with ids in the order of the data, also when submitted twice with one key."""
    service = new_service()
    service.start_broker("--max-jobs", "7")
    client = service.client()
    jobs = client.submit_many("anything", range(30), request_key="k")
    assert [job.id for job in jobs] == list(range(1, 31))
    assert [job.id for job in client.submit_many("anything", range(30), request_key="k")] == list(range(1, 31))
    assert client.info().queued == 30


def test_threads_share_a_client(service: Service) -> None:
    """Each gets the answers to its own questions."""
    client = service.client()
    results: dict[int, list[int]] = {}

    def work(mine: int) -> None:
        jobs = [client.submit("echo", mine * 100 + delivery) for delivery in range(10)]
        results[mine] = [job.result(timeout=30) for job in jobs]

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {mine: [mine * 100 + delivery for delivery in range(10)] for mine in range(8)}


FORKS = """
import os, warnings
from zjobs.client import Client

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads: these are ZeroMQ's
with Client() as client:
    before = client.submit("echo", "before")
    assert before.result(timeout=20) == "before"
    children = []
    for n in range(3):
        pid = os.fork()
        if pid == 0:
            assert client.submit("echo", n).result(timeout=20) == n
            assert before.result(timeout=20) == "before"
            client.close()
            os._exit(0)
        children.append(pid)
    assert client.submit("echo", "parent").result(timeout=20) == "parent"
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    assert client.submit("echo", "after").result(timeout=20) == "after"
print("done")
"""


def test_a_client_survives_a_fork(service: Service) -> None:
    """Parent and children go on with it, at the same time, and closing it in one harms no other."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, env=service.env, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_a_broker_with_another_journal_is_not_taken_for_the_old_one(service: Service) -> None:
    """Job 1 of another journal is another job: waiting for ours ends with an error that says so."""
    client = service.client()
    job = client.submit("once_gate", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    service.broker.kill()
    service.start_broker(journal=":memory:")
    service.client().submit("echo", "another job 1").wait(timeout=20)
    for ask in (job.wait, job.result):
        with pytest.raises(library.BrokerChanged):
            ask(timeout=20)
