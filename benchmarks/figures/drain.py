"""No-op jobs run a second, from a queue that was filled before the worker came."""

from __future__ import annotations

from benchmarks.bench import Bench, Measured
from benchmarks.service import Service


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    for journal in ("disk", "memory"):
        with Service(bench, bench.two_cores, journal) as service:
            yield f"drain.{journal}", service.rate_of(service.fill(bench.size.jobs))
