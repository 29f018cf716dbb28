"""Promises 2 and 6: what was acknowledged is kept, and nothing runs twice unless its type allows it.

The programs end themselves by SIGKILL at exact places (`fatal.py`), so nothing here depends on timing.
"""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from zjobs.client import BrokerUnreachable, JobFailed

if TYPE_CHECKING:
    from tests.conftest import Service

KILLED = -signal.SIGKILL
PLACES = ("before", "written", "after", "sent")
MOMENTS = {
    "submitted": "a submit is taken",
    "deliveries": "a job is handed over",
    "results": "a result is taken",
    "settled": "a hand-over is settled",
}


def submit_to_a_dying_broker(service: Service, names: list[str]) -> dict[str, int]:
    """Submits `names` one by one, up to the first without an answer; returns the ids that were acknowledged."""
    client = service.client(timeout=0.3)
    acknowledged: dict[str, int] = {}
    with contextlib.suppress(BrokerUnreachable):
        for name in names:
            acknowledged[name] = client.submit("once", name, request_key=f"key {name}").id
    return acknowledged


@pytest.mark.parametrize("what", MOMENTS, ids=lambda what: MOMENTS[what].replace(" ", "_"))
def test_a_broker_killed_at_an_exact_place_loses_and_repeats_nothing(
    what: str, new_service: Callable[..., Service]
) -> None:
    """Before, inside and after the commit, and after the first message: each job is kept and runs exactly once."""
    service = new_service()
    service.start_worker()
    ids: dict[str, int] = {}
    service.start_broker()
    for place in PLACES:
        service.broker.kill()
        service.start_broker(fatal=(place, what, 2))
        names = [f"{place} {delivery}" for delivery in range(4)]
        acknowledged = submit_to_a_dying_broker(service, names)
        assert service.broker.ended() == KILLED
        service.start_broker()
        client = service.client()
        for job_id in acknowledged.values():
            assert client.job(job_id).status().type == "once"
        ids |= acknowledged
        unanswered = [name for name in names if name not in acknowledged]
        ids |= {name: client.submit("once", name, request_key=f"key {name}").id for name in unanswered}
        assert {name: client.job(ids[name]).result(timeout=20) for name in names} == {name: name for name in names}
    assert sorted(ids.values()) == list(range(1, 17)), "a repeated key made a second job"
    assert sorted(service.runs("start")) == sorted(ids) and service.runs("overlap") == []


@pytest.mark.parametrize("place", PLACES)
def test_a_broker_killed_while_it_begins_a_session_begins_it_again(
    place: str, new_service: Callable[..., Service]
) -> None:
    """The first exchange with a new worker may be cut anywhere; the next broker takes it up."""
    service = new_service()
    service.start_broker()
    job = service.client().submit("once", "a")
    service.broker.kill()
    dying = service.start_broker(fatal=(place, "session", 1))
    service.start_worker()
    assert dying.ended() == KILLED
    service.start_broker()
    assert service.client().job(job.id).result(timeout=20) == "a"
    assert service.runs("start") == ["a"]


@pytest.mark.parametrize("place, what", [("received", "jobs"), ("before", "ended"), ("after", "ended")])
def test_a_worker_killed_at_an_exact_place(place: str, what: str, new_service: Callable[..., Service]) -> None:
    """A job whose type forbids it never runs twice, whatever is lost; one whose type allows it always completes."""
    service = new_service()
    service.start_broker()
    service.start_worker(fatal=(place, what, 1))
    client = service.client()
    once = client.submit("once", "once")
    assert service.worker.ended() == KILLED
    service.start_worker(fatal=(place, what, 1 if what == "jobs" else 2))
    safe = [client.submit("safe", f"safe {delivery}") for delivery in range(3)]
    status = once.wait(timeout=20)
    assert status.state in ("completed", "failed")
    if status.state == "failed":
        assert (status.reason, status.message) == ("worker_lost", "the worker died while running it")
    service.until(lambda: not service.worker.alive, "the second worker has died")
    service.start_worker()
    assert [job.result(timeout=20) for job in safe] == ["safe 0", "safe 1", "safe 2"]
    assert service.runs("start").count("once") <= 1
    assert service.runs("overlap") == []


