"""What people try in their first hour, with the real programs: it goes on, or says what to do."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Service


@contextlib.contextmanager
def started(service: Service, *words: str) -> Iterator[subprocess.Popen[str]]:
    """zclient, running beside the test. It is killed if the test fails, which would otherwise wait for its end."""
    argv = [sys.executable, "-m", "zjobs.client", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, stdout=pipe, stderr=pipe, text=True, env=service.env, cwd=service.place / "work"
    ) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def test_log_follows_a_job_over_many_beats(service: Service) -> None:
    """One run is one run, however often the worker tells of it: nothing is repeated and nothing is lost."""
    job = service.client().submit("talks", "a")
    service.until(lambda: job.status().output_bytes, "the first line")
    with started(service, "log", "-f", str(job.id)) as following:
        service.until(lambda: (job.status().elapsed_ms or 0) > 2_500, "two more heartbeats")
        service.open_gate("a")
        out, err = following.communicate(timeout=30)
    assert (following.returncode, out, err) == (0, "before the gate\nafter the gate\n", "")


def test_the_start_of_a_run_is_told_the_same_for_ever(service: Service) -> None:
    """While it runs, by a restarted broker, and after its end."""
    job = service.client().submit("talks", "a")
    service.until_state(job.id, "in_progress")
    told = {job.status().started_at}
    service.until(lambda: (job.status().elapsed_ms or 0) > 1_500, "another heartbeat")
    told.add(job.status().started_at)
    service.broker.kill()
    service.start_broker()
    service.until_state(job.id, "in_progress")
    told.add(job.status().started_at)
    service.open_gate("a")
    told.add(job.wait(30).started_at)
    assert len(told) == 1 and job.status().run == 1


def test_watch_tells_of_jobs_and_of_the_service(service: Service) -> None:
    """A pause, the worker's end and its return, beside the jobs; each line has the time and the type."""
    service.until_worker("ready")
    user = f"{service.client().submitter}?"  # as unverified, because there are no keys
    with started(service, "watch") as watching:
        assert watching.stderr is not None and watching.stdout is not None
        assert "watching" in watching.stderr.readline()

        def until_line(end: str) -> None:
            for line in watching.stdout or ():
                assert re.match(r"\d\d:\d\d:\d\d (echo|service:?) ", line), line
                if line.endswith(f" {end}\n"):
                    return
            raise AssertionError(f"no line with {end!r}")

        service.zclient("pause", "maintenance till 5")
        until_line(f"service paused by {user}: maintenance till 5")
        service.worker.kill()
        until_line("service: the worker is gone")
        service.start_worker()
        until_line("service: the worker is ready")
        service.zclient("resume")
        until_line("service resumed")
        job = service.client().submit("echo", 1)
        until_line(f"echo {job.id} completed")
        watching.kill()


def test_nothing_listens_is_said_at_once(service: Service) -> None:
    """While it is still tried: what is wrong at the address, and what to do; and once more at the end."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with started(service, "--broker", address, "--timeout", "60", "info") as asking:
            assert asking.stderr is not None
            said = asking.stderr.readline()
            asking.kill()
        start = f"zclient: nothing listens at tcp://{address}: start zbroker, or choose another with --broker"
        assert said == f"{start} (trying for 60 s)\n"
        ended = service.zclient("--broker", address, "--timeout", "0.5", "info")
    assert (ended.returncode, ended.stdout) == (69, "")
    assert ended.stderr.endswith(f"no answer from tcp://{address} within 0.5 s: nothing listens there\n")
    socket_file = service.zclient("--broker", f"ipc://{service.place}/nobody", "--timeout", "0.5", "info")
    assert "nothing listens at ipc://" in socket_file.stderr


def test_a_host_without_an_address_is_named(service: Service) -> None:
    """By a name that never has one (RFC 6761)."""
    with started(service, "--broker", "nowhere.invalid:5570", "--timeout", "60", "info") as asking:
        assert asking.stderr is not None
        said = asking.stderr.readline()
        asking.kill()
    assert "the host nowhere.invalid is unknown; choose another with --broker" in said


def test_a_broker_needs_no_transport(new_service: Callable[..., Service]) -> None:
    """HOST:PORT is tcp://HOST:PORT, and nothing is said when all is well."""
    service = new_service("tcp://127.0.0.1:*")
    service.start_broker()
    address = service.endpoint.removeprefix("tcp://")
    told = service.zclient("--broker", address, "info")
    assert (told.returncode, told.stderr) == (0, "") and f"at tcp://{address}" in told.stdout


