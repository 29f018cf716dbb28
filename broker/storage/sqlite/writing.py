"""Writes of what one turn changed, within a transaction that the caller begins and ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from zjobs.broker.core.records.effects import EDITED, Changes
from zjobs.broker.core.records.jobs import Printed, Session
from zjobs.broker.storage.records import changed_row, edited_row, new_row
from zjobs.broker.storage.tables import CHANGED, NEW
from zjobs.messages.records import Attempt
from zjobs.messages.units import JobId

AUDIT_ENTRIES = 10_000  # kept, the newest

INSERT_JOB = f"""
INSERT INTO job({", ".join(NEW)}, state, attempts, reruns, version)
VALUES({", ".join("?" * len(NEW))}, 'queued', 0, 0, 0)"""
UPDATE_JOB, EDIT_JOB = (
    f"UPDATE job SET {', '.join(f'{name} = ?{number}' for number, name in enumerate(columns, 2))} WHERE id = ?1"
    for columns in (CHANGED[1:], EDITED)
)
INSERT_REQUEST = "INSERT INTO request(owner, request_key, first_id, count, digest) VALUES(?, ?, ?, ?, ?)"
REQUEST_OF = "SELECT first_id FROM request WHERE first_id <= ? ORDER BY first_id DESC LIMIT 1"
# the last piece that begins before the bound is kept, because it may end after it
DELETE_OUTPUT_BEFORE = """
DELETE FROM output WHERE id = ? AND run = ? AND offset <
(SELECT max(offset) FROM output WHERE id = ? AND run = ? AND offset <= ?)"""
UPDATE_SESSION = """
UPDATE session SET incarnation = ?, session = ?, next_delivery = ?, reports_done = ?, resume = ?, began_delivery = ?,
                   began_at = ?"""
COUNT_COMMIT = "UPDATE journal SET commits = commits + 1"
UPDATE_COUNTERS = """
UPDATE journal SET next_id = ?, change = ?, completed = ?, failed = ?, cancelled = ?,
                   served_ms = coalesce(?, served_ms), served_at = coalesce(?, served_at), commits = commits + 1"""


def write(db: sqlite3.Connection, changes: Changes) -> None:
    """Write what one turn changed."""
    many = db.executemany
    if changes.added:
        many(INSERT_JOB, map(new_row, changes.added.values()))
    if changes.changed:
        many(UPDATE_JOB, map(changed_row, changes.changed.values()))
    if changes.edited:
        many(EDIT_JOB, map(edited_row, changes.edited.values()))
    if changes.data:
        many("INSERT INTO data VALUES(?, ?)", changes.data)
    if changes.data_copies:
        many("INSERT INTO data SELECT ?, body FROM data WHERE id = ?", changes.data_copies)
    if changes.forgotten:  # after the copies: a job may be copied and forgotten in one turn
        _forget(db, sorted(changes.forgotten))
    if changes.outputs:
        _write_outputs(db, changes.outputs)
    if changes.results:
        many("INSERT INTO result VALUES(?, ?)", changes.results)
    if changes.attempts:
        many("INSERT INTO attempt VALUES(?, ?, ?, ?, ?, ?, ?, ?)", map(_attempt, changes.attempts))
    if changes.submitted:
        many(INSERT_REQUEST, changes.submitted.values())
    if changes.settled:
        many("DELETE FROM in_flight WHERE delivery = ?", changes.settled)
    if changes.deliveries:
        many("INSERT INTO in_flight VALUES(?, ?)", changes.deliveries)
    if changes.session is not None:
        _write_session(db, changes.session)
    if changes.types is not None:
        _replace(db, "type", changes.types.values())
        _replace(db, "announced", [(1,)])
    if changes.history:
        _write_history(db, changes.history)
    if changes.schemas:
        _write_schemas(db, changes.schemas)
    if changes.audit:
        many("INSERT INTO audit VALUES(NULL, ?, ?, ?, ?, ?, ?, ?)", (entry[1:] for entry in changes.audit))
        db.execute("DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?", (AUDIT_ENTRIES,))
    if changes.pauses:
        _replace(db, "pause", changes.pauses[-1])
    if changes.counters is not None:
        db.execute(UPDATE_COUNTERS, (*changes.counters, *(changes.service or (None, None))))
    else:
        db.execute(COUNT_COMMIT)


def _write_session(db: sqlite3.Connection, session: Session) -> None:
    if not db.execute(UPDATE_SESSION, session).rowcount:
        _replace(db, "session", [session])


def _write_schemas(db: sqlite3.Connection, schemas: dict[str, bytes | None]) -> None:
    db.executemany("DELETE FROM type_schema WHERE digest = ?", [(digest,) for digest in schemas])
    kept = [(digest, schema) for digest, schema in schemas.items() if schema is not None]
    db.executemany("INSERT INTO type_schema VALUES(?, ?)", kept)


def _write_history(db: sqlite3.Connection, history: dict[str, tuple[int, ...]]) -> None:
    for name, runs in history.items():
        if runs:
            db.execute("INSERT OR REPLACE INTO history VALUES(?, ?)", (name, " ".join(map(str, runs))))
        else:
            db.execute("DELETE FROM history WHERE type = ?", (name,))


def _write_outputs(db: sqlite3.Connection, outputs: list[Printed]) -> None:
    db.executemany("INSERT OR REPLACE INTO output VALUES(?, ?, ?, ?)", [piece[:4] for piece in outputs])
    again = [(piece.id, piece.run) for piece in outputs if piece.run > 1]
    if again:
        db.executemany("DELETE FROM output WHERE id = ? AND run < ?", again)
    full = [(piece.id, piece.run, piece.id, piece.run, piece.kept_from) for piece in outputs if piece.kept_from]
    db.executemany(DELETE_OUTPUT_BEFORE, full)


def _forget(db: sqlite3.Connection, ids: list[JobId]) -> None:
    """Drop jobs with everything that belongs to them, and the request keys whose jobs are all gone."""
    rows = [(job_id,) for job_id in ids]
    firsts = {row[0] for job_id in ids for row in db.execute(REQUEST_OF, (job_id,)).fetchall()}
    for table in ("job", "data", "result", "output"):
        db.executemany(f"DELETE FROM {table} WHERE id = ?", rows)
    db.executemany("DELETE FROM attempt WHERE job = ?", rows)
    db.executemany(
        "DELETE FROM request WHERE first_id = ? AND NOT EXISTS "
        "(SELECT 1 FROM job WHERE id BETWEEN request.first_id AND request.first_id + request.count - 1)",
        [(first,) for first in firsts],
    )


def _replace(db: sqlite3.Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    db.execute(f"DELETE FROM {table}")
    for row in rows:
        db.execute(f"INSERT INTO {table} VALUES({', '.join('?' * len(row))})", row)


def _attempt(item: tuple[int, Attempt]) -> tuple[Any, ...]:
    job_id, attempt = item
    reason = None if attempt.reason is None else attempt.reason.value
    return (
        job_id,
        attempt.number,
        attempt.outcome.value,
        attempt.started_at,
        attempt.ended_at,
        reason,
        attempt.message,
        attempt.detail,
    )
