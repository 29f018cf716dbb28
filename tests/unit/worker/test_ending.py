"""Ending a job, for real: `Cancelled` in the task, the grace time, the kill, and what must not be hit by any of it."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zjobs.messages.states import Outcome
from zjobs.messages.values import unpack_value

Start = Callable[..., Any]

# Each says through the FIFO that it is where it shall be interrupted; the test opens the other side and reads that.
TASKS = """
import socket, subprocess, time
from zjobs.worker.tasks import Cancelled, Context

def here():
    with open("here", "w") as fifo: fifo.write("x")

def block(how):
    here()
    if how == "sleep": time.sleep(1000)
    if how == "recv":
        pair = socket.socketpair()
        pair[0].recv(1)
    if how == "run": subprocess.run(["sleep", "1000"])
    if how == "python":
        while True: pass

@task
def closing(how: str):
    try: block(how)
    finally:
        with open("closed", "w") as file: file.write(str(os.getpid()))

@task
def stubborn(how: str):
    try: block("sleep")
    except Cancelled:
        if how == "value": return "done all the same"
        if how == "error": raise ValueError("while closing")
        if how == "exit": os._exit(3)
        subprocess.Popen(["sleep", "1000"], stdout=open("held", "w"))
        here()
        while True: time.sleep(1000)

@task
def forked():
    import multiprocessing
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
    child.start()
    child.terminate()
    child.join()
    return child.exitcode

@task
def program(): return subprocess.run(["sh", "-c", "kill -TERM $$"]).returncode

@task
def quick(): return os.getpid()
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    os.mkfifo(tmp_path / "here")
    os.mkfifo(tmp_path / "held")
    yield tmp_path


def arrives(place: Path) -> None:
    """Waits until the task is where it wants to be."""
    with open(place / "here") as fifo:
        assert fifo.read() == "x"


def begun(it: Any, place: Path, name: str, *data: object) -> int:
    """Starts a job and waits until it is inside."""
    delivery: int = it.offer(name, *data)
    it.runner.feed()
    arrives(place)
    return delivery


@pytest.mark.parametrize("how", ["sleep", "recv", "run", "python"])
def test_cancelled_closes_what_is_open(bench: Start, place: Path, how: str) -> None:
    """Wherever a task is, `Cancelled` is raised there, `finally` runs, and the process serves the next job."""
    it = bench(TASKS)
    delivery = begun(it, place, "closing", how)
    it.runner.end_task(delivery)
    it.until(lambda: it.ended)
    assert it.ended[0][:2] == (delivery, Outcome.CANCELLED) and it.ended[0].message == it.ended[0].detail == ""
    assert unpack_value(it.run("quick").result) == int((place / "closed").read_text())
    assert it.death is None


@pytest.mark.parametrize(
    ("how", "outcome", "message"),
    [("value", Outcome.COMPLETED, ""), ("error", Outcome.CANCELLED, "ValueError: while closing")],
)
def test_what_a_task_makes_of_it(bench: Start, place: Path, how: str, outcome: Outcome, message: str) -> None:
    """A value returned all the same is a result; any exception is the end of a cancelled job, with its traceback."""
    it = bench(TASKS)
    delivery = begun(it, place, "stubborn", how)
    it.runner.end_task(delivery)
    it.until(lambda: it.ended)
    assert (it.ended[0].outcome, it.ended[0].message) == (outcome, message)
    assert ("mine.py" in it.ended[0].detail) == (how == "error")


def test_kill_takes_all_it_started(bench: Start, place: Path) -> None:
    """A task that does not end is killed with the programs it has started, also in its grace time."""
    it = bench(TASKS)
    held = os.open(place / "held", os.O_RDONLY | os.O_NONBLOCK)
    delivery = begun(it, place, "stubborn", "never")
    it.runner.end_task(delivery)
    arrives(place)
    it.runner.kill()
    it.until(lambda: it.death)
    assert it.death.lost == [delivery] and it.ended == []
    assert select.select([held], [], [], 20)[0] and os.read(held, 1) == b""  # nobody holds the writing side
    os.close(held)


def test_another_job_is_never_hit(bench: Start, place: Path) -> None:
    """A signal that comes when its job has ended does nothing, neither in between nor in the next job."""
    it = bench(TASKS)
    done = it.offer("quick")
    it.until(lambda: it.ended)
    it.runner.end_task(done)
    delivery = begun(it, place, "closing", "sleep")
    it.runner.end_task(done)
    it.runner.end_task(done)
    it.runner.end_task(delivery)
    it.until(lambda: len(it.ended) == 2)
    assert [ended.outcome for ended in it.ended] == [Outcome.COMPLETED, Outcome.CANCELLED]


def test_signals_in_a_stream_of_jobs(bench: Start) -> None:
    """Whatever the signals hit in a stream of short jobs, each job has one end, and the process survives."""
    it = bench(TASKS)
    numbers = [it.offer("quick") for _ in range(2000)]

    def told() -> bool:
        if it.ended:
            it.runner.end_task(it.ended[-1].delivery + 1)
        return len(it.ended) == len(numbers)

    it.until(told)
    assert [ended.delivery for ended in it.ended] == numbers and it.death is None
    assert {ended.outcome for ended in it.ended} <= {Outcome.COMPLETED, Outcome.CANCELLED}


def test_told_before_it_is_inside(bench: Start, place: Path) -> None:
    """A job that is told to end before its function is called does not call it."""
    it = bench(TASKS)
    delivery = it.offer("closing", "sleep")
    it.runner.end_task(delivery)
    it.until(lambda: it.ended)
    assert it.ended[0].outcome is Outcome.CANCELLED and not (place / "closed").exists()


def test_others_may_be_terminated(bench: Start) -> None:
    """Processes that a task forks, and programs it starts, end by SIGTERM as they would anywhere."""
    it = bench(TASKS)
    assert unpack_value(it.run("forked").result) == -15
    assert unpack_value(it.run("program").result) == -15
