"""How long a service is away after kill -9, when what was killed is started again at once.

python -m tests.faults.recovery [--jobs N] [--write-docs]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))
sys.path.insert(0, str(Path(__file__).parents[1] / "history"))

import msgpack
from checker import load
from soaking import docs
from soaking.asker import Asker
from soaking.stage import Stage

ROUNDS = 5
JOBS_A_REQUEST = 2_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.recovery", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="queued in the large case (default 1,000,000)")
    parser.add_argument("--write-docs", action="store_true", help="puts the figures into docs/reliability.md")
    given = parser.parse_args()
    stage = Stage(0)
    asker = Asker(stage.direct, stage.recorder)
    try:
        stage.start_broker()
        rows: list[tuple[object, ...]] = [row("broker to the first answer, nothing queued", broker_times(stage, asker))]
        stage.start_worker()
        rows.append(row("worker to the start of the next job", worker_times(stage, asker)))
        stage.kill(stage.worker, "worker")
        queue(asker, given.jobs)
        size = f"{stage.journal_bytes() / 1e6:.0f} MB"
        rows.append(row(f"broker to the first answer, {given.jobs:,} jobs queued ({size})", broker_times(stage, asker)))
    finally:
        asker.close()
        stage.close()
        stage.remove()
    table = docs.table(("from kill -9 of the", "median", "longest"), rows)
    print(*table, sep="\n")
    if given.write_docs:
        docs.write("recovery", [docs.occasion(f"{ROUNDS} times each"), "", *table])
    return 0


def row(name: str, seconds: list[float]) -> tuple[object, ...]:
    return name, f"{statistics.median(seconds):.2f} s", f"{max(seconds):.2f} s"


def broker_times(stage: Stage, asker: Asker) -> list[float]:
    times = []
    for _ in range(ROUNDS):
        stage.kill(stage.broker, "broker")
        began = time.monotonic()
        stage.start_broker()
        asker.ask("status", ids=[1])
        times.append(time.monotonic() - began)
    return times


def worker_times(stage: Stage, asker: Asker) -> list[float]:
    """With a job running when it is killed, and another one behind it."""
    times = []
    for number in range(ROUNDS):
        tokens = [f"{number}-{place}" for place in range(20)]
        asker.submit(f"worker {number}", "soak_slow", tokens, max_reruns=1000)
        wait_for_start(stage, tokens, 0.0)
        stage.kill(stage.worker, "worker")
        began = time.monotonic()
        stage.start_worker()
        times.append(wait_for_start(stage, tokens, began) - began)
        while asker.ask("info")["queued"]:
            time.sleep(0.01)
    return times


def wait_for_start(stage: Stage, tokens: list[str], since: float) -> float:
    while True:
        for record in load(stage.records):
            if record["what"] == "start" and record["token"] in tokens and record["at"] > since:
                return float(record["at"])
        time.sleep(0.001)


def queue(asker: Asker, jobs: int) -> None:
    one = {"type": "soak_once", "data": msgpack.packb("a token")}
    for start in range(0, jobs, JOBS_A_REQUEST):
        asker.ask("submit", request_key=f"queue {start}", jobs=[one] * min(JOBS_A_REQUEST, jobs - start))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
