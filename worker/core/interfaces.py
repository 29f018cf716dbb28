"""The surroundings of a worker's turn: real ones (`task.process`, `files`), or those of the simulation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, Union

from zjobs.messages.dispatch import DispatchedJob, Ended, Heartbeat, Report
from zjobs.messages.records import TaskType
from zjobs.messages.units import DeliveryNumber, JobId, Ms
from zjobs.worker.core.run import Seen


class Printed(NamedTuple):
    """Output of the job with this delivery number; 0 if it belongs to none."""

    delivery: DeliveryNumber
    data: bytes


TaskEvent = Union[Ended, Printed]


class Death(NamedTuple):
    """The end of a task process: its last events, the numbers it had begun without result, those it had not begun, and
    how many processes it left that were killed."""

    how: str
    events: list[TaskEvent]
    lost: list[DeliveryNumber]
    unbegun: list[DeliveryNumber]
    killed: int


class TaskProcess(Protocol):
    """One task process after the other. `types`: those that the present one has announced, None before. `schemas`:
    those of their parameters, by digest. `refusal`: why it cannot announce any. `restart_at_ms`: when the next one may
    start."""

    types: tuple[TaskType, ...] | None
    schemas: Mapping[str, bytes]
    refusal: str | None
    restart_at_ms: Ms

    @property
    def alive(self) -> bool:
        """True if the task process is running."""
        ...

    @property
    def clear(self) -> bool:
        """True if nothing of earlier task processes is still running."""
        ...

    @property
    def obstacle(self) -> str | None:
        """A sentence about what cannot be killed and keeps jobs from starting, or None."""
        ...

    def clear_up(self, now_ms: Ms) -> None:
        """End what earlier task processes left running."""
        ...

    def start(self) -> None:
        """Start a task process. Raises OSError."""
        ...

    def postpone(self, now_ms: Ms) -> None:
        """Delay the next start."""
        ...

    def serve(self, journal: str, broker: str) -> None:
        """Name the service that the jobs offered from now on belong to."""
        ...

    def offer(self, delivery: DeliveryNumber, job: DispatchedJob, result_bytes: int) -> None:
        """Pass a job to the task process."""
        ...

    def feed(self) -> None:
        """Send offered jobs, as far as there is room."""
        ...

    def recall(self) -> list[DeliveryNumber]:
        """Recall the jobs that have not begun; return their delivery numbers."""
        ...

    def events(self) -> list[TaskEvent]:
        """Return ends and output; after `recall`, all ends that there can be."""
        ...

    def died(self, now_ms: Ms) -> Death | None:
        """Return the death of the task process, once; None otherwise."""
        ...

    def seen(self, delivery: DeliveryNumber) -> Seen:
        """Return the progress and the liveness of the running task."""
        ...

    def end_task(self, delivery: DeliveryNumber) -> None:
        """Tell the running task to end."""
        ...

    def kill(self) -> None:
        """Kill the task process."""
        ...

    def forget(self) -> None:
        """Kill the task process, and report nothing more of its jobs."""
        ...


class Spool(NamedTuple):
    """The spool of a worker. `heartbeat`: the last one of the worker that stopped. `reports`: those after number
    `heartbeat.acked`."""

    heartbeat: Heartbeat
    reports: tuple[Report, ...]


class Damaged(Exception):
    """A file that is not a spool, or not a whole one; the text says what is wrong with it."""


class SpoolStore(Protocol):
    """The place of the spool. Methods raise OSError, `load` also Damaged; when they return, their change is on disk."""

    path: Path

    def load(self) -> Spool | None:
        """Return the spool, None if there is none. Raises Damaged."""
        ...

    def save(self, spool: Spool) -> None:
        """Write the spool."""
        ...

    def remove(self) -> None:
        """Remove the spool."""
        ...

    def set_aside(self, mark: str) -> Path:
        """Rename the spool; return its new path."""
        ...


class RunName(NamedTuple):
    """The name of a run: ids belong to a journal, and a job may run more than once."""

    journal: str
    id: JobId
    attempt: int


class RunLogs(Protocol):
    """The files with the complete output of runs, if the operator wants them."""

    def write(self, run: RunName, data: bytes) -> str | None:
        """Append output to the file of a run. Return its path, None if there is no file."""
        ...

    def close(self) -> None:
        """Close the file of the present run."""
        ...


class Log(Protocol):
    """A log for people, such as a logger of the standard library."""

    def info(self, msg: str, *args: object) -> None:
        """Log what happened."""
        ...

    def warning(self, msg: str, *args: object) -> None:
        """Log a warning."""
        ...

    def error(self, msg: str, *args: object) -> None:
        """Log an error."""
        ...
