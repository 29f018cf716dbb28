"""A queue with something of everything in it, at one moment."""

from __future__ import annotations

from typing import Any

from zjobs.client.cli.overview.snapshot import Limit, Overview
from zjobs.messages import values
from zjobs.messages.records import DataPreview, Estimate, JobStatus, Limits, WorkerInfo
from zjobs.messages.requests.queries import InfoReply
from zjobs.messages.states import JobState, Origin, WorkerState

NOW_S = 1_800_000_000.0
NOW_MS = int(NOW_S * 1000)


def job(id: int, state: JobState = JobState.QUEUED, type: str = "measure", **fields: Any) -> JobStatus:
    """A job, submitted a quarter of an hour ago."""
    return JobStatus(id, type, state, 0, 0, NOW_MS - 900_000, 0, 0)._replace(**fields)


def beginning(value: Any) -> DataPreview:
    """The beginning of a job's data, as a broker sends it."""
    body = values.pack_value(value)
    return DataPreview(body[:128], len(body))


WORKER = WorkerInfo(WorkerState.READY, 3_000_000, "lab3", 812, 17, None)
INFO = InfoReply("j", "zjobs 1", "4", "3", "3.11", 1, 1, "/j", 1, None, None, WORKER, 1_204, 3, 1, 128, 3, 1, Limits())
SOON = Estimate(90_000, 115_000, Origin.HISTORY, runs=14)
LEFT = Estimate(80_000, 110_000, Origin.PROGRESS)
RUNNING = job(
    17,
    JobState.IN_PROGRESS,
    elapsed_ms=72_000,
    fraction=0.42,
    note="aligning mirror 3",
    name="red sweep",
    estimate=LEFT,
    data_preview=beginning({"count": 3, "exposure": 0.1}),
)
LAMP = "TimeoutError: no lamp"
ODD = "ValueError: odd wavelength: 531.22 nm"
NEXT = (
    job(18, name="blue sweep", owner="ben", priority=5, ahead=1, estimate=LEFT),
    job(19, type="spectrum", owner="anna", ahead=2, estimate=SOON, data_preview=beginning([532.1, 633.0])),
    job(20, submitter="charlotte@basement-lab-12", ahead=3, attempts=1, max_attempts=3, message=LAMP),
)
DELAYED = (
    job(25, type="flaky", attempts=1, max_attempts=3, ready_at=NOW_MS + 28_000, message=LAMP),
    job(23, owner="anna", ready_at=NOW_MS + 4_800_000),
)
ENDED = (
    job(
        16,
        JobState.COMPLETED,
        elapsed_ms=63_000,
        ended_at=NOW_MS - 75_000,
        owner="anna",
        data_preview=beginning({"recipe": "the long one, with everything in it"}),
    ),
    job(15, JobState.FAILED, elapsed_ms=3_000, ended_at=NOW_MS - 150_000, owner="ben", message=ODD),
    job(14, JobState.CANCELLED, ended_at=NOW_MS - 3_000_000, owner="ben"),
)
OVERVIEW = Overview("tcp://127.0.0.1:5570", INFO, RUNNING, NEXT, DELAYED, ENDED, Limit(17, 600_000))
