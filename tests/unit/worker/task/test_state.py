"""What a job changes in its process: put back before the next one, said in its report, or the process is replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zjobs.messages.states import Outcome
from zjobs.messages.values import unpack_value

Start = Callable[..., Any]

TASKS = """
import resource, threading, time

def state():
    return [
        os.getpid(), os.getcwd(), os.umask(0o022), os.environ.get("NEW"), os.environ.get("HOME"),
        sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))), signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        [signal.getsignal(n) in (signal.SIG_DFL, signal.SIG_IGN) for n in (signal.SIGALRM, signal.SIGUSR1)],
        signal.getsignal(signal.SIGTERM) is TERM[0], list(resource.getrlimit(resource.RLIMIT_NOFILE)),
        sorted(os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in range(3)),
        sys.stdout is OUT, threading.active_count(),
    ]

OUT, TERM = sys.stdout, []
os.umask(0o022)

def never(): threading.Event().wait()

@task(keeps_state=True)
def look():
    TERM[:] = [signal.getsignal(signal.SIGTERM)]
    return state()

@task
def look_again(): return state()

def change(how):
    if how == "directory": os.chdir("/")
    if how == "removed": os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
    if how == "umask": os.umask(0o077)
    if how == "environment": os.environ["NEW"] = "1"; del os.environ["HOME"]
    if how == "mask": signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
    if how == "handlers":
        for n in (signal.SIGTERM, signal.SIGUSR1): signal.signal(n, lambda *_: None)
    if how == "alarm": signal.alarm(100)
    if how == "limits": resource.setrlimit(resource.RLIMIT_NOFILE, (50, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if how == "descriptors":
        print("to the broker")
        sys.stdout.flush()
        os.dup2(os.open("elsewhere", os.O_CREAT | os.O_WRONLY), 1)
        os.close(2)
        print("to the file")
    if how == "stream": sys.stdout = open(os.devnull, "w")
    if how == "fails": os.chdir("/"); raise ValueError
    if how == "thread": threading.Thread(target=never, name="left-over").start()
    if how == "daemon": threading.Thread(target=never, daemon=True, name="left-over").start()
    if how == "hard limit": resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50)); os.getuid() or os.setuid(65534)
    if how == "ending thread": threading.Thread(target=time.sleep, args=(0.01,)).start()
    return os.getpid()

@task
def changes(how: str): return change(how)

@task(keeps_state=True)
def keeps(how: str): return change(how)
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("directory", "put back: the working directory"),
        ("removed", "put back: the working directory"),
        ("umask", "put back: the umask"),
        ("environment", "put back: the environment"),
        ("mask", "put back: the signal mask"),
        ("handlers", "put back: signal handlers"),
        ("alarm", "put back: the alarm"),
        ("limits", "put back: resource limits"),
        ("descriptors", "put back: descriptor 1, descriptor 2"),
        ("stream", "put back: sys.stdout"),
        ("fails", "put back: the working directory"),
        ("ending thread", ""),
        ("nothing", ""),
    ],
)
def test_what_a_job_changes_is_put_back(bench: Start, how: str, said: str) -> None:
    """The next job finds everything as it was, in the same process; the report of the job says what it was."""
    it = bench(TASKS)
    before = unpack_value(it.run("look").result)
    ended = it.run("changes", how)
    assert ended.left_behind == said
    after = it.run("look_again")
    assert unpack_value(after.result) == before and after.left_behind == ""
    assert it.death is None


def test_output_goes_where_the_task_wanted_it(bench: Start, tmp_path: Any) -> None:
    """What was held back when it redirected its output does not land in the next job."""
    it = bench(TASKS)
    it.run("changes", "descriptors")
    it.run("look_again")
    assert it.printed == {1: b"to the broker\n"} and (tmp_path / "elsewhere").read_text() == "to the file\n"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("thread", "threads were left (left-over); the task process was replaced"),
        ("daemon", "threads were left (left-over); the task process was replaced"),
        ("hard limit", "could not be put back: resource limits; the task process was replaced"),
    ],
)
def test_what_cannot_be_put_back_replaces_the_process(bench: Start, how: str, said: str) -> None:
    """At once; the job has ended as it did, and those behind it run in a new process."""
    it = bench(TASKS)
    ended = it.run("changes", how)
    assert (ended.outcome, ended.left_behind) == (Outcome.COMPLETED, said)
    behind = it.offer("look_again")
    it.until(lambda: it.death)
    assert it.death.lost == [] and "replaced" in it.death.how and it.runner.restart_at_ms == 0
    assert it.death.unbegun in ([behind], [])
    it.start_again()
    it.until(lambda: it.runner.types is not None)
    assert unpack_value(it.run("changes", "nothing").result) != unpack_value(ended.result)


def test_types_that_keep_their_state(bench: Start) -> None:
    """What they leave stays, and is what later jobs of other types begin with."""
    it = bench(TASKS)
    for how in ("directory", "environment", "thread", "daemon"):
        assert it.run("keeps", how).left_behind == ""
    before = unpack_value(it.run("look").result)
    assert before[1] == "/" and before[3] == "1"
    assert it.run("changes", "umask").left_behind == "put back: the umask"
    after = unpack_value(it.run("look_again").result)
    assert after[1] == "/" and after[3] == "1" and after[0] == before[0] and after[-1] == before[-1] >= 3
