"""Commands as jobs, with real programs: what they get, how they end, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Service, making_services
from zjobs.client import AsyncClient, Client, Job, JobFailed, errors

GROUP = """
for each in plain nohup; do (exec -a left-$each sleep 600) & done
(setsid bash -c 'exec -a left-setsid sleep 600' &)
trap '' TERM
echo started
sleep 600
"""


@pytest.fixture(scope="module")
def commands() -> Iterator[Service]:
    """A service that runs commands, for all tests that do not stop anything."""
    with making_services() as make:
        service = make()
        service.env |= {"ZJOBS_KEY": "", "PGPASSWORD": "secret", "OF_THE_WORKER": "1", "PWD": "/elsewhere"}
        service.start_broker(journal=":memory:")
        service.start_worker("--commands")
        service.until_worker("ready")
        yield service


@pytest.fixture
def client(commands: Service) -> Client:
    return commands.client()


def left(service: Service) -> list[int]:
    """What runs of GROUP."""
    names = {pid: Path(f"/proc/{pid}/cmdline") for pid in service.marked()}
    return [pid for pid, name in names.items() if name.exists() and name.read_bytes().startswith((b"left-", b"sleep"))]


def started(service: Service) -> Job:
    """GROUP, once all of it runs."""
    job = service.client().run(["bash", "-c", GROUP], time_limit=600)
    service.until(lambda: len(left(service)) == 4 and b"started" in job.log(), "all of it runs")
    return job


def test_output_and_success(client: Client) -> None:
    """Both streams, as bytes, in the log; the result is the exit code."""
    job = client.run(["bash", "-c", r"echo out; printf 'err \xff\n' >&2; test ! -t 0 && wc -c"])
    assert job.result(20) == 0 and job.log() == b"out\nerr \xff\n0\n"
    status = job.status()
    assert status.state == "completed" and status.exit_code is None and status.type == "command"


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (["sh", "-c", "exit 3"], 3, "exited with code 3"),
        (["sh", "-c", "exit 255"], 255, "exited with code 255"),
        (["sh", "-c", "kill -SEGV $$"], -11, "ended by SIGSEGV"),
        (["bash", "-c", "kill -40 $$"], -40, "ended by signal 40"),
        (["no-such-program"], 127, "there is no program no-such-program in PATH on "),
        (["./no such"], 127, "there is no program './no such' in "),
        (["./plain"], 126, "./plain cannot be run on {host}: it is not executable"),
        (["./orphan"], 126, "./orphan cannot be run on {host}: the interpreter that its first line names does not"),
        (["./text"], 126, "./text cannot be run on {host}: it is neither a binary nor a script that begins with #!"),
        (["."], 126, ". cannot be run on {host}: it is not executable"),
    ],
)
def test_failure(words: list[str], exit_code: int, message: str, client: Client, tmp_path: Path) -> None:
    """In the status, as a number for programs and as a sentence for people."""
    for name, content in {"plain": "#!/bin/sh", "orphan": "#!/no/such", "text": "echo"}.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o644 if name == "plain" else 0o755)
    job = client.run(words, cwd=tmp_path)
    with pytest.raises(JobFailed) as failed:
        job.result(20)
    assert failed.value.status.reason == "command_failed" and failed.value.status.exit_code == exit_code
    assert str(failed.value).startswith(f"{job.id} failed: {message.format(host=os.uname().nodename)}")


@pytest.mark.parametrize(("make", "message"), [(None, "there is no directory"), (0o644, "cannot be entered")])
def test_the_directory(make: int | None, message: str, client: Client, tmp_path: Path) -> None:
    """One that is missing, or is none, is named."""
    place = tmp_path / "there"
    if make is not None:
        place.write_text("")
    job = client.run(["true"], cwd=place)
    with pytest.raises(JobFailed, match=message) as failed:
        job.result(20)
    assert failed.value.status.exit_code == 125 and str(place) in str(failed.value)
    assert client.run(["pwd"], cwd=tmp_path).wait(20).state == "completed"


def test_what_a_command_gets(client: Client, commands: Service, tmp_path: Path) -> None:
    """The worker's environment without its secrets, PWD, what is named; its directory; no descriptor but three."""
    job = client.run(["env", "-0"], cwd=tmp_path, env={"NAMED": "ü=1", "OF_THE_WORKER": "2"})
    job.result(20)
    got = dict(line.split("=", 1) for line in job.log().decode().split("\0") if line)
    assert (got["NAMED"], got["OF_THE_WORKER"], got["PWD"]) == ("ü=1", "2", str(tmp_path))
    kept = commands.env.keys() - {"ZJOBS_KEY", "PGPASSWORD"}
    assert kept <= got.keys() and got.keys() - kept <= {"NAMED", "PWD", "ZJOBS_TASK_OF", "_", "LC_CTYPE"}
    job = client.run(["python3", "-c", "import os; print(os.getcwd(), os.listdir('/proc/self/fd'), os.getsid(0))"])
    job.result(20)
    where, descriptors, session = job.log().decode().replace("[", "|").replace("]", "|").split("|")
    assert where.strip() == os.getcwd() and len(descriptors.split(",")) == 4  # with that of the listing itself
    assert int(session) not in (os.getsid(0), os.getsid(commands.worker.pid))


