"""The wall clock may be set as anybody likes: it is shown, and decides nothing."""

from __future__ import annotations

import time

import pytest
from faulting.scene import Scene

DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize("step_ns", [DAY_NS, -2 * DAY_NS], ids=["forward", "back"])
def test_a_step_moves_shown_times_and_nothing_else(step_ns: int, scene: Scene) -> None:
    """Jobs before, across and after the step run once and in turn, their durations are real, and their times shift."""
    scene.start_broker().ready()
    scene.start_worker().ready()
    before = [scene.submit(f"before {n}", "soak_slow")["first_id"] for n in range(5)]
    scene.step_clock(step_ns)
    after = [scene.submit(f"after {n}", "soak_slow")["first_id"] for n in range(5)]
    scene.await_ends(before + after)
    jobs = {job["id"]: job for job in scene.asker.ask("status", ids=before + after)["jobs"]}
    now_ms = time.time_ns() // 10**6
    assert all(abs(jobs[job_id]["submitted_at"] - now_ms) < DAY_NS // 10**6 // 2 for job_id in before)
    assert all(abs(jobs[job_id]["submitted_at"] - now_ms - step_ns // 10**6) < 10**7 for job_id in after)
    assert all(20 <= job["elapsed_ms"] < 10_000 for job in jobs.values())
    assert all(abs(job["ended_at"] - job["started_at"] - job["elapsed_ms"]) <= 1 for job in jobs.values())
    assert scene.asker.ask("info")["uptime_ms"] < 10**7
    scene.kill("broker")
    scene.start_broker().ready()
    assert scene.drained().breaches == []
