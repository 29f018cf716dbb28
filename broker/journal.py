"""The journal: one SQLite file with every job, its data, its result, and the exchange with the worker.

One turn of the broker is one transaction. `synchronous=FULL` in WAL mode means that a commit returns after the
log is flushed to disk (sqlite.org/wal.html), so what is committed survives a power cut. The file is locked for
this one connection: SQLite before 3.51.3 can damage a WAL that two connections checkpoint at once.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from zjobs.broker import wal
from zjobs.broker.jobs import Changes, Counters, Job, Loaded, Session, Submitted
from zjobs.messages.types import Attempt, FailReason, JobState, Outcome, TaskType

MEMORY = ":memory:"
APPLICATION_ID = 0x7A6A6F62  # "zjob": the file says whose it is (sqlite.org/pragma.html#pragma_application_id)
SCHEMA_VERSION = 1
PAGE_CACHE_KIB = 16_384
CHECKPOINT_PAGES = 1_000
CHECKED_AT_START_BYTES = 64 << 20
HEADER_BYTES = 100

SCHEMA = """
-- one row: the journal's identity, its totals, and whether a broker has it open
CREATE TABLE journal(
    id TEXT NOT NULL, next_id INTEGER NOT NULL, change INTEGER NOT NULL,
    completed INTEGER NOT NULL, failed INTEGER NOT NULL, cancelled INTEGER NOT NULL, in_use INTEGER NOT NULL);
CREATE TABLE job(
    id INTEGER PRIMARY KEY, type TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
    reruns INTEGER NOT NULL, version INTEGER NOT NULL, data_bytes INTEGER NOT NULL, submitted_at INTEGER NOT NULL,
    started_at INTEGER, ended_at INTEGER, elapsed_ms INTEGER, reason TEXT, message TEXT);
