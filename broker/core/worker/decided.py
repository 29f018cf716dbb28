"""What the broker's end of the dispatch has decided."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.broker.core.jobs import Effects, Session
from zjobs.messages.dispatch import PipeMessage
from zjobs.messages.records import TaskType
from zjobs.messages.units import DeliveryNumber, JobId, Ms


class InDoubt(NamedTuple):
    """A job that a lost worker had. `began_at`: when its run began, None if no start was reported."""

    job_id: JobId
    began_at: Ms | None


class Heard(NamedTuple):
    """What a heartbeat leads to. `known`: the worker continues the session. `types`: those it announces, None if it
    serves another broker."""

    known: bool = False
    in_doubt: tuple[InDoubt, ...] = ()
    types: dict[str, TaskType] | None = None


class Decided:
    """What `Dispatch` has decided in a turn. `to_send`: delivery numbers. `run_changed`: the running job began or
    reported progress. The rest is as in `Effects` and `Changes`."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.deliveries: list[tuple[DeliveryNumber, JobId]] = []
        self.settled: list[tuple[DeliveryNumber]] = []
        self.pipe: list[PipeMessage] = []
        self.to_send: list[DeliveryNumber] = []
        self.resend = False
        self.run_changed = False
        self.warnings: list[str] = []
        self.rejections: list[str] = []

    def add_to(self, effects: Effects) -> None:
        """Add this to the turn's effects, except for the jobs to send, whose records the core has."""
        changes = effects.changes
        changes.session, changes.deliveries, changes.settled = self.session, self.deliveries, self.settled
        effects.pipe, effects.resend = self.pipe, self.resend
        effects.warnings, effects.rejections = self.warnings, self.rejections