def test_tasks_that_are_no_module_of_tasks(service: Service) -> None:
    """A file in place of a module, and a module without tasks: a sentence says what to do."""
    (service.place / "work/empty.py").write_text("x = 1\n")
    at = ("--pipe", f"ipc://{service.place}/p")
    file = service.run("worker", *at, "--tasks", "./lab/tools.py")
    assert (file.returncode, file.stderr) == (
        64,
        "zworker: --tasks: ./lab/tools.py is a file; name the module instead: --tasks lab.tools\n",
    )
    empty = service.run("worker", *at, "--tasks", "empty")
    assert empty.returncode == 78 and "--tasks empty: the module has no tasks; put @task above" in empty.stderr


def test_keys_before_there_are_any(service: Service) -> None:
    """Each command says how they are made."""
    for words in (("list",), ("revoke", "me"), ("add", "me", "--role", "viewer"), ("worker",)):
        ended = service.run("broker", "keys", *words, "--keys", "none")
        assert (ended.returncode, ended.stdout) == (78, "")
        assert ended.stderr == "zbroker: there are no keys in none yet: zbroker keys init makes them\n"


def test_a_failure_leads_to_its_traceback_and_the_log_names_the_job(service: Service) -> None:
    """The line of a failed job says where its traceback is; the worker's log which job it is about."""
    job = service.client().submit("third_time", "a")
    assert service.zclient("wait", str(job.id)).returncode in (0, 1)
    broken = service.zclient("batch", "pair", "--arg", "left=1", "--arg", "right=x")
    assert "traceback:" not in broken.stderr, "data that is refused has none"
    failed = service.zclient("batch", "raises", "nope")
    assert failed.stderr.splitlines()[-1].endswith("failed: KeyError: 'nope' (traceback: zclient show 2)")
    shown = service.zclient("show", "2").stdout
    assert "KeyError: 'nope'" in shown and "traceback:" not in shown, "it stands there"
    at = ("--broker", service.endpoint)
    for words in (("wait", "2"), ("status", "2"), ("result", "2"), ("cancel", "2"), ("watch", "2")):
        told = service.zclient(*at, *words)
        hint = f"failed: KeyError: 'nope' (traceback: zclient --broker {service.endpoint} show 2)\n"
        assert (told.stdout + told.stderr).endswith(hint), words
    gate = service.client().submit("once_gate", "b")
    service.until_state(gate.id, "in_progress")
    gate.cancel()
    assert gate.wait(30).state == "cancelled"
    assert f"INFO    zworker: job {gate.id}: telling its task to end" in service.worker.log


@pytest.mark.parametrize("how", ["result", "wait", "client", "watch", "program"])
def test_a_task_must_not_wait_for_its_own_service(how: str, shared_service: Service) -> None:
    """It would wait for ever: refused at once, however it waits; the job that it submitted runs after it."""
    client = shared_service.client()
    said = client.submit("submits", {"broker": shared_service.endpoint, "how": how}).result(60)
    assert "a task must not wait for job" in said, said
    assert said.startswith("5 zclient: " if how == "program" else "refused: ")
    assert client.show(max(job.id for job in client.list(type="submits"))).left_behind == ""
    inner = int(re.findall(r"job (\d+)", said)[0])
    assert client.job(inner).result(60) == "inner"


def test_a_task_finds_its_own_service(new_service: Callable[..., Service]) -> None:
    """A `Client()` inside a task talks to the broker whose job it is, wherever that listens."""
    service = new_service("tcp://127.0.0.1:*")
    service.start_broker()
    del service.env["ZJOBS_BROKER"]  # the worker is not told
    service.start_worker()
    client = service.client()
    inner = client.submit("submits", {"broker": "", "how": "not at all"}).result(60)
    assert client.job(int(inner)).result(60) == "inner"


def test_a_task_may_submit_and_may_wait_for_another_service(
    shared_service: Service, new_service: Callable[..., Service]
) -> None:
    """Submitting is harmless, and another service has another worker."""
    client = shared_service.client()
    inner = client.submit("submits", {"broker": shared_service.endpoint, "how": "not at all"}).result(60)
    assert client.job(int(inner)).result(60) == "inner"
    other = new_service()
    other.start_broker()
    other.start_worker()
    assert client.submit("submits", {"broker": other.endpoint, "how": "result"}).result(60) == "inner"
