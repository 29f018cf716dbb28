"""One worker at an address: the lock, orphans that hold it, and what the dead left behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zjobs.program import lock
from zjobs.worker.files import worker_lock
from zjobs.worker.task import platform

PIPE = "tcp://127.0.0.1:5572"
OLD, OTHER = platform.new_mark(), platform.new_mark()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def dead_holder() -> str:
    """The line of a holder that lives no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    start = platform.start_time(process.pid)
    process.wait()
    return f"pid {process.pid} start {start} marks {OLD} pipe {PIPE}"


@pytest.fixture
def orphan() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a process that carries a mark and, perhaps, the lock."""
    started: list[subprocess.Popen[bytes]] = []

    def start(mark: int, *descriptors: int) -> subprocess.Popen[bytes]:
        carries = f"import time; from zjobs.worker.task import platform; platform.carry({mark})"
        carries += "; print(flush=True); time.sleep(1000)"
        process = subprocess.Popen([sys.executable, "-c", carries], pass_fds=descriptors, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()  # it carries the mark
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Waits for the end of a process, 10 seconds at most."""
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 10)[0])


def test_living_worker_is_refused_at_once() -> None:
    """The sentence names the worker and what it serves; there is nothing to wait for."""
    held, _ = worker_lock.acquire(PIPE)
    with pytest.raises(worker_lock.Taken, match=rf"worker \(pid {os.getpid()}\) already serves {PIPE}"):
        worker_lock.acquire(PIPE, wait_s=1000)
    held.release()
    worker_lock.acquire(PIPE).lock.release()


def test_other_address_is_free() -> None:
    """Workers at other addresses do not meet, and neither do names that look alike as file names."""
    held = [worker_lock.acquire(pipe).lock for pipe in (PIPE, "tcp://127.0.0.1:5573", "ipc:///a/b", "ipc:///a-b")]
    for one in held:
        one.release()


def test_orphan_that_holds_the_lock_is_killed(dead_holder: str, orphan: Callable[..., subprocess.Popen[bytes]]) -> None:
    """The task of a dead worker holds the lock: it is ended, and then the lock is ours."""
    old = lock.acquire(worker_lock.lock_path(PIPE))
    old.write(dead_holder)
    process = orphan(OLD, old.fd)
    os.close(old.fd)  # what the death of the worker does
    held, _ = worker_lock.acquire(PIPE)
    assert ended(process)
    assert held.path.read_text().strip() == worker_lock.holder_line((), PIPE)
    held.release()


def test_leftover_without_the_lock_is_killed(dead_holder: str, orphan: Callable[..., subprocess.Popen[bytes]]) -> None:
    """What a dead worker's task had started is ended too, before anything is bound; others are left alone."""
    old = lock.acquire(worker_lock.lock_path(PIPE))
    old.write(dead_holder)
    mine, other = orphan(OLD), orphan(OTHER)
    os.close(old.fd)
    worker_lock.acquire(PIPE).lock.release()
    assert ended(mine) and other.poll() is None


def test_unknown_holder_is_waited_for_and_then_named(dead_holder: str) -> None:
    """A lock that nobody lets go in time is refused with a sentence."""
    held = lock.acquire(worker_lock.lock_path(PIPE))
    held.write(dead_holder)
    with pytest.raises(worker_lock.Taken, match=r"what a dead worker .* left running still holds"):
        worker_lock.acquire(PIPE, wait_s=0.1)
    held.write("nonsense")
    with pytest.raises(worker_lock.Taken, match="nonsense"):
        worker_lock.acquire(PIPE, wait_s=0)
    held.release()


def test_reused_pid_is_not_the_holder() -> None:
    """A living process with the holder's pid but another start time is somebody else."""
    held = lock.acquire(worker_lock.lock_path(PIPE))
    held.write(f"pid {os.getpid()} start 1 marks {OLD} pipe {PIPE}")
    with pytest.raises(worker_lock.Taken, match="dead worker"):
        worker_lock.acquire(PIPE, wait_s=0)
    held.release()


def test_orderly_end_leaves_no_holder() -> None:
    """After an orderly release the file names nobody, so nobody is looked for."""
    held, _ = worker_lock.acquire(PIPE)
    held.release()
    again = lock.acquire(held.path)
    assert again.previous == ""
    again.release()


def test_relative_paths_are_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the path of an ipc endpoint is written, it is one lock; the same words elsewhere are another."""
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    here = worker_lock.lock_path(f"ipc://{tmp_path}/w")
    assert worker_lock.lock_path("ipc://w") == worker_lock.lock_path("ipc://below/../w") == here
    monkeypatch.chdir(tmp_path / "below")
    assert worker_lock.lock_path("ipc://w") != here
    assert worker_lock.lock_path("ipc://@w") == worker_lock.lock_path("ipc://@w")
