"""The task process, for real: what a task may do to itself, and what the worker knows afterwards."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zjobs.messages import codec
from zjobs.messages.dispatch import Ended
from zjobs.messages.states import FailReason, Outcome
from zjobs.messages.values import unpack_value
from zjobs.worker.task import platform
from zjobs.worker.task.feed import FEW_AHEAD, JOBS_AHEAD
from zjobs.worker.task.packets import LONGEST_US

LIMIT_S = 20

Start = Callable[..., Any]

# Opening a FIFO waits for the other side, so a test knows that a task runs, and lets it go, without sleeping.
BLOCKED = """
@task
def wait(fifo: str):
    with open(fifo) as file:
        return file.read()

@task
def quick(text: str = ""):
    return text
"""


def test_predefined_run(bench: Start) -> None:
    """A task process announces the predefined types, and runs them in turn."""
    it = bench()
    assert [one.name for one in it.runner.types] == ["reverse", "swap", "repeat"]
    for name in ("reverse", "swap", "reverse"):
        it.offer(name, "ab")
    it.until(lambda: len(it.ended) == 3)
    assert [(e.delivery, e.outcome, unpack_value(e.result)) for e in it.ended] == [
        (delivery, Outcome.COMPLETED, "ba") for delivery in (1, 2, 3)
    ]


BACKWARDS = """
import time, threading

def stop_the_clock():
    # As freezegun does it: in the module and wherever another module has a name for the real one.
    frozen = {}
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"):
        frozen[id(getattr(time, name))] = lambda *_, start=[10**18]: start.append(start[-1] - 10**9) or start[-1]
    for module in list(sys.modules.values()):
        for name, value in list(vars(module).items()):
            if id(value) in frozen:
                setattr(module, name, frozen[id(value)])

@task
def measure():
    stop_the_clock()
    return "measured"

@task
def threads(): return threading.active_count()
"""


def test_a_task_that_replaces_the_clock(bench: Start) -> None:
    """Neither its own duration nor those of the jobs behind it are wrong, and the process still gives signs of life."""
    it = bench(BACKWARDS)
    before = it.run("threads").result
    ended = [it.run("measure"), it.run("reverse", "ab"), it.run("threads")]
    assert [unpack_value(one.result) for one in ended] == ["measured", "ba", unpack_value(before)]
    assert all(0 <= one.elapsed_us < LIMIT_S * 1_000_000 for one in ended)
    sign_ms = it.runner.seen(0).sign_ms
    it.until(lambda: it.runner.seen(0).sign_ms > sign_ms)


STOPPED = """
import time

@task
def stop_clocks(): time.perf_counter_ns = time.monotonic_ns = lambda: 10**18

@task
def nap(): time.sleep(0.6)
"""


def test_clocks_replaced_by_an_earlier_job(bench: Start) -> None:
    """The next job's duration and the liveness while it runs are measured by the clocks of the start."""
    it = bench(STOPPED)
    it.run("stop_clocks")
    offered_ms = time.monotonic_ns() // 1_000_000
    delivery = it.offer("nap")
    it.until(lambda: it.runner.seen(delivery).sign_ms >= offered_ms)
    assert it.runner.seen(delivery).sign_ms <= time.monotonic_ns() // 1_000_000
    it.until(lambda: len(it.ended) == 2)
    assert 600_000 <= it.ended[1].elapsed_us < LIMIT_S * 1_000_000


def test_many_in_order(bench: Start) -> None:
    """However many are offered at once, all end, in the order they were offered."""
    it = bench()
    numbers = [it.offer("reverse", "ab") for _ in range(500)]
    it.until(lambda: len(it.ended) == 500)
    assert [e.delivery for e in it.ended] == numbers


def test_unknown_type_and_bad_data(bench: Start) -> None:
    """Data that a task cannot take, and a type that is not there, fail without running anything."""
    it = bench()
    assert it.run("fly").reason is FailReason.BAD_DATA
    assert it.run("reverse", 17).message == "reverse: text must be text, not 17"


