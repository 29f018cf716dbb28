"""Procrastinate on PostgreSQL: one worker that runs one job at a time, told of new ones by notifications."""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks import load, postgresql
from benchmarks.bench import Bench, Measured
from benchmarks.load import TEXT
from benchmarks.program import Program, python, wait_until

TASKS = "benchmarks.peers.procrastinate_tasks"
BATCH = 1_000


def measure(bench: Bench) -> Measured:
    """Yield each figure by its name."""
    import psycopg
    from procrastinate import App, SyncPsycopgConnector

    with postgresql.server(bench) as port:
        os.environ["BENCHMARK_POSTGRESQL"] = postgresql.url(port)
        connector = SyncPsycopgConnector(conninfo=postgresql.url(port))
        with App(connector=connector).open() as app, psycopg.connect(postgresql.url(port), autocommit=True) as session:
            app.schema_manager.apply_schema()
            yield from _measure(bench, app.configure_task("reverse"), session)


def _measure(bench: Bench, task: Any, session: Any) -> Measured:
    yield "submit", load.one_at_a_time(lambda: task.defer(text=TEXT), bench.size.seconds)[0]
    batch = [{"text": TEXT}] * BATCH
    yield "bulk", BATCH * load.one_at_a_time(lambda: task.batch_defer(*batch), bench.size.seconds)[0]
    session.execute("TRUNCATE procrastinate_jobs CASCADE")
    task.batch_defer(*[{"text": TEXT}] * bench.size.peer_jobs)
    worker = python("-m", "procrastinate", "--app", f"{TASKS}.app", "worker", "--concurrency", "1")
    with Program(worker, bench.two_cores.worker, bench.directory / "procrastinate.log"):
        first = _ended(session, 1, bench)
        last = _ended(session, bench.size.peer_jobs, bench)
        yield "drain", (last[1] - first[1]) / (last[0] - first[0])
    (bench.directory / "procrastinate.log").unlink()


def _ended(session: Any, count: int, bench: Bench) -> tuple[float, int]:
    """Return when so many jobs had ended, and how many it were by then."""
    done = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"

    def enough() -> bool:
        nonlocal found
        found = session.execute(done).fetchone()[0]
        return found >= count

    found = 0
    wait_until(enough, bench.size.patience_s, "jobs of Procrastinate's", every_s=0.05)
    return time.monotonic(), found
