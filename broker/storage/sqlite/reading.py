"""Reads of committed records. Each function raises StorageError if the disk cannot be read or a record is damaged."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from zjobs.broker.core.estimates.kinds import Numbers
from zjobs.broker.core.records.jobs import Counters, Job, Loaded, ParkedJob, Service, Session, Submitted
from zjobs.broker.core.records.needs import (
    MOST_DEPENDENTS,
    DataNeed,
    DataPiece,
    Details,
    Found,
    Needs,
    OutputNeed,
    OutputPiece,
    ResultNeed,
    ResultPiece,
)
from zjobs.broker.storage.records import (
    DELAY,
    IS_PARKED,
    JOB_COLUMNS,
    RARE,
    START_BY,
    attempt_of,
    durations_of,
    ids_of,
    job_of,
    output_of,
)
from zjobs.broker.storage.sqlite.database import Database
from zjobs.messages.records import Attempt, AuditEntry, QueuePause, TaskType
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId, Ms

MAX_BLOB_BYTES = 1 << 31
IDS_AT_ONCE = 500

# --- everything that the core keeps --------------------------------------------------------------------------------


def load(db: Database) -> Loaded:
    """Return what the core keeps in memory."""
    counters = Counters(*db.one("SELECT next_id, change, completed, failed, cancelled FROM journal"))
    in_flight = db.all(f"SELECT delivery, {JOB_COLUMNS} FROM in_flight JOIN job USING (id) ORDER BY delivery")
    session = db.one("SELECT * FROM session")
    announced = db.one("SELECT 1 FROM announced") is not None
    types = db.all(f"SELECT {', '.join(TaskType._fields)} FROM type")
    schemas = db.all("SELECT digest FROM type_schema")
    priorities = [row[0] for row in db.all("SELECT DISTINCT priority FROM job WHERE state = 'queued'")]
    pauses = db.all(f"SELECT {', '.join(QueuePause._fields)} FROM pause ORDER BY rowid")
    kinds = Numbers()
    ready = {priority: _ready(db, priority, kinds) for priority in priorities}
    waiting, parked = _waiting(db, kinds), _parked(db, kinds)
    return Loaded(
        db.journal_id,
        counters,
        ready,
        waiting,
        {row[0]: job_of(row[1:]) for row in in_flight},
        Session(*session) if session else None,
        {row[0]: TaskType(*row) for row in types} if announced else None,
        tuple(QueuePause(*row) for row in pauses),
        dict(db.all("SELECT owner, count(*) FROM job WHERE state = 'queued' AND owner <> '' GROUP BY owner")),
        Service(*db.one("SELECT served_ms, served_at FROM journal")),
        frozenset(row[0] for row in schemas),
        kinds.kinds(),
        {row[0]: durations_of(row[1]) for row in db.all("SELECT type, runs FROM history")},
        parked,
        tuple(db.all(START_BY)),
    )


def _ready(db: Database, priority: int, kinds: Numbers) -> tuple[array[int], bytearray]:
    """Return the ids of ready jobs, and the number of each one's kind."""
    query = (
        "SELECT id, type, time_limit_ms FROM job "
        f"WHERE state = 'queued' AND priority = ? AND ready_at IS NULL AND NOT {IS_PARKED} ORDER BY id"
    )
    ids, numbers = array("q"), bytearray()
    for row in db.each(query, priority):
        ids.append(row[0])
        numbers.append(kinds[row[1:]])
    return ids, numbers


def _waiting(db: Database, kinds: Numbers) -> list[tuple[Ms, JobId, int, Ms | None, int]]:
    rows = db.all(
        f"SELECT ready_at, id, priority, {DELAY}, type, time_limit_ms FROM job "
        f"WHERE ready_at IS NOT NULL AND state = 'queued' AND NOT {IS_PARKED}"
    )
    return [(*row[:4], kinds[row[4:]]) for row in rows]


def _parked(db: Database, kinds: Numbers) -> tuple[ParkedJob, ...]:
    columns = f"id, ready_at, {DELAY}, after, after_any, type, time_limit_ms"
    rows = db.all(f"SELECT {columns} FROM job WHERE {IS_PARKED} AND state = 'queued' ORDER BY id")
    return tuple(ParkedJob(row[0], row[1], row[2], kinds[row[5:]], ids_of(f"{row[3]} {row[4]}")) for row in rows)


