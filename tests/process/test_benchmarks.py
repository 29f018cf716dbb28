"""The benchmarks run, and leave nothing behind. What they measure is not looked at: a test must not depend on speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = """
import sys
from benchmarks import __main__ as program
program.QUICK = program.QUICK._replace(seconds=0.05, jobs=200, latencies=20, watchers=20)
sys.exit(program.main(sys.argv[1:]))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", TINY, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """A short run: its folder, what it wrote as JSON, and how it ended."""
    folder = tmp_path_factory.mktemp("benchmarks")
    file = folder.parent / "measured.json"
    chosen = ("--only", "drain,latency,watchers", "--peers", "none", "--repeat", "1")
    return folder, file, run("--quick", *chosen, "--folder", str(folder), "--json", str(file))


def test_a_short_run_measures_what_was_asked_for(recorded: tuple[Path, Path, Any]) -> None:
    """Each figure asked for is measured once in each repetition, beside the floor; the placement is recorded."""
    _, file, ended = recorded
    assert ended.returncode == 0, ended.stderr
    record = json.loads(file.read_text())
    figures = record["figures"]
    assert {"floor.req.one", "floor.dealer", "drain.disk", "latency.memory.two.p50", "watchers.drain"} <= set(figures)
    assert all(len(values) == 1 and values[0] > 0 for values in figures.values())
    assert not any(name.startswith(("peer.", "submit.")) for name in figures)
    assert len(record["placement"]) == 2
    assert "jobs drained ÷ DEALER floor" in ended.stdout


def test_nothing_is_left_behind(recorded: tuple[Path, Path, Any]) -> None:
    """Whatever a run writes and starts is gone when it ends."""
    folder, _, _ = recorded
    assert list(folder.iterdir()) == []
    mine = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(folder).encode() in _read(path)]
    assert mine == []


def test_a_record_can_be_shown_again(recorded: tuple[Path, Path, Any]) -> None:
    """The tables come from the record alone, so they can be made again without measuring."""
    _, file, ended = recorded
    assert run("--from", str(file)).stdout == ended.stdout


def test_a_wrong_name_is_refused() -> None:
    """A figure that does not exist is named, and the one that was meant."""
    ended = run("--only", "latencie")
    assert ended.returncode == 64
    assert "did you mean latency?" in ended.stderr


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # ended meanwhile
        return b""
