"""What the worker's core wants done. The service does it at once, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from zjobs.messages.dispatch import DispatchedJob, WorkerMessage
from zjobs.messages.records import BrokerName
from zjobs.messages.units import DeliveryNumber
from zjobs.worker.core.interfaces import Spool

# Not named tuples: those without fields would all be equal, and `Exit() == RecallUnbegun()` is a trap.


@dataclass(frozen=True, slots=True)
class Publish:
    """Send this to the broker."""

    message: WorkerMessage


@dataclass(slots=True)  # not frozen: there is one for each job, and that makes it four times as dear
class Offer:
    """Give this job of this broker to the task process, behind those it has."""

    delivery: DeliveryNumber
    job: DispatchedJob
    result_bytes: int
    broker: BrokerName


@dataclass(frozen=True, slots=True)
class RecallUnbegun:
    """Recall what the task process has not begun, read what has ended, and answer with `on_recalled`."""


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the task process, which runs this number, and answer with `on_seen`."""

    delivery: DeliveryNumber


@dataclass(frozen=True, slots=True)
class EndTask:
    """Tell the task of this number, which is all that the task process has, to end."""

    delivery: DeliveryNumber


@dataclass(frozen=True, slots=True)
class KillTask:
    """Kill the task process; its end comes as `on_task_process_died`."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Kill the task process and forget what it was doing; the next one carries this incarnation."""

    incarnation: str


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the people."""

    sentence: str


@dataclass(frozen=True, slots=True)
class SaveSpool:
    """Keep this for the next worker, on the disk; answer with `on_spooled` or `on_spool_failed`."""

    spool: Spool


@dataclass(frozen=True, slots=True)
class RemoveSpool:
    """Remove the spool, which is delivered; when that is on the disk the delivery is over."""


@dataclass(frozen=True, slots=True)
class SetAsideSpool:
    """Set the spool aside, whose session the broker does not know; then the delivery is over."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The worker is done. lost: how many reports are lost, because the spool could not be written."""

    lost: int = 0


Spooling = Union[SaveSpool, RemoveSpool, SetAsideSpool]
Deed = Union[Offer, RecallUnbegun, Look, EndTask, KillTask, Renew, Say, Spooling, Exit]
Effect = Union[Publish, Deed]
