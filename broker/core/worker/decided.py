"""The decisions of the broker's end of the dispatch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from zjobs.broker.core.records.jobs import Session
from zjobs.messages.dispatch import PipeMessage
from zjobs.messages.records import TaskType
from zjobs.messages.units import DeliveryNumber, JobId, Ms


class InDoubt(NamedTuple):
    """A job that a lost worker had. `began_at`: when its run began, None if no start was reported."""

    job_id: JobId
    began_at: Ms | None


class Heard(NamedTuple):
    """The consequences of a heartbeat. `in_session`: the worker continues the session. `types`: those it announces,
    None if it serves another broker."""

    in_session: bool = False
    in_doubt: tuple[InDoubt, ...] = ()
    types: dict[str, TaskType] | None = None


@dataclass(slots=True)
class Decided:
    """The decisions of `Dispatch` in a turn. `to_send`: delivery numbers. `run_changed`: the running job began or
    reported progress. The rest is as in `Effects` and `Changes`."""

    session: Session | None = None
    deliveries: list[tuple[DeliveryNumber, JobId]] = field(default_factory=list)
    settled: list[tuple[DeliveryNumber]] = field(default_factory=list)
    pipe: list[PipeMessage] = field(default_factory=list)
    to_send: list[DeliveryNumber] = field(default_factory=list)
    resend: bool = False
    run_changed: bool = False
    warnings: list[str] = field(default_factory=list)
    rejections: list[str] = field(default_factory=list)
