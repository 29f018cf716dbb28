"""scripts/start_all.sh, in a network of its own and with what is installed here in place of what it would install."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
OWN_NETWORK = ("unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A tree with the scripts, whose environment is the present one."""
    root = tmp_path / "house"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    for name in ("api", "broker", "worker", "client", "messages", "program", "testing", "gateway", ".venv"):
        (root / name).mkdir()
    (root / "setup.py").touch()
    (root / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (root / ".venv/.installed").write_text(f"{root}\n")
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    return root


@pytest.fixture
def start(house: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the script as a terminal would: with a process group of its own."""
    if shutil.which("unshare") is None or subprocess.run([*OWN_NETWORK, "true"], capture_output=True).returncode:
        pytest.skip("no network of one's own can be made here")
    started: list[subprocess.Popen[str]] = []
    # by a short way: the path of a Unix socket has at most 107 bytes
    way = Path(tempfile.mkdtemp(dir="/tmp")) / "t"
    way.symlink_to(tmp_path / "tmp")
    env = {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(way)}
    env.pop("XDG_STATE_HOME", None)
    env.pop("ZJOBS_BROKER", None)

    def start(*words: str) -> subprocess.Popen[str]:
        argv = [*OWN_NETWORK, str(house / "scripts/start_all.sh"), *words]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=env, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)
    shutil.rmtree(way.parent)


def left_in(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for folder in ("home", "tmp") for path in (place / folder).rglob("*"))


def test_help_and_wrong_options(house: Path, tmp_path: Path) -> None:
    """--help tells both ways to use it; neither it nor a mistake starts anything."""
    script = str(house / "scripts/start_all.sh")
    shown = subprocess.run([script, "--help"], capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "") and "COMMAND" in shown.stdout and "Ctrl+C" in shown.stdout
    wrong = subprocess.run([script, "--hepl"], capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (64, "") and "--help" in wrong.stderr
    assert not (house / ".run").exists() and left_in(tmp_path) == []


def test_one_command_leaves_nothing_behind(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """No file, no lock; the exit code is the command's."""
    out, err = (ran := start("zclient", "batch", "reverse", "ab", "--json")).communicate(timeout=60)
    assert ran.returncode == 0 and '"result": "ba"' in out, (out, err)
    (failed := start("sh", "-c", "exit 7")).communicate(timeout=60)
    assert failed.returncode == 7
    assert left_in(tmp_path) == []


def test_ctrl_c_says_what_it_waits_for(
    start: Callable[..., subprocess.Popen[str]], house: Path, tmp_path: Path
) -> None:
    """The journal is where zbroker alone looks; the first Ctrl+C names the job, the second one kills it."""
    service = start()
    assert service.stdout is not None and service.stderr is not None
    said = service.stdout.readline()
    assert f"journal {tmp_path}/home/.local/state/zjobs/journal.db, logs in .run/" in said, said
    enter = ("nsenter", "--preserve-credentials", "-U", "-n", "-t", str(service.pid))
    zclient = str(Path(sys.executable).parent / "zclient")

    def ask(*words: str) -> str:
        return subprocess.run([*enter, zclient, *words], capture_output=True, text=True, timeout=60).stdout

    assert ask("submit", "repeat", "a") == "1\n"
    wait_until(lambda: "in progress" in ask("status", "1"), "the job runs", lambda: said)
    os.killpg(service.pid, signal.SIGINT)
    assert service.stderr.readline() == "stopping: waiting for job 1 to end; Ctrl+C again kills it\n"
    os.killpg(service.pid, signal.SIGINT)
    assert service.stderr.readline() == "the running job is killed\n"
    assert service.wait(60) == 130
    assert "stopping at once: job 1 is killed" in (house / ".run/zworker.log").read_text()


def test_with_the_gateway(start: Callable[..., subprocess.Popen[str]], house: Path) -> None:
    """All three start; what is printed is where to go and how to log in; Ctrl+C ends all."""
    (house / ".venv/.installed").write_text(f"{house}[gateway]\n")
    service = start("--gateway")
    assert service.stdout is not None
    said = list(itertools.takewhile(lambda line: not line.startswith("Ctrl+C"), service.stdout))
    (url,) = [line.split()[-1].removesuffix("/docs") for line in said if line.startswith("Over HTTP: ")]
    (password,) = [line.split()[-1] for line in said if line.startswith("first login: admin, password ")]
    enter = ("nsenter", "--preserve-credentials", "-U", "-n", "-t", str(service.pid), sys.executable, "-c")
    asked = subprocess.run([*enter, LOG_IN_AND_SUBMIT, url, password], capture_output=True, text=True, timeout=60)
    assert asked.stdout == "elpmaxe 200\n", asked.stderr
    os.killpg(service.pid, signal.SIGINT)
    assert service.wait(60) == 130
    for name in ("zgateway", "zworker", "zbroker"):
        log = (house / f".run/{name}.log").read_text()
        assert "Traceback" not in log and "ERROR" not in log, log
    assert subprocess.run(["pgrep", "-s", str(service.pid)], capture_output=True).returncode == 1


LOG_IN_AND_SUBMIT = """
import sys, httpx
url, password = sys.argv[1:]
form = {"username": "admin", "password": password}
token = httpx.post(f"{url}/api/v1/auth/token", data=form).json()["access_token"]
with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
    jobs = f"{url}/api/v1/services/default/jobs"
    job_id = client.post(jobs, json={"type": "reverse", "data": "example"}).json()["first_id"]
    result = client.get(f"{jobs}/{job_id}/result", params={"wait": 30}).json()
    print(result, httpx.get(f"{url}/docs").status_code)
"""
