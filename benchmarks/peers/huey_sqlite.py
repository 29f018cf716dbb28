"""Huey on SQLite. As installed: WAL without a flush to disk at each commit, and a poll for new jobs and results."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import TEXT
from benchmarks.program import Program, python, wait_until

CONSUMER = "from huey.bin.huey_consumer import consumer_main; consumer_main()"


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    files = {"BENCHMARK_HUEY": str(bench.directory / "huey.db")}
    os.environ.update(files)
    try:
        yield from _measure(bench)
    finally:
        tasks = sys.modules.pop("benchmarks.peers.huey_tasks", None)
        if tasks is not None:
            tasks.huey.storage.close()
        for file in bench.directory.glob("huey.db*"):
            file.unlink()


def _measure(bench: Bench) -> Measured:
    reverse = importlib.import_module("benchmarks.peers.huey_tasks").reverse
    yield "submit", load.one_at_a_time(lambda: reverse(TEXT), bench.size.seconds)[0]
    reverse.huey.flush()
    jobs = [reverse(TEXT) for _ in range(bench.size.peer_jobs)]
    # There is no server, so the worker gets the second core.
    consumer = python("-c", CONSUMER, "benchmarks.peers.huey_tasks.huey", "--workers", "1", "--quiet")
    with Program(consumer, bench.two_cores.server, bench.directory / "huey.log"):
        times = [_ended(jobs[place], bench.size.patience_s) for place in (0, -1)]
        yield "drain", (len(jobs) - 1) / (times[1] - times[0])
        took_us = [load.timed_us(lambda: _submit_and_wait(reverse)) for _ in range(bench.size.peer_latencies)]
        yield "latency_us", load.percentiles(took_us)[0]


def _ended(job: Any, patience_s: float) -> float:
    return wait_until(lambda: job.get(preserve=True) is not None, patience_s, "a result of Huey's")


def _submit_and_wait(reverse: Any) -> None:
    result = reverse(TEXT).get(blocking=True, timeout=30)
    if result != TEXT[::-1]:
        raise RuntimeError(f"a wrong result: {result}")
