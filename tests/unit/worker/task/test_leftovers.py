"""What a job leaves running is gone before the next one starts, however it ended and however it hides."""

from __future__ import annotations

import ctypes
import inspect
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zjobs.messages.states import Outcome
from zjobs.messages.values import unpack_value
from zjobs.worker.task import platform, process

Start = Callable[..., Any]

# Each program that is left writes its pid into the folder `left`, after it has hidden; the task waits for that.
TASKS = """
import ctypes, multiprocessing, subprocess, time
from zjobs.worker.tasks import Context

PROGRAM = '''
import ctypes, os, sys, time
ctypes.CDLL(None).prctl(15, b"harmless")
left = os.open("left", os.O_RDONLY)
if "other" in sys.argv:
    os.setgroups([])
    os.setresuid(65534, 65534, 65534)
os.close(os.open(str(os.getpid()), os.O_CREAT | os.O_WRONLY, dir_fd=left))
while "loud" in sys.argv: print("still here", flush=True)
time.sleep(1000)
'''

def leave(how, *words, wait=True):
    before = len(os.listdir("left"))
    def program(**more):
        return subprocess.Popen(["harmless", "-c", PROGRAM, *words], executable=sys.executable, env={}, **more)
    if how == "plain": program()
    if how == "setsid": program(start_new_session=True)
    if how == "double fork":
        if os.fork() == 0:
            os.setsid()
            program()
            os._exit(0)
    if how == "fork":
        if os.fork() == 0:
            os.environ.clear()
            sys.argv = words
            exec(PROGRAM)
    while len(os.listdir("left")) == before: time.sleep(0.001)

def running():
    found = []
    for name in os.listdir("left"):
        try: state = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[0]
        except OSError: continue
        if state not in "ZX": found.append(int(name))
    return found

@task
def job(how: str, ending: str = "returns", word: str = ""):
    leave(how, word)
    if ending == "raises": raise ValueError("no")
    if ending == "sleeps":
        with open("here", "w") as fifo: fifo.write("x")
        time.sleep(1000)
    if ending == "dies": os.kill(os.getpid(), signal.SIGKILL)
    return "done"

@task(keeps_processes=True)
def opens():
    leave("plain")
    leave("double fork")

@task
def look(): return running()

@task
def helpers(leaves: bool):
    context = multiprocessing.get_context("forkserver")
    if leaves:
        context.Process(target=time.sleep, args=(1000,)).start()
    else:
        process = context.Process(target=int)
        process.start()
        process.join()
    from multiprocessing import forkserver, resource_tracker
    return [forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid,
            *[child.pid for child in multiprocessing.active_children()]]

@task
def children(): return [child.pid for child in multiprocessing.active_children()]

@task
def zombies(count: int):
    for _ in range(count): subprocess.Popen(["true"])
    while any(open(f"/proc/{n}/stat").read().rpartition(")")[2].split()[0] != "Z" for n in own()): time.sleep(0.001)

@task
def own_now(): return own()

@task
def strangers():
    from zjobs.worker.task import platform
    here = os.getcwd()
    found = []
    for pid in platform.processes():
        try:
            if os.readlink(f"/proc/{pid}/cwd") == here: found.append(open(f"/proc/{pid}/cmdline").read())
        except OSError: pass
    return [command for command in found if "-I" in command]

def own():
    from zjobs.worker.task import platform
    return [process.pid for process in platform.processes().values() if process.parent == os.getpid()]
"""
IMPORTING = TASKS + "\nleave('plain')\n"


@pytest.fixture(autouse=True)
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "left").mkdir()
    (tmp_path / "left").chmod(0o777)
    os.mkfifo(tmp_path / "here")
    yield tmp_path
    for left in (tmp_path / "left").iterdir():
        assert not alive(int(left.name)), "a test left something running"


def alive(pid: int) -> bool:
    return platform.start_time(pid) is not None


def left(place: Path) -> list[int]:
    """The pids of all that was ever left."""
    return [int(file.name) for file in (place / "left").iterdir()]


