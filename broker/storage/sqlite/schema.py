"""The journal's tables, what must hold in them, and how older ones are brought up to date."""

from __future__ import annotations

from enum import Enum

from zjobs.messages.states import FailReason, JobState, Outcome

APPLICATION_ID = 0x7A6A6F62  # "zjob": the file says whose it is (sqlite.org/pragma.html#pragma_application_id)
BACKUP_ID = 0x7A6A6263  # "zjbc": a copy, which is no journal until it is restored
SCHEMA_VERSION = 8

SCHEMA = """
-- one row: the journal's identity, its totals, whether a broker has it open, and how many transactions it has seen
-- (see `lineage`, which reads this row from the raw page: columns are added at the end); for how long it has been in
-- service, and what the wall clock said when that was written; see `copying` for the last two
CREATE TABLE journal(
    id TEXT NOT NULL, next_id INTEGER NOT NULL, change INTEGER NOT NULL,
    completed INTEGER NOT NULL, failed INTEGER NOT NULL, cancelled INTEGER NOT NULL, in_use INTEGER NOT NULL,
    commits INTEGER NOT NULL DEFAULT 0, served_ms INTEGER NOT NULL DEFAULT 0, served_at INTEGER NOT NULL DEFAULT 0,
    moved_to TEXT NOT NULL DEFAULT '', copied_from TEXT NOT NULL DEFAULT '');
CREATE TABLE job(
    id INTEGER PRIMARY KEY, type TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
    reruns INTEGER NOT NULL, version INTEGER NOT NULL, data_bytes INTEGER NOT NULL, submitted_at INTEGER NOT NULL,
    started_at INTEGER, ended_at INTEGER, elapsed_ms INTEGER, reason TEXT, message TEXT,
    priority INTEGER NOT NULL DEFAULT 0, ready_at INTEGER, time_limit_ms INTEGER,
    cancelling INTEGER NOT NULL DEFAULT 0, retry_of INTEGER, output_bytes INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT '', run INTEGER NOT NULL DEFAULT 0, ended_served_ms INTEGER,
    killed INTEGER NOT NULL DEFAULT 0, output_file TEXT, left_behind TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL DEFAULT '', comment TEXT NOT NULL DEFAULT '', submitter TEXT NOT NULL DEFAULT '',
    held INTEGER NOT NULL DEFAULT 0, after TEXT NOT NULL DEFAULT '', after_any TEXT NOT NULL DEFAULT '',
    cancelled_by INTEGER, exit_code INTEGER, start_at INTEGER, start_by INTEGER);
CREATE INDEX queued ON job(priority, id) WHERE state = 'queued';
CREATE INDEX waiting ON job(ready_at) WHERE ready_at IS NOT NULL AND state = 'queued';
CREATE INDEX parked ON job(id) WHERE (held OR after <> '' OR after_any <> '') AND state = 'queued';
CREATE INDEX dependents ON job(cancelled_by) WHERE cancelled_by IS NOT NULL;
CREATE INDEX timed ON job(id) WHERE start_by IS NOT NULL AND state = 'queued';
CREATE INDEX failed ON job(id) WHERE state = 'failed';
CREATE INDEX cancelled ON job(id) WHERE state = 'cancelled';
CREATE INDEX retried ON job(retry_of) WHERE retry_of IS NOT NULL;
CREATE TABLE data(id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE result(id INTEGER PRIMARY KEY, body BLOB NOT NULL);
-- what the last run printed, of much of it the end, in the pieces in which it came
CREATE TABLE output(
    id INTEGER NOT NULL, run INTEGER NOT NULL, offset INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY(id, run, offset));
-- runs that did not complete their job
CREATE TABLE attempt(
    job INTEGER NOT NULL, number INTEGER NOT NULL, outcome TEXT NOT NULL, started_at INTEGER, ended_at INTEGER NOT NULL,
    reason TEXT, message TEXT NOT NULL, detail TEXT NOT NULL, PRIMARY KEY(job, number)) WITHOUT ROWID;
-- each owner has request keys of its own
CREATE TABLE request(
    first_id INTEGER PRIMARY KEY, owner TEXT NOT NULL, request_key TEXT NOT NULL, count INTEGER NOT NULL,
    digest BLOB NOT NULL, UNIQUE(owner, request_key));
-- at most one row: the session with the worker; and the deliveries of that session that are not settled
CREATE TABLE session(
    incarnation TEXT NOT NULL, session TEXT NOT NULL, next_delivery INTEGER NOT NULL, reports_done INTEGER NOT NULL,
    resume INTEGER NOT NULL, began_delivery INTEGER NOT NULL DEFAULT 0, began_at INTEGER NOT NULL DEFAULT 0);
CREATE TABLE in_flight(delivery INTEGER PRIMARY KEY, id INTEGER NOT NULL);
-- the task types that a worker last announced; `announced` has a row once one did
CREATE TABLE type(
    name TEXT PRIMARY KEY, description TEXT NOT NULL, max_attempts INTEGER NOT NULL, max_reruns INTEGER NOT NULL,
    time_limit_ms INTEGER, grace_ms INTEGER NOT NULL DEFAULT 2000, retry_delay_ms INTEGER NOT NULL DEFAULT 1000,
    schema_digest TEXT NOT NULL DEFAULT '');
-- what these types take, as their worker described it
CREATE TABLE type_schema(digest TEXT PRIMARY KEY, schema BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE announced(at INTEGER PRIMARY KEY);
-- how long the last runs of a type took: microseconds, with spaces between them, the newest last
CREATE TABLE history(type TEXT PRIMARY KEY, runs TEXT NOT NULL) WITHOUT ROWID;
-- who changed what by hand: the newest entries
CREATE TABLE audit(
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, op TEXT NOT NULL, who TEXT NOT NULL, proven INTEGER NOT NULL,
    via TEXT NOT NULL, jobs TEXT NOT NULL, text TEXT NOT NULL);
-- while there are rows, nothing new may start; until_at: NULL until somebody lifts the pause
CREATE TABLE pause(
    owner TEXT NOT NULL, reason TEXT NOT NULL, since_at INTEGER NOT NULL, until_at INTEGER,
    submitter TEXT NOT NULL DEFAULT '');
"""