@pytest.mark.parametrize("how", ["cancel", "limit"])
def test_all_of_it_ends_on_a_cancel_and_on_its_limit(how: str, commands: Service) -> None:
    """Also what ignores SIGTERM, has lost its parent, or has left the session."""
    client = commands.client()
    if how == "cancel":
        job = started(commands)
        job.cancel()
        assert job.wait(20).state == "cancelled"
    else:
        job = client.run(["bash", "-c", GROUP.replace("trap", "#")], time_limit=1)
        assert job.wait(20).reason == "timed_out"
    assert client.run(["true"]).result(20) == 0 and left(commands) == []


def test_a_cancelled_command_may_tidy_up(commands: Service) -> None:
    """Its group gets SIGTERM before SIGKILL, and what it prints then is kept."""
    job = commands.client().run(["bash", "-c", "trap 'echo tidied; exit' TERM; echo started; sleep 600 & wait"])
    commands.until(lambda: b"started" in job.log(), "it runs")
    job.cancel()
    assert job.wait(20).state == "cancelled" and job.log() == b"started\ntidied\n"


def test_what_is_left_running_ends_with_the_command(commands: Service) -> None:
    """In its group and outside of it."""
    client = commands.client()
    job = client.run(["bash", "-c", "sleep 600 & setsid sleep 600 & exit 4"])
    assert job.wait(20).exit_code == 4
    assert client.run(["true"]).result(20) == 0 and left(commands) == []


@pytest.mark.parametrize("victims", ["task process", "worker", "both"])
def test_all_of_it_ends_when_what_runs_it_is_killed(victims: str, new_service: Callable[..., Service]) -> None:
    """At once, and not only when the next worker starts."""
    service = new_service()
    service.start_broker()
    service.start_worker("--commands")
    before = service.marked()
    job = started(service)
    task_process = int(Path(f"/proc/{service.worker.pid}/task/{service.worker.pid}/children").read_text())
    if victims != "worker":
        os.kill(task_process, signal.SIGKILL)
    if victims != "task process":
        service.worker.kill()
    service.until(lambda: not left(service), "nothing is left")
    if victims == "task process":
        assert job.wait(20).reason == "task_died"
    else:
        others = {service.broker.pid}
        service.until(lambda: set(service.marked()) & set(before) == others, "nobody waits any more")
        service.start_worker("--commands")
        assert job.wait(20).reason == "worker_lost"