HIDING = ["plain", "setsid", "double fork", "fork"]


@pytest.mark.parametrize("how", HIDING)
@pytest.mark.parametrize("ending", ["returns", "raises", "sleeps"])
def test_nothing_is_left_for_the_next_job(bench: Start, place: Path, how: str, ending: str) -> None:
    """Whether it returned, raised or was told to end: the next job, in the same process, sees nothing running."""
    it = bench(TASKS)
    delivery = it.offer("job", {"how": how, "ending": ending})
    m = it.offer("look")
    if ending == "sleeps":
        it.runner.feed()
        with open(place / "here") as fifo:
            assert fifo.read() == "x"
        it.runner.end_task(delivery)
    it.until(lambda: len(it.ended) == 2)
    assert [ended.delivery for ended in it.ended] == [delivery, m] and it.death is None
    assert it.ended[0].outcome.value == {"returns": "completed", "raises": "failed", "sleeps": "cancelled"}[ending]
    assert len(left(place)) == 1 and unpack_value(it.ended[1].result) == []
    assert [ended.killed for ended in it.ended] == [1, 0]


@pytest.mark.parametrize("how", HIDING)
def test_nothing_is_left_of_a_dead_task_process(bench: Start, place: Path, how: str) -> None:
    """Its end is told when all is gone that it started, without a name or an environment to know it by."""
    it = bench(TASKS)
    it.offer("job", {"how": how, "ending": "dies"})
    it.until(lambda: it.death)
    (pid,) = left(place)
    assert not alive(pid) and it.runner.clear and it.death.killed == 1


def test_a_stream_of_jobs_that_each_leave_something(bench: Start, place: Path) -> None:
    """None of them meets what the one before it left."""
    it = bench(TASKS)
    for number in range(20):
        it.offer("job", HIDING[number % 4])
        it.offer("look")
    it.until(lambda: len(it.ended) == 40)
    assert [unpack_value(ended.result) for ended in it.ended] == ["done", []] * 20 and it.death is None


def test_output_of_a_leftover_is_its_own_jobs(bench: Start) -> None:
    """Whatever it prints, not a byte comes to a later job or to what is printed outside of any."""
    it = bench(TASKS)
    loud = [it.offer("job", {"how": how, "word": "loud"}) for how in HIDING]
    later = [it.offer("look") for _ in range(20)]
    it.until(lambda: len(it.ended) == 24)
    it.turn()
    assert set(it.printed) <= set(loud) and set(it.printed).isdisjoint([0, *later])


def test_what_was_started_on_import_lives_on(bench: Start, place: Path) -> None:
    """It was there before any job; what jobs leave is ended all the same."""
    it = bench(IMPORTING)
    (kept,) = left(place)
    it.run("job", "double fork")
    assert unpack_value(it.run("look").result) == [kept] and len(left(place)) == 2
    it.runner.kill()
    it.until(lambda: it.death)
    assert not alive(kept)


def test_a_type_that_keeps_processes(bench: Start, place: Path) -> None:
    """Its processes live on, those of others do not; all end with the task process."""
    it = bench(TASKS)
    it.run("opens")
    kept = set(left(place))
    assert len(kept) == 2
    for how in HIDING:
        it.run("job", how)
        assert set(unpack_value(it.run("look").result)) == kept
    os.kill(it.runner.pid, signal.SIGKILL)
    it.until(lambda: it.death)
    assert not any(map(alive, kept))


def test_multiprocessings_helpers_live_on(bench: Start) -> None:
    """The fork server and the resource tracker serve the next job; a process that the server forked does not."""
    it = bench(TASKS)
    helpers = unpack_value(it.run("helpers", False).result)
    again = unpack_value(it.run("helpers", True).result)
    assert again[:2] == helpers and all(map(alive, helpers)) and len(again) == 3
    assert not alive(again[2])
    assert unpack_value(it.run("children").result) == []
    assert unpack_value(it.run("helpers", False).result) == helpers and it.death is None


