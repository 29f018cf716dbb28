"""The tables of every journal, whatever the database: their columns, and what these hold.

Both databases write jobs by these lists, and `copying` moves a journal by them. A database may have columns of its own
beside them. Tests compare the lists with the tables that there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from zjobs.broker.core.records.jobs import Counters, Job, Session
from zjobs.messages.records import AuditEntry, TaskType


class Table(NamedTuple):
    """A table. `by`: the columns that order its rows, no two of which have the same; `columns`: each with its type,
    which is int, str, bytes or bool."""

    name: str
    by: tuple[str, ...]
    columns: dict[str, type]


def _table(name: str, by: str, integers: Iterable[str], texts: str = "", bodies: str = "", flags: str = "") -> Table:
    """Return a table. Of `integers`, those that the other lists name are no integers."""
    columns: dict[str, type] = dict.fromkeys(integers, int)
    for names, kind in ((texts, str), (bodies, bytes), (flags, bool)):
        columns.update((name, kind) for name in names.split())
    return Table(name, tuple(by.split()), columns)


JOB = _table(
    "job",
    "id",
    Job._fields,
    "type state owner reason message output_file left_behind name comment submitter after after_any",
    flags="cancelling held",
)
# one row; a new journal has it already
JOURNAL = _table("journal", "id", (*Counters._fields, "served_ms", "served_at"), "id", flags="announced")
TABLES = (
    JOURNAL,
    JOB,
    _table("data", "id", ["id"], bodies="body"),
    _table("result", "id", ["id"], bodies="body"),
    _table("output", "id run begins", ["id", "run", "begins"], bodies="body"),
    _table("attempt", "job number", ["job", "number", "started_at", "ended_at"], "outcome reason message detail"),
    _table("request", "first_id", ["first_id", "count"], "owner request_key", "digest"),
    _table("session", "incarnation", Session._fields, "incarnation session"),
    _table("in_flight", "delivery", ["delivery", "id"]),
    _table("type", "name", TaskType._fields, "name description schema_digest"),
    _table("type_schema", "digest", [], "digest", "schema"),
    _table("history", "type", [], "type runs"),
    _table("audit", "number", AuditEntry._fields, "op who via jobs text", flags="proven"),
    _table("pause", "place", ["place", "since_at", "until_at"], "owner reason submitter"),
)

# What a job is submitted with, and what happens to it; `EDITED`, what may be asked of it, is the core's.
NEW = (
    "id",
    "type",
    "data_bytes",
    "submitted_at",
    "priority",
    "ready_at",
    "time_limit_ms",
    "retry_of",
    "owner",
    "name",
    "comment",
    "submitter",
)
CHANGED = (
    "id",
    "state",
    "attempts",
    "reruns",
    "version",
    "ready_at",
    "cancelling",
    "started_at",
    "ended_at",
    "elapsed_ms",
    "output_bytes",
    "killed",
    "reason",
    "message",
    "run",
    "ended_served_ms",
    "output_file",
    "left_behind",
    "exit_code",
)
