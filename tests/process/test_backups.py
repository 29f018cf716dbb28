"""Backup and restore, as docs/operating.md tells it, and backups of a broker at work."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack
import pytest

from zjobs.client import errors

if TYPE_CHECKING:
    from tests.conftest import Service

PAGE = (Path(__file__).parents[2] / "docs/operating.md").read_text(encoding="utf-8")


def steps() -> list[str]:
    """The sh blocks under Backups, in order."""
    section = PAGE[PAGE.index("## Backups") :]
    return [
        re.sub("^ +", "", block, flags=re.M) for block in re.findall(r"^ *```sh\n(.*?)^ *```", section, re.M | re.S)
    ]


def follow(service: Service, step: str) -> str:
    """Does as the page says; returns what was printed."""
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "JOURNAL": service.journal}
    own["BACKUP"] = str(service.place / "backup.db")
    ran = subprocess.run(["bash", "-euc", step], env={**service.env, **own}, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, (step, ran)
    return ran.stdout


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["orderly", "killed"])
def test_the_steps_of_the_page(end: signal.Signals, service: Service) -> None:
    """What was done by then is there; what was queued starts after `resume` and not before; old ids are refused."""
    make, restore, look = steps()[:3]
    client = service.client()
    done = client.submit("reverse", "abc")
    assert done.result(20) == "cba"
    client.pause("for the backup")
    queued = [client.submit("safe", f"job {number}") for number in range(3)]
    assert "sound backup" in follow(service, make)
    client.resume()
    assert [job.result(20) for job in queued] == ["job 0", "job 1", "job 2"]
    later = client.submit("reverse", "later")
    assert later.result(20) == "retal"
    service.broker.signal(end)
    service.broker.ended()
    told = follow(service, restore)
    assert "  2  safe" in told and "  4  safe" in told and ".before-" in told
    before = service.runs("start")
    service.start_broker()
    service.until_worker("ready")
    with pytest.raises(errors.BrokerChanged):
        done.status()
    told = follow(service, look.replace("zclient resume", ""))
    assert "restored from" in told and "4" in told
    assert service.runs("start") == before, "paused"
    assert service.client().job(1).result(20) == "cba"
    with pytest.raises(errors.NotFound):
        service.client().job(5).status()
    follow(service, look)
    assert [service.client().job(number).result(20) for number in (2, 3, 4)] == ["job 0", "job 1", "job 2"]
    assert service.client().submit("reverse", "new").id == 5
    (aside,) = (path for path in service.place.glob("journal.db.before-*") if not path.name.endswith("-wal"))
    assert service.run("broker", "check", str(aside)).returncode == 0


def test_a_worker_in_the_middle_of_a_job_is_recognised(service: Service) -> None:
    """It runs a job of the old journal: it ends it, and its report is not taken for one of the new journal."""
    client = service.client()
    client.submit("safe", "first").result(20)
    backup = str(service.place / "backup.db")
    assert service.run("broker", "backup", service.journal, backup).returncode == 0
    running = client.submit("safe_gate", "a")
    service.until_state(running.id, "in_progress")
    service.broker.kill()
    assert service.run("broker", "restore", backup, service.journal).returncode == 0
    service.start_broker()
    service.until_worker("ready")
    fresh = service.client()
    fresh.resume()
    job = fresh.submit("safe", "second")
    assert job.id == running.id and job.result(20) == "second"


def test_restore_refuses_while_the_broker_runs(service: Service) -> None:
    """75, and it names who has the journal."""
    backup = str(service.place / "backup.db")
    assert service.run("broker", "backup", service.journal, backup).returncode == 0
    refused = service.run("broker", "restore", backup, service.journal)
    assert refused.returncode == 75 and f"pid {service.broker.pid}" in refused.stderr
    assert service.client().submit("reverse", "ab").result(20) == "ba"


def test_overlapping_backups_each_have_their_own_hold(new_service: Callable[..., Service]) -> None:
    """The end of one does not let the broker write to the file that another still copies, and each is told its own."""
    service = new_service()
    service.start_broker()
    asked = service.ask("backup", name="slow", pause_ms=60_000)
    assert asked["undisturbed"] is True and asked["journal_file"] == service.journal
    before = Path(service.journal).read_bytes()
    copied = service.run("broker", "backup", service.journal, str(service.place / "fast.db"))
    assert copied.returncode == 0, copied
    data = msgpack.packb("x" * 1_000_000)
    for number in range(20):  # more than the broker lets its log grow to otherwise
        service.ask("submit", request_key=f"key {number}", jobs=[{"type": "reverse", "data": data}])
    assert Path(service.journal).read_bytes() == before
    assert service.ask("backup", name="slow", pause_ms=0)["undisturbed"] is True
    assert service.ask("backup", name="slow", pause_ms=0)["undisturbed"] is False, "it has ended"
    service.ask("submit", request_key="last", jobs=[{"type": "reverse", "data": data}])
    service.until(lambda: Path(service.journal).read_bytes() != before, "the log is moved into the file again")
    assert service.run("broker", "check", str(service.place / "fast.db")).returncode == 0
