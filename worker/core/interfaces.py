"""What a worker's turn needs around it: real things (`task.process`, `files`), or those of the simulation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, Union

from zjobs.messages.dispatch import DispatchedJob, Ended, Heartbeat, Report
from zjobs.messages.records import TaskType
from zjobs.messages.units import DeliveryNumber, JobId, Ms
from zjobs.worker.core.run import Seen


class Printed(NamedTuple):
    """Output of job number `n`; 0: it belongs to none."""

    delivery: DeliveryNumber
    data: bytes


TaskEvent = Union[Ended, Printed]


class Death(NamedTuple):
    """A task process has ended: its last events, the numbers it had begun without result, those it had not begun, and
    how many processes were killed that it had left."""

    how: str
    events: list[TaskEvent]
    lost: list[DeliveryNumber]
    unbegun: list[DeliveryNumber]
    killed: int


class TaskProcess(Protocol):
    """One task process after the other. `types`: what the present one has announced, None: nothing yet; `schemas`: of
    their parameters, by digest; `refusal`: why it cannot; `restart_at_ms`: when the next one may start; `clear`:
    nothing runs any more of earlier ones, and if something cannot be ended, `obstacle` says what."""

    types: tuple[TaskType, ...] | None
    schemas: Mapping[str, bytes]
    refusal: str | None
    restart_at_ms: Ms

    @property
    def alive(self) -> bool:
        """Whether the task process is running."""
        ...

    @property
    def clear(self) -> bool:
        """Whether nothing of earlier task processes is left running."""
        ...

    @property
    def obstacle(self) -> str | None:
        """What cannot be killed and keeps jobs from starting, as a sentence."""
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
        """Names the service of the jobs offered from now on."""
        ...

    def offer(self, delivery: DeliveryNumber, job: DispatchedJob, result_bytes: int) -> None:
        """Pass a job to the task process."""
        ...

    def feed(self) -> None:
        """Send offered jobs for which there is room."""
        ...

    def recall(self) -> list[DeliveryNumber]:
        """Recall what has not begun; return its delivery numbers."""
        ...

    def events(self) -> list[TaskEvent]:
        """Return ends and output; after `recall`, all ends that can be there."""
        ...

    def died(self, now_ms: Ms) -> Death | None:
        """Return the death of the task process, once."""
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
        """Kill the task process; nothing of what it was doing is reported."""
        ...


class Spool(NamedTuple):
    """`heartbeat`: the last heartbeat of the worker that stopped; `reports`: those after number `heartbeat.acked`."""

    heartbeat: Heartbeat
    reports: tuple[Report, ...]


class Damaged(Exception):
    """The file is no spool, or not a whole one; the text says what is wrong with it."""


class SpoolStore(Protocol):
    """Where the spool is kept. Methods raise OSError, `load` Damaged, too; what they did is on the disk."""

    path: Path

    def load(self) -> Spool | None:
        """Return the spool, or None. Raises Damaged."""
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
    """Which run it is: ids belong to a journal, and a job may run more than once."""

    journal: str
    id: JobId
    attempt: int


class RunLogs(Protocol):
    """Where all that runs print is written, if anybody wants that; `write` returns the path of the file."""

    def write(self, run: RunName, data: bytes) -> str | None:
        """Append output to the file of a run; return its path."""
        ...

    def close(self) -> None:
        """Close the file of the present run."""
        ...


class Log(Protocol):
    """What people are told; a logger of the standard library is one."""

    def info(self, msg: str, *args: object) -> None:
        """Logs what happened."""
        ...

    def warning(self, msg: str, *args: object) -> None:
        """Logs a warning."""
        ...

    def error(self, msg: str, *args: object) -> None:
        """Logs an error."""
        ...
