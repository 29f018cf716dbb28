"""Events: what the broker publishes to those who watch."""

from typing import NamedTuple

from zjobs.messages.records import JobStatus, Paused
from zjobs.messages.states import WorkerState


class Listening(NamedTuple):
    """The answer to a subscription to all jobs: from now on, changes after `change` are told."""

    journal: str
    change: int
    worker: WorkerState = WorkerState.READY
    paused: Paused | None = None


class ServiceEvent(NamedTuple):
    """The worker's state or the pause has changed. Listeners to all jobs are told."""

    journal: str
    worker: WorkerState
    paused: Paused | None


class JobEvent(NamedTuple):
    """What became of a job. `change` counts journaled changes of all jobs; None on what is not journaled."""

    journal: str
    job: JobStatus
    change: int | None
    worker: WorkerState
    paused: bool = False
