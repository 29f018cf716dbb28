"""Promise 1, for the programs that jobs start: none of them runs beside a later job, however its own job ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from zjobs.client import JobFailed

if TYPE_CHECKING:
    from tests.conftest import Service

HOW = ("plain", "setsid", "double_fork")


def left(service: Service) -> list[int]:
    """The pids of all that jobs have left."""
    return [int(pid) for pid in service.runs("left")]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("kind", "ending", "state"),
    [
        ("leaves", "returns", "completed"),
        ("leaves", "raises", "failed"),
        ("leaves", "waits", "cancelled"),
        ("leaves", "is_killed", "cancelled"),
        ("leaves_too_long", "waits", "failed"),
        ("leaves_too_long", "is_killed", "failed"),
    ],
)
def test_no_job_meets_what_another_left(how: str, kind: str, ending: str, state: str, shared_service: Service) -> None:
    """A normal end, an exception, a cancel, a time limit, and the kill that follows them."""
    client = shared_service.client()
    name = f"{how} {kind} {ending}"
    before = len(left(shared_service))
    job = client.submit(kind, {"name": name, "how": how, "ending": ending})
    looks = client.submit("sees")
    shared_service.until(lambda: name in shared_service.runs("start"), "it runs")
    if state == "cancelled":
        job.cancel()
    assert job.wait(20).state == state
    assert looks.result(20) == [] and len(left(shared_service)) == before + 1
    assert client.show(job.id).killed == 1 and client.show(looks.id).killed == 0


def test_a_shell_that_was_cancelled_leaves_nothing(shared_service: Service) -> None:
    """Python kills the shell; the program that it ran ends, too."""
    client = shared_service.client()
    job = client.submit("through_a_shell")
    shared_service.until(lambda: b"prep" in job.log(), "it runs")
    job.cancel()
    assert job.wait(20).state == "cancelled"
    assert client.submit("echo", 1).result(20) == 1
    assert not [pid for pid in shared_service.marked() if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"]


@pytest.mark.parametrize("how", HOW)
def test_nothing_is_left_of_a_killed_task_process(how: str, service: Service) -> None:
    """kill -9 of it while its job runs."""
    client = service.client()
    task_process = set(service.marked()) - {service.broker.pid, service.worker.pid}
    job = client.submit("leaves", {"name": "a", "how": how, "ending": "waits"})
    looks = client.submit("sees")
    service.until(lambda: service.runs("start"), "it runs")
    os.kill(task_process.pop(), signal.SIGKILL)
    with pytest.raises(JobFailed, match="SIGKILL"):
        job.result(20)
    assert looks.result(20) == [] and len(left(service)) == 1


@pytest.mark.parametrize("victims", ["worker", "both", "task process first"])
def test_nothing_is_left_of_a_killed_worker(victims: str, service: Service) -> None:
    """kill -9 of it, with and without its task process, while a job has left programs of every kind and still runs."""
    client = service.client()
    (task_process,) = set(service.marked()) - {service.broker.pid, service.worker.pid}
    for how in HOW:
        client.submit("leaves", {"name": how, "how": how, "ending": "returns"}).wait(20)
    job = client.submit("leaves", {"name": "a", "how": "double_fork", "ending": "waits"})
    looks = client.submit("sees")
    service.until(lambda: "a" in service.runs("start"), "it runs")
    if victims == "task process first":
        service.worker.signal(signal.SIGSTOP)
    if victims != "worker":
        os.kill(task_process, signal.SIGKILL)
    service.worker.kill()
    assert alive(left(service)[-1])
    service.start_worker()
    assert not alive(left(service)[-1])
    with pytest.raises(JobFailed, match="worker died"):
        job.result(20)
    assert looks.result(20) == []


@pytest.fixture
def without_the_power_to_kill() -> tuple[str, ...]:
    """A command that starts a worker whose tasks may become another user, whom the worker may then not kill."""
    through = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")
    becomes = (*through, "setpriv", "--reuid=65534", "--clear-groups", "true")
    if os.geteuid() != 0 or shutil.which("setpriv") is None or subprocess.run(becomes, check=False).returncode != 0:
        pytest.skip("needs root, who can become somebody else, and setpriv")
    return through


def test_what_cannot_be_killed_stops_the_queue_and_is_named(
    new_service: Callable[..., Service], without_the_power_to_kill: tuple[str, ...]
) -> None:
    """By a restarted worker, too; other jobs wait, and run when it is gone."""
    service = new_service()
    service.start_broker()
    service.start_worker(through=without_the_power_to_kill)
    client = service.client()
    job = client.submit("leaves", {"name": "a", "how": "double_fork", "word": "other"})
    assert job.wait(20).state == "completed"
    (pid,) = left(service)
    service.until_worker("blocked")
    assert f"harmless (pid {pid} of user 65534)" in (client.info().worker.warning or "")
    assert f"harmless (pid {pid} of user 65534)" in service.worker.log
    waits = client.submit("sees")
    for end in (service.worker.kill, lambda: service.worker.signal(signal.SIGTERM)):
        end()
        service.worker.ended()
        service.start_worker(through=without_the_power_to_kill)
        service.until_worker("blocked")
        assert f"(pid {pid} of user 65534)" in (client.info().worker.warning or "")
    assert waits.status().state == "queued"
    os.kill(pid, signal.SIGKILL)
    assert waits.result(20) == []
    service.until_worker("ready")
    assert client.info().worker.warning is None


def test_a_program_that_is_run_prints_into_its_jobs_log_and_ends_with_it(shared_service: Service) -> None:
    """In order with what the task prints; a group that does not end by itself is ended."""
    client = shared_service.client()
    job = client.submit("runs_a_program", {"script": "echo during; sleep 1000 & exit 3", "check": False})
    assert job.result(20) == 3 and job.log() == b"before\nduring\n"
    failing = client.submit("runs_a_program", "exit 4")
    with pytest.raises(JobFailed, match="exit status 4"):
        failing.result(20)
    missing = client.submit("runs_a_program", "exec no-such-program")
    with pytest.raises(JobFailed, match="exit status 127"):
        missing.result(20)
    endless = client.submit("runs_a_program", "trap 'echo told; exit' TERM; echo ready; while :; do sleep 0.01; done")
    shared_service.until(lambda: b"ready" in endless.log(), "it runs")
    endless.cancel()
    assert endless.wait(20).state == "cancelled"
    assert endless.log().startswith(b"before\nready\n") and endless.log().endswith(b"told\n")
