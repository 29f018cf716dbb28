"""Lock files: one holder, known by name, gone with its last process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zjobs.program import lock


def test_the_second_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    """With what the holder wrote about itself; and with a word when it wrote nothing yet."""
    held = lock.acquire(tmp_path / "l")
    with pytest.raises(lock.Locked, match="a process that did not say which it is"):
        lock.acquire(tmp_path / "l")
    held.write("pid 7, a rather long line about it")
    held.write("pid 8, at work")
    with pytest.raises(lock.Locked, match="locked by pid 8, at work") as caught:
        lock.acquire(tmp_path / "l")
    assert (caught.value.holder, caught.value.path) == ("pid 8, at work", tmp_path / "l")
    held.release()


def test_a_released_lock_is_free_and_names_nobody(tmp_path: Path) -> None:
    """The file stays: two that make it anew could both hold it."""
    held = lock.acquire(tmp_path / "l")
    held.write("pid 7")
    held.release()
    assert (tmp_path / "l").read_bytes() == b""
    again = lock.acquire(tmp_path / "l")
    assert again.previous == ""
    again.release()


def test_a_refused_attempt_takes_nothing_from_the_holder(tmp_path: Path) -> None:
    """Neither the lock nor the name, nor a descriptor of ours."""
    held = lock.acquire(tmp_path / "l")
    held.write("pid 7")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(5):
        with pytest.raises(lock.Locked, match="pid 7"):
            lock.acquire(tmp_path / "l")
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
    held.release()


@pytest.mark.parametrize("inherits", [False, True], ids=["it dies", "a child lives on"])
def test_the_lock_ends_with_the_last_process_that_has_it(tmp_path: Path, inherits: bool) -> None:
    """kill -9 lets it go and leaves the name; a child that inherited the descriptor goes on holding it."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from zjobs.program import lock\n"
        "held = lock.acquire(Path(sys.argv[1]))\n"
        "held.write('pid 7')\n"
        "os.set_inheritable(held.fd, sys.argv[2] == 'True')\n"
        "if os.fork() == 0:\n"
        "    os.execvp('cat', ['cat'])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "l"), str(inherits)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.wait(20)
        assert process.stdin is not None and process.stdout is not None
        if inherits:
            with pytest.raises(lock.Locked, match="pid 7"):
                lock.acquire(tmp_path / "l")
        process.stdin.close()
        assert process.stdout.read() == b""  # the child has closed its end: it is gone, or about to be
    if not inherits:
        held = lock.acquire(tmp_path / "l")
        assert held.previous == "pid 7"
        held.release()


def test_its_folder_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    """And what cannot be made is an OSError."""
    lock.acquire(tmp_path / "a/b/l").release()
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        lock.acquire(tmp_path / "file/l")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Somebody else's link in a shared folder must not make us empty their target."""
    (tmp_path / "target").write_text("precious")
    (tmp_path / "l").symlink_to(tmp_path / "target")
    with pytest.raises(OSError):
        lock.acquire(tmp_path / "l")
    assert (tmp_path / "target").read_text() == "precious"


@pytest.mark.parametrize(("given", "expected"), [("/data", "/data/zjobs"), ("", None), ("relative", None)])
def test_the_state_directory_follows_xdg(monkeypatch: pytest.MonkeyPatch, given: str, expected: str | None) -> None:
    """XDG_STATE_HOME where it is absolute, else the default under the home directory."""
    monkeypatch.setenv("XDG_STATE_HOME", given)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(lock.state_directory()) == (expected or "/home/somebody/.local/state/zjobs")
