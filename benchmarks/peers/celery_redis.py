"""Celery on Redis, one worker of the solo pool. As installed: Redis writes nothing to disk before it acknowledges."""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import Any

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import TEXT
from benchmarks.program import Program, free_port, listens, python, wait_until


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    port = free_port()
    server = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(bench.directory)]
    os.environ["BENCHMARK_REDIS"] = str(port)
    with Program([*server, "--logfile", "redis.log"], bench.two_cores.server, bench.directory / "redis.err"):
        tasks = importlib.import_module("benchmarks.peers.celery_tasks")
        try:
            yield from _measure(bench, port, tasks)
        finally:
            tasks.app.close()
            del sys.modules["benchmarks.peers.celery_tasks"]


def _measure(bench: Bench, port: int, tasks: Any) -> Measured:
    reverse = tasks.reverse
    wait_until(lambda: listens(port), 10, "redis-server listens")
    yield "submit", load.one_at_a_time(lambda: reverse.delay(TEXT), bench.size.seconds)[0]
    tasks.app.control.purge()
    jobs = [reverse.delay(TEXT) for _ in range(bench.size.peer_jobs)]
    options = ("--pool", "solo", "--loglevel", "warning")
    worker = python("-m", "celery", "-A", "benchmarks.peers.celery_tasks", "worker", *options)
    with Program(worker, bench.two_cores.worker, bench.directory / "celery.log"):
        times = [_ended(job, bench.size.patience_s) for job in (jobs[0], jobs[-1])]
        yield "drain", (len(jobs) - 1) / (times[1] - times[0])
        took_us = [load.timed_us(lambda: _submit_and_wait(reverse)) for _ in range(bench.size.peer_latencies)]
        yield "latency_us", load.percentiles(took_us)[0]


def _ended(job: Any, patience_s: float) -> float:
    job.get(timeout=patience_s)
    return time.monotonic()


def _submit_and_wait(reverse: Any) -> None:
    result = reverse.delay(TEXT).get(timeout=30)
    if result != TEXT[::-1]:
        raise RuntimeError(f"a wrong result: {result}")
