"""The growth of costs with the queue: submits at a depth, memory, and the start."""

from __future__ import annotations

import time

import zmq

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import Peer, ask
from benchmarks.service import Service

TEXT_200 = "0123456789" * 20


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
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


def _queued(service: Service) -> int:
    with Peer(zmq.REQ, service.endpoint) as socket:
        queued: int = ask(socket, op="queue", limit=1)["queued"]
        return queued
