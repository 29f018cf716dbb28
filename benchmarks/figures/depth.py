"""How cost grows with the queue: submits at a depth, memory, the start, and the cost of a job in a long drain."""

from __future__ import annotations

import itertools
import time

import zmq

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import Peer, ask
from benchmarks.service import Service

TEXT_200 = "0123456789" * 20


def measure(bench: Bench) -> Measured:
    with Service(bench, bench.two_cores) as service:
        service.learn_types()
        empty_bytes = service.broker.memory_bytes()
        queued = 0
        for depth in bench.size.depths:
            if depth > queued:
                queued += len(service.fill(depth - queued, TEXT_200))
            full_bytes = service.broker.memory_bytes()
            yield f"depth.submit.{depth}", load.pipelined(service.endpoint, bench.size.seconds)
            queued = _queued(service)
        yield "depth.broker_mb", full_bytes / 1e6
        yield "depth.bytes_per_job", (full_bytes - empty_bytes) / bench.size.depths[-1]
        service.broker.stop()
        begun = time.perf_counter()
        service.start_broker()
        _queued(service)
        yield "depth.start_s", time.perf_counter() - begun
        yield "depth.restarted_mb", service.broker.memory_bytes() / 1e6
        yield from _long_drain(service, bench.size.depths[-1])


def _queued(service: Service) -> int:
    with Peer(zmq.REQ, service.endpoint) as socket:
        queued: int = ask(socket, op="status", ids=[])["queued"]
        return queued


def _long_drain(service: Service, count: int) -> Measured:
    """The cost of a job between 1,000 and 10,000 ended jobs, between 10,000 and 100,000, and so on."""
    milestones = [10**power for power in range(3, 10) if 10**power <= count]
    with service.events() as events:
        events.watch(milestones)
        service.start_worker()
        ended_at = [events.ended(job_id) for job_id in milestones]
    service.stop_worker()
    for (job_id, begun), (next_id, ended) in itertools.pairwise(zip(milestones, ended_at)):
        yield f"growth.us_per_job.{next_id}", (ended - begun) * 1e6 / (next_id - job_id)