def test_a_job_whose_worker_dies_is_run_again_or_failed_as_its_type_says(service: Service) -> None:
    """max_reruns 0: failed with the reason; above: back to its place, before those behind it."""
    client = service.client()
    for kind in ("once_gate", "safe_gate"):
        job, behind = client.submit(kind, kind), client.submit("safe", f"behind {kind}")
        service.until(lambda kind=kind: kind in service.runs("start"), "the job runs")
        service.worker.kill()
        service.until_worker("absent")
        assert not job.status().state.final, "whether it may run again is known with the next worker"
        service.start_worker()
        service.open_gate(kind)
        assert behind.result(timeout=20) == f"behind {kind}"
        if kind == "once_gate":
            with pytest.raises(JobFailed, match="the worker died while running it"):
                job.result(timeout=20)
            assert (job.status().reason, job.status().reruns) == ("worker_lost", 1)
        else:
            assert job.result(timeout=20) == kind and job.status().reruns == 1
    once, behind_once, *rest = service.runs("start")
    assert (once, behind_once) == ("once_gate", "behind once_gate")
    assert rest == ["safe_gate", "safe_gate", "behind safe_gate"]


def test_predefined_tasks_may_run_again(new_service: Callable[..., Service]) -> None:
    """A worker killed while it reverses: the result arrives all the same."""
    service = new_service()
    service.start_broker()
    service.start_worker(tasks=False, time_scale=1000)
    job = service.client().submit("reverse", "example")
    service.until_state(job.id, "in_progress")
    service.worker.kill()
    service.start_worker(tasks=False)
    assert job.result(timeout=20) == "elpmaxe"


def test_the_broker_can_be_killed_while_a_job_runs(service: Service) -> None:
    """The worker goes on without it; its report waits for the next broker, and the job is not run again."""
    job = service.client().submit("once_gate", "a")
    service.until(lambda: service.runs("start"), "the job runs")
    service.broker.kill()
    service.open_gate("a")
    service.until(lambda: service.runs("end"), "the job ends without a broker")
    service.start_broker()
    assert service.client().job(job.id).result(timeout=20) == "a"
    assert service.runs("start") == ["a"]


def test_both_killed_at_once(service: Service) -> None:
    """Nothing survives but the journal, and that is enough."""
    client = service.client()
    gate = client.submit("safe_gate", "gate")
    jobs = client.submit_many("safe", [str(delivery) for delivery in range(20)])
    service.until(lambda: service.runs("start"), "the first job runs")
    service.worker.kill()
    service.broker.kill()
    service.start_worker()
    service.start_broker()
    service.open_gate("gate")
    again = service.client()
    assert again.job(gate.id).result(timeout=20) == "gate"
    assert [again.job(job.id).result(timeout=20) for job in jobs] == [str(delivery) for delivery in range(20)]
    assert service.runs("start") == ["gate", "gate"] + [str(delivery) for delivery in range(20)]


def test_a_job_that_failed_runs_again_while_its_attempts_last(service: Service) -> None:
    """max_attempts counts failures, and `show` has each of them with its traceback."""
    client = service.client()
    job = client.submit("third_time", "a")
    assert job.result(timeout=20) == 3
    shown = client.show(job.id)
    assert [attempt.message for attempt in shown.attempts] == ["ValueError: run 1", "ValueError: run 2"]
    assert all("own_tasks.py" in attempt.detail for attempt in shown.attempts)
    assert shown.job.attempts == 3


def test_killed_at_random_under_load_everything_acknowledged_ends(new_service: Callable[..., Service]) -> None:
    """Broker and worker die at places drawn from a seed, again and again; then all is repaired and counted."""
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    service = new_service()
    ids: dict[str, int] = {}
    for turn in range(6):
        worker_at = ((), ("after", "ended", draw.randint(1, 9)), ("before", "reports", draw.randint(1, 9)))[turn % 3]
        service.start_broker(fatal=(draw.choice(PLACES), draw.choice(list(MOMENTS)), draw.randint(1, 12)))
        service.start_worker(fatal=worker_at)
        ids |= submit_to_a_dying_broker(service, [f"{turn} {delivery}" for delivery in range(40)])
        service.worker.kill()
        service.broker.kill()
    service.start_broker()
    service.start_worker()
    client = service.client()
    states = {name: client.job(job_id).wait(timeout=20) for name, job_id in ids.items()}
    starts = service.runs("start")
    assert len(set(ids.values())) == len(ids) > 0, seed
    for name, status in states.items():
        assert starts.count(name) == 1 or status.state == "failed", (seed, name, status)
        assert starts.count(name) <= 1 and (status.state == "completed" or status.reason == "worker_lost"), (seed, name)
    assert service.runs("overlap") == [], seed
