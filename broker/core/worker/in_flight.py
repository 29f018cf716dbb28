"""The jobs in flight: dispatched and not settled. The size of the window depends on how long jobs of their types take.

A window of one leaves the worker idle for a round trip after each job (5,700 no-op jobs a second against 64,000 with a
window of 64). A wide window of long jobs would gain nothing, and jobs of higher priority would have to wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from zjobs.broker.core.records.jobs import Job
from zjobs.messages.records import TaskType
from zjobs.messages.units import DeliveryNumber, JobId, Us

WINDOW_US = 20_000
WINDOW_JOBS = 512
WINDOW_BYTES = 1 << 20


class Weight(NamedTuple):
    """The weight of a job in the window. `expected_us`: its type's average, None if no job of that type has ended yet.
    `alone`: it may not run twice, or was in doubt before, so no other job is put in doubt with it."""

    expected_us: Us | None
    data_bytes: int
    alone: bool

    @property
    def closes(self) -> bool:
        """True if nothing may be dispatched beside it."""
        return self.alone or self.expected_us is None


class Window:
    """The weights of the jobs in flight, by delivery number and in total."""

    def __init__(self) -> None:
        self._weights: dict[DeliveryNumber, Weight] = {}
        self._expected_us = 0
        self._data_bytes = 0
        self._closing = 0

    def __len__(self) -> int:
        return len(self._weights)

    def admits(self, job: Weight) -> bool:
        """True if `job` may be dispatched as well."""
        if not self._weights:
            return True
        if self._closing or job.alone or job.expected_us is None:
            return False
        return (
            len(self._weights) < WINDOW_JOBS
            and self._expected_us + job.expected_us <= WINDOW_US
            and self._data_bytes + job.data_bytes <= WINDOW_BYTES
        )

    def add(self, delivery: DeliveryNumber, job: Weight) -> None:
        """Add a dispatched delivery."""
        self._weights[delivery] = job
        self._expected_us += job.expected_us or 0
        self._data_bytes += job.data_bytes
        self._closing += job.closes

    def remove(self, delivery: DeliveryNumber) -> None:
        """Remove a settled delivery. Raises KeyError if it is not in the window."""
        job = self._weights.pop(delivery)
        self._expected_us -= job.expected_us or 0
        self._data_bytes -= job.data_bytes
        self._closing -= job.closes


class Averages:
    """The average duration of each type's jobs: a moving average over about the last 16."""

    def __init__(self) -> None:
        self._by_type: dict[str, float] = {}

    def of(self, job_type: str) -> Us | None:
        """Return the average in microseconds, None if no job of this type has ended yet."""
        average = self._by_type.get(job_type)
        return None if average is None else Us(int(average))

    def took(self, job_type: str, elapsed_us: Us) -> None:
        """Add the duration of one job to its type's average."""
        before = self._by_type.get(job_type)
        self._by_type[job_type] = elapsed_us if before is None else before + (elapsed_us - before) / 16


class InFlight:
    """The ids of the jobs in flight, by delivery number, in order."""

    def __init__(self) -> None:
        self._ids: dict[DeliveryNumber, JobId] = {}
        self._deliveries: dict[JobId, DeliveryNumber] = {}
        self._window = Window()
        self._averages = Averages()

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[DeliveryNumber]:
        """Iterate over the delivery numbers."""
        return iter(self._ids)

    def __contains__(self, delivery: DeliveryNumber) -> bool:
        return delivery in self._ids

    def __getitem__(self, delivery: DeliveryNumber) -> JobId:
        """Return the id of the job with this number."""
        return self._ids[delivery]

    def get(self, delivery: DeliveryNumber) -> JobId | None:
        """Return the id of the job with this number, None if it is not in flight."""
        return self._ids.get(delivery)

    @property
    def ids(self) -> list[JobId]:
        """The ids of the jobs, in the order of delivery."""
        return list(self._ids.values())

    @property
    def first(self) -> DeliveryNumber:
        """The delivery that is settled next, 0 if none is in flight."""
        return next(iter(self._ids), DeliveryNumber(0))

    @property
    def next_job(self) -> tuple[DeliveryNumber, JobId]:
        """The delivery number and id of the job that is settled next, (0, 0) if none is in flight."""
        return next(iter(self._ids.items()), (DeliveryNumber(0), JobId(0)))

    def delivery_of(self, job_id: JobId) -> DeliveryNumber | None:
        """Return the job's delivery number, None if it is not in flight."""
        return self._deliveries.get(job_id)

    def ahead(self, delivery: DeliveryNumber) -> int:
        """Return how many jobs in flight must end before this one starts."""
        return delivery - self.first

    def admits(self, job: Job, task_type: TaskType) -> bool:
        """True if the window has room for this job."""
        return self._window.admits(self._weight(job, task_type))

    def add(self, delivery: DeliveryNumber, job: Job, task_type: TaskType) -> None:
        """Add a job that is dispatched under this number."""
        self._ids[delivery] = job.id
        self._deliveries[job.id] = delivery
        self._window.add(delivery, self._weight(job, task_type))

    def remove(self, delivery: DeliveryNumber) -> JobId:
        """Remove a settled job, and return its id."""
        job_id = self._ids.pop(delivery)
        del self._deliveries[job_id]
        self._window.remove(delivery)
        return job_id

    def ended(self, job_type: str, elapsed_us: Us) -> None:
        """Add a job's duration to the average of its type."""
        self._averages.took(job_type, elapsed_us)

    def _weight(self, job: Job, task_type: TaskType) -> Weight:
        alone = job.reruns > 0 or task_type.max_reruns == 0
        return Weight(self._averages.of(job.type), job.data_bytes, alone)
