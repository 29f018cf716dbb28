"""Completion: the choices for a command line, and that bash, zsh and fish offer them."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zjobs.client.cli.usage import ZCLIENT
from zjobs.client.cli.usage.commands import COMMANDS
from zjobs.client.cli.usage.options import STATES
from zjobs.messages.states import JobState

HERE = os.path.dirname(sys.executable)


@pytest.fixture
def choices(run: Any) -> Callable[..., list[str]]:
    """The words that are offered for a command line; the last one is being written."""

    def choices(*words: str) -> list[str]:
        ran = run("__complete", *words)
        assert (ran.code, ran.err) == (0, "")
        return [line.partition("\t")[0] for line in ran.out.splitlines()]

    return choices


def test_commands_and_options(choices: Callable[..., list[str]]) -> None:
    """All commands first; behind one its own options, then those of every command; options may come first."""
    assert choices("") == choices() == [command.name for command in COMMANDS]
    assert choices("re") == ["result", "release", "retry", "resume"]
    assert choices("--json", "--timeout", "3", "resu") == ["result", "resume"]
    assert choices("-") == [option.name for option in ZCLIENT.options_of("")]
    assert choices("log", "--f") == ["--follow"] and "--follow" not in choices("show", "--")
    assert choices("ls", "--st") == ["--state"]  # by its alias
    assert choices("nosuch", "") == choices("result", "1", "") == []
    assert choices("help", "bat") == ["batch"] and choices("completion", "") == ["bash", "zsh", "fish"]


def test_values(choices: Callable[..., list[str]], broker: Any) -> None:
    """What an option or a word wants by its name: states, types, files; nothing where only the user knows."""
    assert choices("list", "--state", "") == STATES
    assert choices("types", "") == ["reverse"]
    assert choices("list", "--state=c") == ["--state=completed", "--state=cancelled"]
    assert choices("list", "--type", "") == choices("submit", "rev") == ["reverse"]
    assert choices("submit", "--lines", "") == choices("submit", "--lines=") == choices("--key", "a") == [":files"]
    assert choices("submit", "--priority", "") == choices("submit", "reverse", "") == []
    assert choices("submit", "--", "-") == []


def test_ids(choices: Callable[..., list[str]], broker: Any) -> None:
    """Those that a command can do something to; more than one where it takes more."""
    broker.add(7)
    broker.add(9, JobState.FAILED)
    assert choices("cancel", "") == choices("cancel", "1", "") == choices("wait", "") == ["7"]
    assert choices("retry", "") == choices("rm", "") == ["9"]
    assert choices("show", "") == ["9", "7"]
    assert choices("show", "--broker", "tcp://127.0.0.1:1", "") == []  # no answer, no word


def test_services(choices: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of config.toml; a file with a mistake offers none."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert choices("--service", "") == []
    (tmp_path / "zjobs").mkdir()
    (tmp_path / "zjobs/config.toml").write_text('[services.laser]\nbroker = "a:1"\n[services.mill]\nbroker = "a:2"')
    assert choices("status", "--service", "") == ["laser", "mill"]
    assert choices("status", "--service=m") == ["--service=mill"]
    (tmp_path / "zjobs/config.toml").write_text("default = 1")
    assert choices("--service", "") == []


def test_what_is_printed(run: Any, broker: Any) -> None:
    """A tab stands before the description. What a type is called cannot act on a terminal."""
    assert run("__complete", "types").out == "types\tlist the job types, and what they take\n"
    assert "reverse\tthe text backwards\n" in run("__complete", "submit", "").out


def test_a_shell_that_there_is_none_for(run: Any) -> None:
    """The sentence has those that there are."""
    assert run("completion", "tcsh").err == "zclient: 'tcsh' is not one of bash, zsh, fish\n"


# --- in the shells -----------------------------------------------------------------------------------------

# What is written, and what then stands on the line or is offered.
LINES = [
    ("zclient stat", ["status"]),
    ("zclient list --state que", ["queued"]),
    ("zclient list --state=comp", ["--state=completed"]),
    ("zclient submit rev", ["reverse"]),
    ("zclient cancel ", ["7"]),
    ("zclient submit --lines fi", ["file one", "file.two"]),
    ("zclient submit --lines=fi", ["file one", "file.two"]),
]


@pytest.fixture
def shell(broker: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Runs a program in a folder with two files, with zclient on its path; skips where there is no such shell."""
    broker.add(7)
    for name in ("file one", "file.two"):
        (tmp_path / name).touch()
    env = {**os.environ, "PATH": f"{HERE}:{os.environ['PATH']}", "ZJOBS_BROKER": broker.address, "HOME": str(tmp_path)}

    def shell(name: str, *argv: str) -> str:
        if shutil.which(name) is None:
            pytest.skip(f"{name.upper()} IS NOT INSTALLED: its completion is not tested")
        ran = subprocess.run([name, *argv], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        return ran.stdout

    return shell


@pytest.mark.parametrize(("line", "offered"), LINES, ids=[line for line, _ in LINES])
def test_bash(shell: Callable[..., str], line: str, offered: list[str]) -> None:
    """As readline has it: behind = only the value is replaced."""
    script = 'eval "$(zclient completion bash)"; compopt() { :; }; COMP_LINE=$1; COMP_POINT=${#1}; _zclient zclient;'
    out = shell("bash", "-c", script + ' printf "%s\\n" "${COMPREPLY[@]}"', "bash", line)
    assert sorted(out.splitlines()) == [word.removeprefix("--state=") for word in offered]


@pytest.mark.parametrize(("line", "offered"), LINES, ids=[line for line, _ in LINES])
def test_fish(shell: Callable[..., str], line: str, offered: list[str]) -> None:
    """As `complete -C` has it."""
    out = shell("fish", "-c", f"zclient completion fish | source; complete -C {line!r}")
    before = "--lines=" if "--lines=" in line else ""
    assert [row.partition("\t")[0] for row in out.splitlines()] == [before + word for word in offered]


@pytest.mark.parametrize(("line", "offered"), LINES, ids=[line for line, _ in LINES])
def test_zsh(broker: Any, tmp_path: Path, shell: Callable[..., str], line: str, offered: list[str]) -> None:
    """In a terminal: after the tab, a single choice stands on the line, several stand below it."""
    assert shell("zsh", "-c", "echo there") == "there\n"
    (tmp_path / ".zshrc").write_text(
        "PS1='> '; autoload -Uz compinit; compinit -u; source <(zclient completion zsh); echo ready\n"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        env = {"HOME": str(tmp_path), "TERM": "dumb", "ZJOBS_BROKER": broker.address}
        env["PATH"] = f"{HERE}:{os.environ['PATH']}"
        os.execvpe("zsh", ["zsh", "-i"], env)
    try:
        read_until(terminal, ["ready"])
        os.write(terminal, f"{line}\t\t".encode())
        read_until(terminal, [word.replace(" ", "\\ ") for word in offered])
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def read_until(terminal: int, words: list[str], seconds: float = 60) -> None:
    """Reads what a terminal shows until all these words have come."""
    shown, deadline = "", time.monotonic() + seconds
    while not all(word in shown for word in words):
        assert select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0], shown
        shown += os.read(terminal, 4096).decode(errors="replace")