# From each older format to the next.
MIGRATIONS = {
    1: """
ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN ready_at INTEGER;
ALTER TABLE job ADD COLUMN time_limit_ms INTEGER;
ALTER TABLE job ADD COLUMN cancelling INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN retry_of INTEGER;
ALTER TABLE job ADD COLUMN output_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN owner TEXT NOT NULL DEFAULT '';
DROP INDEX queued;
CREATE INDEX queued ON job(priority, id) WHERE state = 'queued';
CREATE INDEX waiting ON job(ready_at) WHERE ready_at IS NOT NULL AND state = 'queued';
CREATE INDEX failed ON job(id) WHERE state = 'failed';
CREATE INDEX cancelled ON job(id) WHERE state = 'cancelled';
CREATE INDEX retried ON job(retry_of) WHERE retry_of IS NOT NULL;
CREATE TABLE output(id INTEGER PRIMARY KEY, body BLOB NOT NULL);
ALTER TABLE type ADD COLUMN time_limit_ms INTEGER;
ALTER TABLE type ADD COLUMN grace_ms INTEGER NOT NULL DEFAULT 2000;
ALTER TABLE type ADD COLUMN retry_delay_ms INTEGER NOT NULL DEFAULT 1000;
CREATE TABLE pause(at INTEGER NOT NULL, reason TEXT NOT NULL);
""",
    # Format 2 had owner and request key in one text: OWNER/KEY, or KEY alone where there was no owner. KEY may have a
    # slash as well, so the text alone does not tell; the owner of the request's jobs does (a kept request has one).
    2: """
CREATE TABLE request_3(
    first_id INTEGER PRIMARY KEY, owner TEXT NOT NULL, request_key TEXT NOT NULL, count INTEGER NOT NULL,
    digest BLOB NOT NULL, UNIQUE(owner, request_key));
INSERT INTO request_3
WITH found AS (
    SELECT request.*, (
        SELECT job.owner FROM job WHERE job.id BETWEEN first_id AND first_id + count - 1 LIMIT 1) AS owner
    FROM request),
owned AS (SELECT *, owner <> '' AND substr(key, 1, length(owner) + 1) = owner || '/' AS prefixed FROM found)
SELECT first_id, iif(prefixed, owner, ''), iif(prefixed, substr(key, length(owner) + 2), key), count, digest
FROM owned ORDER BY first_id;
DROP TABLE request;
ALTER TABLE request_3 RENAME TO request;
ALTER TABLE journal ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
UPDATE journal SET commits = 1;
ALTER TABLE job ADD COLUMN run INTEGER NOT NULL DEFAULT 0;
UPDATE job SET run = attempts + reruns
    + (SELECT count(*) FROM attempt WHERE attempt.job = job.id AND attempt.outcome = 'cancelled')
    WHERE attempts + reruns > 0 OR state = 'cancelled';
ALTER TABLE session ADD COLUMN began_n INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN began_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN served_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN served_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN ended_served_ms INTEGER;
ALTER TABLE job ADD COLUMN killed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN output_file TEXT;
ALTER TABLE job ADD COLUMN left_behind TEXT NOT NULL DEFAULT '';
ALTER TABLE output RENAME TO output_2;
CREATE TABLE output(
    id INTEGER NOT NULL, run INTEGER NOT NULL, offset INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY(id, run, offset));
INSERT INTO output SELECT id, run, max(0, output_bytes - length(body)), body
FROM output_2 JOIN job USING (id);
DROP TABLE output_2;
""",
    3: """
ALTER TABLE hand RENAME TO in_flight;
ALTER TABLE in_flight RENAME COLUMN n TO delivery;
ALTER TABLE session RENAME COLUMN next_n TO next_delivery;
ALTER TABLE session RENAME COLUMN began_n TO began_delivery;
""",
    4: """
ALTER TABLE type ADD COLUMN schema_digest TEXT NOT NULL DEFAULT '';
CREATE TABLE type_schema(digest TEXT PRIMARY KEY, schema BLOB NOT NULL) WITHOUT ROWID;
""",
    5: """
ALTER TABLE job ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN comment TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN submitter TEXT NOT NULL DEFAULT '';
CREATE TABLE history(type TEXT PRIMARY KEY, runs TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE audit(
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, op TEXT NOT NULL, who TEXT NOT NULL, proven INTEGER NOT NULL,
    via TEXT NOT NULL, jobs TEXT NOT NULL, text TEXT NOT NULL);
ALTER TABLE pause RENAME TO pause_5;
CREATE TABLE pause(owner TEXT NOT NULL, reason TEXT NOT NULL, since_at INTEGER NOT NULL, until_at INTEGER);
INSERT INTO pause SELECT '', reason, at, NULL FROM pause_5;
DROP TABLE pause_5;
""",
    6: """
ALTER TABLE job ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN after TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN after_any TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN cancelled_by INTEGER;
CREATE INDEX parked ON job(id) WHERE (held OR after <> '' OR after_any <> '') AND state = 'queued';
CREATE INDEX dependents ON job(cancelled_by) WHERE cancelled_by IS NOT NULL;
""",
    7: """
ALTER TABLE journal ADD COLUMN moved_to TEXT NOT NULL DEFAULT '';
ALTER TABLE journal ADD COLUMN copied_from TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN exit_code INTEGER;
ALTER TABLE job ADD COLUMN start_at INTEGER;
ALTER TABLE job ADD COLUMN start_by INTEGER;
CREATE INDEX timed ON job(id) WHERE start_by IS NOT NULL AND state = 'queued';
ALTER TABLE pause ADD COLUMN submitter TEXT NOT NULL DEFAULT '';
""",
}


