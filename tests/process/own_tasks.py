"""The tasks of the process tests (`zworker --tasks own_tasks`). What runs is noted, a line at a time, in RUNS_FILE."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zjobs.client import Client
from zjobs.client.errors import WouldDeadlock
from zjobs.worker import tasks
from zjobs.worker.tasks import task


def note(event: str, name: str) -> None:
    with open(os.environ["RUNS_FILE"], "a") as file:
        file.write(f"{event} {name}\n")


@contextlib.contextmanager
def noted(name: str) -> Iterator[None]:
    """Notes start and end, and an overlap when any other job is between its own two at the time."""
    with open(os.environ["RUNS_FILE"] + ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("overlap", name)
        note("start", name)
        yield
        note("end", name)


def wait_at_gate(name: str) -> None:
    while not Path(f"gate-{name}").exists():
        time.sleep(0.005)


@task(max_reruns=1000)
def safe(name: str) -> str:
    """May run again as often as its worker is lost."""
    with noted(name):
        return name


@task(max_reruns=1000)
def safe_gate(name: str) -> str:
    """Waits at a gate; may run again."""
    with noted(name):
        wait_at_gate(name)
        return name


@task
def once(name: str) -> str:
    """Never runs again."""
    with noted(name):
        return name


@task
def once_gate(name: str) -> str:
    """Waits at a gate; never runs again."""
    with noted(name):
        wait_at_gate(name)
        return name


@task(max_attempts=3)
def third_time(name: str) -> int:
    """Fails twice."""
    with noted(name):
        runs = Path(os.environ["RUNS_FILE"]).read_text().splitlines().count(f"start {name}")
    if runs < 3:
        raise ValueError(f"run {runs}")
    return runs


@task
def raises(key: str) -> None:
    """Fails with a KeyError."""
    raise KeyError(key)


@task
def submits(broker: str, how: str) -> str:
    """Submits a job to `broker` from inside a task, and waits for it in one of several ways; what came of it."""
    with Client(broker) as client:
        job = client.submit("echo", "inner")
        if how == "program":
            argv = [sys.executable, "-m", "zjobs.client", "--broker", broker, "wait", str(job.id)]
            ended = subprocess.run(argv, capture_output=True, text=True)
            return f"{ended.returncode} {ended.stderr or ended.stdout}"
        waits: dict[str, Callable[[], object]] = {
            "not at all": lambda: job.id,
            "result": lambda: job.result(timeout=60),
            "wait": lambda: job.wait(),
            "client": lambda: client.wait([job.id]),
            "watch": lambda: list(client.watch([job.id])),
        }
        try:
            return str(waits[how]())
        except WouldDeadlock as error:
            return f"refused: {error}"


@task
def talks(name: str) -> None:
    """Prints, waits at a gate, and prints more."""
    print("before the gate", flush=True)
    wait_at_gate(name)
    print("after the gate")


@task
def halfway(name: str, context: tasks.Context) -> None:
    """Reports progress, with a note, and waits at a gate."""
    context.progress(0.5, "in the middle")
    wait_at_gate(name)


@task
def echo(value: Any = "no data") -> Any:
    """Gives back what it gets."""
    return value


@task
def pair(left: int, right: int = 0) -> list[int]:
    """Takes named parameters."""
    return [left, right]


@task
def add(numbers: list[int]) -> int:
    """Takes a list."""
    return sum(numbers)


# --- tasks that misbehave ----------------------------------------------------------------------------------


@task
def killed() -> None:
    """kill -9 of the task process."""
    os.kill(os.getpid(), signal.SIGKILL)


@task
def segfault() -> None:
    """Reads where there is nothing."""
    with contextlib.suppress(AttributeError):
        import faulthandler

        faulthandler.disable()
    ctypes.string_at(8)


@task
def exits(how: str) -> None:
    """Leaves, politely or not."""
    if how == "at once":
        os._exit(3)
    sys.exit(4)


@task
def closes_descriptors() -> None:
    """Closes what is not its own."""
    os.closerange(3, 1024)


@task
def interrupts() -> None:
    """Raises what is no Exception."""
    raise KeyboardInterrupt


@task
def unpackable() -> object:
    """Has a result that cannot travel."""
    return object()


@task
def prints(megabytes: int) -> int:
    """Prints a lot, to both streams."""
    for _ in range(megabytes * 8):
        print("x" * 65536)
        print("y" * 65536, file=sys.stderr)
    return megabytes


@task
def prints_gate(name: str) -> None:
    """Prints something before and after it has waited."""
    print("before")
    wait_at_gate(name)
    print("after")


@task
def prints_lines(name: str) -> None:
    """Prints 200 lines, waits at a gate, and prints 200 more."""
    print("\n".join(f"line {number}" for number in range(1, 201)))
    wait_at_gate(name)
    print("\n".join(f"line {number}" for number in range(201, 401)))


@task
def hostile(text: str) -> None:
    """Prints the text, and fails with it."""
    print(text)
    raise ValueError(text)


@task
def hostile_gate(name: str, text: str) -> None:
    """Prints something, waits at a gate, and prints the text."""
    print("before")
    wait_at_gate(name)
    print(text)


@task
def leaves_others(name: str) -> list[int]:
    """Starts programs that outlive it: in its group, in another session, and a fork that holds all it has open."""
    sleepers = [subprocess.Popen(["sleep", "1000"], start_new_session=new).pid for new in (False, True)]
    forked = os.fork()
    if forked == 0:
        os.setsid()
        while True:
            time.sleep(1000)
    wait_at_gate(name)
    return [*sleepers, forked]


BECOMES_OTHER = """
import ctypes, os, time
ctypes.CDLL(None).prctl(15, b"harmless")
os.setgroups([])
os.setresuid(65534, 65534, 65534)
print("left", os.getpid(), flush=True)
time.sleep(1000)
"""


def leave(how: str, *words: str) -> None:
    """Leaves a program that has no environment, another title, and, by `how`, another session and no parent."""
    if how == "double_fork":
        if (forked := os.fork()) == 0:
            os.setsid()
            leave("plain", *words)
            os._exit(0)
        os.waitpid(forked, 0)
        return
    argv, executable = ["harmless", "-c", "echo left $$; exec /bin/sleep 1000"], "/bin/sh"
    if "other" in words:
        argv, executable = ["harmless", "-c", BECOMES_OTHER], sys.executable
    apart = how == "setsid"
    program = subprocess.Popen(
        argv, executable=executable, env={}, stdout=subprocess.PIPE, text=True, start_new_session=apart
    )
    assert program.stdout is not None
    note(*program.stdout.readline().split())


def cannot_end(name: str) -> None:
    with contextlib.suppress(tasks.Cancelled):
        wait_at_gate(name)
    wait_at_gate(name)


@task(grace=0.05)
def leaves(name: str, how: str, ending: str = "returns", word: str = "") -> str:
    """Leaves something running, and ends somehow."""
    leave(how, word)
    note("start", name)
    if ending == "raises":
        raise ValueError("no")
    if ending == "waits":
        wait_at_gate(name)
    if ending == "is_killed":
        cannot_end(name)
    return name


@task(time_limit=1, grace=0.05)
def leaves_too_long(name: str, how: str, ending: str = "waits") -> None:
    """The same, and takes longer than it may."""
    leaves(name, how, ending)


@task
def sees() -> list[int]:
    """The pids of what was left and still runs."""
    lines = Path(os.environ["RUNS_FILE"]).read_text().splitlines()
    return [pid for pid in (int(line.split()[1]) for line in lines if line.startswith("left ")) if runs(pid)]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@task
def through_a_shell() -> None:
    """What most people write: the shell is ended by Python, the program in it by nobody."""
    subprocess.run("echo prep; sleep 20", shell=True)


@task
def runs_a_program(script: str, check: bool = True) -> int:
    """Runs a program that ends with the job."""
    print("before")
    return tasks.run(["sh", "-c", script], check=check)


@task(max_reruns=1000)
def stubborn(name: str) -> str:
    """Ignores every signal that can be ignored, and never ends by itself."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with noted(name):
        wait_at_gate(name)
        return name
