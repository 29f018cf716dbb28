"""A journal in PostgreSQL beside one in SQLite: on this machine, and half a millisecond away."""

from __future__ import annotations

import time

from benchmarks import load, postgresql
from benchmarks.bench import Bench, Measured
from benchmarks.figures import growth, latency, submit
from benchmarks.service import Service


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    with postgresql.server(bench) as port, postgresql.away(bench, port) as far:
        for name, at in (("sqlite", None), ("local", port), ("away", far)):
            for part in (_submits, _drain, _latency) if name == "away" else (_submits, _drain, _latency, _many):
                journal = "disk"
                if at is not None:
                    postgresql.empty(port)
                    journal = postgresql.url(at)
                    if part is _submits:
                        yield f"postgres.{name}.round_trip_us", postgresql.round_trip_us(at)
                for figure, value in part(bench, journal):
                    yield f"postgres.{name}.{figure}", value


def _submits(bench: Bench, journal: str) -> Measured:
    with Service(bench, bench.two_cores, journal) as service:
        service.learn_types()
        yield "submit", load.round_trips(service.endpoint, bench.size.seconds)
        yield "in_flight", load.pipelined(service.endpoint, bench.size.seconds)
        yield "bulk", submit.many(service, bench.size.seconds)


def _drain(bench: Bench, journal: str) -> Measured:
    with Service(bench, bench.two_cores, journal) as service:
        yield "drain", service.rate_of(service.fill(bench.size.jobs))


def _latency(bench: Bench, journal: str) -> Measured:
    with Service(bench, bench.two_cores, journal) as service:
        service.await_worker()
        yield "p50", load.percentiles(latency.plain(service, bench.size.latencies))[0]


def _many(bench: Bench, journal: str) -> Measured:
    """The start with many jobs queued, and their cost as more and more have ended."""
    count = bench.size.depths[-1]
    with Service(bench, bench.two_cores, journal) as service:
        service.learn_types()
        service.fill(count)
        service.broker.stop()
        begun = time.perf_counter()
        service.start_broker()
        with service.client() as client:
            client.info()
        yield "start_s", time.perf_counter() - begun
        for job_id, us_per_job in growth.costs(service, count):
            yield f"us_per_job.{job_id}", us_per_job
