"""The dispatch: messages between the broker and its worker."""

from typing import Annotated, Any, Union

from zjobs.messages.fields import (
    KIND_OF,
    MAX_DIGESTS,
    MAX_ID,
    OP_OF,
    ByKind,
    Delivery,
    ExitCode,
    Fraction,
    Id,
    IdOrNone,
    Items,
    LastDelivery,
    Microseconds,
    Milliseconds,
    Name,
    Number,
    Positive,
    SchemaDigest,
    ShortText,
    Text,
    TimeLimitMs,
    called,
)
from zjobs.messages.named import NamedTuple
from zjobs.messages.records import BrokerName, TaskType
from zjobs.messages.states import FailReason, Outcome
from zjobs.messages.units import DeliveryNumber, JobId


class StartSession(NamedTuple):
    """`session`: begins a session with a worker."""

    incarnation: ShortText
    session: ShortText
    broker: BrokerName
    result_bytes: Positive
    output_bytes: Positive


class DispatchedJob(NamedTuple):
    """A job for the worker. `data_from`: where in the whole data `data` begins; what precedes it came in pieces."""

    id: Id
    type: Name
    data: bytes | None
    attempt: Positive
    time_limit_ms: TimeLimitMs | None = None
    data_from: Number = 0


class Jobs(NamedTuple):
    """`jobs`: jobs with the delivery numbers first, first + 1, … of the session."""

    session: ShortText
    first: Delivery
    jobs: tuple[DispatchedJob, ...]
    round: Number = 0


class Ack(NamedTuple):
    """`ack`: all reports up to `reports` are on disk.

    `resume`: where a worker that returned jobs continues. `round`, `count`: as in Arrived. `held_bytes`: how much of
    the next report's result the broker has. `again`: something of that round was lost.
    """

    session: ShortText
    reports: Number
    resume: Delivery | None = None
    round: Number = 0
    count: Number = 0  # type: ignore[assignment]  # as in SubmitReply
    held_bytes: Number = 0
    again: bool = False


class Rejected(NamedTuple):
    """`rejected`: the broker settled report number `report` as `message` says, not as the report said."""

    session: ShortText
    report: Positive
    message: Text


class Sent(NamedTuple):
    """`sent`: how many counted messages of this round the broker sent before this one."""

    session: ShortText
    round: Number
    count: Number  # type: ignore[assignment]  # as in SubmitReply


class CancelRun(NamedTuple):
    """`cancel_run`: return the delivery if it has not begun, else tell its task to end."""

    session: ShortText
    delivery: Delivery


class Recall(NamedTuple):
    """`recall`: return all jobs that have not begun."""

    session: ShortText


class Describe(NamedTuple):
    """`describe`: the broker lacks the schemas of these digests, which the worker has announced."""

    incarnation: ShortText
    digests: Annotated[tuple[SchemaDigest, ...], Items(1, MAX_DIGESTS)]


class TakeOver(NamedTuple):
    """`take_over`: the broker does not know the session of this incarnation; give it up and start anew."""

    incarnation: ShortText


class Running(NamedTuple):
    """The job that runs. `stuck_ms`: how long its task process has shown no liveness; None if it shows it."""

    delivery: Delivery
    id: Id
    elapsed_ms: Milliseconds
    stuck_ms: Milliseconds | None = None


class Arrived(NamedTuple):
    """The last round in which a counted message came, and how many of its messages came."""

    round: Number
    count: Number  # type: ignore[assignment]  # as in SubmitReply


