"""Reading of committed records: each kind by one statement that takes a list, all kinds in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from zjobs.broker.core.records.jobs import Job, Submitted
from zjobs.broker.core.records.needs import (
    MOST_DEPENDENTS,
    NOTHING,
    DataPiece,
    Details,
    Found,
    Needs,
    OutputPiece,
    ResultPiece,
)
from zjobs.broker.storage.postgres.connection.link import Rows
from zjobs.broker.storage.postgres.connection.values import INTEGER, INTEGERS, TEXT, TEXTS, Query, Statement
from zjobs.broker.storage.records import JOB_COLUMNS, RARE, attempt_of, job_of, output_of
from zjobs.messages.records import Attempt, AuditEntry
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId

MOST = (1 << 31) - 2  # substr counts bytes in an int, from 1
MOST_BYTES = 1 << 62  # so that an offset and a size have a sum

JOBS = Query(f"SELECT {JOB_COLUMNS} FROM job WHERE id = ANY($1)", INTEGERS)
SUBMITS = Query(
    """
SELECT place, request.owner, request.request_key, first_id, count, digest
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS need(owner, request_key, place)
JOIN request ON request.owner = need.owner AND request.request_key = need.request_key""",
    TEXTS,
    TEXTS,
)
DATA = Query("SELECT id, body FROM data WHERE id = ANY($1)", INTEGERS)
KEPT_BYTES = Query(
    " UNION ALL ".join(
        f"SELECT id, octet_length(body) FROM {table} WHERE id = ANY($1)" for table in ("data", "result", "output")
    ),
    INTEGERS,
)
RESULT_PIECES, DATA_PIECES = (
    Query(
        f"""
SELECT place, octet_length(body), substr(body, begins::int, size::int)
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS need(id, begins, size, place)
JOIN {table} ON {table}.id = need.id""",
        INTEGERS,
        INTEGERS,
        INTEGERS,
    )
    for table in ("result", "data")
)
# Of the newest run: what it printed in all, and its pieces from the one that has the offset, or the next one.
OUTPUTS = Query(
    """
SELECT place, newest.run, newest.ends, piece.begins, piece.body
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
    WITH ORDINALITY AS need(id, run, at, size, place)
CROSS JOIN LATERAL (
    SELECT run, begins + octet_length(body) AS ends FROM output WHERE id = need.id
    ORDER BY run DESC, begins DESC LIMIT 1) AS newest
LEFT JOIN LATERAL (
    SELECT begins, body FROM output WHERE id = need.id AND run = newest.run
    AND begins >= (SELECT coalesce(max(begins), 0) FROM output AS first
                   WHERE id = need.id AND run = newest.run AND begins <= need.at)
    AND begins < greatest(need.at + need.size, (SELECT min(begins) + 1 FROM output AS next
                          WHERE id = need.id AND run = newest.run AND begins > need.at))
    ) AS piece ON true
WHERE newest.run >= need.run ORDER BY place, begins""",
    INTEGERS,
    INTEGERS,
    INTEGERS,
    INTEGERS,
)
DETAILS = Query(
    """
SELECT id, (SELECT request_key FROM request WHERE first_id <= job.id ORDER BY first_id DESC LIMIT 1),
       (SELECT octet_length(body) FROM data WHERE data.id = job.id),
       (SELECT octet_length(body) FROM result WHERE result.id = job.id)
FROM job WHERE id = ANY($1)""",
    INTEGERS,
)
COPIES = Query("SELECT retry_of, id FROM job WHERE retry_of = ANY($1) ORDER BY id", INTEGERS)
ATTEMPTS = Query(
    f"SELECT job, {', '.join(Attempt._fields)} FROM attempt WHERE job = ANY($1) ORDER BY job, number", INTEGERS
)
DEPENDENTS = Query(
    f"""
WITH RECURSIVE lost(first, id) AS (
    SELECT cancelled_by, id FROM job WHERE cancelled_by = ANY($1)
    UNION SELECT lost.first, job.id FROM job JOIN lost ON job.cancelled_by = lost.id)