def test_zclient_run(commands: Service, json_lines: Callable[[str], list[Any]]) -> None:
    """The id alone, or with --wait the output and the exit code; options end at the program."""
    commands.env["OF_THE_CLIENT"] = "1"
    named = ("--env", "A=1", "--env", "OF_THE_CLIENT")
    ended = commands.zclient("run", *named, "sh", "-c", "echo $A $OF_THE_CLIENT $0 -x")
    job = commands.client().job(int(ended.stdout))
    assert job.wait(20).state == "completed" and job.log() == b"1 1 sh -x\n"
    waited = commands.zclient("run", "--wait", "--name", "n", "sh", "-c", "echo out; exit 7", "--json", "--help")
    assert (waited.returncode, waited.stdout) == (7, "out\n") and "failed: exited with code 7" in waited.stderr
    assert commands.zclient("run", "--wait", "pwd").stdout == f"{commands.place}/work\n"
    assert commands.zclient("run", "--wait", "--cwd", "..", "pwd").stdout == f"{commands.place}\n"
    shell = commands.zclient("run", "--shell", "--max-wait", "20", "kill -KILL $$")
    assert shell.returncode == 137 and "ended by SIGKILL" in shell.stderr
    listed = commands.zclient("list", "--limit", "1").stdout
    assert "/bin/sh -c 'kill -KILL $$'" in listed
    (shown,) = json_lines(commands.zclient("list", "--limit", "1", "--json").stdout)
    assert shown["exit_code"] == -9 and shown["data_preview"] == "/bin/sh -c 'kill -KILL $$'"
    assert commands.zclient("run", "--wait", "no-such-program").returncode == 127
    late = commands.zclient("run", "--max-wait", "0.1s", "sleep", "3")
    assert late.returncode == 4 and "goes on: zclient log -f" in late.stderr
    assert "run as the worker's account" in commands.zclient("info").stdout
    assert "argv" in commands.zclient("types", "command").stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--shell", "echo", "two"], "quote it"),
        (["--env", "NOT_SET_AT_ALL", "env"], "not set here"),
        (["--env", "=x", "env"], "not the name of a variable"),
        ([os.fsdecode(b"caf\xe9")], "the program is not UTF-8 text: b'caf\\xe9'"),
        (["cat", os.fsdecode(b"caf\xe9")], "argument 1 is not UTF-8 text: b'caf\\xe9'"),
        (["--env", os.fsdecode(b"A=\xe9"), "env"], "the value of A is not UTF-8 text"),
        (["--cwd", os.fsdecode(b"/\xe9"), "env"], "the directory is not UTF-8 text"),
        ([], "PROGRAM is missing"),
    ],
)
def test_what_cannot_be_queued(words: list[str], sentence: str, commands: Service) -> None:
    """Is refused before anything is sent."""
    ended = commands.zclient("run", *words)
    assert ended.returncode == 2 and sentence in ended.stderr and not ended.stdout


async def _run(service: Service) -> int:
    async with AsyncClient(service.endpoint) as client:
        job = await client.run(["sh", "-c", "exit $CODE"], env={"CODE": "5"}, cwd="/", name="five")
        return (await job.wait(20)).exit_code or 0


def test_both_clients_and_a_copy(client: Client, commands: Service) -> None:
    """The blocking client and that of asyncio; a copy runs the same program."""
    assert asyncio.run(_run(commands)) == 5
    (five,) = client.list(name="five")
    (copy,) = client.retry([five.id])
    assert copy.wait(20).exit_code == 5
    with pytest.raises(errors.BadData, match="list: the program"):
        client.run("make test")  # type: ignore[arg-type]
    with pytest.raises(errors.BadRequest, match="prio"):
        client.run(["true"], prio=3)


def test_a_worker_without_commands(shared_service: Service) -> None:
    """Says so, in the refusal and in info."""
    refused = shared_service.zclient("run", "true")
    assert refused.returncode == 5 and "the worker runs no commands; zworker --commands does" in refused.stderr
    assert "not run by this worker" in shared_service.zclient("info").stdout
