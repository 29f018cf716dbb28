"""What tasks print and report, through a real task process: whose it is, how much of it, and signs of life."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from zjobs.messages.states import Outcome
from zjobs.worker.task.output import Capture
from zjobs.worker.task.shared_memory import SharedMemory

Start = Callable[..., Any]

TASKS = """
import collections, itertools, subprocess, threading, time
from zjobs.worker.tasks import Context

print("imported")

@task
def talk(text: str, how: str = "print"):
    if how == "print": print(text, end="")
    if how == "stderr": sys.stderr.write(text)
    if how == "fd": os.write(1, text.encode())
    if how == "program": subprocess.run(["printf", text])
    if how == "closed": sys.stdout.write(text); sys.stdout = None; sys.stderr.flush()
    if how == "nonblocking": os.set_blocking(1, False); sys.stdout.write(text)

@task
def quiet(): pass

@task
def flood():
    line = b"x" * 9999 + b"\\n"
    for _ in range(500): os.write(1, line)
    os.write(1, b"the end")

@task
def fill():
    os.set_blocking(1, False)
    try:
        while True: os.write(1, b"x" * 1000)
    except BlockingIOError: pass
    try:
        while True: os.write(1, b"x")
    except BlockingIOError: pass
    with open("here", "w") as fifo: fifo.write("x")

@task
def forever(): os.execvp("yes", ["yes"]) if os.fork() == 0 else time.sleep(1000)

@task
def report(job: Context, fraction: float = 0.5):
    job.progress(fraction, f"job {job.id}, attempt {job.attempt}")
    with open("here", "w") as fifo: fifo.write("x")
    with open("go") as fifo: fifo.read()

@task
def hold(): collections.deque(itertools.repeat(0), maxlen=0)

@task
def long():
    while True: sum(range(1000))
"""


def test_whose_output_it_is(bench: Start) -> None:
    """Each job of a stream has exactly what it printed, whichever way, and the silent ones in between have nothing."""
    it = bench(TASKS)
    wanted = {}
    for round in range(40):
        for how in ("print", "stderr", "fd", "program", "print"):
            delivery = it.offer("talk", {"text": f"{how} {round}", "how": how})
            wanted[delivery] = f"{how} {round}".encode()
            if round % 3:
                it.offer("quiet")
    it.until(lambda: len(it.ended) == it.offered)
    assert it.printed.pop(0) == b"imported\n"
    assert it.printed == wanted


def test_full_pipe_that_does_not_block(bench: Start) -> None:
    """A program that makes our pipe non-blocking and fills it gets an error; the mark behind its output does not."""
    it = bench(TASKS)
    os.mkfifo("here")
    delivery = it.offer("fill")
    it.runner.feed()
    with open("here") as fifo:
        assert fifo.read() == "x"
    ended = select.select([it.runner.descriptors()[0]], [], [], 0.1)[0]  # it would have, without the mark
    assert not ended
    m = it.offer("talk", "next")
    it.until(lambda: len(it.ended) == 2)
    assert len(it.printed[delivery]) > 60_000 and it.printed[m] == b"next"


@pytest.mark.parametrize("how", ["closed", "nonblocking"])
def test_odd_streams(bench: Start, how: str) -> None:
    """A task that plays with its streams harms nobody's output but its own."""
    it = bench(TASKS)
    it.run("talk", {"text": "odd", "how": how})
    delivery = it.offer("talk", {"text": "after", "how": "fd"})
    it.until(lambda: len(it.ended) == 2)
    assert it.printed[delivery] == b"after" and it.death is None


def test_much_output(bench: Start) -> None:
    """More than a pipe holds comes through to the byte, and the task is not held up."""
    it = bench(TASKS)
    delivery = it.offer("flood")
    m = it.offer("talk", "next")
    it.until(lambda: len(it.ended) == 2)
    assert len(it.printed[delivery]) == 5_000_007 and it.printed[delivery].endswith(b"\nthe end")
    assert it.printed[m] == b"next"


def test_output_of_the_dead(bench: Start) -> None:
    """What a job had printed when its process died is its own, and what does not end does not hold us up."""
    it = bench(TASKS)
    delivery = it.offer("forever")
    it.until(lambda: len(it.printed.get(delivery, b"")) > 1_000_000)
    it.runner.kill()
    it.until(lambda: it.death)
    assert it.death.lost == [delivery] and set(it.printed) == {0, delivery}