# --- by id -----------------------------------------------------------------------------------------------------------


def read(db: Database, needs: Needs) -> Found:
    """Return the named records."""
    found: list[Any] = [{}] * len(needs)
    for place, wanted in enumerate(needs):
        if wanted:
            found[place] = _READERS[place](db, wanted)
    return Found._make(found)


def _jobs(db: Database, ids: Sequence[JobId]) -> dict[JobId, Job]:
    return {row[0]: job_of(row) for row in _rows(db, f"SELECT {JOB_COLUMNS} FROM job", ids)}


def _submits(db: Database, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Submitted]:
    query = "SELECT owner, request_key, first_id, count, digest FROM request WHERE owner = ? AND request_key = ?"
    return {row[:2]: Submitted(*row) for key in keys if (row := db.one(query, *key))}


def _data(db: Database, ids: Sequence[JobId]) -> dict[JobId, bytes]:
    return dict(_rows(db, "SELECT id, body FROM data", ids))


def _kept_bytes(db: Database, ids: Sequence[JobId]) -> dict[JobId, int]:
    kept: dict[JobId, int] = {}
    for table in ("data", "result", "output"):
        for job_id, size in _rows(db, f"SELECT id, length(body) FROM {table}", ids):
            kept[job_id] = kept.get(job_id, 0) + size
    return kept


def _rows(db: Database, query: str, ids: Sequence[JobId]) -> Iterator[Any]:
    """Return the rows of all ids. Most often the ids are one range, but priorities mix them; a query for each would
    take three times as long."""
    if list(ids) == list(range(ids[0], ids[0] + len(ids))):
        return iter(db.all(f"{query} WHERE id BETWEEN ? AND ?", ids[0], ids[-1]))
    return _scattered_rows(db, query, ids)


def _scattered_rows(db: Database, query: str, ids: Iterable[JobId]) -> Iterator[Any]:
    rest = iter(ids)
    while some := ", ".join(map(str, islice(rest, IDS_AT_ONCE))):
        yield from db.all(f"{query} WHERE id IN ({some})")


def _results(db: Database, needs: Iterable[ResultNeed]) -> dict[ResultNeed, ResultPiece]:
    found = {}
    for need in needs:
        begin = min(need.offset, MAX_BLOB_BYTES) + 1  # an offset may be the greatest number that SQLite accepts
        query = "SELECT length(body), substr(body, ?, ?) FROM result WHERE id = ?"
        if row := db.one(query, begin, need.size, need.id):
            found[need] = ResultPiece(*row)
    return found


def _outputs(db: Database, needs: Iterable[OutputNeed]) -> dict[OutputNeed, OutputPiece]:
    return {need: piece for need in needs if (piece := _output(db, need))}


def _output(db: Database, need: OutputNeed) -> OutputPiece | None:
    newest = "SELECT run, offset + length(body) FROM output WHERE id = ? ORDER BY run DESC, offset DESC LIMIT 1"
    run, end = db.one(newest, need.id) or (-1, 0)
    if run < need.run:
        return None
    first = "SELECT coalesce(max(offset), 0) FROM output WHERE id = ? AND run = ? AND offset <= ?"
    rest = "SELECT offset, body FROM output WHERE id = ? AND run = ? AND offset >= ? ORDER BY offset"
    return output_of(need, run, end, db.each(rest, need.id, run, db.one(first, need.id, run, need.offset)[0]))


DETAILS = """
SELECT (SELECT request_key FROM request WHERE first_id <= job.id ORDER BY first_id DESC LIMIT 1),
       (SELECT length(body) FROM data WHERE data.id = job.id),
       (SELECT length(body) FROM result WHERE result.id = job.id)
FROM job WHERE job.id = ?"""


DEPENDENTS = f"""
WITH RECURSIVE lost(id) AS (
    SELECT id FROM job WHERE cancelled_by = ?
    UNION SELECT job.id FROM job JOIN lost ON job.cancelled_by = lost.id LIMIT ?)
SELECT {JOB_COLUMNS} FROM job JOIN lost USING (id) ORDER BY id"""