def _words(kind: type[Enum]) -> str:
    """Return the values of an enumeration, for a query."""
    return ", ".join(f"'{member.value}'" for member in kind)


# What must hold beyond SQLite's own structure: a sentence, and a query for what breaks it.
CHECKS = {
    "a job is in flight that does not exist": "SELECT id FROM in_flight WHERE id NOT IN (SELECT id FROM job)",
    "a job is in flight that has ended": "SELECT id FROM in_flight JOIN job USING (id) WHERE state <> 'queued' LIMIT 1",
    "an id was given that is not counted": "SELECT id FROM job WHERE id >= (SELECT next_id FROM journal) LIMIT 1",
    "a completed job has no result": "SELECT id FROM job WHERE state = 'completed' "
    "AND id NOT IN (SELECT id FROM result) LIMIT 1",
    "a job's data has another size than its record says": "SELECT id FROM job JOIN data USING (id) "
    "WHERE length(body) <> data_bytes LIMIT 1",
    "a job has an unknown state": f"SELECT id FROM job WHERE state NOT IN ({_words(JobState)}) LIMIT 1",
    "a job has an unknown reason": f"SELECT id FROM job WHERE reason NOT IN ({_words(FailReason)}) LIMIT 1",
    "the history of a type is no list of numbers": "SELECT type FROM history WHERE runs = '' OR runs GLOB '*[^0-9 ]*' "
    "LIMIT 1",
    "a job waits for what is no id": "SELECT id FROM job WHERE after GLOB '*[^0-9 ]*' OR after_any GLOB '*[^0-9 ]*' "
    "LIMIT 1",
    "a run ended in an unknown way": "SELECT job FROM attempt "
    f"WHERE outcome NOT IN ({_words(Outcome)}) OR reason NOT IN ({_words(FailReason)}) LIMIT 1",
}
