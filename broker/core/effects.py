"""What a turn of the core leads to."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.broker.core.jobs import Changes, Envelope, Job
from zjobs.messages.dispatch import PipeMessage
from zjobs.messages.requests import Reply


class Dispatched(NamedTuple):
    delivery: int
    job: Job


class JobChange(NamedTuple):
    """A job as it was after a change; `change` None: it began or told of its progress, which is not journaled."""

    job: Job
    change: int | None


class Effects:
    """`changes` must be on disk before anything else of a turn leaves the process."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.replies: list[tuple[Envelope, Reply]] = []
        self.pipe: list[PipeMessage] = []
        self.dispatched: list[Dispatched] = []
        self.again = False  # what is handed over was before, all of it: anything older on its way to the worker is void
        self.job_changes: list[JobChange] = []
        self.warnings: list[str] = []
        self.rejections: list[str] = []
