"""What people try in their first hour, with the real programs: it goes on, or says what to do."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Service


def started(service: Service, *words: str) -> subprocess.Popen[str]:
    """zclient, running beside the test."""
    argv = [sys.executable, "-m", "zjobs.client", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=service.env, cwd=service.place / "work")


def test_log_follows_a_job_over_many_beats(service: Service) -> None:
    """One run is one run, however often the worker tells of it: nothing is repeated and nothing is lost."""
    job = service.client().submit("talks", "a")
    service.until(lambda: job.status().output_bytes, "the first line")
    with started(service, "log", "-f", str(job.id)) as following:
        service.until(lambda: (job.status().elapsed_ms or 0) > 2_500, "two more beats")
        service.open_gate("a")
        out, err = following.communicate(timeout=30)
    assert (following.returncode, out, err) == (0, "before the gate\nafter the gate\n", "")


def test_the_start_of_a_run_is_told_the_same_for_ever(service: Service) -> None:
    """While it runs, by a restarted broker, and after its end."""
    job = service.client().submit("talks", "a")
    service.until_state(job.id, "in_progress")
    told = {job.status().started_at}
    service.until(lambda: (job.status().elapsed_ms or 0) > 1_500, "another beat")
    told.add(job.status().started_at)
    service.broker.kill()
    service.start_broker()
    service.until_state(job.id, "in_progress")
    told.add(job.status().started_at)
    service.open_gate("a")
    told.add(job.wait(30).started_at)
    assert len(told) == 1 and job.status().run == 1


def test_watch_tells_of_jobs_and_of_the_service(service: Service) -> None:
    """A pause, the worker's end and its return, beside the jobs; each line has the time and the type."""
    service.until_worker("ready")
    with started(service, "watch") as watching:
        assert watching.stderr is not None and watching.stdout is not None
        assert "watching" in watching.stderr.readline()

        def until_line(end: str) -> None:
            for line in watching.stdout or ():
                assert re.match(r"\d\d:\d\d:\d\d (echo|service:?) ", line), line
                if line.endswith(f" {end}\n"):
                    return
            raise AssertionError(f"no line with {end!r}")

        service.zclient("pause", "maintenance till 5")
        until_line("service paused: maintenance till 5")
        service.worker.kill()
        until_line("service: the worker is gone")
        service.start_worker()
        until_line("service: the worker is ready")
        service.zclient("resume")
        until_line("service resumed")
        job = service.client().submit("echo", 1)
        until_line(f"echo {job.id} completed")
        watching.kill()