RAISING = """
class Odd(Exception):
    def __str__(self): raise RuntimeError

@task
def boom(kind: str):
    if kind == "odd": raise Odd
    if kind == "exit": sys.exit(3)
    if kind == "interrupt": raise KeyboardInterrupt
    if kind == "long": raise ValueError("x" * 50_000)
    if kind == "surrogate": raise ValueError(chr(0xd800))
    if kind == "deep": boom(kind)
    return {(1, 2): 3} if kind == "key" else object()
"""


@pytest.mark.parametrize(
    ("kind", "reason", "message"),
    [
        ("exit", FailReason.RAISED, "SystemExit: 3"),
        ("interrupt", FailReason.RAISED, "KeyboardInterrupt"),
        ("odd", FailReason.RAISED, "Odd: (its text cannot be shown)"),
        ("long", FailReason.RAISED, "ValueError: " + "x" * 9_988),
        ("surrogate", FailReason.RAISED, "ValueError: ?"),
        ("object", FailReason.BAD_RESULT, "the result (object) cannot be packed"),
        ("key", FailReason.BAD_RESULT, "the result (dict) cannot be packed"),
    ],
)
def test_raising(bench: Start, kind: str, reason: FailReason, message: str) -> None:
    """Whatever a task raises or returns ends that job alone; the process goes on."""
    it = bench(RAISING)
    ended = it.run("boom", kind)
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, reason)
    assert ended.message.startswith(message) and len(ended.message) <= 10_000
    assert it.run("reverse", "ab").outcome is Outcome.COMPLETED
    assert it.death is None


def test_traceback_is_the_tasks_own(bench: Start) -> None:
    """The detail shows the user's code and none of ours, and is bounded for deep recursion."""
    it = bench(RAISING)
    detail = it.run("boom", "exit").detail
    assert "mine.py" in detail and "sys.exit(3)" in detail and "child.py" not in detail and "tasks.py" not in detail
    deep = it.run("boom", "deep")
    assert deep.message.startswith("RecursionError") and len(deep.detail) <= 10_000


DYING = """
import ctypes, msgpack, resource, stat
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

@task
def die(how: str):
    if how == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit": os._exit(3)
    if how == "segfault": ctypes.string_at(0)
    if how == "close": os.closerange(3, 1000)
    if how == "scribble": write(b"scribble")
    if how == "scribble much": [write(b"scribble") for _ in range(100)]
    if how == "forge":
        write(msgpack.packb([False, 99, "completed", 0, None, None, "", "", 0, "", None]))
        signal.pause()

def write(what):
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, what)
        except OSError: pass

@task
def quick(): return 1
"""


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("kill", "killed by SIGKILL"),
        ("exit", "exited with code 3"),
        ("segfault", "killed by SIGSEGV"),
        ("close", "exited with code 70"),
        ("forge", "ended job number 99, which is not running, and was killed"),
    ],
)
def test_dying(bench: Start, how: str, message: str) -> None:
    """A task that takes its process along loses one job; those behind it have not begun, nothing is in between."""
    it = bench(DYING)
    before = it.offer("quick")
    victim = it.offer("die", how)
    behind = [it.offer("quick") for _ in range(20)]
    it.until(lambda: it.death)
    assert [ended.delivery for ended in it.ended] == [before]
    assert message in it.death.how
    assert it.death.lost == [victim]
    assert it.death.unbegun == behind


FORGING = """
import stat
import msgpack

def write(*packet):
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, msgpack.packb(packet))
        except OSError: pass

@task
def forge(n: int, elapsed_us, result, reason, message, exit_code=None):
    write(False, n, "completed", elapsed_us, result, reason, message, "", "many", "", exit_code)
    signal.pause()
"""