class Heartbeat(NamedTuple):
    """`heartbeat`: the worker's present state. Sent every second, at once on a subscription, and on each new session.

    `spooled`: the session is that of a worker that stopped; this one delivers its spool, and runs nothing meanwhile.
    `obstacle`: a sentence about what keeps it from starting any job. `warning`: a sentence for people, None if there is
    nothing to warn of. `round`, `sent`: how many counted messages it sent before this one. `arrived`: how many of the
    broker's have come.
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
    """`received`: how many of the broker's counted messages have come: all jobs up to number `taken`, and `held_bytes`
    of the data of the next one. `again`: something of that round was lost."""

    session: ShortText
    taken: LastDelivery
    round: Number
    count: Number  # type: ignore[assignment]  # as in SubmitReply
    held_bytes: Number
    again: bool = False


class Piece(NamedTuple):
    """`piece`: a part of the body of the report or the job with this number, which follows. Sent in both directions."""

    session: ShortText
    round: Number
    number: Positive
    offset: Number
    body: bytes


class Described(NamedTuple):
    """`described`: a schema that the broker asked for, as JSON in UTF-8."""

    incarnation: ShortText
    digest: SchemaDigest
    schema: bytes


class Started(NamedTuple):
    """`started`: a job has begun."""

    session: ShortText
    delivery: Delivery
    id: Id


class Progress(NamedTuple):
    """`progress`: the running task's own report. It may be lost.

    `progress` counts the changes of a run from 2 (1 is the start), including those in `Output`.
    """

    session: ShortText
    delivery: Delivery
    id: Id
    progress: Number
    fraction: Fraction | None
    note: Text | None
    round: Number = 0


class Output(NamedTuple):
    """Output of the running job from `offset` on, not reported before. `progress`: as in `Progress`."""

    delivery: Delivery
    id: Id
    progress: Number
    offset: Number
    body: bytes


class Ended(NamedTuple):
    """The end of a run. `result`: one packed msgpack value if completed; reason, message and detail if not.

    `output`: what it printed after the last `Output`. `output_bytes`: how much it printed in all. `output_file`: where
    all of it is on the worker's host. `left_behind`: what it had changed in its process. `id`: that of the job, filled
    in by the worker's core, so that the broker notices if it gave that number to another job. `killed`: how many
    processes it had left running. `result_from`: where in the whole result `result` begins; what precedes it came in
    pieces. `exit_code`: how a command failed.
    """

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
    exit_code: ExitCode | None = None


class Returned(NamedTuple):
    """A return: no job from number `delivery` on has begun, nor will one until the broker says where to continue.

    `stopping`: the worker accepts no more jobs at all.
    """

    delivery: Delivery
    stopping: bool


class Invalid(NamedTuple):
    """A stand-in for a report that cannot be decoded. `why`: what is wrong with it.

    `ended`: it was meant to report the end of a job. `delivery` and `id` are 0 where they cannot be read either.
    """

    ended: bool
    delivery: DeliveryNumber
    id: JobId
    why: str


Report = Union[Output, Ended, Returned]
KINDS = called(KIND_OF, {"output": Output, "ended": Ended, "returned": Returned})


def _invalid(value: Any, why: str) -> Invalid:
    fields = value if type(value) is dict else {}
    delivery, id = (
        number if type(number) is int and 0 < number <= MAX_ID else 0 for number in map(fields.get, ("delivery", "id"))
    )
    return Invalid(fields.get("kind") == "ended", DeliveryNumber(delivery), JobId(id), why)


class Reports(NamedTuple):
    """`reports`: reports with the numbers first, first + 1, … of the session."""

    session: ShortText
    first: Positive
    reports: tuple[Annotated[Report | Invalid, ByKind(KINDS, _invalid)], ...]
    round: Number = 0


PipeMessage = Union[StartSession, Piece, Jobs, Ack, Rejected, Sent, CancelRun, Recall, Describe, TakeOver]


WorkerMessage = Union[Heartbeat, Started, Progress, Piece, Reports, Received, Described]

PIPE = called(
    OP_OF,
    {
        "session": StartSession,
        "piece": Piece,
        "jobs": Jobs,
        "ack": Ack,
        "sent": Sent,
        "rejected": Rejected,
        "cancel_run": CancelRun,
        "recall": Recall,
        "describe": Describe,
        "take_over": TakeOver,
    },
)
REPORTS = called(
    OP_OF,
    {
        "heartbeat": Heartbeat,
        "started": Started,
        "progress": Progress,
        "piece": Piece,
        "reports": Reports,
        "received": Received,
        "described": Described,
    },
)
