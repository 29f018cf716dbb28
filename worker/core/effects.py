"""Effects that the worker's core asks for. The service carries them out at once, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from zjobs.messages.dispatch import DispatchedJob, WorkerMessage
from zjobs.messages.records import BrokerName
from zjobs.messages.units import DeliveryNumber
from zjobs.worker.core.interfaces import Spool

# Not named tuples: those without fields would all be equal, so that `Exit() == RecallUnbegun()`.


@dataclass(frozen=True, slots=True)
class Publish:
    """Send this message to the broker."""

    message: WorkerMessage


@dataclass(slots=True)  # not frozen: there is one for each job, and frozen ones cost four times as much
class Offer:
    """Give this job of this broker to the task process, behind the jobs it has."""

    delivery: DeliveryNumber
    job: DispatchedJob
    result_bytes: int
    broker: BrokerName


@dataclass(frozen=True, slots=True)
class RecallUnbegun:
    """Recall the jobs that the task process has not begun, read its results, and answer with `on_recalled`."""


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the task process, which runs this number, and answer with `on_seen`."""

    delivery: DeliveryNumber


@dataclass(frozen=True, slots=True)
class EndTask:
    """Tell the task of this number, the only job that the task process has, to end."""

    delivery: DeliveryNumber


@dataclass(frozen=True, slots=True)
class KillTask:
    """Kill the task process; its end comes as `on_task_process_died`."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Kill the task process and forget its jobs; the next one carries this incarnation."""

    incarnation: str


@dataclass(frozen=True, slots=True)
class Say:
    """Log a sentence as a warning."""

    sentence: str


@dataclass(frozen=True, slots=True)
class SaveSpool:
    """Save this for the next worker; answer with `on_spooled` or `on_spool_failed`."""

    spool: Spool


@dataclass(frozen=True, slots=True)
class RemoveSpool:
    """Remove the spool, which is delivered. The delivery is over when the removal is on disk."""


@dataclass(frozen=True, slots=True)
class SetAsideSpool:
    """Set aside the spool, whose session the broker does not know. Then the delivery is over."""


@dataclass(frozen=True, slots=True)
class Exit:
    """Exit: the worker is done. lost: how many reports are lost, because the spool could not be written."""

    lost: int = 0


Spooling = Union[SaveSpool, RemoveSpool, SetAsideSpool]
Deed = Union[Offer, RecallUnbegun, Look, EndTask, KillTask, Renew, Say, Spooling, Exit]
Effect = Union[Publish, Deed]
