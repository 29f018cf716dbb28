"""zclient from end to end: what stands on stdout, what on stderr, and the exit codes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Service


@pytest.fixture
def zclient(shared_service: Service) -> Callable[..., subprocess.CompletedProcess[str]]:
    return shared_service.zclient


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def started(service: Service, *words: str) -> subprocess.Popen[str]:
    """zclient, running beside the test."""
    argv = [sys.executable, "-m", "zjobs.client", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=service.env, cwd=service.place / "work")


def until_line(process: subprocess.Popen[str], word: str) -> str:
    """Reads stderr up to the line that contains `word`."""
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return line
    pytest.fail(f"stderr ended without {word!r}")


def test_submit_status_result(zclient: Run) -> None:
    """submit prints the id and nothing else, result the result and nothing else, again and again."""
    submitted = zclient("submit", "reverse", "example")
    assert submitted.returncode == 0 and submitted.stderr == ""
    job_id = submitted.stdout.removesuffix("\n")
    assert job_id.isdigit()
    for _ in range(2):
        result = zclient("result", job_id, "--wait")
        assert (result.returncode, result.stdout, result.stderr) == (0, "elpmaxe\n", "")
    status = zclient("status", job_id)
    assert (status.returncode, status.stdout) == (0, f"{job_id} completed\n")


def test_batch_shows_id_status_and_result(zclient: Run) -> None:
    """stdout gets two lines; the status goes to stderr, a line a change."""
    batch = zclient("batch", "swap", "example")
    job_id, result = batch.stdout.splitlines()
    assert (batch.returncode, result) == (0, "xemalpe")
    assert batch.stderr.splitlines()[-1] == f"{job_id} completed"
    assert all(line.startswith(f"{job_id} ") for line in batch.stderr.splitlines())


def test_data_that_begins_with_a_dash_goes_after_two(zclient: Run) -> None:
    """`--` ends the options; options may stand on either side of the command and its words."""
    assert zclient("batch", "reverse", "--timeout", "5", "--", "--help").stdout.splitlines()[1] == "pleh--"
    assert zclient("--timeout", "5", "batch", "--", "reverse", "-x").stdout.splitlines()[1] == "x-"


def test_where_data_comes_from(zclient: Run) -> None:
    """Words, standard input, named parameters; no data is not an empty text."""
    assert zclient("batch", "reverse", "-", stdin="añb").stdout.splitlines()[1] == "bña"
    assert zclient("batch", "pair", "--arg", "left=1", "--arg=right=2").stdout.splitlines()[1] == "[1, 2]"
    assert zclient("batch", "echo").stdout.splitlines()[1] == "no data"
    assert zclient("batch", "echo", "").stdout.splitlines()[1] == ""


def test_lines_are_jobs(zclient: Run, shared_service: Service) -> None:
    """submit prints an id a line, batch ID, tab, RESULT in order, with what would break a line escaped."""
    ids = zclient("submit", "safe", "--lines", "-", stdin="a\nb\n").stdout.split()
    assert [zclient("result", job_id, "--wait").stdout for job_id in ids] == ["a\n", "b\n"]
    (shared_service.place / "work/lines").write_text("tab\there\nback\\slash\n\nlast")
    batch = zclient("batch", "echo", "--lines", "lines")
    results = [line.split("\t", 1)[1] for line in batch.stdout.splitlines()]
    assert results == ["tab\\there", "back\\\\slash", "", "last"]
    assert batch.stderr.splitlines()[-1] == "4/4"


def test_json_prints_one_object_a_line(zclient: Run, json_lines: Callable[[str], list[Any]]) -> None:
    """Every command; errors too, on stderr."""
    (submitted,) = json_lines(zclient("--json", "submit", "reverse", "example").stdout)
    job_id = str(submitted["id"])
    (result,) = json_lines(zclient("result", job_id, "--wait", "--json").stdout)
    assert (result["id"], result["result"]) == (submitted["id"], "elpmaxe")
    (status,) = json_lines(zclient("--json", "status", job_id).stdout)
    assert (status["state"], status["worker"]) == ("completed", "ready")
    batch = zclient("--json", "batch", "swap", "example")
    assert json_lines(batch.stdout)[-1]["result"] == "xemalpe" and json_lines(batch.stderr)
    assert {task["name"] for task in json_lines(zclient("--json", "types").stdout)} >= {"reverse", "swap", "repeat"}
    for command in (("info",), ("show", job_id)):
        assert len(json_lines(zclient("--json", *command).stdout)) == 1
    refused = zclient("--json", "submit", "nothing", "x")
    (error,) = json_lines(refused.stderr)
    assert refused.returncode == 5 and error["error"]["code"] == "unknown_type" and error["error"]["message"]
    assert json_lines(zclient("--json", "flub").stderr)[0]["error"]["code"] == "usage"


def test_types_info_and_show_are_for_people(zclient: Run, shared_service: Service) -> None:
    """Descriptions; versions, journal, worker and counts; times, key, attempts with their tracebacks."""
    assert "reverse" in zclient("types").stdout and "Reverse the text." in zclient("types").stdout
    info = zclient("info").stdout
    assert all(word in info for word in ("zjobs", ":memory:", f"pid {shared_service.worker.pid}", "completed"))
    job_id = zclient("submit", "third_time", "shown", "--once", "my key").stdout.strip()
    zclient("result", job_id, "--wait")
    shown = zclient("show", job_id).stdout
    assert all(word in shown for word in ("my key", "third_time", "ValueError: run 1", "own_tasks.py")), shown


EXITS: dict[str, tuple[int, list[str], str]] = {
    "job_failed": (1, ["batch", "exits", "politely"], "SystemExit"),
    "wrong_option": (2, ["--broken", "status"], "--broker"),
    "wrong_command": (2, ["sumbit", "reverse", "x"], "did you mean submit"),
    "no_command": (2, [], "--help"),
    "missing_word": (2, ["submit"], "TYPE"),
    "too_many_words": (2, ["types", "all"], "all"),
    "bad_id": (2, ["result", "seven"], "seven"),
    "bad_duration": (2, ["result", "1", "--max-wait", "soon"], "soon"),
    "bad_endpoint": (2, ["--broker", "nowhere", "info"], "nowhere"),
    "missing_file": (2, ["submit", "echo", "--lines", "missing"], "missing"),
    "data_twice": (2, ["submit", "echo", "x", "--arg", "value=1"], "beside those that are named"),
    "unknown_id": (3, ["result", "999999999"], "999999999"),
    "unknown_status": (3, ["status", "999999999"], "999999999"),
    "unknown_show": (3, ["show", "999999999"], "999999999"),
    "unknown_type": (5, ["submit", "nothing", "x"], "reverse"),
}


@pytest.mark.parametrize("name", EXITS)
def test_exit_codes(name: str, zclient: Run) -> None:
    """A sentence on stderr that names what is wrong, nothing on stdout, no traceback."""
    code, words, said = EXITS[name]
    ended = zclient(*words)
    assert ended.returncode == code, ended
    assert said in ended.stderr and "Traceback" not in ended.stderr
    if code != 1:
        assert ended.stdout == ""


def test_status_prints_the_others_first(zclient: Run) -> None:
    """Exit code 3 for an unknown id among known ones, which are shown all the same."""
    job_id = zclient("batch", "echo", "x").stdout.splitlines()[0]
    ended = zclient("status", "999999999", job_id)
    assert (ended.returncode, ended.stdout) == (3, f"{job_id} completed\n")


def test_not_finished_is_4(zclient: Run, shared_service: Service) -> None:
    """`result` at once, and after --max-wait; then the job goes on."""
    job_id = zclient("submit", "safe_gate", "slow").stdout.strip()
    assert zclient("result", job_id).returncode == 4
    assert zclient("result", job_id, "--max-wait", "0.1").returncode == 4
    waited = zclient("batch", "echo", "x", "--max-wait", "0.1")
    assert waited.returncode == 4 and f"result {waited.stdout.strip()} --wait" in waited.stderr
    queued = zclient("status", waited.stdout.strip())
    assert queued.stdout == f"{waited.stdout.strip()} queued, 1 ahead\n"
    shared_service.open_gate("slow")
    assert zclient("result", job_id, "--wait").stdout == "slow\n"


def test_an_error_names_the_line_that_was_not_taken(zclient: Run, shared_service: Service) -> None:
    """--lines with one line too large: those before it are taken, the error says where it stopped."""
    (shared_service.place / "work/large").write_text("small\n" + "x" * (2 << 20) + "\nsmall\n")
    ended = zclient("submit", "echo", "--lines", "large")
    assert ended.returncode == 5 and "line 2" in ended.stderr
    assert len(ended.stdout.split()) == 1


def test_a_missing_broker_is_named_and_a_repeated_key_makes_no_second_job(zclient: Run) -> None:
    """Exit code 69 in time, with the address; after `submit` with the key under which it can be repeated."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        missing = ("--broker", address, "--timeout", "0.2")
        for words in (("info",), ("result", "1"), ("batch", "echo", "x")):
            ended = zclient(*missing, *words)
            assert ended.returncode == 69 and address in ended.stderr, ended
        submitted = zclient(*missing, "submit", "echo", "x")
    assert submitted.returncode == 69 and address in submitted.stderr and "--once " in submitted.stderr
    key = submitted.stderr.split("--once ")[1].split()[0]
    first, again = (zclient("submit", "echo", "x", "--once", key) for _ in range(2))
    assert first.returncode == 0 and first.stdout == again.stdout
    conflict = zclient("submit", "echo", "y", "--once", key)
    assert conflict.returncode == 5