def test_the_dead_are_reaped(bench: Start) -> None:
    """Programs that ended without anybody's taking note of it do not pile up."""
    it = bench(TASKS)
    it.run("zombies", 20)
    assert unpack_value(it.run("own_now").result) == []


def test_an_orderly_end_of_the_worker(bench: Start, place: Path) -> None:
    """It takes what runs with it."""
    it = bench(TASKS)
    it.offer("job", {"how": "setsid", "ending": "sleeps"})
    it.runner.feed()
    with open(place / "here") as fifo:
        assert fifo.read() == "x"
    it.runner.close()
    assert not alive(left(place)[0]) and it.runner.clear


@pytest.fixture
def nobody_kills() -> Iterator[None]:
    """The worker (this process) and the task process may not kill what belongs to another user."""
    if os.geteuid() != 0 or not allowed():
        pytest.skip("needs root, who can become somebody else")
    before = capabilities()
    change_effective(before & ~CAP_KILL)
    yield
    change_effective(before)


CAP_KILL = 1 << 5
CAPSET_VERSION = 0x20080522


def allowed() -> bool:
    return subprocess.run(["setpriv", "--reuid", "65534", "true"], capture_output=True, check=False).returncode == 0


def capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("CapEff:")[2].split()[0], 16)


def change_effective(mask: int) -> None:
    """Which of the permitted capabilities are in force in this thread (capset(2))."""
    permitted = int(Path("/proc/self/status").read_text().partition("CapPrm:")[2].split()[0], 16)
    header = (ctypes.c_uint32 * 2)(CAPSET_VERSION, 0)
    words = []
    for shift in (0, 32):
        words += [mask >> shift & 0xFFFFFFFF, permitted >> shift & 0xFFFFFFFF, 0]
    assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)(*words)) == 0


LESS_POWER = f"""
from pathlib import Path
CAPSET_VERSION = {CAPSET_VERSION}
{inspect.getsource(capabilities)}
{inspect.getsource(change_effective)}
change_effective(capabilities() & ~{CAP_KILL})
"""


@pytest.mark.usefixtures("nobody_kills")
def test_what_cannot_be_killed_is_named(bench: Start, place: Path) -> None:
    """The job's end is told; the runner is not clear, and says what is in the way, until it is gone."""
    it = bench(TASKS + LESS_POWER)
    ended = it.run("job", {"how": "double fork", "word": "other"})
    assert ended.outcome is Outcome.COMPLETED
    it.until(lambda: it.death)
    (pid,) = left(place)
    assert alive(pid) and not it.runner.clear
    assert f"harmless (pid {pid} of user 65534)" in it.runner.obstacle
    assert "cannot be killed" in it.death.how and it.death.lost == [] and ended.killed == it.death.killed == 0
    it.runner.clear_up(0)
    assert not it.runner.clear
    subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "kill", "-9", str(pid)], check=True)
    it.until(lambda: it.runner.clear_up(0) or it.runner.clear)
    assert it.runner.obstacle is None


@pytest.mark.usefixtures("nobody_kills")
def test_a_task_process_that_cannot_be_killed_is_named(bench: Start, place: Path) -> None:
    """Nothing is offered to it any more; when it has ended all the same, its job has died with it."""
    it = bench(
        "@task\ndef leave_us():\n"
        "    with open('here', 'w') as fifo:\n"
        "        os.setgroups([])\n        os.setresuid(65534, 65534, 65534)\n        fifo.write('x')\n"
        "    signal.pause()\n" + TASKS
    )
    delivery, pid = it.offer("leave_us"), it.runner.pid
    it.runner.feed()
    with open(place / "here") as fifo:
        assert fifo.read() == "x"
    it.runner.kill()
    it.runner.clear_up(1_000)
    assert not it.runner.clear and it.runner.obstacle is None, "it may still be dying"
    it.runner.clear_up(1_000 + process.OVERDUE_MS)
    assert f"(pid {pid} of user 65534)" in it.runner.obstacle and "which was killed" in it.runner.obstacle
    subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "kill", "-9", str(pid)], check=True)
    it.until(lambda: it.death)
    assert it.death.lost == [delivery] and it.runner.clear and it.runner.obstacle is None


