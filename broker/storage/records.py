"""Conversion of rows to records, the same for all storages. Each function raises StorageError for a damaged record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from operator import itemgetter
from typing import Any, TypeVar

from zjobs.broker.core.records.effects import EDITED
from zjobs.broker.core.records.jobs import Job
from zjobs.broker.core.records.needs import OutputNeed, OutputPiece
from zjobs.broker.storage.api import StorageError
from zjobs.broker.storage.tables import CHANGED, NEW
from zjobs.messages.records import Attempt
from zjobs.messages.states import FailReason, JobState, Outcome
from zjobs.messages.units import JobId

RARE = (JobState.FAILED, JobState.CANCELLED)  # which have an index

JOB_COLUMNS = ", ".join(Job._fields)
# Both mean the same in all dialects; the index of parked jobs has the first.
IS_PARKED = "(held OR after <> '' OR after_any <> '')"
# None of a start time, which is no delay
DELAY = "CASE WHEN ready_at = start_at THEN NULL ELSE ready_at - coalesce(ended_at, submitted_at) END"
START_BY = "SELECT id, start_by FROM job WHERE start_by IS NOT NULL AND state = 'queued' AND run = 0"
_STATE, _REASON, _CANCELLING, _HELD, _AFTER, _AFTER_ANY = map(
    Job._fields.index, ("state", "reason", "cancelling", "held", "after", "after_any")
)

Word = TypeVar("Word", bound=Enum)
_WORDS: dict[type[Enum], dict[str, Any]] = {
    kind: {word.value: word for word in kind} for kind in (JobState, FailReason, Outcome)
}


def job_of(row: Sequence[Any]) -> Job:
    """Return the job in a row with JOB_COLUMNS."""
    values = list(row)
    values[_STATE] = _word(JobState, values[_STATE])
    values[_REASON] = _reason(values[_REASON])
    values[_CANCELLING] = bool(values[_CANCELLING])
    values[_HELD] = bool(values[_HELD])
    values[_AFTER] = ids_of(values[_AFTER])
    values[_AFTER_ANY] = ids_of(values[_AFTER_ANY])
    return Job._make(values)


new_row: Callable[[Job], tuple[Any, ...]] = itemgetter(*map(Job._fields.index, NEW))
_changed: Callable[[Job], tuple[Any, ...]] = itemgetter(*map(Job._fields.index, CHANGED))
_CHANGED_STATE, _CHANGED_REASON = CHANGED.index("state"), CHANGED.index("reason")


def changed_row(job: Job) -> list[Any]:
    """Return the values of the columns CHANGED."""
    row = list(_changed(job))
    row[_CHANGED_STATE] = job.state.value
    if job.reason is not None:
        row[_CHANGED_REASON] = job.reason.value
    return row


def edited_row(job: Job) -> list[Any]:
    """Return the id, and the values of the columns EDITED."""
    row = [job.id, *(getattr(job, name) for name in EDITED)]
    return [" ".join(map(str, value)) if type(value) is tuple else value for value in row]


def attempt_of(row: Sequence[Any]) -> Attempt:
    """Return the run in a row with the columns of `Attempt`."""
    number, outcome, started_at, ended_at, reason, message, detail = row
    return Attempt(number, _word(Outcome, outcome), started_at, ended_at, _reason(reason), message, detail)


def ids_of(text: str) -> tuple[JobId, ...]:
    """Parse the column with the jobs that one waits for."""
    try:
        return tuple(map(JobId, map(int, text.split()))) if text else ()
    except ValueError:
        raise StorageError(f"a record is damaged: a job waits for {text[:40]!r}") from None


def durations_of(runs: str) -> tuple[int, ...]:
    """Return the history of a type."""
    try:
        return tuple(map(int, runs.split()))
    except ValueError:
        raise StorageError(f"a record is damaged: the history of a type is {runs[:40]!r}") from None


def output_of(need: OutputNeed, run: int, end: int, pieces: Iterable[tuple[int, bytes]]) -> OutputPiece:
    """Return the output that is needed, up to a gap. `end`: of everything the run printed; `pieces`: (offset, body), in
    order."""
    at = need.offset
    joined = bytearray()
    for offset, body in pieces:
        if offset > at and joined:
            break
        joined += body[max(0, at - offset) :]
        at = max(at, offset + len(body))
        if len(joined) >= need.size:
            break
    return OutputPiece(end, at - len(joined) if joined else min(need.offset, end), bytes(joined[: need.size]), run)


def _reason(value: str | None) -> FailReason | None:
    return None if value is None else _word(FailReason, value)


def _word(kind: type[Word], value: str) -> Word:
    """Return a member of an enumeration. An unknown one was damaged on disk: a KeyError would end the broker."""
    try:
        return _WORDS[kind][value]  # type: ignore[no-any-return]
    except KeyError:
        raise StorageError(f"a record is damaged: {value!r} is not a {kind.__name__}") from None
