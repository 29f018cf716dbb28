"""The changes of one turn, as the statements of one pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from zjobs.broker.core.records.effects import EDITED, Changes
from zjobs.broker.core.records.jobs import Printed
from zjobs.broker.storage.postgres.connection.values import (
    BOOLEAN,
    BYTES,
    INTEGER,
    LIST_OF,
    TEXT,
    Kind,
    Query,
    Statement,
)
from zjobs.broker.storage.records import changed_row, edited_row, new_row
from zjobs.broker.storage.tables import CHANGED, JOB, NEW
from zjobs.messages.records import Attempt, AuditEntry, TaskType
from zjobs.messages.units import JobId

AUDIT_ENTRIES = 10_000  # the newest are kept

# The row that is written anyway fences: of whoever lost the journal, and of any session but the owner's, the whole
# pipeline fails at `epoch`, which is NOT NULL. It comes first, so that nothing of theirs waits for locks of the owner.
FENCE = Query(
    """
UPDATE journal SET epoch = CASE WHEN epoch = $1 AND backend = pg_backend_pid() THEN epoch END,
    next_id = coalesce($2, next_id), change = coalesce($3, change),
    completed = coalesce($4, completed), failed = coalesce($5, failed), cancelled = coalesce($6, cancelled),
    served_ms = coalesce($7, served_ms), served_at = coalesce($8, served_at)""",
    *[INTEGER] * 8,
)

KINDS = {int: INTEGER, str: TEXT, bytes: BYTES, bool: BOOLEAN}


def _kinds(columns: Iterable[str]) -> list[Kind]:
    return [KINDS[JOB.columns[column]] for column in columns]


def _sql_name(kind: Kind) -> str:
    return {INTEGER: "bigint", TEXT: "text", BYTES: "bytea", BOOLEAN: "boolean"}[kind]


def _unnest(kinds: Sequence[Kind]) -> str:
    """Return the SQL for the rows of as many lists as there are columns."""
    return f"unnest({', '.join(f'${n}::{_sql_name(kind)}[]' for n, kind in enumerate(kinds, 1))})"


def _insert(table: str, columns: str, kinds: Sequence[Kind], rest: str = "") -> Query:
    """Return a query that inserts rows. `rest`: the end of the statement, such as ON CONFLICT."""
    return Query(
        f"INSERT INTO {table}({columns}) SELECT * FROM {_unnest(kinds)} {rest}", *(LIST_OF[kind] for kind in kinds)
    )


def _lists(text: str, *kinds: Kind) -> Query:
    """Return a query in whose text `{}` stands for the rows of the lists."""
    return Query(text.format(_unnest(kinds)), *(LIST_OF[kind] for kind in kinds))


INSERT_JOB = _insert("job", ", ".join(NEW), _kinds(NEW))
UPDATE_JOB, EDIT_JOB = (
    _lists(
        f"UPDATE job SET {', '.join(f'{column} = changed.{column}' for column in columns[1:])} "
        f"FROM {{}} AS changed({', '.join(columns)}) WHERE job.id = changed.id",
        *_kinds(columns),
    )
    for columns in (CHANGED, ("id", *EDITED))
)
INSERT_DATA = _insert("data", "id, body", [INTEGER, BYTES])
COPY_DATA = _lists(
    "INSERT INTO data(id, body) SELECT copy.id, body FROM {} AS copy(id, source) JOIN data ON data.id = copy.source "
    "RETURNING octet_length(body)",
    INTEGER,
    INTEGER,
)
INSERT_RESULT = _insert("result", "id, body", [INTEGER, BYTES])
INSERT_OUTPUT = _insert(
    "output",
    "id, run, begins, body",
    [INTEGER, INTEGER, INTEGER, BYTES],
    "ON CONFLICT (id, run, begins) DO UPDATE SET body = EXCLUDED.body",
)
DELETE_EARLIER_OUTPUT = _lists(
    "DELETE FROM output USING {} AS again(id, run) WHERE output.id = again.id AND output.run < again.run "
    "RETURNING octet_length(body)",
    INTEGER,
    INTEGER,
)
# the last piece that begins before the bound is kept: it may end behind it
DELETE_OUTPUT_BEFORE = _lists(
    "DELETE FROM output USING {} AS fresh(id, run, kept_from) WHERE output.id = fresh.id AND output.run = fresh.run "
    "AND begins < (SELECT max(begins) FROM output AS piece WHERE piece.id = fresh.id AND piece.run = fresh.run "
    "AND piece.begins <= fresh.kept_from) RETURNING octet_length(body)",
    INTEGER,
    INTEGER,
    INTEGER,
)
INSERT_ATTEMPT = _insert(
    "attempt",
    "job, number, outcome, started_at, ended_at, reason, message, detail",
    [INTEGER, INTEGER, TEXT, INTEGER, INTEGER, TEXT, TEXT, TEXT],
)
INSERT_REQUEST = _insert(
    "request", "owner, request_key, first_id, count, digest", [TEXT, TEXT, INTEGER, INTEGER, BYTES]
)
DELETE_IN_FLIGHT = Query("DELETE FROM in_flight WHERE delivery = ANY($1)", LIST_OF[INTEGER])
INSERT_IN_FLIGHT = _insert("in_flight", "delivery, id", [INTEGER, INTEGER])
WRITE_SESSION = Query(
    """
