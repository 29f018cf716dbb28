"""Many asyncio waits in one program while the queue drains: from the end of a job to its result, in milliseconds."""

from __future__ import annotations

import asyncio
import time

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import TEXT, TYPE
from benchmarks.service import Service
from zjobs.client import AsyncJob


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    with Service(bench, bench.two_cores) as service:
        service.learn_types()
        p50, p99 = load.percentiles(asyncio.run(_late_ms(service, bench.size.watchers)))
        yield "waits.asyncio.late_p50_ms", p50
        yield "waits.asyncio.late_p99_ms", p99


async def _late_ms(service: Service, count: int) -> list[float]:
    """Return how long after its end each of `count` jobs gave its result; all are waited for before the worker
    starts."""
    async with service.async_client() as client:
        jobs = await client.submit_many(TYPE, [TEXT] * count)
        waits = [asyncio.create_task(_heard_ms(job)) for job in jobs]
        await asyncio.sleep(0)
        await client.info()  # answered behind what the waits have asked first
        await asyncio.to_thread(service.start_worker)
        heard_ms = await asyncio.gather(*waits)
        ended = [job.ended_at or 0 for job in (await client.status([job.id for job in jobs])).jobs]
    return [max(0.0, heard - ended_ms) for heard, ended_ms in zip(heard_ms, ended)]


async def _heard_ms(job: AsyncJob) -> float:
    if await job.result(timeout=60) != TEXT[::-1]:
        raise RuntimeError(f"a wrong result of job {job.id}")
    return time.time() * 1e3