def test_ctrl_c_ends_only_the_wait(shared_service: Service) -> None:
    """Exit code 130, a sentence that the job goes on, and the command that fetches the result later."""
    process = started(shared_service, "batch", "safe_gate", "interrupted")
    until_line(process, "in progress")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    job_id = stdout.strip()
    assert process.returncode == 130 and "Traceback" not in stderr
    assert f"result {job_id} --wait" in stderr and "goes on" in stderr
    shared_service.open_gate("interrupted")
    assert shared_service.zclient("result", job_id, "--wait").stdout == "interrupted\n"


@pytest.mark.parametrize(
    "module", ["zjobs.client.cli.exit_codes", "zjobs.client.cli.main", "zmq", "zjobs.client.client"]
)
def test_ctrl_c_while_it_starts_leaves_no_traceback(module: str, shared_service: Service) -> None:
    """At any moment, imports included: the signal comes when `module` has just been imported. (Before the first
    line of our own, Python itself answers to Ctrl+C.)"""
    argv = [sys.executable, "-X", "importtime", "-m", "zjobs.client", "submit", "echo", "-"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=shared_service.env)
    assert process.stderr is not None
    assert any(line.split("|")[-1].strip() == module for line in process.stderr)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert process.returncode in (130, -signal.SIGINT), stderr
    assert "Traceback" not in stderr and stdout == ""