@pytest.mark.parametrize(
    ("forged", "expected"),
    [
        ((-5, b"\xc0", None, ""), (Outcome.COMPLETED, 0, "")),
        ((2**64 - 1, b"\xc0", None, ""), (Outcome.COMPLETED, LONGEST_US, "")),
        ((1.5, b"\xc0", None, ""), (Outcome.COMPLETED, 0, "")),
        ((7, "text", None, ""), (Outcome.FAILED, 7, "result must be binary data")),
        ((7, None, None, 17), (Outcome.FAILED, 7, "message must be text")),
        ((7, b"\xc0", None, "", 256), (Outcome.FAILED, 7, "exit_code must be an integer from -64 to 255")),
    ],
)
def test_an_end_that_the_broker_would_refuse_is_mended_or_fails(
    bench: Start, forged: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    """Whatever the task process says: the broker would drop it, and the worker would repeat it for ever."""
    it = bench(FORGING)
    delivery = it.offer(
        "forge", dict(zip(("n", "elapsed_us", "result", "reason", "message", "exit_code"), (1, *forged)))
    )
    it.until(lambda: it.ended)
    (ended,) = it.ended
    assert (ended.delivery, ended.outcome, ended.elapsed_us) == (delivery, *expected[:2]) and expected[
        2
    ] in ended.message
    assert codec.refusal(ended) is None and ended.killed == 0


def test_scribbling_is_ignored(bench: Start) -> None:
    """A task that writes junk to our socket ends like any other, and so do those behind it."""
    it = bench(DYING)
    it.offer("die", "scribble")
    it.offer("quick")
    it.until(lambda: len(it.ended) == 2)
    assert [ended.outcome for ended in it.ended] == [Outcome.COMPLETED] * 2
    assert it.death is None


def test_what_ended_before_a_death_is_heard_whatever_stands_before_it(bench: Start) -> None:
    """All that a dead task process has left is read, be it much."""
    it = bench(DYING)
    kept = [it.offer("die", "scribble much"), it.offer("quick")]
    victim = it.offer("die", "kill")
    it.runner.feed()
    assert select.select([it.runner.death_fd], [], [], 20)[0]
    death = it.runner.died(0)
    assert [event.delivery for event in death.events if isinstance(event, Ended)] == kept
    assert death.lost == [victim]


def test_stdout_stays_clean(bench: Start, capfd: pytest.CaptureFixture[str]) -> None:
    """What a task prints is its job's output, and nothing of it gets onto the worker's own streams."""
    it = bench("@task\ndef talk():\n  print('printed')\n  os.write(1, b'written')\n  return sys.stdin.read()\n")
    assert unpack_value(it.run("talk").result) == ""
    assert it.printed == {1: b"printed\nwritten"}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [10, 20_000, 3_000_000])
def test_large_data_and_results(bench: Start, size: int) -> None:
    """Data and results of any size come through, and no file is left anywhere."""
    it = bench("@task\ndef echo(data): return data\n")
    for _ in range(12):
        it.offer("echo", b"x" * size)
    it.until(lambda: len(it.ended) == 12)
    assert all(unpack_value(ended.result) == b"x" * size for ended in it.ended)


def test_result_limit(bench: Start) -> None:
    """The limit holds for the packed result, to the byte."""
    it = bench()
    assert it.run("reverse", "x" * 31, result_bytes=32).outcome is Outcome.COMPLETED
    too_large = it.run("reverse", "x" * 32, result_bytes=32)
    assert too_large.reason is FailReason.BAD_RESULT and "limit of 32" in too_large.message


