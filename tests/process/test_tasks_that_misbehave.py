"""Whatever a task does, it ends as one failed job with the reason; the next job starts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zjobs.client import NO_DATA, BadData, JobFailed
from zjobs.messages.requests.changes import NewJob

if TYPE_CHECKING:
    from tests.conftest import Service

FAILURES: dict[str, tuple[str, Any, str, str]] = {
    "kill_9": ("killed", NO_DATA, "task_died", "SIGKILL"),
    "segmentation_fault": ("segfault", NO_DATA, "task_died", "SIGSEGV"),
    "exit_at_once": ("exits", "at once", "task_died", "code 3"),
    "sys_exit": ("exits", "politely", "raised", "SystemExit: 4"),
    "closed_descriptors": ("closes_descriptors", NO_DATA, "task_died", "exited with code"),
    "keyboard_interrupt": ("interrupts", NO_DATA, "raised", "KeyboardInterrupt"),
    "unpackable_result": ("unpackable", NO_DATA, "bad_result", "object"),
    "missing_parameter": ("pair", NO_DATA, "bad_data", "left"),
    "wrong_parameter": ("pair", {"left": 1, "up": 2}, "bad_data", "up"),
    "wrong_kind": ("reverse", 17, "bad_data", "text must be text, not 17"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told_and_the_next_job_starts(name: str, shared_service: Service) -> None:
    """The reason as a code and as a sentence that names it; one run, and no other job is harmed."""
    kind, data, reason, words = FAILURES[name]
    client = shared_service.client()
    if reason == "bad_data":  # the client would not send it, but the worker is the judge
        with pytest.raises(BadData, match=words):
            client.submit(kind, data)
    (sent,) = client.submit_in_parts(NewJob(kind), [data], f"misbehaves {name}", lambda data, _: data)
    job, behind = client.job(sent.first_id), client.submit("echo", name)
    with pytest.raises(JobFailed, match=words):
        job.result(timeout=20)
    status = job.status()
    assert (status.reason, status.attempts, status.reruns) == (reason, 1, 0)
    assert behind.result(timeout=20) == name


def test_a_result_that_is_too_large_fails_the_job(shared_service: Service) -> None:
    """The limit and the size are in the message."""
    client = shared_service.client()
    job = client.submit("echo", "x")
    assert job.result(timeout=20) == "x"
    large = client.submit("repeat", "x" * 6000)
    with pytest.raises(JobFailed, match="16,777,216"):
        large.result(timeout=20)
    assert large.status().reason == "bad_result"


def test_a_task_that_prints_reaches_nobodys_protocol(shared_service: Service) -> None:
    """Ten megabytes on both streams: the result is the result, and the broker answers meanwhile."""
    client = shared_service.client()
    job = client.submit("prints", 10)
    assert client.info().worker.state == "ready"
    assert job.result(timeout=20) == 10


def test_a_task_process_killed_from_outside_fails_its_job_alone(shared_service: Service) -> None:
    """kill -9 of the process that runs the job: `task_died`, and the next job starts in another one."""
    client = shared_service.client()
    task_process = shared_service.marked()
    job = client.submit("once_gate", "never")
    # not "in progress": that may be told before the task process has begun, and what has not begun is not failed
    shared_service.until(lambda: "never" in shared_service.runs("start"), "the job runs")
    programs = {program.pid for program in shared_service.programs}
    (pid,) = set(task_process) - programs
    os.kill(pid, 9)
    with pytest.raises(JobFailed, match="SIGKILL"):
        job.result(timeout=20)
    assert job.status().reason == "task_died"
    assert client.submit("echo", 1).result(timeout=20) == 1


def test_what_a_dead_task_left_is_ended_before_the_next_starts(service: Service) -> None:
    """Two jobs must never overlap, and a sub-process of a task is part of its job."""
    client = service.client()
    programs = {service.broker.pid, service.worker.pid}
    (task_process,) = set(service.marked()) - programs
    job = client.submit("leaves_others", "never")
    service.until(lambda: len(service.marked()) >= 6, "the task has started its others")
    os.kill(task_process, 9)
    with pytest.raises(JobFailed, match="SIGKILL"):
        job.result(timeout=20)
    assert client.submit("echo", 1).result(timeout=20) == 1
    assert len(set(service.marked()) - programs) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_slow_import_is_waited_for_asleep(new_service: Callable[..., Service]) -> None:
    """While tasks are imported the worker takes no processor time, though a broker has connected and speaks."""
    service = new_service()
    os.mkfifo(service.place / "work/gate")
    (service.place / "work/slow.py").write_text(
        "from zjobs.worker.tasks import task\nopen('gate').close()\n\n\n@task\ndef slow():\n    pass\n"
    )
    service.start_broker()
    worker = service.start("worker", "--pipe", service.pipe, "--reports", service.reports, "--tasks", "slow")
    asleep = 0

    def half_a_second_asleep() -> bool:
        nonlocal asleep
        stat = Path(f"/proc/{worker.pid}/stat").read_text()
        asleep = asleep + 1 if stat.rpartition(")")[2].split()[0] == "S" else 0
        time.sleep(0.01)
        return asleep == 50

    service.until(half_a_second_asleep, "the worker sleeps")
    with open(service.place / "work/gate", "w"):
        worker.ready()
