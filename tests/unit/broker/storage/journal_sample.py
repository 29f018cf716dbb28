"""One of everything that a journal can hold."""

from __future__ import annotations

from array import array

from zjobs.broker.core.estimates.kinds import Kind
from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.jobs import Counters, Job, Loaded, Printed, Session, Submitted
from zjobs.messages.records import Attempt, QueuePause, TaskType
from zjobs.messages.states import FailReason, JobState, Outcome
from zjobs.messages.units import Ms

LAST_RUN = {"started_at": 1100, "ended_at": 1200, "elapsed_ms": 100}
FAILURE = {"reason": FailReason.RAISED, "message": "no"}
# as format 1 could hold them
QUEUED = Job(1, "reverse", JobState.QUEUED, 1, 1, 2, 3, 1000)._replace(**LAST_RUN, **FAILURE, run=2)
DONE = Job(2, "swap", JobState.COMPLETED, 1, 0, 1, 0, 1001)._replace(
    started_at=1101, ended_at=1201, elapsed_ms=100, run=1
)
FAILED = Job(3, "übel", JobState.FAILED, 1, 0, 1, 0, 1002)._replace(
    ended_at=1202, reason=FailReason.WORKER_LOST, message="tot", run=1
)
# what came with format 2
URGENT = Job(4, "reverse", JobState.QUEUED, 0, 0, 0, 3, 1003, 5, time_limit_ms=700, cancelling=True, retry_of=1)
# its texts came with format 6
DELAYED = Job(5, "swap", JobState.QUEUED, 0, 0, 0, 0, 1004, -3, ready_at=5000)._replace(
    name="übermorgen", comment="nach dem Umbau", submitter="alice@lab3"
)
CANCELLED = Job(6, "swap", JobState.CANCELLED, 0, 0, 1, 0, 1005, ended_at=1206, output_bytes=7, killed=3)
# what came with format 7
CANCELLED = CANCELLED._replace(after=(3,), after_any=(1, 2), cancelled_by=3)
# what came with format 8
CANCELLED = CANCELLED._replace(exit_code=-9)
ATTEMPTS = (
    Attempt(1, Outcome.FAILED, 1100, 1200, FailReason.RAISED, "no", "Traceback"),
    Attempt(2, Outcome.INTERRUPTED, None, 1300, None, "", ""),
)
OLD_TYPES = {"reverse": TaskType("reverse", "The text backwards.", 1, 2), "swap": TaskType("swap")}
OLDER_TYPES = {**OLD_TYPES, "slow": TaskType("slow", "", 3, 0, 60_000, 500, 250)}
# what came with format 5
DIGEST = "00112233aabbccdd"
TYPES = {**OLDER_TYPES, "slow": OLDER_TYPES["slow"]._replace(schema_digest=DIGEST)}
# what came with format 6
HISTORY = {"reverse": (2_000_100, 2_000_050), "swap": (5_000_000,)}
SESSION = Session("incarnation", "session", 8, 4, 6)
OLD_COUNTERS = Counters(4, 9, 1, 1, 0)
COUNTERS = Counters(7, 9, 1, 1, 1)
PAUSED = QueuePause("", "looking at it", 1300)
JOBS = (QUEUED, DONE, FAILED, URGENT, DELAYED, CANCELLED)
FIRST, SECOND = Submitted("", "key", 1, 3, b"digest"), Submitted("", "second", 4, 3, b"2")
LOADED = Loaded(
    "the journal",
    COUNTERS,
    {
        -3: (array("q"), bytearray()),
        0: (array("q", [1]), bytearray([1])),
        5: (array("q", [4]), bytearray([2])),
    },
    [(5000, 5, -3, 3996, 3)],
    {7: QUEUED},
    SESSION,
    TYPES,
    (PAUSED,),
    {},
    schemas=frozenset({DIGEST}),
    kinds=(Kind("reverse"), Kind("reverse", Ms(700)), Kind("swap")),
    history=HISTORY,
)
EMPTY = Loaded("the journal", Counters(1), {}, [], {}, None, None, (), {})


def changes(**fields: object) -> Changes:
    """What one turn writes: these fields."""
    made = Changes()
    for name, value in fields.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    return made


def everything() -> Changes:
    return changes(
        added={job.id: job._replace(state=JobState.QUEUED, reason=None) for job in JOBS},
        changed={job.id: job for job in JOBS},
        edited={CANCELLED.id: CANCELLED},
        data=[(1, b"abc")],
        data_copies=[(4, 1)],
        outputs=[Printed(6, 1, 0, b"printed")],
        pauses=[(QueuePause("", "before", 1200),), (), (PAUSED,)],
        results=[(2, b"0123456789")],
        attempts=[(1, attempt) for attempt in ATTEMPTS],
        submitted={each[:2]: each for each in (FIRST, SECOND)},
        deliveries=[(7, 1)],
        session=SESSION,
        types=TYPES,
        schemas={DIGEST: b"{}"},
        history=HISTORY,
        counters=COUNTERS,
    )