IN_BETWEEN = """
import threading

def later():
    open("go").close()
    os.write(1, b"late")
    open("here", "w").close()

@task(keeps_state=True)
def leave(): threading.Thread(target=later, daemon=True).start()

@task
def talk(): print("mine")
"""


def test_output_in_between(bench: Start) -> None:
    """What is printed while nothing runs belongs to nobody, also when it is read only with the next job's."""
    it = bench(IN_BETWEEN)
    for name in ("go", "here"):
        os.mkfifo(name)
    it.run("leave")
    for name in ("go", "here"):  # from the first to the second, it prints
        with open(name, "w" if name == "go" else "r"):
            pass
    delivery = it.offer("talk")
    it.runner.feed()  # before anybody has looked at the pipe
    it.until(lambda: len(it.ended) == 2)
    assert it.printed == {0: b"late", delivery: b"mine\n"}


def test_marks_that_are_read_in_pieces() -> None:
    """A mark is never taken for output, wherever a read ends in it, and whatever looks like its beginning is."""
    shared = SharedMemory(_shared())
    capture = Capture(shared)
    capture.token = b"0123456789abcdef"
    stream = b"one 0123" + capture.token + (1).to_bytes(8, "little") + b"two 01"
    for cut in range(len(stream) + 1):
        os.write(capture.writer, stream[:cut])
        capture.read()
        first = capture.rest()
        os.write(capture.writer, stream[cut:])
        capture.read()
        first += capture.until_mark(1)
        assert first == b"one 0123"
        assert capture.rest() == b"two "  # the rest may be the beginning of a mark
        os.write(capture.writer, b".")
        capture.read()
        assert capture.rest() == b"01."
    capture.close()
    shared.close()


def test_end_of_output() -> None:
    """When all have closed the pipe it is not read any more: it would look readable for ever."""
    shared = SharedMemory(_shared())
    capture = Capture(shared)
    os.write(capture.writer, b"last")
    capture.close_writer()
    capture.read()
    capture.read()
    assert capture.rest() == b"last" and capture.over
    capture.close()
    shared.close()


def _shared() -> int:
    descriptor = os.memfd_create("test")
    os.ftruncate(descriptor, 8192)
    return descriptor


def test_progress(bench: Start) -> None:
    """The task's last report is there to be seen while its job runs, and for no other job."""
    it = bench(TASKS)
    os.mkfifo("here")
    os.mkfifo("go")
    delivery = it.offer("report", {"fraction": 2.0})
    it.runner.feed()
    with open("here") as fifo:
        assert fifo.read() == "x"
    seen = it.runner.seen(delivery)
    assert seen[:2] == (1.0, f"job {1000 + delivery}, attempt 1")
    assert it.runner.seen(delivery + 1)[:2] == (None, None)
    with open("go", "w"):
        pass
    it.until(lambda: it.ended)
    assert it.ended[0].outcome is Outcome.COMPLETED


def ticks(it: Any) -> bool:
    """Whether another sign of life comes before long."""
    before = it.runner.seen(1).sign_ms
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if it.runner.seen(1).sign_ms != before:
            return True
        it.turn()
        time.sleep(0.02)
    return False


def test_signs_of_life(bench: Start) -> None:
    """A task that only takes long gives them; a stopped process does not, until it is let go on."""
    it = bench(TASKS)
    it.offer("long")
    it.turn()
    assert ticks(it)
    os.kill(it.runner.pid, signal.SIGSTOP)
    assert not ticks(it)
    os.kill(it.runner.pid, signal.SIGCONT)
    assert ticks(it)


def test_no_signs_from_a_held_interpreter(bench: Start) -> None:
    """A library that does not let go of the interpreter shows; and only the kill ends it."""
    it = bench(TASKS)
    delivery = it.offer("hold")
    it.turn()
    it.until(lambda: not ticks(it))
    it.runner.end_task(delivery)
    assert not ticks(it) and it.ended == []
    it.runner.kill()
    it.until(lambda: it.death)
    assert it.death.lost == [delivery]
