"""A pause of a busy service: what starts after it was answered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Service

PAUSES = 8
JOBS = 500


def ended(service: Service, ids: list[int]) -> set[int]:
    return {job.id for job in service.client().status(ids).jobs if job.state.final}


def test_nothing_starts_after_a_pause_that_its_reply_does_not_name(service: Service) -> None:
    """Jobs of one priority start in the order of their ids. So what ended behind those named had started after them."""
    client = service.client()
    ids = [job.id for job in client.submit_many("echo", range(JOBS))]
    service.until(lambda: client.info().completed > 0, "the queue drains")
    named_any = 0
    for _ in range(PAUSES):
        reply = client.pause()
        named = {*reply.may_start, *([] if reply.running is None else [reply.running])}
        before = ended(service, ids)
        client.wait_until_idle()
        after = ended(service, ids)
        assert client.queue().dispatched == 0 and client.info().worker.running is None
        assert after - before <= named
        assert not named or max(after) <= max(named)
        assert client.info().completed == len(after)
        named_any += bool(named)
        client.resume()
        if len(after) < JOBS:
            client.job(ids[len(after)]).wait(20)
    assert named_any, "no pause met a busy worker"


def test_a_pause_waits_for_the_job_that_runs(service: Service) -> None:
    """And for nothing behind it: the worker gives that back."""
    client = service.client()
    jobs = [client.submit("safe_gate", "a"), client.submit("safe", "b"), client.submit("safe", "c")]
    service.until_state(jobs[0].id, "in_progress")
    assert client.pause().running == jobs[0].id
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(service.zclient, "pause", "--wait")
        service.until(lambda: client.queue().dispatched == 1, "what has not begun was given back")
        assert not waiting.done()
        service.open_gate("a")
        ended_wait = waiting.result(20)
    assert ended_wait.returncode == 0 and ended_wait.stdout.endswith("idle: nothing runs, and nothing starts\n")
    assert [job.status().state.value for job in jobs] == ["completed", "queued", "queued"]
    client.resume()
    assert jobs[2].result(20) == "c"