def test_head_ends_it_quietly(shared_service: Service) -> None:
    """Whoever reads only the first lines gets no complaint about the rest."""
    (shared_service.place / "work/many").write_text("x\n" * 20_000)
    process = started(shared_service, "submit", "echo", "--lines", "many")
    assert process.stdout is not None and process.stdout.readline().strip().isdigit()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=20) in (0, 141)


def test_a_full_disk_is_said(shared_service: Service) -> None:
    """Output that cannot be written: exit code 74 and a sentence."""
    argv = [sys.executable, "-m", "zjobs.client", "types"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, env=shared_service.env, timeout=20)
    assert ended.returncode == 74 and "No space left" in ended.stderr and "Traceback" not in ended.stderr


def test_a_lost_broker_is_waited_for(new_service: Callable[..., Service]) -> None:
    """Killed in mid-wait: said on stderr, and when it is back the result arrives."""
    service = new_service()
    service.start_broker()
    service.start_worker()
    process = started(service, "batch", "once_gate", "a")
    until_line(process, "in progress")
    service.broker.kill()
    assert service.listen in until_line(process, "lost")
    service.start_broker()
    until_line(process, "answers again")
    service.open_gate("a")
    stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (0, "1\na\n")


def test_without_a_worker_the_status_says_so(new_service: Callable[..., Service]) -> None:
    """A queued job adds (no worker); without an id, the status lists what is next."""
    service = new_service()
    service.start_broker()
    service.zclient("submit", "--lines", "-", "anything", stdin="x\n" * 30)
    assert service.zclient("status", "2").stdout == "2 queued, 1 ahead (no worker)\n"
    listed = service.zclient("status").stdout.splitlines()
    assert len(listed) == 25 and listed[1:3] == ["worker: absent", "queued: 30"]


@pytest.mark.parametrize(
    "package, words, code",
    [
        ("broker", ["--listen", "nowhere"], 64),
        ("broker", ["--lisen", "x"], 64),
        ("broker", ["--pipe", "tcp://127.0.0.1:*"], 64),
        ("broker", ["--journal", "/dev/null/journal"], 73),
        ("broker", ["--journal", "garbage"], 74),
        ("broker", ["--max-request", "1000", "--journal", ":memory:"], 78),
        ("broker", ["--max-data", "64MiB", "--journal", ":memory:"], 64),
        ("worker", ["--pipe", "nowhere"], 64),
        ("worker", ["--time-scale", "-1"], 64),
        ("worker", ["more"], 64),
        ("worker", ["--tasks", "missing_module"], 78),
        ("worker", ["--pipe", "ipc:///proc/none/x"], 73),
    ],
)
def test_exit_codes_of_broker_and_worker(
    package: str, words: list[str], code: int, new_service: Callable[..., Service]
) -> None:
    """They refuse to start rather than guess: a sentence that names what is wrong, no traceback."""
    service = new_service()
    (service.place / "work/garbage").write_bytes(b"no journal" * 1000)
    own = ["--listen", f"ipc://{service.place}/l"] if package == "broker" else ["--pipe", f"ipc://{service.place}/p"]
    ended = service.run(package, *own, *words)
    assert ended.returncode == code, ended
    assert "Traceback" not in ended.stderr and ended.stdout == "" and ended.stderr.startswith(f"z{package}: ")
    assert (service.place / "work/garbage").read_bytes() == b"no journal" * 1000


@pytest.mark.parametrize("package", ["broker", "worker", "client"])
def test_version_and_help(package: str, zclient: Run, shared_service: Service) -> None:
    """Each program tells its version and its usage, on stdout."""
    version = shared_service.run(package, "--version")
    assert version.returncode == 0 and version.stdout.split()[0] == f"z{package}" and version.stdout.count(".") == 2
    usage = shared_service.run(package, "--help")
    assert usage.returncode == 0 and "Usage:" in usage.stdout and usage.stderr == ""
