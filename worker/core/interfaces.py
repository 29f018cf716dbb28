"""What a worker's turn needs around it: real things (`task.process`, `files`), or those of the simulation."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol, Union

from zjobs.messages.dispatch import DispatchedJob, Ended
from zjobs.messages.records import TaskType
from zjobs.messages.units import DeliveryNumber, JobId, Ms
from zjobs.worker.core.progress import Seen
from zjobs.worker.core.spool import Spool


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
    """One task process after the other. `types`: what the present one has announced, None: nothing yet; `refusal`: why
    it cannot; `restart_at_ms`: when the next one may start; `clear`: nothing runs any more of earlier ones, and if
    something cannot be ended, `obstacle` says what."""

    types: tuple[TaskType, ...] | None
    refusal: str | None
    restart_at_ms: Ms

    @property
    def alive(self) -> bool: ...
    @property
    def clear(self) -> bool: ...
    @property
    def obstacle(self) -> str | None: ...
    def clear_up(self, now_ms: Ms) -> None: ...
    def start(self) -> None: ...  # raises OSError
    def postpone(self, now_ms: Ms) -> None: ...
    def serve(self, journal: str, broker: str) -> None: ...  # for the jobs offered from now on
    def offer(self, delivery: DeliveryNumber, job: DispatchedJob, result_bytes: int) -> None: ...
    def feed(self) -> None: ...
    def take_back(self) -> list[DeliveryNumber]: ...
    def events(self) -> list[TaskEvent]: ...  # after `take_back`: all ends that can be there
    def died(self, now_ms: Ms) -> Death | None: ...  # told once
    def seen(self, delivery: DeliveryNumber) -> Seen: ...
    def end_task(self, delivery: DeliveryNumber) -> None: ...
    def kill(self) -> None: ...
    def forget(self) -> None: ...  # kills it, and no word of what it was doing will be heard


class SpoolStore(Protocol):
    """Where the spool is kept. Methods raise OSError, `load` spool.Damaged, too; what they did is on the disk."""

    path: Path

    def load(self) -> Spool | None: ...
    def save(self, spool: Spool) -> None: ...
    def remove(self) -> None: ...
    def set_aside(self, mark: str) -> Path: ...


class RunName(NamedTuple):
    """Which run it is: ids belong to a journal, and a job may run more than once."""

    journal: str
    id: JobId
    attempt: int


class RunLogs(Protocol):
    """Where all that runs print is written, if anybody wants that; `write` returns the path of the file."""

    def write(self, run: RunName, data: bytes) -> str | None: ...
    def close(self) -> None: ...


class Log(Protocol):
    """What people are told; a logger of the standard library is one."""

    def info(self, msg: str, *args: object) -> None: ...
    def warning(self, msg: str, *args: object) -> None: ...
    def error(self, msg: str, *args: object) -> None: ...
