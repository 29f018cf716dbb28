"""The state that the core keeps in memory, read in one transaction: a million ids come as a few long values."""

from __future__ import annotations

import sys
from array import array

from zjobs.broker.core.estimates.kinds import Kind, Numbers
from zjobs.broker.core.records.jobs import Counters, Loaded, ParkedJob, Service, Session
from zjobs.broker.storage.postgres.connection.link import Rows
from zjobs.broker.storage.postgres.connection.values import Query, Statement
from zjobs.broker.storage.records import DELAY, IS_PARKED, JOB_COLUMNS, START_BY, durations_of, ids_of, job_of
from zjobs.messages.records import QueuePause, TaskType
from zjobs.messages.units import Ms

KIND_BITS = 8

# Plans for few rows, as the turns of a broker need them, are the wrong ones for all rows.
PLANNER = [
    Query(f"SELECT set_config('{name}', '{value}', true)")
    for name, value in {
        "enable_seqscan": "on",
        "enable_hashjoin": "on",
        "enable_bitmapscan": "on",
        "plan_cache_mode": "force_custom_plan",
        "work_mem": "64MB",
    }.items()
]
QUERIES = [
    Query("SELECT id, announced, served_ms, served_at, next_id, change, completed, failed, cancelled FROM journal"),
    Query(f"SELECT delivery, {JOB_COLUMNS} FROM in_flight JOIN job USING (id) ORDER BY delivery"),
    Query(f"SELECT {', '.join(Session._fields)} FROM session"),
    Query(f"SELECT {', '.join(TaskType._fields)} FROM type"),
    Query(f"SELECT {', '.join(QueuePause._fields)} FROM pause ORDER BY place"),
    Query("SELECT digest FROM type_schema"),
    Query("SELECT type, runs FROM history"),
    Query(
        "SELECT priority, type, time_limit_ms, string_agg(int8send(id), '') FROM job "
        f"WHERE state = 'queued' AND ready_at IS NULL AND NOT {IS_PARKED} GROUP BY priority, type, time_limit_ms"
    ),
    Query(
        f"SELECT ready_at, id, priority, {DELAY}, type, time_limit_ms FROM job "
        f"WHERE state = 'queued' AND ready_at IS NOT NULL AND NOT {IS_PARKED}"
    ),
    Query(
        f"SELECT id, ready_at, {DELAY}, after, after_any, type, time_limit_ms FROM job "
        f"WHERE state = 'queued' AND {IS_PARKED} ORDER BY id"
    ),
    Query(f"SELECT DISTINCT priority FROM job WHERE state = 'queued' AND {IS_PARKED}"),
    Query("SELECT owner, count(*) FROM job WHERE state = 'queued' AND owner <> '' GROUP BY owner"),
    Query(START_BY),
]


def asked() -> list[Statement]:
    """Return the statements that read the state."""
    return [query() for query in (*PLANNER, *QUERIES)]


def loaded(answers: list[Rows]) -> Loaded:
    """Return the state, from the rows of those statements."""
    journal, in_flight, sessions, types, pauses, schemas, history, ready, waiting, *rest = answers[len(PLANNER) :]
    parked, priorities, owned, start_by = rest
    ((journal_id, announced, served_ms, served_at, *totals),) = journal
    kinds = Numbers()
    queued = _ready(ready, kinds)
    for row in waiting:
        queued.setdefault(row[2], (array("q"), bytearray()))
    for (priority,) in priorities:
        queued.setdefault(priority, (array("q"), bytearray()))
    delayed = [(*row[:4], kinds[Kind(*row[4:])]) for row in waiting]
    held = [ParkedJob(row[0], row[1], row[2], kinds[Kind(*row[5:])], ids_of(f"{row[3]} {row[4]}")) for row in parked]
    return Loaded(
        journal_id,
        Counters(*totals),
        dict(sorted(queued.items())),
        delayed,
        {row[0]: job_of(row[1:]) for row in in_flight},
        Session(*sessions[0]) if sessions else None,
        {row[0]: TaskType(*row) for row in types} if announced else None,
        tuple(QueuePause(*row) for row in pauses),
        dict(owned),
        Service(Ms(served_ms), Ms(served_at)),
        frozenset(row[0] for row in schemas),
        kinds.kinds(),
        {row[0]: durations_of(row[1]) for row in history},
        tuple(held),
        tuple((row[0], row[1]) for row in start_by),
    )


def _ready(rows: Rows, kinds: Numbers) -> dict[int, tuple[array[int], bytearray]]:
    """Return the ready jobs of each priority by id, from one value for each priority and kind."""
    groups = [(priority, _first(ids), Kind(name, limit), ids) for priority, name, limit, ids in rows]
    numbered: dict[int, list[int]] = {}
    for priority, _, kind, ids in sorted(groups, key=lambda group: group[:2]):
        number = kinds[kind]
        numbered.setdefault(priority, []).extend(job_id << KIND_BITS | number for job_id in _ids(ids))
    ready = {}
    for priority, both in numbered.items():
        both.sort()  # fast: it consists of sorted runs
        ready[priority] = (
            array("q", [each >> KIND_BITS for each in both]),
            bytearray([each & 0xFF for each in both]),
        )
    return ready


def _first(packed: bytes) -> int:
    return min(_ids(packed))


def _ids(packed: bytes) -> array[int]:
    ids = array("q", packed)
    if sys.byteorder == "little":
        ids.byteswap()
    return ids
