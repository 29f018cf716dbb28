"""The dispatch: messages between the broker and its worker."""

from typing import Annotated, Any, NamedTuple, Union

from zjobs.messages.fields import (
    MAX_ID,
    ByKind,
    Delivery,
    Fraction,
    Id,
    IdOrNone,
    LastDelivery,
    Microseconds,
    Milliseconds,
    Name,
    Number,
    Positive,
    ShortText,
    Text,
    TimeLimitMs,
)
from zjobs.messages.records import BrokerName, TaskType
from zjobs.messages.states import FailReason, Outcome
from zjobs.messages.units import DeliveryNumber, JobId


class StartSession(NamedTuple):
    incarnation: ShortText
    session: ShortText
    broker: BrokerName
    result_bytes: Positive
    output_bytes: Positive


class DispatchedJob(NamedTuple):
    """`data_from`: where in the whole data `data` begins; what is before came in pieces."""

    id: Id
    type: Name
    data: bytes | None
    attempt: Positive
    time_limit_ms: TimeLimitMs | None = None
    data_from: Number = 0


class Jobs(NamedTuple):
    """Jobs with the numbers first, first + 1, … of the session."""

    session: ShortText
    first: Delivery
    jobs: tuple[DispatchedJob, ...]
    round: Number = 0


class Ack(NamedTuple):
    """Reports up to `reports` are on disk; `resume`: where a worker that returned goes on, None: it did not. `round`,
    `count`: as in Arrived; `held_bytes`: of the next report's result; `again`: something of that round was lost."""

    session: ShortText
    reports: Number
    resume: Delivery | None = None
    round: Number = 0
    count: Number = 0  # type: ignore[assignment]  # as in SubmitReply
    held_bytes: Number = 0
    again: bool = False


class Rejected(NamedTuple):
    """Report number `report` could not be believed, and was settled as `message` says; it is not to be repeated."""

    session: ShortText
    report: Positive
    message: Text


class Sent(NamedTuple):
    """How many counted messages of this round were sent before this."""

    session: ShortText
    round: Number
    count: Number  # type: ignore[assignment]  # as in SubmitReply


class CancelRun(NamedTuple):
    """End hand-over `n`: return it if it has not begun, else tell its task to end."""

    session: ShortText
    delivery: Delivery


class Recall(NamedTuple):
    """Return whatever has not begun."""

    session: ShortText


class TakeOver(NamedTuple):
    """The broker does not know the session of this incarnation: give it up and start anew."""

    incarnation: ShortText


class Running(NamedTuple):
    """`stuck_ms`: for how long the task process has given no sign of life, None when it does."""

    delivery: Delivery
    id: Id
    elapsed_ms: Milliseconds
    stuck_ms: Milliseconds | None = None


class Arrived(NamedTuple):
    """The last round in which a counted message came, and how many messages of it did."""

    round: Number
    count: Number  # type: ignore[assignment]  # as in SubmitReply


class Heartbeat(NamedTuple):
    """The worker as it is now: sent every second, at once on a subscription, and on each new session.

    `spooled`: the session is that of a worker that stopped; this one delivers its spool, and runs nothing meanwhile.
    `obstacle`: a sentence on what keeps it from starting any job. `warning`: one for people, None: nothing to warn of.
    `round`, `sent`: how many counted messages it sent before this; `arrived`: how many of the broker's have come.
    """

    incarnation: ShortText
    session: ShortText | None
    taken: LastDelivery
    acked: Number
    stopping: bool
    running: Running | None
    types: tuple[TaskType, ...]
    broker: BrokerName | None
    host: ShortText
    pid: Number
    spooled: bool = False
    warning: Text | None = None
    obstacle: Text | None = None
    round: Number = 0
    sent: Number = 0
    arrived: Arrived = Arrived(0, 0)