def test_take_back_is_exact(bench: Start, tmp_path: Path) -> None:
    """What is taken back has not begun and never runs; what is not taken back ends."""
    os.mkfifo(tmp_path / "fifo")
    it = bench(BLOCKED)
    blocked = it.offer("wait", str(tmp_path / "fifo"))
    behind = [it.offer("quick", "x" * 20_000) for _ in range(20)]
    it.turn()
    with open(tmp_path / "fifo", "w") as fifo:  # returns when the task has opened it
        assert it.runner.recall() == behind
        fifo.write("done")
    after = it.offer("quick", "after")
    it.until(lambda: len(it.ended) == 2)
    assert [(e.delivery, unpack_value(e.result)) for e in it.ended] == [(blocked, "done"), (after, "after")]


def kept_of_a_stream(it: Any) -> list[int]:
    """Offers many short jobs, and takes back what has not begun when the first has ended; the numbers of the others."""
    offered = [it.offer("quick") for _ in range(64)]
    it.runner.feed()
    it.until(lambda: it.ended and it.ended[-1].delivery >= offered[0])
    taken = it.runner.recall()
    kept = offered[: len(offered) - len(taken)]
    assert taken == offered[len(kept) :]
    it.until(lambda: it.ended[-1].delivery == kept[-1])
    return kept


def test_take_back_from_a_stream(bench: Start) -> None:
    """While short jobs run: what is taken back never runs, and all that was sent before it ends, in order."""
    it = bench("@task\ndef quick(): pass\n")
    kept = [delivery for _ in range(200) for delivery in kept_of_a_stream(it)]
    assert [ended.delivery for ended in it.ended] == kept


@pytest.mark.parametrize("value", ["msgpack.Timestamp(1, 2)", "[msgpack.Timestamp(1, 2)]", "{(1, 2): 3}"])
def test_what_cannot_be_read_again_is_no_result(bench: Start, value: str) -> None:
    """Though it can be packed."""
    it = bench(f"import msgpack\n@task\ndef odd(): return {value}\n")
    assert it.run("odd").reason is FailReason.BAD_RESULT


def test_few_jobs_with_large_results_are_sent_ahead(bench: Start) -> None:
    """So that no turn has to take in more than a few of them; of others many, which grows as they end."""
    it = bench("@task\ndef echo(data): return data\n")
    for _ in range(2 * JOBS_AHEAD):
        it.offer("echo", b"x" * 10)
    it.until(lambda: it.runner._feed._ahead == JOBS_AHEAD)
    for _ in range(2 * JOBS_AHEAD):
        it.offer("echo", b"x" * 20_000)
    it.until(lambda: it.runner._feed._ahead == FEW_AHEAD)


def test_kill_while_running(bench: Start, tmp_path: Path) -> None:
    """A kill loses the running job and no other: what ended is heard, what waited is handed back."""
    os.mkfifo(tmp_path / "fifo")
    it = bench(BLOCKED)
    ended = it.offer("quick")
    running = it.offer("wait", str(tmp_path / "fifo"))
    behind = [it.offer("quick") for _ in range(9)]
    it.runner.feed()
    with open(tmp_path / "fifo", "w"):
        it.runner.kill()
        assert select.select(it.runner.descriptors()[2:], [], [], 20)[0]  # dead, and nothing was read before
    death = it.runner.died(0)
    assert [e.delivery for e in death.events] == [ended]
    assert (death.lost, death.unbegun) == ([running], behind)


def test_nothing_is_fed_to_a_killed_process(bench: Start) -> None:
    """A job offered between the kill and the death is not lost: the dying process cannot read it any more."""
    it = bench()
    for _ in range(10):
        it.runner.kill()
        delivery = it.offer("reverse", "ab")
        it.runner.feed()
        it.until(lambda: it.death)
        assert (it.death.lost, it.death.unbegun) == ([], [delivery])
        it.start_again()
        it.until(lambda: it.runner.types is not None)


def test_forget(bench: Start, tmp_path: Path) -> None:
    """After a take-over nothing is heard of what ran before, not even results that were ready."""
    os.mkfifo(tmp_path / "fifo")
    it = bench(BLOCKED)
    it.offer("quick")
    it.offer("wait", str(tmp_path / "fifo"))
    it.offer("quick")
    it.runner.feed()
    with open(tmp_path / "fifo", "w"):
        it.runner.forget()
        it.until(lambda: it.death)
    assert it.ended == [] and it.death[1:4] == ([], [], [])
    assert it.runner.restart_at_ms == 0


