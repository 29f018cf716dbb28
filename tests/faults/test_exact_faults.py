"""Promise 2 at exact places: a broker or worker that is killed, or whose disk fails, at the n-th call of one kind.

Here some of the places; `python -m tests.faults` goes through all of them.
"""

from __future__ import annotations

import pytest
from faulting.campaign import DISK, PYTHON, Campaign, Outcome
from faulting.disk import Fault
from faulting.forge import Ended, Forge
from faulting.scene import Scene

POINTS = 2
KILLS = [row for row in DISK if "kill" in row[2]]
FAILURES = [row for row in DISK if "kill" not in row[2]]


def assert_kept(outcome: Outcome, points: int) -> None:
    assert outcome.troubles == [] and outcome.verdict.breaches == []
    assert outcome.fired == points and outcome.verdict.trials["lost"] >= 1


@pytest.mark.parametrize("program, kind, action", PYTHON, ids=map(" ".join, PYTHON))
def test_killed_at_a_send_or_commit(program: str, kind: str, action: str, forge: Forge) -> None:
    """Acknowledged jobs are kept, run in turn and not again; what was not answered is answered when asked again."""
    assert_kept(Campaign(forge, program, kind, action).run(first=2, step=3, most=POINTS), POINTS)


@pytest.mark.parametrize("program, kind, action", KILLS, ids=map(" ".join, KILLS))
def test_killed_at_a_write_or_flush(program: str, kind: str, action: str, disk_forge: Forge) -> None:
    """Before, in the middle of and after what SQLite asks of the disk."""
    first, step = (25, 13) if kind == "write" else (5, 2)
    assert_kept(Campaign(disk_forge, program, kind, action).run(first, step, POINTS), POINTS)


@pytest.mark.parametrize("program, kind, action", FAILURES, ids=map(" ".join, FAILURES))
def test_the_disk_fails_and_has_room_again(program: str, kind: str, action: str, disk_forge: Forge) -> None:
    """No false acknowledgement; it says so, answers what only reads, and takes requests again without a restart."""
    first = 40 if kind == "write" else 5
    outcome = Campaign(disk_forge, program, kind, action).run(first=first, step=2, most=1)
    assert_kept(outcome, 1)
    assert outcome.refused == 1


@pytest.mark.parametrize("kind", ["write", "flush"])
def test_a_broker_that_cannot_write_at_its_start_says_so(kind: str, disk_forge: Forge) -> None:
    """Exit code 73 and one sentence; the next one finds everything."""
    outcome = Campaign(disk_forge, "broker", kind, "ENOSPC").run(first=1, most=1)
    assert_kept(outcome, 1)
    assert outcome.refused == 0


def test_a_broker_that_cannot_write_at_its_end_ends_all_the_same(disk_forge: Forge) -> None:
    """Told to end on a full disk: exit code 0, and what was acknowledged is there for the next one."""
    with Scene(disk_forge) as scene:
        scene.start_broker().ready()
        job_id = scene.submit("a", "soak_once")["first_id"]
        writes = 0
        while True:  # the first number of writes that leaves the start alone
            writes += 1
            scene.kill("broker")  # so each start finds the same, and writes as much
            (scene.place / "full").touch()
            try:
                broker = scene.start_broker(fault=Fault("write", writes, "ENOSPC", str(scene.place))).ready()
            except Ended:
                (scene.place / "full").unlink()
                scene.start_broker().ready()
                continue
            broker.signal(15)
            assert broker.ended() == 0 and "Traceback" not in broker.log
            if "could not be tidied up" in broker.log:
                break
        (scene.place / "full").unlink()
        scene.start_broker().ready()
        assert scene.asker.status([job_id]) == {job_id: "queued"}
