"""Scenarios: those kept in text files, and made-up ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from simulation.play import broken, play, shortened
from simulation.schedule import made_up
from simulation.store import DatabaseStore, FileStore

from tests.postgres import running_postgres

KEPT = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


def lines_of(path: Path) -> list[str]:
    """The lines of a scenario, without comments."""
    lines = (line.partition("--")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_scenario_keeps_every_promise(path: Path) -> None:
    """What once went wrong, or shows how a promise is kept, goes as the text says."""
    play(lines_of(path))


@pytest.mark.parametrize("restoring", [False, True], ids=["", "restoring"])
def test_made_up_scenarios_keep_every_promise(restoring: bool) -> None:
    """Seventy scenarios from fixed seeds, and they do contain what the promises are about."""
    counts: Counter[str] = Counter()
    for seed in range(70):
        lines = made_up(seed, 120, restoring)
        sentence = broken(lines, counts)
        assert sentence is None, "\n".join([f"seed {seed}: {sentence}", *shortened(lines)])
    assert min(counts.values()) >= 5, counts


def test_made_up_scenarios_on_a_file_keep_every_promise(tmp_path: Path) -> None:
    """The same with the journal in a file, whose log is what a crash leaves."""
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        play(made_up(seed, 120, restoring=False), FileStore(folder))


@pytest.mark.postgres
def test_made_up_scenarios_in_postgresql_keep_every_promise() -> None:
    """The same with the journal in a database, whose sessions end, too; more: python -m tests.sim --postgresql."""
    counts: Counter[str] = Counter()
    with running_postgres() as server:
        for seed in range(4):
            lines = made_up(seed, 120, restoring=False)
            sentence = broken(lines, counts, lambda: DatabaseStore(server))
            assert sentence is None, f"seed {seed}: {sentence}"
    assert counts["pieces"]
