"""The committed records that a turn needs, and those that the journal found.

A step names everything that it needs at once, so that even a database across a network is asked once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zjobs.broker.core.records.jobs import Job, Submitted
from zjobs.messages.records import Attempt
from zjobs.messages.units import JobId

MOST_DEPENDENTS = 2_500  # more than one request may copy


class ResultNeed(NamedTuple):
    """A piece of a job's result: at most `size` bytes, from `offset` on."""

    id: JobId
    offset: int
    size: int


class DataNeed(NamedTuple):
    """A piece of a job's data: at most `size` bytes, from `offset` on."""

    id: JobId
    offset: int
    size: int


class OutputNeed(NamedTuple):
    """A piece of the output of a job's run `run`, or of a later run: at most `size` bytes, from `offset` on."""

    id: JobId
    run: int
    offset: int
    size: int


class Needs(NamedTuple):
    """The ids of the jobs whose records are needed, by kind; an id may occur twice."""

    jobs: Sequence[JobId] = ()
    submits: Sequence[tuple[str, str]] = ()  # by owner and request key
    data: Sequence[JobId] = ()
    kept_bytes: Sequence[JobId] = ()
    results: Sequence[ResultNeed] = ()
    outputs: Sequence[OutputNeed] = ()
    details: Sequence[JobId] = ()
    schemas: Sequence[str] = ()  # by digest
    data_pieces: Sequence[DataNeed] = ()
    dependents: Sequence[JobId] = ()


class ResultPiece(NamedTuple):
    """A piece of a result. `size`: that of the whole result."""

    size: int = 0
    body: bytes = b""


class DataPiece(NamedTuple):
    """A piece of a job's data. `size`: that of the whole data."""

    size: int = 0
    body: bytes = b""


class OutputPiece(NamedTuple):
    """A piece of a run's output. `size`: how much the run has printed so far. `offset`: where `body` begins; greater
    than requested if that part is no longer kept."""

    size: int
    offset: int
    body: bytes
    run: int


class Details(NamedTuple):
    """Facts about a job that only `show` reports. `attempts`: the runs that did not complete it, in order.
    `data_bytes`, `result_bytes`: None without data or result. `copies`: the jobs that retry it."""

    request_key: str
    data_bytes: int | None
    result_bytes: int | None
    copies: tuple[JobId, ...]
    attempts: tuple[Attempt, ...]


class Found(NamedTuple):
    """The records that exist, each in the field named like its need."""

    jobs: Mapping[JobId, Job]
    submits: Mapping[tuple[str, str], Submitted]
    data: Mapping[JobId, bytes]
    kept_bytes: Mapping[JobId, int]  # of data, result and output together
    results: Mapping[ResultNeed, ResultPiece]
    outputs: Mapping[OutputNeed, OutputPiece]
    details: Mapping[JobId, Details]
    schemas: Mapping[str, bytes]
    data_pieces: Mapping[DataNeed, DataPiece]
    # the jobs that were cancelled because of each, and because of these, by id; of very many, MOST_DEPENDENTS
    dependents: Mapping[JobId, Sequence[Job]]


NOTHING = Found({}, {}, {}, {}, {}, {}, {}, {}, {}, {})


class TurnNeeds(NamedTuple):
    """The reads that a turn needs before it decides. `ended`: (id, n) for the ended jobs among the n records after that
    id. `used_bytes`: True if the journal's size is needed."""

    records: Needs = Needs()
    ended: tuple[JobId, int] | None = None
    used_bytes: bool = False


class Read(NamedTuple):
    """The records that `needs` names. `ended`: the jobs, and the id to continue after, 0 if this was the last page."""

    needs: Needs = Needs()
    found: Found = NOTHING
    ended: tuple[list[Job], JobId] | None = None
    used_bytes: int = 0