def _details(db: Database, ids: Iterable[JobId]) -> dict[JobId, Details]:
    found = {}
    for job_id in ids:
        if row := db.one(DETAILS, job_id):
            copies = db.all("SELECT id FROM job WHERE retry_of = ? ORDER BY id", job_id)
            key, data_bytes, result_bytes = row
            numbers = tuple(JobId(copy[0]) for copy in copies)
            found[job_id] = Details(key or "", data_bytes, result_bytes, numbers, _attempts(db, job_id))
    return found


def _attempts(db: Database, job_id: JobId) -> tuple[Attempt, ...]:
    rows = db.all(
        "SELECT number, outcome, started_at, ended_at, reason, message, detail FROM attempt WHERE job = ? "
        "ORDER BY number",
        job_id,
    )
    return tuple(map(attempt_of, rows))


def _schemas(db: Database, digests: Iterable[str]) -> dict[str, bytes]:
    """Return those of the schemas that exist."""
    query = "SELECT schema FROM type_schema WHERE digest = ?"
    return {digest: row[0] for digest in digests if (row := db.one(query, digest))}


def _data_pieces(db: Database, needs: Iterable[DataNeed]) -> dict[DataNeed, DataPiece]:
    """Return the pieces; those with the same offset are read together."""
    together: dict[tuple[int, ...], list[JobId]] = {}
    for need in needs:
        together.setdefault(need[1:], []).append(need.id)
    found = {}
    for (offset, size), ids in together.items():
        begin = min(offset, MAX_BLOB_BYTES) + 1
        for job_id, *piece in _rows(db, f"SELECT id, length(body), substr(body, {begin}, {size}) FROM data", ids):
            found[DataNeed(job_id, offset, size)] = DataPiece(*piece)
    return found


def _dependents(db: Database, ids: Iterable[JobId]) -> dict[JobId, tuple[Job, ...]]:
    """Return the jobs that were cancelled because of each, and because of these."""
    return {job_id: tuple(map(job_of, db.all(DEPENDENTS, job_id, MOST_DEPENDENTS))) for job_id in ids}


# In the order of the fields of `Needs`.
_READERS: tuple[Callable[[Database, Any], object], ...] = (
    _jobs,
    _submits,
    _data,
    _kept_bytes,
    _results,
    _outputs,
    _details,
    _schemas,
    _data_pieces,
    _dependents,
)


# --- in the order of their ids ---------------------------------------------------------------------------------------


def page(db: Database, below: JobId, state: JobState | None, most: int) -> tuple[list[Job], JobId]:
    """Return jobs with smaller ids, newest first, and the id to continue below."""
    condition = f"AND state = '{state.value}'" if state in RARE else ""  # which have an index
    query = f"SELECT {JOB_COLUMNS} FROM job WHERE id < ? {condition} ORDER BY id DESC LIMIT ?"
    jobs = list(map(job_of, db.all(query, below, most)))
    return jobs, jobs[-1].id if len(jobs) == most else JobId(0)


def audit(db: Database, below: int, since_at: int, who: str | None, most: int) -> list[AuditEntry]:
    """Return entries of the audit trail with smaller numbers, newest first. `who`: only those of this person."""
    query = "SELECT * FROM audit WHERE number < ? AND at >= ? AND (? IS NULL OR who = ?) ORDER BY number DESC LIMIT ?"
    rows = db.all(query, below, since_at, who, who, most)
    return [AuditEntry(*row)._replace(proven=bool(row[4])) for row in rows]


def ended(db: Database, after: JobId, most: int) -> tuple[list[Job], JobId]:
    """Return those of the next jobs that ended, and the id to continue after."""
    rows = db.all(f"SELECT {JOB_COLUMNS} FROM job WHERE id > ? ORDER BY id LIMIT ?", after, most)
    jobs = list(map(job_of, rows))
    return [job for job in jobs if job.state.final], jobs[-1].id if len(jobs) == most else JobId(0)


def queued(db: Database, most: int) -> tuple[list[tuple[int, str, bool]], int]:
    """Return the first of the jobs that have not ended, in order: id, type, and whether it is in flight; and how many
    there are."""
    rows = db.all(
        "SELECT id, type, id IN (SELECT id FROM in_flight) FROM job WHERE state = 'queued' "
        "ORDER BY priority DESC, id LIMIT ?",
        most,
    )
    count = db.one("SELECT count(*) FROM job WHERE state = 'queued'")[0]
    return [(job_id, job_type, bool(in_flight)) for job_id, job_type, in_flight in rows], count
