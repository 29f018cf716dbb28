"""The cost of a job in a long drain of jobs that are all alike: what a task does with a longer text is its own cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.bench import Bench, Measured
from benchmarks.load import TEXT
from benchmarks.service import Service


def measure(bench: Bench) -> Measured:
    """Between 1,000 and 10,000 ended jobs, between 10,000 and 100,000, and so on."""
    count = bench.size.depths[-1]
    with Service(bench, bench.two_cores) as service:
        service.learn_types()
        service.fill(count, TEXT)
        for job_id, us_per_job in costs(service, count):
            yield f"growth.us_per_job.{job_id}", us_per_job


def costs(service: Service, count: int) -> Iterator[tuple[int, float]]:
    """Run the `count` jobs that are queued. Yield for each power of ten what a job cost since the last one."""
    milestones = [10**power for power in range(3, 10) if 10**power <= count]
    with service.events() as events:
        events.watch(milestones)
        service.start_worker()
        ended_at = [events.ended(job_id) for job_id in milestones]
    for (job_id, begun), (next_id, ended) in itertools.pairwise(zip(milestones, ended_at)):
        yield next_id, (ended - begun) * 1e6 / (next_id - job_id)
