"""One job at a time, from its submit to its result, in microseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import zmq

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import TEXT, TYPE, Peer
from benchmarks.service import Service, submit_and_wait

WARM_UP = 20


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    for journal in ("memory", "disk"):
        for placement in (bench.one_core, bench.two_cores):
            with Service(bench, placement, journal) as service:
                service.await_worker()
                p50, p99 = load.percentiles(plain(service, bench.size.latencies))
                yield f"latency.{journal}.{placement.name}.p50", p50
                yield f"latency.{journal}.{placement.name}.p99", p99
                if placement is bench.two_cores:
                    p50, _ = load.percentiles(_library(service, bench.size.latencies))
                    yield f"latency.{journal}.library.p50", p50
                    p50, _ = load.percentiles(asyncio.run(_asyncio(service, bench.size.latencies)))
                    yield f"latency.{journal}.asyncio.p50", p50


def plain(service: Service, count: int) -> list[float]:
    """Use two sockets that stay open, as a client that waits for many jobs would."""
    with Peer(zmq.REQ, service.endpoint) as requests, service.events() as events:
        return _timed(lambda: submit_and_wait(requests, events), count)


def _library(service: Service, count: int) -> list[float]:
    """Use `client.submit(…).result()`."""
    with service.client() as client:
        return _timed(lambda: client.submit(TYPE, TEXT).result(timeout=60), count)


async def _asyncio(service: Service, count: int) -> list[float]:
    """Use the same call of the asyncio client."""
    took_us = []
    async with service.async_client() as client:
        for _ in range(WARM_UP + count):
            begun = time.perf_counter()
            await (await client.submit(TYPE, TEXT)).result(timeout=60)
            took_us.append((time.perf_counter() - begun) * 1e6)
    return took_us[WARM_UP:]


def _timed(once: Callable[[], object], count: int) -> list[float]:
    """Return how long each call took, in microseconds, after some that do not count."""
    for _ in range(WARM_UP):
        once()
    return [load.timed_us(once) for _ in range(count)]