def test_leftovers_are_killed(bench: Start, tmp_path: Path) -> None:
    """What a dead task had started ends with it, in its process group or out of it."""
    os.mkfifo(tmp_path / "fifo")
    source = (
        "import subprocess\n"
        "@task\n"
        "def leave(fifo: str):\n"
        "    for apart in (False, True):\n"
        "        subprocess.Popen(['sleep', '1000'], stdout=open(fifo, 'w'), start_new_session=apart)\n"
        "    os._exit(1)\n"
    )
    it = bench(source)
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        it.offer("leave", str(tmp_path / "fifo"))
        it.until(lambda: it.death)
        # end-of-file, that is readable without a byte: nobody has the writing side any more
        assert select.select([reader], [], [], 20)[0] and os.read(reader, 1) == b""
    finally:
        os.close(reader)


def test_fork_that_returns(bench: Start) -> None:
    """A task that forks and returns in both does not make two task processes."""
    it = bench("@task\ndef split(): return os.fork() and 1\n")
    it.run("split")
    it.offer("reverse", "ab")
    it.offer("reverse", "cd")
    it.until(lambda: len(it.ended) == 3)
    assert it.death is None


def test_import_error(bench: Start) -> None:
    """A module that cannot be imported is named with file and line, whatever it raises."""
    it = bench("x = 1\nsys.exit('no')\n", wait=False)
    it.until(lambda: it.death)
    assert it.runner.refusal.startswith("--tasks mine: SystemExit: no (")
    assert it.runner.refusal.endswith("mine.py, line 4)")


def test_syntax_error(bench: Start) -> None:
    """So is one with a mistake in it."""
    it = bench("def f(:\n", wait=False)
    it.until(lambda: it.death)
    assert "SyntaxError: invalid syntax (" in it.runner.refusal and it.runner.refusal.endswith("mine.py, line 3)")


def test_duplicate_of_a_predefined(bench: Start) -> None:
    """A user's task cannot take the name of a predefined one behind anybody's back."""
    it = bench("@task\ndef swap(): pass\n", wait=False)
    it.until(lambda: it.death)
    assert "already a task named 'swap'" in it.runner.refusal


def test_restarts_back_off(bench: Start, tmp_path: Path) -> None:
    """A process that dies by itself comes back later each time; once it runs a job, that is forgotten."""
    it = bench("sys.exit(1)\n", wait=False)
    delays = []
    for _ in range(3):
        it.until(lambda: it.death)
        delays.append(it.runner.restart_at_ms)
        it.start_again()
    assert delays == sorted(set(delays)) and delays[0] > 0
    it.until(lambda: it.death)
    (tmp_path / "mine.py").write_text("from zjobs.worker.tasks import task\n\n\n@task\ndef one(): ...\n")
    it.start_again()
    it.run("reverse", "ab")
    it.death = None
    os.kill(it.runner.pid, signal.SIGKILL)
    it.until(lambda: it.death)
    assert it.runner.restart_at_ms == delays[0]


def test_descriptors_do_not_leak(bench: Start, tmp_path: Path) -> None:
    """A program that a task starts holds neither the lock nor our socket, however it is started."""
    it = bench("@task\ndef look(): return os.system('ls -l /proc/self/fd > listing')\n")
    assert unpack_value(it.run("look").result) == 0
    listing = (tmp_path / "listing").read_text()
    assert "listing" in listing and "socket" not in listing and "/lock" not in listing


def test_dies_with_its_parent(bench: Start) -> None:
    """A task process whose parent is not the one it was told exits before it loads anything."""
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child
        platform.die_with_parent(1)
        os._exit(77)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
