"""The journal's tables in PostgreSQL, as numbered scripts, and what must hold in them.

The tables are those of `sqlite.schema`, in the first schema of the connection's search_path. A script never changes
after its release; the journal's row says how many have run.
"""

from __future__ import annotations

from enum import Enum

from zjobs.messages.states import FailReason, JobState, Outcome

SCRIPTS = (
    """
-- one row: the journal's identity and its totals; how long it has been in service, and what the wall clock said when
-- that was written; whether a worker ever announced types. `format`: the scripts that have run. `epoch` counts the
-- owners, and every commit is fenced with it; `holder` is the last one, as it calls itself, and `backend` the process
-- that serves it. `moved_to`: a copy of this journal has taken its place
CREATE TABLE journal(
    one boolean PRIMARY KEY DEFAULT true CHECK (one), id text NOT NULL, format bigint NOT NULL,
    epoch bigint NOT NULL, holder text NOT NULL, backend bigint NOT NULL, moved_to text NOT NULL DEFAULT '',
    next_id bigint NOT NULL, change bigint NOT NULL, completed bigint NOT NULL, failed bigint NOT NULL,
    cancelled bigint NOT NULL, served_ms bigint NOT NULL, served_at bigint NOT NULL, announced boolean NOT NULL
) WITH (fillfactor = 10);
CREATE TABLE job(
    id bigint PRIMARY KEY, type text NOT NULL, state text NOT NULL DEFAULT 'queued',
    attempts bigint NOT NULL DEFAULT 0, reruns bigint NOT NULL DEFAULT 0, version bigint NOT NULL DEFAULT 0,
    data_bytes bigint NOT NULL, submitted_at bigint NOT NULL, priority bigint NOT NULL, ready_at bigint,
    time_limit_ms bigint, cancelling boolean NOT NULL DEFAULT false, retry_of bigint, owner text NOT NULL,
    started_at bigint, ended_at bigint, elapsed_ms bigint, output_bytes bigint NOT NULL DEFAULT 0,
    killed bigint NOT NULL DEFAULT 0, reason text, message text, run bigint NOT NULL DEFAULT 0, ended_served_ms bigint,
    output_file text, left_behind text NOT NULL DEFAULT '', name text NOT NULL, comment text NOT NULL,
    submitter text NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX queued ON job(id) WHERE state = 'queued';
CREATE INDEX failed ON job(id) WHERE state = 'failed';
CREATE INDEX cancelled ON job(id) WHERE state = 'cancelled';
CREATE INDEX retried ON job(retry_of) WHERE retry_of IS NOT NULL;
-- bodies are packed already, and read in pieces: stored as they are, a piece is found without the rest
CREATE TABLE data(id bigint PRIMARY KEY, body bytea NOT NULL);
ALTER TABLE data ALTER body SET STORAGE EXTERNAL;
CREATE TABLE result(id bigint PRIMARY KEY, body bytea NOT NULL);
ALTER TABLE result ALTER body SET STORAGE EXTERNAL;
CREATE TABLE output(
    id bigint NOT NULL, run bigint NOT NULL, begins bigint NOT NULL, body bytea NOT NULL,
    PRIMARY KEY(id, run, begins));
ALTER TABLE output ALTER body SET STORAGE EXTERNAL;
CREATE TABLE attempt(
    job bigint NOT NULL, number bigint NOT NULL, outcome text NOT NULL, started_at bigint, ended_at bigint NOT NULL,
    reason text, message text NOT NULL, detail text NOT NULL, PRIMARY KEY(job, number));
CREATE TABLE request(
    first_id bigint PRIMARY KEY, owner text NOT NULL, request_key text NOT NULL, count bigint NOT NULL,
    digest bytea NOT NULL, UNIQUE(owner, request_key));
CREATE TABLE session(
    one boolean PRIMARY KEY DEFAULT true CHECK (one), incarnation text NOT NULL, session text NOT NULL,
    next_delivery bigint NOT NULL, reports_done bigint NOT NULL, resume bigint NOT NULL,
    began_delivery bigint NOT NULL, began_at bigint NOT NULL
) WITH (fillfactor = 10);
-- a row lives for the time of one job: without this, its dead rows would outnumber the living by thousands
CREATE TABLE in_flight(delivery bigint PRIMARY KEY, id bigint NOT NULL) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000000);
CREATE TABLE type(
    name text PRIMARY KEY, description text NOT NULL, max_attempts bigint NOT NULL, max_reruns bigint NOT NULL,
    time_limit_ms bigint, grace_ms bigint NOT NULL, retry_delay_ms bigint NOT NULL, schema_digest text NOT NULL);
CREATE TABLE type_schema(digest text PRIMARY KEY, schema bytea NOT NULL);
CREATE TABLE history(type text PRIMARY KEY, runs text NOT NULL);
CREATE TABLE audit(
    number bigint PRIMARY KEY, at bigint NOT NULL, op text NOT NULL, who text NOT NULL, proven boolean NOT NULL,
    via text NOT NULL, jobs text NOT NULL, text text NOT NULL);
CREATE TABLE pause(
    place bigint PRIMARY KEY, owner text NOT NULL, reason text NOT NULL, since_at bigint NOT NULL, until_at bigint);
INSERT INTO journal VALUES(true, '', 1, 0, '', 0, '', 1, 0, 0, 0, 0, 0, 0, false)
""",
    """
ALTER TABLE job ADD COLUMN held boolean NOT NULL DEFAULT false, ADD COLUMN after text NOT NULL DEFAULT '',
    ADD COLUMN after_any text NOT NULL DEFAULT '', ADD COLUMN cancelled_by bigint;
CREATE INDEX parked ON job(id) WHERE (held OR after <> '' OR after_any <> '') AND state = 'queued';
CREATE INDEX dependents ON job(cancelled_by) WHERE cancelled_by IS NOT NULL
""",
    """
-- this journal is a copy of another one, and not yet complete
ALTER TABLE journal ADD COLUMN copied_from text NOT NULL DEFAULT '';
-- how a command failed
ALTER TABLE job ADD COLUMN exit_code bigint;
ALTER TABLE job ADD COLUMN start_at bigint, ADD COLUMN start_by bigint;
CREATE INDEX timed ON job(id) WHERE start_by IS NOT NULL AND state = 'queued';
-- who asked for a pause by their own account, where no key proves whose it is
ALTER TABLE pause ADD COLUMN submitter text NOT NULL DEFAULT ''
""",
)
FORMAT = len(SCRIPTS)
TABLES = (
    "journal",
    "job",
    "data",
    "result",
    "output",
    "attempt",
    "request",
    "session",
    "in_flight",
    "type",
    "type_schema",
    "history",
    "audit",
    "pause",
)