class Received(NamedTuple):
    """How far the broker's counted messages have come: all up to number `taken`, and `held_bytes` of the data of the
    next. `again`: something of that round was lost."""

    session: ShortText
    taken: LastDelivery
    round: Number
    count: Number  # type: ignore[assignment]  # as in SubmitReply
    held_bytes: Number
    again: bool = False


class Piece(NamedTuple):
    """A part of the body of the report or the job with this number, which follows. Goes either way."""

    session: ShortText
    round: Number
    number: Positive
    offset: Number
    body: bytes


class Started(NamedTuple):
    session: ShortText
    delivery: Delivery
    id: Id


class Progress(NamedTuple):
    """What the running task reports of itself; it may be lost. `progress` counts the news of a run from 2 (1 is the
    start), those in `Output` included."""

    session: ShortText
    delivery: Delivery
    id: Id
    progress: Number
    fraction: Fraction | None
    note: Text | None
    round: Number = 0


class Output(NamedTuple):
    """What the running job has printed from `offset` on, and did not tell before; `progress` as in `Progress`."""

    delivery: Delivery
    id: Id
    progress: Number
    offset: Number
    body: bytes


class Ended(NamedTuple):
    """`result` is one packed msgpack value when completed; reason, message and detail when not.
    `output`: what it printed after the last `Output`; `output_bytes`: how much it was in all; `output_file`: where on
    the worker's host all of it is; `left_behind`: what it had changed in its process. `id`: of the job, filled in by
    the worker's core, which has it, so that the broker sees when it gave that number to another one. `killed`: how
    many processes it had left running. `result_from`: where in the whole result `result` begins; what is before
    came in pieces."""

    delivery: Delivery
    outcome: Outcome
    elapsed_us: Microseconds
    result: bytes | None = None
    reason: FailReason | None = None
    message: Text = ""
    detail: Text = ""
    output: bytes | None = None
    output_bytes: Number = 0
    id: IdOrNone = JobId(0)
    killed: Number = 0
    result_from: Number = 0
    output_file: Text | None = None
    left_behind: Text = ""


class Returned(NamedTuple):
    """Nothing from number n on was begun, nor will be until the broker says where to go on.

    `stopping`: the worker will take no more at all.
    """

    delivery: Delivery
    stopping: bool


class Invalid(NamedTuple):
    """What decoding puts in the place of a report that it cannot read. `ended`: it was to tell the end of a job, of
    number `n` and with this `id`, 0 where that cannot be read either. `why`: what is wrong with it."""

    ended: bool
    delivery: DeliveryNumber
    id: JobId
    why: str


Report = Union[Output, Ended, Returned]
KINDS: dict[str, type] = {"output": Output, "ended": Ended, "returned": Returned}


def _invalid(value: Any, why: str) -> Invalid:
    fields = value if type(value) is dict else {}
    delivery, id = (
        number if type(number) is int and 0 < number <= MAX_ID else 0 for number in map(fields.get, ("delivery", "id"))
    )
    return Invalid(fields.get("kind") == "ended", DeliveryNumber(delivery), JobId(id), why)


class Reports(NamedTuple):
    """Reports with the numbers first, first + 1, … of the session."""

    session: ShortText
    first: Positive
    reports: tuple[Annotated[Report | Invalid, ByKind(KINDS, _invalid)], ...]
    round: Number = 0


PipeMessage = Union[StartSession, Piece, Jobs, Ack, Rejected, Sent, CancelRun, Recall, TakeOver]


WorkerMessage = Union[Heartbeat, Started, Progress, Piece, Reports, Received]

PIPE: dict[str, Any] = {
    "session": StartSession,
    "piece": Piece,
    "jobs": Jobs,
    "ack": Ack,
    "sent": Sent,
    "rejected": Rejected,
    "cancel_run": CancelRun,
    "recall": Recall,
    "take_over": TakeOver,
}
REPORTS: dict[str, Any] = {
    "heartbeat": Heartbeat,
    "started": Started,
    "progress": Progress,
    "piece": Piece,
    "reports": Reports,
    "received": Received,
}
