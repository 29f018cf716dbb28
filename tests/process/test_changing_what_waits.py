"""Holding and editing jobs of a running service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Service


def test_a_job_behind_a_running_one_is_recalled_and_held(service: Service) -> None:
    """The worker has it already; the reply comes when it is back. The running one is too late."""
    client = service.client()
    client.submit("safe", "learnt").result(timeout=20)  # so that the worker gets several at once
    jobs = [client.submit("safe_gate", "a"), *client.submit_many("safe", ["b", "c"])]
    service.until_state(jobs[0].id, "in_progress")
    ids = [job.id for job in jobs]
    reply = client.hold(ids)
    assert (reply.changed, reply.late, reply.pending) == ((ids[1], ids[2]), (ids[0],), ())
    service.open_gate("a")
    jobs[0].wait(20)
    assert [job.held for job in client.status(ids[1:]).jobs] == [True, True]
    assert service.zclient("edit", str(ids[2]), "--priority", "5").stdout == f"{ids[2]} changed\n"
    client.pause()
    assert service.zclient("release", "--type", "safe").stdout == f"{ids[1]} released\n{ids[2]} released\n"
    client.resume()
    assert [job.result(20) for job in jobs[1:]] == ["b", "c"]
    assert service.runs("start")[-2:] == ["c", "b"]
    late = service.zclient("hold", str(ids[0]))
    assert late.returncode == 5 and "has started or ended already" in late.stderr


def test_an_edit_is_answered_though_the_worker_is_lost(service: Service) -> None:
    """Whether the job has started is not known: the reply says so, in bounded time."""
    client = service.client()
    job = client.submit("safe_gate", "a")
    service.until_state(job.id, "in_progress")
    service.broker.kill()
    service.worker.kill()
    service.start_broker()
    assert client.hold([job.id]).pending == (job.id,)
    service.start_worker()
    service.until(lambda: client.status([job.id]).jobs[0].held, "the edit is made when the next worker comes")
