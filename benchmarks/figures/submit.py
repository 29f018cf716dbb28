"""Acknowledged submits a second. No worker runs, but the types of one are known: every check is on."""

from __future__ import annotations

import asyncio
import time

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import TEXT, TYPE
from benchmarks.service import BATCH, Service


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    for journal in ("disk", "memory"):
        for placement in (bench.one_core, bench.two_cores):
            with Service(bench, placement, journal) as service:
                service.learn_types()
                name = f"submit.{journal}"
                yield f"{name}.one_client.{placement.name}", load.round_trips(service.endpoint, bench.size.seconds)
                yield f"{name}.library.{placement.name}", _library(service, bench.size.seconds)
                yield f"{name}.asyncio.{placement.name}", asyncio.run(_asyncio(service, bench.size.seconds))
                if placement is bench.two_cores:
                    yield f"{name}.in_flight", load.pipelined(service.endpoint, bench.size.seconds)
                    yield f"{name}.many", many(service, bench.size.seconds)


def _library(service: Service, seconds: float) -> float:
    """Measure one client of the library, one job a call."""
    with service.client() as client:
        client.submit(TYPE, TEXT)
        return load.one_at_a_time(lambda: client.submit(TYPE, TEXT), seconds)[0]


async def _asyncio(service: Service, seconds: float) -> float:
    """Measure one asyncio client, one job a call."""
    async with service.async_client() as client:
        await client.submit(TYPE, TEXT)
        submits = 0
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            await client.submit(TYPE, TEXT)
            submits += 1
        return submits / (time.perf_counter() - begun)


def many(service: Service, seconds: float) -> float:
    """Measure the same, with as many jobs a call as fit into one request."""
    texts = [TEXT] * BATCH
    jobs = 0
    with service.client() as client:
        client.submit_many(TYPE, texts[:2])
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            jobs += len(client.submit_many(TYPE, texts))
        return jobs / (time.perf_counter() - begun)