def statements_of(script: str) -> list[str]:
    """Return the statements of a script one by one, because a pipeline takes one at a time."""
    return [statement for statement in script.split(";\n") if statement.strip()]


def _words(kind: type[Enum]) -> str:
    return ", ".join(f"'{member.value}'" for member in kind)


# A sentence, and a query for what breaks it.
CHECKS = {
    "a job is in flight that does not exist": "SELECT id FROM in_flight WHERE id NOT IN (SELECT id FROM job) LIMIT 1",
    "a job is in flight that has ended": "SELECT id FROM in_flight JOIN job USING (id) WHERE state <> 'queued' LIMIT 1",
    "an id was given that is not counted": "SELECT id FROM job WHERE id >= (SELECT next_id FROM journal) LIMIT 1",
    "a completed job has no result": "SELECT id FROM job WHERE state = 'completed' "
    "AND NOT EXISTS (SELECT 1 FROM result WHERE result.id = job.id) LIMIT 1",
    "a job's data has another size than its record says": "SELECT id FROM job JOIN data USING (id) "
    "WHERE octet_length(body) <> data_bytes LIMIT 1",
    "a job has an unknown state": f"SELECT id FROM job WHERE state NOT IN ({_words(JobState)}) LIMIT 1",
    "a job has an unknown reason": f"SELECT id FROM job WHERE reason NOT IN ({_words(FailReason)}) LIMIT 1",
    "the history of a type is no list of numbers": "SELECT type FROM history WHERE runs !~ '^[0-9 ]+$' LIMIT 1",
    "a job waits for what is no id": "SELECT id FROM job WHERE after || after_any !~ '^[0-9 ]*$' LIMIT 1",
    "a run ended in an unknown way": "SELECT job FROM attempt "
    f"WHERE outcome NOT IN ({_words(Outcome)}) OR reason NOT IN ({_words(FailReason)}) LIMIT 1",
}