def test_a_mark_outlives_everything_a_program_does() -> None:
    """An empty environment, another title, another session, no parent: the kernel keeps the mark all the same."""
    mark = platform.new_mark()
    hides = (
        "import os, sys; from zjobs.worker.task import platform; platform.carry(int(sys.argv[1]));"
        "os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0);"
        "os.execve('/bin/sh', ['innocent', '-c', 'echo $$; exec sleep 1000'], {})"
    )
    program = subprocess.Popen([sys.executable, "-c", hides, str(mark)], stdout=subprocess.PIPE)
    assert program.stdout is not None
    pid = int(program.stdout.readline())
    program.wait()
    assert [process.pid for process in platform.marked({mark})] == [pid]
    assert platform.end_marked({mark}, 10) == (1, [])
    assert program.stdout.read() == b"" and platform.marked({mark}) == []
    program.stdout.close()


def test_marks_inside_marks() -> None:
    """A worker that a job runs marks its own; that is found together with what the outer worker has marked."""
    outer = platform.new_mark()
    inner = (
        "import sys; from zjobs.worker.task import platform; platform.carry(platform.new_mark());"
        " print(flush=True); sys.stdin.read()"
    )
    runs = (
        "import subprocess, sys; from zjobs.worker.task import platform; platform.carry(int(sys.argv[1]));"
        "assert platform.new_mark() < int(sys.argv[1]); subprocess.run([sys.executable, '-c', sys.argv[2]])"
    )
    argv = [sys.executable, "-c", runs, str(outer), inner]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        assert len(platform.marked({outer})) == 2
        assert platform.end_marked({outer}, 10) == (2, [])


def made_up(number: int) -> platform.Process:
    """A process that there is not: its number is above all that Linux gives."""
    return platform.Process((1 << 22) + number, 1, str(number), True, "comet")


def test_one_look_that_finds_nothing_proves_nothing() -> None:
    """Not even when no time is given: the next look may meet it."""
    looks = iter([([], False), ([made_up(1)], False)])
    assert platform.end_all(lambda: next(looks), 0, 1) == (0, [made_up(1)])


def test_who_starts_others_is_pursued_longer_than_who_does_not_die() -> None:
    """Each of them dies; that always others come is no sign that one cannot be killed."""
    looks = iter([*(([made_up(number)], False) for number in range(20)), *([([], False)] * platform.QUIET_LOOKS)])
    assert platform.end_all(lambda: next(looks), 0.01, 100) == (20, [])
    assert platform.end_all(lambda: ([made_up(1)], False), 0.01, 100) == (0, [made_up(1)])


def test_who_always_starts_others_is_left_in_the_end() -> None:
    """What was seen last is named, though that look found only that something has ended."""
    looks = itertools.chain([([made_up(1)], False)], itertools.repeat(([], True)))
    assert platform.end_all(lambda: next(looks), 60, 3) == (0, [made_up(1)])


COMET = """
import os, time
while True:
    if os.fork() != 0: os._exit(0)
    with open("left/%d" % os.getpid(), "w"): pass
    os.unlink("left/%d" % os.getpid())
"""


@pytest.mark.parametrize("helpers", [False, True])
def test_what_starts_another_and_ends_all_the_time_is_caught(bench: Start, place: Path, helpers: bool) -> None:
    """It is a new process at each look, and often one that no look finds."""
    it = bench(
        "from zjobs.worker.task import leftovers\n"
        "leftovers.RESTLESS_S = 60.0\n"  # a busy machine looks less often
        f"import subprocess\nCOMET = {COMET!r}\n"
        "@task\ndef comets():\n"
        "    for _ in range(3): subprocess.Popen([sys.executable, '-I', '-S', '-c', COMET])\n"
        "    while not os.listdir('left'): pass\n" + TASKS
    )
    if helpers:
        it.run("helpers", False)
    for _ in range(5):
        it.run("comets")
        assert unpack_value(it.run("strangers").result) == []