INSERT INTO session(incarnation, session, next_delivery, reports_done, resume, began_delivery, began_at)
VALUES($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (one) DO UPDATE SET incarnation = EXCLUDED.incarnation,
    session = EXCLUDED.session, next_delivery = EXCLUDED.next_delivery, reports_done = EXCLUDED.reports_done,
    resume = EXCLUDED.resume, began_delivery = EXCLUDED.began_delivery, began_at = EXCLUDED.began_at""",
    TEXT,
    TEXT,
    *[INTEGER] * 5,
)
ANNOUNCED = Query("UPDATE journal SET announced = true")
DELETE_TYPES = Query("DELETE FROM type")
INSERT_TYPES = _insert(
    "type", ", ".join(TaskType._fields), [TEXT, TEXT, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, TEXT]
)
DELETE_HISTORY = Query("DELETE FROM history WHERE type = ANY($1)", LIST_OF[TEXT])
INSERT_HISTORY = _insert("history", "type, runs", [TEXT, TEXT])
DELETE_SCHEMAS = Query("DELETE FROM type_schema WHERE digest = ANY($1)", LIST_OF[TEXT])
INSERT_SCHEMAS = _insert("type_schema", "digest, schema", [TEXT, BYTES])
INSERT_AUDIT = _lists(
    "INSERT INTO audit SELECT (SELECT coalesce(max(number), 0) FROM audit) + place, entry.at, entry.op, entry.who, "
    "entry.proven, entry.via, entry.jobs, entry.text "
    "FROM {} WITH ORDINALITY AS entry(at, op, who, proven, via, jobs, text, place)",
    INTEGER,
    TEXT,
    TEXT,
    BOOLEAN,
    TEXT,
    TEXT,
    TEXT,
)
TRIM_AUDIT = Query(f"DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - {AUDIT_ENTRIES}")
DELETE_PAUSES = Query("DELETE FROM pause")
INSERT_PAUSES = _lists(
    "INSERT INTO pause(owner, reason, since_at, until_at, submitter, place) SELECT * FROM {} WITH ORDINALITY",
    TEXT,
    TEXT,
    INTEGER,
    INTEGER,
    TEXT,
)
DELETE_JOBS = Query("DELETE FROM job WHERE id = ANY($1)", LIST_OF[INTEGER])
DELETE_BODIES = tuple(
    Query(f"DELETE FROM {table} WHERE id = ANY($1) RETURNING octet_length(body)", LIST_OF[INTEGER])
    for table in ("data", "result", "output")
)
DELETE_ATTEMPTS = Query("DELETE FROM attempt WHERE job = ANY($1)", LIST_OF[INTEGER])
# the keys whose jobs are all gone
DELETE_REQUESTS = Query(
    """
DELETE FROM request WHERE first_id IN (
    SELECT (SELECT first_id FROM request WHERE first_id <= gone.id ORDER BY first_id DESC LIMIT 1)
    FROM unnest($1::bigint[]) AS gone(id))
AND NOT EXISTS (SELECT 1 FROM job WHERE id BETWEEN request.first_id AND request.first_id + request.count - 1)""",
    LIST_OF[INTEGER],
)
DELETES = {DELETE_EARLIER_OUTPUT, DELETE_OUTPUT_BEFORE, *DELETE_BODIES}


def fenced(epoch: int, changes: Changes | None = None) -> Statement:
    """Return the first statement of each transaction of an owner."""
    counters = (changes and changes.counters) or (None,) * 5
    service = (changes and changes.service) or (None,) * 2
    return FENCE(epoch, *counters, *service)


def written(epoch: int, changes: Changes) -> list[Statement]:
    """Return the statements that write the changes of one turn, for the owner of this epoch."""
    made = [fenced(epoch, changes)]
    if changes.added:
        made.append(INSERT_JOB.each(map(new_row, changes.added.values())))
    if changes.changed:
        made.append(UPDATE_JOB.each(map(changed_row, changes.changed.values())))
    if changes.edited:
        made.append(EDIT_JOB.each(map(edited_row, changes.edited.values())))
    if changes.data:
        made.append(INSERT_DATA.each(changes.data))
    if changes.data_copies:
        made.append(COPY_DATA.each(changes.data_copies))
    if changes.forgotten:  # after the copies: a job may be copied and forgotten in one turn
        made += _forget(sorted(changes.forgotten))
    if changes.outputs:
        made += _outputs(changes.outputs)
    if changes.results:
        made.append(INSERT_RESULT.each(changes.results))
    if changes.attempts:
        made.append(INSERT_ATTEMPT.each(_attempt(job_id, attempt) for job_id, attempt in changes.attempts))
    if changes.submitted:
        made.append(INSERT_REQUEST.each(changes.submitted.values()))
    if changes.settled:
        made.append(DELETE_IN_FLIGHT.each(changes.settled))
    if changes.deliveries:
        made.append(INSERT_IN_FLIGHT.each(changes.deliveries))
    if changes.session is not None:
        made.append(WRITE_SESSION(*changes.session))
    if changes.types is not None:
        made += [ANNOUNCED(), *_replaced(DELETE_TYPES, INSERT_TYPES, changes.types.values())]
    if changes.history:
        kept = [(name, " ".join(map(str, runs))) for name, runs in changes.history.items() if runs]
        made += [DELETE_HISTORY(list(changes.history)), *_all(INSERT_HISTORY, kept)]
    if changes.schemas:
        described = [(digest, schema) for digest, schema in changes.schemas.items() if schema is not None]
        made += [DELETE_SCHEMAS(list(changes.schemas)), *_all(INSERT_SCHEMAS, described)]
    if changes.audit:
        made += [INSERT_AUDIT.each(map(_entry, changes.audit)), TRIM_AUDIT()]
    if changes.pauses:
        made += _replaced(DELETE_PAUSES, INSERT_PAUSES, changes.pauses[-1])
    return made


def _forget(ids: list[JobId]) -> list[Statement]:
    """Return the statements that delete jobs with everything that belongs to them."""
    deletes = (DELETE_JOBS, *DELETE_BODIES, DELETE_ATTEMPTS, DELETE_REQUESTS)
    return [query(ids) for query in deletes]


def _outputs(outputs: list[Printed]) -> list[Statement]:
    pieces = {piece[:3]: piece.body for piece in outputs}
    made = [INSERT_OUTPUT.each((*place, body) for place, body in pieces.items())]
    again = [(piece.id, piece.run) for piece in outputs if piece.run > 1]
    full = [(piece.id, piece.run, piece.kept_from) for piece in outputs if piece.kept_from]
    return made + _all(DELETE_EARLIER_OUTPUT, again) + _all(DELETE_OUTPUT_BEFORE, full)


def _replaced(delete: Query, insert: Query, rows: Iterable[Sequence[Any]]) -> list[Statement]:
    return [delete(), *_all(insert, list(rows))]


def _all(query: Query, rows: Sequence[Sequence[Any]]) -> list[Statement]:
    """Return the query with these rows; nothing if there are none."""
    return [query.each(rows)] if rows else []


def _attempt(job_id: JobId, attempt: Attempt) -> tuple[Any, ...]:
    number, outcome, started_at, ended_at, reason, message, detail = attempt
    return (
        job_id,
        number,
        outcome.value,
        started_at,
        ended_at,
        None if reason is None else reason.value,
        message,
        detail,
    )


def _entry(entry: AuditEntry) -> tuple[Any, ...]:
    """Return an entry without its number."""
    return entry[1:]
