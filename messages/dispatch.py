"""The dispatch: messages between the broker and its worker."""

from typing import NamedTuple, Union

from zjobs.messages.records import BrokerName, TaskType
from zjobs.messages.states import FailReason, Outcome


class StartSession(NamedTuple):
    incarnation: str
    session: str
    broker: BrokerName
    result_bytes: int
    output_bytes: int


class HandedJob(NamedTuple):
    """`data_from`: where in the whole data `data` begins; what is before came in pieces."""

    id: int
    type: str
    data: bytes | None
    attempt: int
    time_limit_ms: int | None = None
    data_from: int = 0


class Jobs(NamedTuple):
    """Jobs with the numbers first, first + 1, … of the session."""

    session: str
    first: int
    jobs: tuple[HandedJob, ...]
    round: int = 0


class Ack(NamedTuple):
    """Reports up to `reports` are on disk; `resume`: where a worker that returned goes on, None: it did not. `round`,
    `count`: as in Arrived; `held_bytes`: of the next report's result; `again`: something of that round was lost."""

    session: str
    reports: int
    resume: int | None = None
    round: int = 0
    count: int = 0  # type: ignore[assignment]  # as in SubmitReply
    held_bytes: int = 0
    again: bool = False


class Rejected(NamedTuple):
    """Report number `report` could not be believed, and was settled as `message` says; it is not to be repeated."""

    session: str
    report: int
    message: str


class Sent(NamedTuple):
    """How many counted messages of this round were sent before this."""

    session: str
    round: int
    count: int  # type: ignore[assignment]  # as in SubmitReply


class CancelRun(NamedTuple):
    """End hand-over `n`: return it if it has not begun, else tell its task to end."""

    session: str
    n: int


class ReturnJobs(NamedTuple):
    """Return whatever has not begun."""

    session: str


class TakeOver(NamedTuple):
    """The broker does not know the session of this incarnation: give it up and start anew."""

    incarnation: str


class Running(NamedTuple):
    """`stuck_ms`: for how long the task process has given no sign of life, None when it does."""

    n: int
    id: int
    elapsed_ms: int
    stuck_ms: int | None = None


class Arrived(NamedTuple):
    """The last round in which a counted message came, and how many messages of it did."""

    round: int
    count: int  # type: ignore[assignment]  # as in SubmitReply


class Beat(NamedTuple):
    """The worker as it is now: sent every second, at once on a subscription, and on each new session.

    `spooled`: the session is that of a worker that stopped; this one delivers its spool, and runs nothing meanwhile.
    `obstacle`: a sentence on what keeps it from starting any job. `warning`: one for people, None: nothing to warn of.
    `round`, `sent`: how many counted messages it sent before this; `arrived`: how many of the broker's have come.
    """

    incarnation: str
    session: str | None
    taken: int
    acked: int
    stopping: bool
    running: Running | None
    types: tuple[TaskType, ...]
    broker: BrokerName | None
    host: str
    pid: int
    spooled: bool = False
    warning: str | None = None
    obstacle: str | None = None
    round: int = 0
    sent: int = 0
    arrived: Arrived = Arrived(0, 0)


class Received(NamedTuple):
    """How far the broker's counted messages have come: all up to number `taken`, and `held_bytes` of the data of the
    next. `again`: something of that round was lost."""

    session: str
    taken: int
    round: int
    count: int  # type: ignore[assignment]  # as in SubmitReply
    held_bytes: int
    again: bool = False


class Piece(NamedTuple):
    """A part of the body of the report or the job with this number, which follows. Goes either way."""

    session: str
    round: int
    number: int
    offset: int
    body: bytes


class Started(NamedTuple):
    session: str
    n: int
    id: int


class Progress(NamedTuple):
    """What the running task reports of itself; it may be lost. `progress` counts the news of a run from 2 (1 is the
    start), those in `Output` included."""

    session: str
    n: int
    id: int
    progress: int
    fraction: float | None
    note: str | None
    round: int = 0


class Output(NamedTuple):
    """What the running job has printed from `offset` on, and did not tell before; `progress` as in `Progress`."""

    n: int
    id: int
    progress: int
    offset: int
    body: bytes


class Ended(NamedTuple):
    """`result` is one packed msgpack value when completed; reason, message and detail when not.
    `output`: what it printed after the last `Output`; `output_bytes`: how much it was in all; `output_file`: where on
    the worker's host all of it is; `left_behind`: what it had changed in its process. `id`: of the job, filled in by
    the worker's core, which has it, so that the broker sees when it gave that number to another one. `killed`: how
    many processes it had left running. `result_from`: where in the whole result `result` begins; what is before
    came in pieces."""

    n: int
    outcome: Outcome
    elapsed_us: int
    result: bytes | None = None
    reason: FailReason | None = None
    message: str = ""
    detail: str = ""
    output: bytes | None = None
    output_bytes: int = 0
    id: int = 0
    killed: int = 0
    result_from: int = 0
    output_file: str | None = None
    left_behind: str = ""


class Returned(NamedTuple):
    """Nothing from number n on was begun, nor will be until the broker says where to go on.

    `stopping`: the worker will take no more at all.
    """

    n: int
    stopping: bool


class Invalid(NamedTuple):
    """What decoding puts in the place of a report that it cannot read. `ended`: it was to tell the end of a job, of
    number `n` and with this `id`, 0 where that cannot be read either. `why`: what is wrong with it."""

    ended: bool
    n: int
    id: int
    why: str


Report = Union[Output, Ended, Returned]


class Reports(NamedTuple):
    """Reports with the numbers first, first + 1, … of the session."""

    session: str
    first: int
    reports: tuple[Report | Invalid, ...]
    round: int = 0


PipeMessage = Union[StartSession, Piece, Jobs, Ack, Rejected, Sent, CancelRun, ReturnJobs, TakeOver]


WorkerMessage = Union[Beat, Started, Progress, Piece, Reports, Received]
