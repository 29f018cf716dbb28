"""Status requests answered a second, to one client with one request at a time, while the broker is busy or not."""

from __future__ import annotations

import zmq

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import Peer, ask
from benchmarks.service import Service


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    seconds = min(bench.size.seconds, 1.5)  # the job that runs takes 2 s
    with Service(bench, bench.two_cores, time_scale=1) as service:
        service.await_worker()
        ids = service.fill(1)
        rate, p99_ms = _status(service, ids[0], seconds)
        yield "status.running", rate
        yield "status.running_p99_ms", p99_ms
    with Service(bench, bench.two_cores) as service:
        ids = service.fill(bench.size.jobs * 5)
        with service.events() as events:
            events.watch([ids[0]])
            service.start_worker()
            events.ended(ids[0])
        rate, p99_ms = _status(service, ids[-1], seconds)
        yield "status.draining", rate
        yield "status.draining_p99_ms", p99_ms


def _status(service: Service, job_id: int, seconds: float) -> tuple[float, float]:
    """Raise RuntimeError if the job has ended before the time was up: then the broker was idle."""
    with Peer(zmq.REQ, service.endpoint) as socket:
        rate, took_us = load.one_at_a_time(lambda: ask(socket, op="status", ids=[job_id]), seconds)
        if ask(socket, op="status", ids=[job_id])["jobs"][0]["state"] == "completed":
            raise RuntimeError(f"job {job_id} had ended before its status was measured")
    return rate, load.percentiles(took_us)[1] / 1e3