SELECT first, {JOB_COLUMNS} FROM (SELECT * FROM lost LIMIT $2) AS few JOIN job USING (id) ORDER BY id""",
    INTEGERS,
    INTEGER,
)
SCHEMAS = Query("SELECT digest, schema FROM type_schema WHERE digest = ANY($1)", TEXTS)

# `page` tells the rare states apart.
PAGES = {
    state: Query(f"SELECT {JOB_COLUMNS} FROM job WHERE id < $1 {condition} ORDER BY id DESC LIMIT $2", INTEGER, INTEGER)
    for state, condition in [(None, ""), *((state, f"AND state = '{state.value}'") for state in RARE)]
}
ENDED = Query(f"SELECT {JOB_COLUMNS} FROM job WHERE id > $1 ORDER BY id LIMIT $2", INTEGER, INTEGER)
AUDIT = Query(
    f"SELECT {', '.join(AuditEntry._fields)} FROM audit WHERE number < $1 AND at >= $2 AND ($3 IS NULL OR who = $3) "
    "ORDER BY number DESC LIMIT $4",
    INTEGER,
    INTEGER,
    TEXT,
    INTEGER,
)

Answers = Sequence[Rows]


# --- by id: a list of needs as statements, and the records in their rows ---------------------------------------------


def _by_id(*queries: Query) -> Callable[[Sequence[Any]], list[Statement]]:
    return lambda ids: [query(list(ids)) for query in queries]


def _jobs(_: Sequence[Any], answers: Answers) -> dict[JobId, Job]:
    return {row[0]: job_of(row) for row in answers[0]}


def _submits_asked(keys: Sequence[tuple[str, str]]) -> list[Statement]:
    return [SUBMITS.each(keys)]


def _submits(keys: Sequence[tuple[str, str]], answers: Answers) -> dict[tuple[str, str], Submitted]:
    return {keys[place - 1]: Submitted(*row) for place, *row in answers[0]}


def _pairs(_: Sequence[Any], answers: Answers) -> dict[Any, bytes]:
    return dict(answers[0])


def _kept_bytes(_: Sequence[Any], answers: Answers) -> dict[JobId, int]:
    kept: dict[JobId, int] = {}
    for job_id, size in answers[0]:
        kept[job_id] = kept.get(job_id, 0) + size
    return kept


def _pieces_asked(query: Query) -> Callable[[Sequence[Any]], list[Statement]]:
    return lambda needs: [query.each((need.id, min(need.offset, MOST) + 1, min(need.size, MOST)) for need in needs)]


def _pieces(kind: type[ResultPiece] | type[DataPiece]) -> Callable[[Sequence[Any], Answers], dict[Any, Any]]:
    return lambda needs, answers: {needs[place - 1]: kind(*row) for place, *row in answers[0]}


def _outputs_asked(needs: Sequence[Any]) -> list[Statement]:
    return [OUTPUTS.each((need.id, need.run, min(need.offset, MOST_BYTES), need.size) for need in needs)]


def _outputs(needs: Sequence[Any], answers: Answers) -> dict[Any, OutputPiece]:
    found: dict[int, tuple[int, int, list[tuple[int, bytes]]]] = {}
    for place, run, end, begins, body in answers[0]:
        _, _, pieces = found.setdefault(place, (run, end, []))
        if begins is not None:
            pieces.append((begins, body))
    return {needs[place - 1]: output_of(needs[place - 1], *printed) for place, printed in found.items()}


def _details(_: Sequence[Any], answers: Answers) -> dict[JobId, Details]:
    jobs, copies, runs = answers
    copies_of, attempts_of = _grouped(copies), _grouped(runs)
    return {
        job_id: Details(
            key or "",
            data_bytes,
            result_bytes,
            tuple(row[0] for row in copies_of.get(job_id, ())),
            tuple(map(attempt_of, attempts_of.get(job_id, ()))),
        )
        for job_id, key, data_bytes, result_bytes in jobs
    }


def _dependents_asked(ids: Sequence[JobId]) -> list[Statement]:
    return [DEPENDENTS(list(ids), MOST_DEPENDENTS)]


def _dependents(ids: Sequence[JobId], answers: Answers) -> dict[JobId, tuple[Job, ...]]:
    found = _grouped(answers[0])
    return {job_id: tuple(map(job_of, found.get(job_id, ()))) for job_id in ids}


def _grouped(rows: Rows) -> Mapping[int, Rows]:
    """Group the rest of the rows by the first column."""
    groups: dict[int, Rows] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row[1:])
    return groups


class Reader(NamedTuple):
    """The way to read one kind of need: `ask` makes statements, `found` makes records of their rows."""

    ask: Callable[[Sequence[Any]], list[Statement]]
    found: Callable[[Sequence[Any], Answers], Mapping[Any, Any]]


READERS = {
    "jobs": Reader(_by_id(JOBS), _jobs),
    "submits": Reader(_submits_asked, _submits),
    "data": Reader(_by_id(DATA), _pairs),
    "kept_bytes": Reader(_by_id(KEPT_BYTES), _kept_bytes),
    "results": Reader(_pieces_asked(RESULT_PIECES), _pieces(ResultPiece)),
    "outputs": Reader(_outputs_asked, _outputs),
    "details": Reader(_by_id(DETAILS, COPIES, ATTEMPTS), _details),
    "schemas": Reader(_by_id(SCHEMAS), _pairs),
    "data_pieces": Reader(_pieces_asked(DATA_PIECES), _pieces(DataPiece)),
    "dependents": Reader(_dependents_asked, _dependents),
}


def asked(needs: Needs) -> list[Statement]:
    """Return the statements that read all that is needed."""
    return [each for name, wanted in needs._asdict().items() if wanted for each in READERS[name].ask(wanted)]


def found(needs: Needs, answers: Iterable[Rows]) -> Found:
    """Return the records in the rows of those statements."""
    rest = iter(answers)
    records = {}
    for name, wanted in needs._asdict().items():
        if wanted:
            reader = READERS[name]
            records[name] = reader.found(wanted, [next(rest) for _ in reader.ask(wanted)])
    return NOTHING._replace(**records)


# --- in the order of their ids ---------------------------------------------------------------------------------------


def page_asked(below: JobId, state: JobState | None, most: int) -> Statement:
    """Return the statement for jobs with smaller ids."""
    return PAGES[state if state in RARE else None](below, most)


def page(rows: Rows, most: int) -> tuple[list[Job], JobId]:
    """Return the jobs in these rows, and the id to continue below, 0 at the end."""
    jobs = list(map(job_of, rows))
    return jobs, jobs[-1].id if len(jobs) == most else JobId(0)