CREATE INDEX queued ON job(id) WHERE state = 'queued';
CREATE TABLE data(id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE result(id INTEGER PRIMARY KEY, body BLOB NOT NULL);
-- runs that did not complete their job
CREATE TABLE attempt(
    job INTEGER NOT NULL, number INTEGER NOT NULL, outcome TEXT NOT NULL, started_at INTEGER, ended_at INTEGER NOT NULL,
    reason TEXT, message TEXT NOT NULL, detail TEXT NOT NULL, PRIMARY KEY(job, number)) WITHOUT ROWID;
CREATE TABLE request(
    first_id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, count INTEGER NOT NULL, digest BLOB NOT NULL);
-- at most one row: the session with the worker; and the hand-overs of that session that are not settled
CREATE TABLE session(
    incarnation TEXT NOT NULL, session TEXT NOT NULL, next_n INTEGER NOT NULL, reports_done INTEGER NOT NULL,
    resume INTEGER NOT NULL);
CREATE TABLE hand(n INTEGER PRIMARY KEY, id INTEGER NOT NULL);
-- the task types that a worker last announced; `announced` has a row once one did
CREATE TABLE type(
    name TEXT PRIMARY KEY, description TEXT NOT NULL, max_attempts INTEGER NOT NULL, max_reruns INTEGER NOT NULL);
CREATE TABLE announced(at INTEGER PRIMARY KEY);
"""


def _words(kind: type[Enum]) -> str:
    """The values of an enumeration, for a query."""
    return ", ".join(f"'{member.value}'" for member in kind)


# What must hold beyond SQLite's own structure: a sentence, and a query for what breaks it.
CHECKS = {
    "a job is handed over that does not exist": "SELECT id FROM hand WHERE id NOT IN (SELECT id FROM job)",
    "a job is handed over that has ended": "SELECT id FROM hand JOIN job USING (id) WHERE state <> 'queued' LIMIT 1",
    "an id was given that is not counted": "SELECT id FROM job WHERE id >= (SELECT next_id FROM journal) LIMIT 1",
    "a completed job has no result": "SELECT id FROM job WHERE state = 'completed' "
    "AND id NOT IN (SELECT id FROM result) LIMIT 1",
    "a job's data has another size than its record says": "SELECT id FROM job JOIN data USING (id) "
    "WHERE length(body) <> data_bytes LIMIT 1",
    "a job is in a state that there is none of": f"SELECT id FROM job WHERE state NOT IN ({_words(JobState)}) LIMIT 1",
    "a job failed for a reason that there is none of": "SELECT id FROM job "
    f"WHERE reason NOT IN ({_words(FailReason)}) LIMIT 1",
    "a run ended in a way that there is none of": "SELECT job FROM attempt "
    f"WHERE outcome NOT IN ({_words(Outcome)}) OR reason NOT IN ({_words(FailReason)}) LIMIT 1",
}

JOB_COLUMNS = ", ".join(Job._fields)
JOB_PLACES = ", ".join("?" * len(Job._fields))
CHANGEABLE = [name for name in Job._fields if name not in ("id", "type", "data_bytes", "submitted_at")]
UPDATE_JOB = f"UPDATE job SET {', '.join(f'{name} = ?' for name in CHANGEABLE)} WHERE id = ?"


Word = TypeVar("Word", bound=Enum)


class StorageError(Exception):
    """The disk did not take a commit. Nothing of it is promised."""


class JournalError(Exception):
    """The file cannot serve as a journal; it is left as it is."""


class CannotCreate(JournalError):
    """There is no such file and none can be made there, or it cannot be written at present."""


class Journal:
    """An open journal. `file`: where it is, or ':memory:'. `journal_id`: its identity, for ever.
    `read_only`: None, or why nothing can be written since a commit failed."""

    sqlite_version = sqlite3.sqlite_version

    def __init__(self, connection: sqlite3.Connection, file: str) -> None:
        self._db = connection
        self.file = file
        self.read_only: str | None = None
        self._taken_up = False
        self._undisturbed = False
        self.journal_id: str = self._one("SELECT id FROM journal")[0]

    @classmethod
    def open(cls, file: str, new_id: str) -> Journal:
        """Opens or creates the journal in `file`; a new one gets the identity `new_id`.

        Raises CannotCreate and JournalError. Nothing is written to an existing file before `take_up`.
        """
        if file == MEMORY:
            return cls(_create(MEMORY, new_id), file)
        if not _has_content(file):
            _create_file(file, new_id)
        with _damage(file):
            _check_header(file)
            connection = _connect(file)
            _unclosed.append(connection)
            journal = cls(connection, file)
            if Path(file).stat().st_size <= CHECKED_AT_START_BYTES:
                journal.check()
        return journal

    def check(self) -> None:
        """Looks through the whole file. Raises JournalError with what is wrong; takes seconds for a gigabyte."""
        problems = [row[0] for row in self._all("PRAGMA integrity_check(3)") if row[0] != "ok"]
        for sentence, query in CHECKS.items():
            problems += [f"{sentence} ({row[0]})" for row in self._all(query)]
        if problems:
            raise JournalError(f"the journal {self.file} is damaged: {'; '.join(problems)}")

    def take_up(self) -> None:
        """Marks the file itself as in use, so that a log that vanishes later is missed (see _check_header).

        Raises CannotCreate when the disk does not take it. From here on `close` is the way to end.
        """
        try:
            self._db.execute("UPDATE journal SET in_use = 1")
            if self.file != MEMORY:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                _unclosed.remove(self._db)
        except sqlite3.Error as error:
            raise CannotCreate(f"the journal {self.file} cannot be written: {error}") from error
        self._taken_up = True

    # --- reading -------------------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """Everything the core keeps in memory. Raises JournalError when the file turns out to be damaged."""
        with _damage(self.file):
            return self._load()

    def _load(self) -> Loaded:
        counters = Counters(*self._one("SELECT next_id, change, completed, failed, cancelled FROM journal"))
        handed = self._all(f"SELECT n, {JOB_COLUMNS} FROM hand JOIN job USING (id) ORDER BY n")
        session = self._one("SELECT * FROM session")
        announced = self._one("SELECT 1 FROM announced") is not None
        types = [TaskType(*row) for row in self._all("SELECT * FROM type")]
        return Loaded(
            self.journal_id,
            counters,
            [job_id for (job_id,) in self._all("SELECT id FROM job WHERE state = 'queued' ORDER BY id")],
            {row[0]: _job(row[1:]) for row in handed},
            Session(*session) if session else None,
            {known.name: known for known in types} if announced else None,
        )

    # Each of these raises StorageError when the disk cannot be read.

    def job(self, job_id: int) -> Job | None:
        row = self._one(f"SELECT {JOB_COLUMNS} FROM job WHERE id = ?", job_id)
        return _job(row) if row else None

    def jobs(self, ids: Sequence[int]) -> list[Job]:
        """The queued jobs among `ids`, which come in ascending order and with no other queued job between them."""
        if not ids:
            return []
        rows = self._all(
            f"SELECT {JOB_COLUMNS} FROM job WHERE state = 'queued' AND id BETWEEN ? AND ?", ids[0], ids[-1]
        )
        return list(map(_job, rows))

    def data_of(self, ids: Sequence[int]) -> dict[int, bytes]:
        """The data of those of `ids` that have any."""
        if len(ids) > 1 and ids[-1] - ids[0] == len(ids) - 1:
            return dict(self._all("SELECT id, body FROM data WHERE id BETWEEN ? AND ?", ids[0], ids[-1]))
        rows = (self._one("SELECT id, body FROM data WHERE id = ?", job_id) for job_id in ids)
        return dict(row for row in rows if row)

    def result_piece(self, job_id: int, offset: int, size: int) -> tuple[int, bytes]:
        """The size of the whole result, and at most `size` bytes of it; (0, b"") when there is none."""
        row = self._one("SELECT length(body), substr(body, ?, ?) FROM result WHERE id = ?", offset + 1, size, job_id)
        return (row[0], row[1]) if row else (0, b"")

    def attempts(self, job_id: int) -> tuple[Attempt, ...]:
        """The runs that did not complete the job, in order."""
        rows = self._all(
            "SELECT number, outcome, started_at, ended_at, reason, message, detail FROM attempt WHERE job = ? "
            "ORDER BY number",
            job_id,
        )
        return tuple(
            Attempt(number, _known(Outcome, outcome), started_at, ended_at, _reason(reason), message, detail)
            for number, outcome, started_at, ended_at, reason, message, detail in rows
        )

    def submitted(self, key: str) -> Submitted | None:
        row = self._one("SELECT key, first_id, count, digest FROM request WHERE key = ?", key)
        return Submitted(*row) if row else None

    def key_of(self, job_id: int) -> str:
        """The key that `job_id` was submitted under."""
        row = self._one("SELECT key FROM request WHERE first_id <= ? ORDER BY first_id DESC LIMIT 1", job_id)
        return row[0] if row else ""

    def size_bytes(self) -> int:
        """What the journal takes on disk, its log included; in memory: what it takes there."""
        if self.file == MEMORY:
            return int(self._one("PRAGMA page_count")[0] * self._one("PRAGMA page_size")[0])
        return sum(path.stat().st_size for path in _files(self.file) if path.exists())

    # --- writing -------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """Writes down one turn, all or nothing; on return it is on disk. Raises StorageError."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._write(changes)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self.read_only = str(error)
            self._roll_back()
            raise StorageError(str(error)) from error

    def recover(self) -> None:
        """After a failed commit: raises StorageError unless the disk takes a checkpoint and a commit again.

        A checkpoint, because after a failed flush the log's pages may be in the cache only, where another flush of
        the same pages would wrongly succeed; a checkpoint writes them anew, into the file itself.
        """
        try:
            self._roll_back()
            self._undisturbed = False
            if self.file != MEMORY and self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise StorageError("the checkpoint was not completed")
            self._db.execute("UPDATE journal SET in_use = 1")
        except sqlite3.Error as error:
            self._roll_back()
            raise StorageError(str(error)) from error
        self.read_only = None

    def hold_checkpoints(self) -> None:
        """From now on the file stays as it is and only the log grows, so that both can be copied."""
        self._all("PRAGMA wal_autocheckpoint = 0")
        self._undisturbed = True

    def release_checkpoints(self) -> bool:
        """Ends a hold. Returns whether the file really stayed as it was."""
        self._all(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        undisturbed, self._undisturbed = self._undisturbed, False
        return undisturbed

    def close(self) -> None:
        """Ends in an orderly way: everything in the one file, no log beside it. Raises StorageError.

        A journal that was not taken up stays as it is.
        """
        if not self._taken_up:
            return
        try:
            self._db.execute("UPDATE journal SET in_use = 0")
            self._db.close()
        except sqlite3.Error as error:
            raise StorageError(str(error)) from error

    def _write(self, changes: Changes) -> None:
        many = self._db.executemany
        if changes.added:
            many(f"INSERT INTO job({JOB_COLUMNS}) VALUES({JOB_PLACES})", map(_row, changes.added.values()))
        if changes.changed:
            many(UPDATE_JOB, map(_update, changes.changed.values()))
        if changes.data:
            many("INSERT INTO data VALUES(?, ?)", changes.data)
        if changes.results:
            many("INSERT INTO result VALUES(?, ?)", changes.results)
        if changes.attempts:
            many("INSERT INTO attempt VALUES(?, ?, ?, ?, ?, ?, ?, ?)", map(_attempt, changes.attempts))
        if changes.submitted:
            many("INSERT INTO request(key, first_id, count, digest) VALUES(?, ?, ?, ?)", changes.submitted.values())
        if changes.forget_hands:
            many("DELETE FROM hand WHERE n = ?", changes.forget_hands)
        if changes.hands:
            many("INSERT INTO hand VALUES(?, ?)", changes.hands)
        if changes.session is not None:
            self._replace("session", [changes.session])
        if changes.types is not None:
            self._replace("type", changes.types.values())
            self._replace("announced", [(1,)])
        if changes.counters is not None:
            self._db.execute(
                "UPDATE journal SET next_id = ?, change = ?, completed = ?, failed = ?, cancelled = ?",
                changes.counters,
            )

    def _replace(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        self._db.execute(f"DELETE FROM {table}")
        for row in rows:
            self._db.execute(f"INSERT INTO {table} VALUES({', '.join('?' * len(row))})", row)

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _one(self, query: str, *values: Any) -> Any:
        rows = self._all(query, *values)
        return rows[0] if rows else None

    def _all(self, query: str, *values: Any) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StorageError(str(error)) from error


# Connections to files that turned out to be damaged, or were not taken up yet. SQLite moves the log into the file
# when a connection is closed; a damaged journal shall stay as it is, so these never are (the program ends anyway).
_unclosed: list[sqlite3.Connection] = []


@contextlib.contextmanager
def _damage(file: str) -> Iterator[None]:
    """Says JournalError for whatever reading a damaged file leads to."""
    try:
        yield
    except (sqlite3.Error, StorageError, ValueError, TypeError) as error:
        raise JournalError(f"the journal {file} is damaged or unreadable: {error}") from error


def _connect(file: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _create(file: str, new_id: str) -> sqlite3.Connection:
    connection = _connect(file)
    connection.execute(f"PRAGMA page_size = {wal.PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.executescript(SCHEMA)
    connection.execute("INSERT INTO journal VALUES(?, 1, 0, 0, 0, 0, 0)", (new_id,))
    return connection


def _create_file(file: str, new_id: str) -> None:
    """Makes the whole journal under another name first, so that a crash leaves none or a complete one."""
    path, making = Path(file), Path(file + ".new")
    try:
        making.unlink(missing_ok=True)
        os.close(os.open(making, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        connection = _create(str(making), new_id)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        making.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    except (OSError, sqlite3.Error) as error:
        raise CannotCreate(f"the journal {file} cannot be created: {error}") from error


def _has_content(file: str) -> bool:
    """Whether there is a file to open. An empty one is as good as none."""
    try:
        return os.stat(file).st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(f"the journal {file} cannot be read: {error.strerror}") from error


def _check_header(file: str) -> None:
    """Refuses what is not a journal of ours, before anything could change the file.

    An orderly end leaves in_use = 0 and no log, so a file in use without a log has lost it, and with it jobs that were
    acknowledged. Beside a log only the header's bytes are looked at (sqlite.org/fileformat2.html#the_database_header):
    a crash while the log is moved into the file leaves pages, and a length, that only the log makes whole again.
    """
    if not os.access(file, os.R_OK | os.W_OK):
        raise JournalError(f"the journal {file} cannot be read and written by this user")
    try:
        with open(file, "rb") as content:
            header = content.read(HEADER_BYTES)
    except OSError as error:
        raise JournalError(f"the journal {file} is damaged or unreadable: {error.strerror}") from error
    if len(header) < HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise JournalError(f"the journal {file} is damaged or unreadable: file is not a database")
    version, application_id = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
    if application_id != APPLICATION_ID:
        raise JournalError(f"{file} is an SQLite file, but not a journal of zjobs")
    if version != SCHEMA_VERSION:
        raise JournalError(
            f"the journal {file} has format {version}; this zjobs reads format {SCHEMA_VERSION}"
            + (": use a newer one" if version > SCHEMA_VERSION else "")
        )
    if not Path(file + "-wal").exists() and _in_use(file):
        raise JournalError(f"the journal {file} was in use, but its log {file}-wal is gone, and jobs with it")
    lost = wal.lost_commits(Path(file + "-wal"))
    if lost:
        raise JournalError(f"the log {file}-wal is damaged: {lost} commits stand behind the broken place")


def _in_use(file: str) -> bool:
    connection = sqlite3.connect(f"{Path(file).absolute().as_uri()}?immutable=1", uri=True)
    try:
        return bool(connection.execute("SELECT in_use FROM journal").fetchone()[0])
    finally:
        connection.close()


def _files(file: str) -> list[Path]:
    return [Path(file), Path(file + "-wal")]


def _job(row: Sequence[Any]) -> Job:
    job = Job._make(row)
    return job._replace(state=_known(JobState, job.state), reason=_reason(job.reason))


def _reason(value: str | None) -> FailReason | None:
    return None if value is None else _known(FailReason, value)


def _known(kind: type[Word], value: str) -> Word:
    """One of a closed list. What is none of it was damaged on disk: a ValueError would end the broker."""
    try:
        return kind(value)
    except ValueError:
        raise StorageError(f"a record is damaged: {value!r} is no {kind.__name__}") from None


def _row(job: Job) -> tuple[Any, ...]:
    return tuple(value.value if isinstance(value, (JobState, FailReason)) else value for value in job)


def _update(job: Job) -> tuple[Any, ...]:
    return (
        job.state.value,
        job.attempts,
        job.reruns,
        job.version,
        job.started_at,
        job.ended_at,
        job.elapsed_ms,
        None if job.reason is None else job.reason.value,
        job.message,
        job.id,
    )


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
