"""beanstalkd through greenstalk. As installed: no binlog, so nothing is on disk when a job is acknowledged."""

from __future__ import annotations

import json

import greenstalk

from benchmarks import load
from benchmarks.bench import Bench, Measured
from benchmarks.load import TEXT
from benchmarks.program import Program, free_port, listens, python, wait_until


def measure(bench: Bench, *options: str) -> Measured:
    """Yield each figure by its name. `options`: those of beanstalkd other than its address."""
    log = bench.directory / "beanstalkd.log"
    port = free_port()
    with (
        Program(["beanstalkd", "-l", "127.0.0.1", "-p", str(port), *options], bench.two_cores.server, log),
        _client(port) as client,
    ):
        yield "submit", load.one_at_a_time(lambda: client.put(TEXT), bench.size.seconds)[0]
        _delete_all(client, "jobs")
        for _ in range(bench.size.peer_jobs):
            client.put(TEXT)
        with Program(python("-m", "benchmarks.peers.beanstalk_worker", str(port)), bench.two_cores.worker, log):
            yield "drain", _drain(client, bench)
            _delete_all(client, "results")
            _, took_us = load.one_at_a_time(lambda: _submit_and_wait(client), bench.size.seconds)
            yield "latency_us", load.percentiles(took_us)[0]


def _client(port: int) -> greenstalk.Client[str]:
    wait_until(lambda: listens(port), 10, "beanstalkd listens")
    return greenstalk.Client(("127.0.0.1", port), use="jobs", watch="results")


def _drain(client: greenstalk.Client[str], bench: Bench) -> float:
    """Return the jobs a second between the first and the last result."""

    def results() -> int:
        return int(client.stats_tube("results")["current-jobs-ready"])

    before = 0

    def begun() -> bool:
        nonlocal before
        before = results()
        return before > 0

    count = bench.size.peer_jobs
    begun_at = wait_until(begun, bench.size.patience_s, "the first result", every_s=0.002)
    ended_at = wait_until(lambda: results() == count, bench.size.patience_s, "the last result", every_s=0.002)
    return (count - before) / (ended_at - begun_at)


def _submit_and_wait(client: greenstalk.Client[str]) -> None:
    job_id = client.put(TEXT)
    job = client.reserve(timeout=10)
    result = json.loads(job.body)
    client.delete(job)
    if result != {"id": job_id, "result": TEXT[::-1]}:
        raise RuntimeError(f"a wrong result: {result}")


def _delete_all(client: greenstalk.Client[str], tube: str) -> None:
    client.watch(tube)
    while True:
        try:
            client.delete(client.reserve(timeout=0))
        except greenstalk.TimedOutError:
            break
    if tube != "results":
        client.ignore(tube)
