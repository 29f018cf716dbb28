"""The wall clock may be set as anybody likes: it is shown, and decides nothing while the broker lives."""

from __future__ import annotations

import time

import pytest
from faulting.scene import Scene

DAY_NS = 86_400 * 10**9
TO_1960_NS = -(66 * 366 * DAY_NS)
TO_2300_NS = 274 * 365 * DAY_NS


@pytest.mark.parametrize("step_ns", [DAY_NS, -2 * DAY_NS], ids=["forward", "back"])
def test_a_step_moves_shown_times_and_nothing_else(step_ns: int, scene: Scene) -> None:
    """Jobs before, across and after the step run once and in turn, their durations are real, and their times shift."""
    scene.start_broker().ready()
    scene.start_worker().ready()
    before = [scene.submit(f"before {delivery}", "soak_slow")["first_id"] for delivery in range(5)]
    scene.step_clock(step_ns)
    after = [scene.submit(f"after {delivery}", "soak_slow")["first_id"] for delivery in range(5)]
    scene.await_ends(before + after)
    jobs = {job["id"]: job for job in scene.asker.ask("status", ids=before + after)["jobs"]}
    now_ms = time.time_ns() // 10**6
    assert all(abs(jobs[job_id]["submitted_at"] - now_ms) < DAY_NS // 10**6 // 2 for job_id in before)
    assert all(abs(jobs[job_id]["submitted_at"] - now_ms - step_ns // 10**6) < 10**7 for job_id in after)
    assert all(20 <= job["elapsed_ms"] < 10_000 for job in jobs.values())
    off = {delivery: job["ended_at"] - job["started_at"] - job["elapsed_ms"] for delivery, job in jobs.items()}
    # when a run began is told once and stays: of one during which the clock was set, the step shows in its times
    steps = [delivery for delivery, ms in off.items() if abs(ms) > 1_000]
    assert len(steps) <= 1 and all(abs(off[delivery] - step_ns // 10**6) <= 1_000 for delivery in steps), off
    assert scene.asker.ask("info")["uptime_ms"] < 10**7
    scene.kill("broker")
    scene.start_broker().ready()
    assert scene.drained().breaches == []


@pytest.mark.parametrize("step_ns", [DAY_NS, -2 * DAY_NS, TO_1960_NS, TO_2300_NS], ids=["day", "back", "1960", "2300"])
def test_a_delay_follows_the_clock_that_nobody_sets(step_ns: int, scene: Scene) -> None:
    """Of two delayed jobs the short one starts though the clock was set back, and the long one waits though it was set
    forward: also before 1970 and beyond 2262, where the broker goes on, and over a restart there."""
    scene.start_broker().ready()
    scene.start_worker().ready()
    jobs = [{"type": "soak_safe", "data": b"\xa1a", "delay_ms": delay_ms} for delay_ms in (1_500, 3_000_000)]
    short = scene.asker.ask("submit", request_key="delayed", jobs=jobs)["first_id"]
    scene.step_clock(step_ns)
    assert scene.asker.status([short, short + 1]) == {short: "queued", short + 1: "queued"}
    scene.await_ends([short])
    (waiting,) = scene.asker.ask("status", ids=[short + 1])["jobs"]
    now_ms = max(0, (time.time_ns() + step_ns) // 10**6)
    assert waiting["state"] == "queued" and abs(waiting["ready_at"] - now_ms - 3_000_000) < 60_000
    scene.kill("broker")
    scene.start_broker().ready()
    now = scene.submit("after it", "soak_safe")["first_id"]
    scene.await_ends([now])
    assert scene.asker.ask("info")["server"].startswith("zjobs")
    assert "Traceback" not in scene.logs()


def test_a_clock_that_was_wrong_for_a_moment_drops_no_result(scene: Scene) -> None:
    """Years ahead, also while the broker starts: results are kept by the time for which the journal was in service."""
    scene.start_broker("--keep", "30h").ready()
    scene.start_worker().ready()
    job_id = scene.submit("kept", "soak_once")["first_id"]
    scene.await_ends([job_id])
    for step_ns in (TO_2300_NS, 0):
        scene.step_clock(step_ns)
        scene.kill("broker")
        scene.start_broker("--keep", "30h").ready()
        after = scene.submit(f"at {step_ns}", "soak_once")["first_id"]
        scene.await_ends([after])
        assert scene.asker.status([job_id]) == {job_id: "completed"}
    assert scene.drained().breaches == []
