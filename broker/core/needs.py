"""Which committed records a turn needs, and what the journal has of them.

Everything that one step needs is named at once, so that a database across a network is asked once, whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zjobs.broker.core.jobs import Job, Submitted
from zjobs.messages.records import Attempt
from zjobs.messages.units import JobId


class ResultNeed(NamedTuple):
    """At most `size` bytes of a job's result, from `offset` on."""

    id: int
    offset: int
    size: int


class OutputNeed(NamedTuple):
    """At most `size` bytes of what run number `run` of a job printed, or a later run, from `offset` on."""

    id: int
    run: int
    offset: int
    size: int


class Needs(NamedTuple):
    """Ids of jobs, unless the type says otherwise; an id may come twice."""

    jobs: Sequence[int] = ()
    submits: Sequence[tuple[str, str]] = ()  # by owner and request key
    data: Sequence[int] = ()
    kept_bytes: Sequence[int] = ()
    results: Sequence[ResultNeed] = ()
    outputs: Sequence[OutputNeed] = ()
    details: Sequence[int] = ()
    schemas: Sequence[str] = ()  # by digest


class ResultPiece(NamedTuple):
    """`size`: of the whole result."""

    size: int = 0
    body: bytes = b""


class OutputPiece(NamedTuple):
    """`size`: how much this run has printed so far. `offset`: where `body` begins: where it was asked for, or at the
    next place that is still kept."""

    size: int
    offset: int
    body: bytes
    run: int


class Details(NamedTuple):
    """What only `show` tells of a job. `attempts`: the runs that did not complete it, in order. `data_bytes`,
    `result_bytes`: None without data, without a result. `copies`: the jobs that retry it."""

    request_key: str
    data_bytes: int | None
    result_bytes: int | None
    copies: tuple[JobId, ...]
    attempts: tuple[Attempt, ...]


class Found(NamedTuple):
    """The records that there are, each field under the same name as its need. What does not exist has no entry."""

    jobs: Mapping[int, Job]
    submits: Mapping[tuple[str, str], Submitted]
    data: Mapping[int, bytes]
    kept_bytes: Mapping[int, int]  # of data, result and output together
    results: Mapping[ResultNeed, ResultPiece]
    outputs: Mapping[OutputNeed, OutputPiece]
    details: Mapping[int, Details]
    schemas: Mapping[str, bytes]


NOTHING = Found({}, {}, {}, {}, {}, {}, {}, {})


class TurnNeeds(NamedTuple):
    """Everything that a turn must read before it decides. `ended`: a page of ended jobs, those after an id among so
    many records. `used_bytes`: how large the journal is."""

    records: Needs = Needs()
    ended: tuple[int, int] | None = None
    used_bytes: bool = False


class Read(NamedTuple):
    """What was read: the records that `needs` names. `ended`: the jobs, and the id to go on after (0: this was the last
    page)."""

    needs: Needs = Needs()
    found: Found = NOTHING
    ended: tuple[list[Job], int] | None = None
    used_bytes: int = 0
