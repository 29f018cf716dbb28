"""The journal: one SQLite file with every job, its data, its result, and the exchange with the worker.

One turn of the broker is one transaction. `synchronous=FULL` in WAL mode means that a commit returns after the
log is flushed to disk (sqlite.org/wal.html), so what is committed survives a power cut. The file is locked for
this one connection: SQLite before 3.51.3 can damage a WAL that two connections checkpoint at once.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from zjobs.broker.core.jobs import Changes, Counters, Job, Loaded, Printed, Service, Session, Submitted
from zjobs.broker.storage import lineage, wal
from zjobs.broker.storage.schema import APPLICATION_ID, BACKUP_ID, CHECKS, MIGRATIONS, SCHEMA, SCHEMA_VERSION
from zjobs.messages.records import Attempt, Paused, TaskType
from zjobs.messages.states import FailReason, JobState, Outcome

MEMORY = ":memory:"
PAGE_CACHE_KIB = 49_152
CHECKPOINT_PAGES = 4_000
MAX_BLOB_BYTES = 1 << 31
CHECKED_AT_START_BYTES = 64 << 20
HEADER_BYTES, APPLICATION_ID_AT = 100, 68
NAMED_AT_ONCE = 500

JOB_COLUMNS = ", ".join(Job._fields)
_STATE, _REASON, _CANCELLING = map(Job._fields.index, ("state", "reason", "cancelling"))
RARE = (JobState.FAILED, JobState.CANCELLED)
REQUEST_OF = "SELECT first_id FROM request WHERE first_id <= ? ORDER BY first_id DESC LIMIT 1"
INSERT_JOB = """
INSERT INTO job(id, type, data_bytes, submitted_at, priority, ready_at, time_limit_ms, retry_of, owner,
                state, attempts, reruns, version)
VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', 0, 0, 0)"""
INSERT_REQUEST = "INSERT INTO request(owner, request_key, first_id, count, digest) VALUES(?, ?, ?, ?, ?)"
UPDATE_JOB = """
UPDATE job SET state = ?, attempts = ?, reruns = ?, version = ?, ready_at = ?, cancelling = ?, started_at = ?,
               ended_at = ?, elapsed_ms = ?, output_bytes = ?, killed = ?, reason = ?, message = ?, run = ?,
               ended_served_ms = ?,
               output_file = ?, left_behind = ?
WHERE id = ?"""


Word = TypeVar("Word", bound=Enum)
_WORDS: dict[type[Enum], dict[str, Any]] = {
    kind: {word.value: word for word in kind} for kind in (JobState, FailReason, Outcome)
}


class StorageError(Exception):
    """The disk did not take a commit. Nothing of it is promised."""


class JournalError(Exception):
    """The file cannot serve as a journal; it is left as it is."""


class Unreadable(JournalError):
    """The disk does not give the file out, or may not: that says nothing about what is in it."""


class CannotCreate(JournalError):
    """There is no such file and none can be made there, or it cannot be written at present."""


class Kind(Enum):
    """What a file is; the value is the application id in its header (sqlite.org/pragma.html#pragma_application_id).
    A backup is marked, so that no broker takes up a copy beside the journal that it was made of."""

    JOURNAL = APPLICATION_ID
    BACKUP = BACKUP_ID


class Misplaced(JournalError):
    """A backup where a journal is meant, or the other way round."""


class Journal:
    """An open journal. `file`: where it is, or ':memory:'. `journal_id`: its identity, for ever.
    `read_only`: None, or why nothing can be written since a commit failed."""

    sqlite_version = sqlite3.sqlite_version

    def __init__(self, connection: sqlite3.Connection, file: str) -> None:
        self._db = connection
        self.file = file
        self.read_only: str | None = None
        self.kind = Kind.JOURNAL
        self._taken_up = False
        self.journal_id: str = self._one("SELECT id FROM journal")[0]

    @classmethod
    def open(cls, file: str, new_id: str, as_it_is: bool = False, kind: Kind | None = Kind.JOURNAL) -> Journal:
        """Opens or creates the journal in `file`; a new one gets the identity `new_id`. `kind`: what it must be.

        Nothing is written to an existing file before `take_up`, except that one of an older format is brought up to
        date; `as_it_is` refuses such a file instead. Raises CannotCreate and JournalError.
        """
        if file == MEMORY:
            return cls(_create(MEMORY, new_id), file)
        _refuse_foreign_links(file)
        if not _has_content(file):
            _create_file(file, new_id)
        with _damage(file):
            found = _check_header(file, kind, as_it_is)
            connection = _connection(file, as_it_is and not _writable(file))
            _unclosed.append(connection)
            journal = _with_its_own_log(connection, file)
            journal.kind = found
            journal._bring_up_to_date(as_it_is)
            if journal.size_bytes() <= CHECKED_AT_START_BYTES:
                journal.check()
        return journal

    def check(self) -> None:
        """Looks through the whole file. Raises JournalError with what is wrong; takes seconds for a gigabyte."""
        with _damage(self.file):
            problems = [row[0] for row in self._all("PRAGMA integrity_check(3)") if row[0] != "ok"]
            for sentence, query in CHECKS.items():
                problems += [f"{sentence} ({row[0]})" for row in self._all(query)]
        if problems:
            raise JournalError(f"the journal {self.file} is damaged: {'; '.join(problems)}")

    def _bring_up_to_date(self, refuse: bool) -> None:
        version = self._one("PRAGMA user_version")[0]
        _check_version(self.file, version)  # the log may have another one than the file's header
        if version < SCHEMA_VERSION and refuse:
            raise JournalError(
                f"{self.file} has the older format {version}; check a backup, which gets the present one"
            )
        if version < SCHEMA_VERSION:
            steps = "".join(MIGRATIONS[old] for old in range(version, SCHEMA_VERSION))
            self._db.executescript(f"BEGIN;{steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")

    def _stand(self) -> lineage.Stand:
        """The journal as it is with its log."""
        known = any(row[1] == "commits" for row in self._all("PRAGMA table_info(journal)"))
        return lineage.Stand(self.journal_id, self._one("SELECT commits FROM journal")[0] if known else 0)

    def take_up(self) -> None:
        """Marks the file itself as in use, so that a log that vanishes later is missed (see _check_header).

        Raises CannotCreate when the disk does not take it. From here on `close` is the way to end.
        """
        try:
            self._db.execute("UPDATE journal SET in_use = 1, commits = commits + 1")
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
        types = self._all(
            "SELECT name, description, max_attempts, max_reruns, time_limit_ms, grace_ms, retry_delay_ms FROM type"
        )
        priorities = [row[0] for row in self._all("SELECT DISTINCT priority FROM job WHERE state = 'queued'")]
        paused = self._one("SELECT at, reason FROM pause")
        return Loaded(
            self.journal_id,
            counters,
            {priority: self._ready_ids(priority) for priority in priorities},
            self._all(
                "SELECT ready_at, id, priority, ready_at - coalesce(ended_at, submitted_at) FROM job "
                "WHERE ready_at IS NOT NULL AND state = 'queued'"
            ),
            {row[0]: _job(row[1:]) for row in handed},
            Session(*session) if session else None,
            {row[0]: TaskType(*row) for row in types} if announced else None,
            Paused(*paused) if paused else None,
            dict(self._all("SELECT owner, count(*) FROM job WHERE state = 'queued' AND owner <> '' GROUP BY owner")),
            Service(*self._one("SELECT served_ms, served_at FROM journal")),
        )

    def _ready_ids(self, priority: int) -> array[int]:
        query = "SELECT id FROM job WHERE state = 'queued' AND priority = ? AND ready_at IS NULL ORDER BY id"
        return array("q", (row[0] for row in self._db.execute(query, (priority,))))

    # Each of these raises StorageError when the disk cannot be read.

    def job(self, job_id: int) -> Job | None:
        row = self._one(f"SELECT {JOB_COLUMNS} FROM job WHERE id = ?", job_id)
        return _job(row) if row else None

    def jobs(self, ids: Sequence[int]) -> list[Job]:
        """Those of `ids` that there are, in any order."""
        if _consecutive(ids):
            query = f"SELECT {JOB_COLUMNS} FROM job WHERE id BETWEEN ? AND ?"
            return list(map(_job, self._all(query, ids[0], ids[-1])))
        found: list[Job] = []
        for first in range(0, len(ids), NAMED_AT_ONCE):  # one query each would take three times as long
            named = ", ".join(map(str, ids[first : first + NAMED_AT_ONCE]))
            found += map(_job, self._all(f"SELECT {JOB_COLUMNS} FROM job WHERE id IN ({named})"))
        return found

    def data_of(self, ids: Sequence[int]) -> dict[int, bytes]:
        """The data of those of `ids` that have any."""
        if _consecutive(ids):
            return dict(self._all("SELECT id, body FROM data WHERE id BETWEEN ? AND ?", ids[0], ids[-1]))
        rows = (self._one("SELECT id, body FROM data WHERE id = ?", job_id) for job_id in ids)
        return dict(row for row in rows if row)

    def kept_bytes(self, ids: Sequence[int]) -> dict[int, int]:
        """How many bytes of data, result and output are kept of these jobs; what has none is not in it."""
        kept: dict[int, int] = {}
        for first in range(0, len(ids), NAMED_AT_ONCE):
            named = ", ".join(map(str, ids[first : first + NAMED_AT_ONCE]))
            for table in ("data", "result", "output"):
                for job_id, size in self._all(f"SELECT id, length(body) FROM {table} WHERE id IN ({named})"):
                    kept[job_id] = kept.get(job_id, 0) + size
        return kept

    def data_size(self, job_id: int) -> int | None:
        """How many bytes of data a job has, None when it has none."""
        row = self._one("SELECT length(body) FROM data WHERE id = ?", job_id)
        return row[0] if row else None

    def result_piece(self, job_id: int, offset: int, size: int) -> tuple[int, bytes]:
        """The size of the whole result, and at most `size` bytes of it; (0, b"") when there is none."""
        begin = min(offset, MAX_BLOB_BYTES) + 1  # an offset may be the greatest number that SQLite takes
        row = self._one("SELECT length(body), substr(body, ?, ?) FROM result WHERE id = ?", begin, size, job_id)
        return (row[0], row[1]) if row else (0, b"")

    def output_piece(self, job_id: int, run: int, offset: int, size: int) -> tuple[int, int, bytes, int]:
        """Of what run number `run` or a later one printed: how much that was, and from `offset` on, or from the first
        place after it that is still kept, at most `size` bytes with the offset where they begin; and the run it is."""
        newest = "SELECT run, offset + length(body) FROM output WHERE id = ? ORDER BY run DESC, offset DESC LIMIT 1"
        last, end = self._one(newest, job_id) or (-1, 0)
        if last < run:
            return 0, 0, b"", run
        query = "SELECT coalesce(max(offset), 0) FROM output WHERE id = ? AND run = ? AND offset <= ?"
        begin = self._one(query, job_id, last, offset)[0]
        piece = bytearray()
        at = offset
        for place, body in self._pieces(job_id, last, begin):
            if place > at and piece:
                break
            piece += body[max(0, at - place) :]
            at = max(at, place + len(body))
            if len(piece) >= size:
                break
        found = bytes(piece[:size])
        return end, at - len(piece) if piece else min(offset, end), found, int(last)

    def _pieces(self, job_id: int, run: int, begin: int) -> Iterator[tuple[int, bytes]]:
        query = "SELECT offset, body FROM output WHERE id = ? AND run = ? AND offset >= ? ORDER BY offset"
        try:
            yield from self._db.execute(query, (job_id, run, begin))
        except sqlite3.Error as error:
            raise StorageError(str(error)) from error

    def copies_of(self, job_id: int) -> tuple[int, ...]:
        """The jobs that were submitted as copies of this one."""
        return tuple(row[0] for row in self._all("SELECT id FROM job WHERE retry_of = ? ORDER BY id", job_id))

    def page(self, below: int, state: JobState | None, looked_at: int) -> tuple[list[Job], int]:
        """Jobs with ids below `below`, newest first, and the id to go on below, 0 at the end.

        For the rare states an index has just these; else up to `looked_at` jobs of all states come.
        """
        condition = f"AND state = '{state.value}'" if state in RARE else ""
        query = f"SELECT {JOB_COLUMNS} FROM job WHERE id < ? {condition} ORDER BY id DESC LIMIT ?"
        jobs = list(map(_job, self._all(query, below, looked_at)))
        return jobs, jobs[-1].id if len(jobs) == looked_at else 0

    def ended(self, after: int, looked_at: int) -> tuple[list[Job], int]:
        """Those of the next `looked_at` jobs above `after` that ended; and the id to go on after, 0 at the end."""
        rows = self._all(f"SELECT {JOB_COLUMNS} FROM job WHERE id > ? ORDER BY id LIMIT ?", after, looked_at)
        jobs = list(map(_job, rows))
        return [job for job in jobs if job.state.final], jobs[-1].id if len(jobs) == looked_at else 0

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

    def submitted(self, owner: str, request_key: str) -> Submitted | None:
        query = "SELECT owner, request_key, first_id, count, digest FROM request WHERE owner = ? AND request_key = ?"
        row = self._one(query, owner, request_key)
        return Submitted(*row) if row else None

    def request_key_of(self, job_id: int) -> str:
        """The request key that `job_id` was submitted under."""
        query = "SELECT request_key FROM request WHERE first_id <= ? ORDER BY first_id DESC LIMIT 1"
        row = self._one(query, job_id)
        return row[0] if row else ""

    def unended(self, most: int) -> tuple[list[tuple[int, str, bool]], int]:
        """The first of the jobs that have not ended, in turn: id, type, whether it is handed over; and how many."""
        rows = self._all(
            "SELECT id, type, id IN (SELECT id FROM hand) FROM job WHERE state = 'queued' "
            "ORDER BY priority DESC, id LIMIT ?",
            most,
        )
        count = self._one("SELECT count(*) FROM job WHERE state = 'queued'")[0]
        return [(job_id, job_type, bool(handed)) for job_id, job_type, handed in rows], count

    def size_bytes(self) -> int:
        """What the journal takes on disk, its log included; in memory: what it takes there."""
        if self.file == MEMORY:
            return int(self._one("PRAGMA page_count")[0] * self._one("PRAGMA page_size")[0])
        return sum(path.stat().st_size for path in _files(self.file) if path.exists())

    def used_bytes(self) -> int:
        """What is in use of the journal; what was forgotten is free again."""
        pages = self._one("PRAGMA page_count")[0] - self._one("PRAGMA freelist_count")[0]
        return int(pages * self._one("PRAGMA page_size")[0])

    def disk_bytes(self) -> tuple[int, int] | None:
        """How much of the disk is free for this user, and all of it; None for a journal in memory."""
        if self.file == MEMORY:
            return None
        try:
            disk = os.statvfs(Path(self.file).parent)
        except OSError as error:
            raise StorageError(str(error)) from error
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize

    # --- writing -------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """Writes down one turn, all or nothing; on return it is on disk. Raises StorageError."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._write(changes)
            self._db.execute("COMMIT")
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):  # not the disk's fault but ours
            self._roll_back()
            raise
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
            if self.file != MEMORY and self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise StorageError("the checkpoint was not completed")
            self._db.execute("UPDATE journal SET in_use = 1, commits = commits + 1")
        except sqlite3.Error as error:
            self._roll_back()
            raise StorageError(str(error)) from error
        self.read_only = None

    def hold_checkpoints(self) -> None:
        """From now on the file stays as it is and only the log grows, so that both can be copied."""
        self._all("PRAGMA wal_autocheckpoint = 0")

    def release_checkpoints(self) -> None:
        """Ends that."""
        self._all(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")

    def become_backup(self) -> None:
        """Makes the copy of a journal one marked file, and closes it. Raises StorageError."""
        self._become(Kind.BACKUP)

    def become(self, new_id: str, paused: Paused) -> None:
        """Makes a journal with an identity of its own of the copy of a backup, and closes it. Raises StorageError.

        It has no session: whatever worker comes is not the one that jobs were handed to, so these are in doubt.
        """
        self._become(
            Kind.JOURNAL,
            ("UPDATE journal SET id = ?", (new_id,)),
            ("DELETE FROM session", ()),
            ("DELETE FROM pause", ()),
            ("INSERT INTO pause(at, reason) VALUES(?, ?)", paused),
        )
        self.journal_id = new_id

    def _become(self, kind: Kind, *statements: tuple[str, Sequence[Any]]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for statement, values in statements:
                self._db.execute(statement, values)
            self._db.execute("UPDATE journal SET in_use = 0, commits = commits + 1")
            self._db.execute(f"PRAGMA application_id = {kind.value}")
            self._db.execute("COMMIT")
            if self._one("PRAGMA wal_checkpoint(TRUNCATE)")[0]:  # closing would not say that it failed
                raise StorageError("the log could not be moved into the file")
            _unclosed.remove(self._db)
            self._db.close()
        except sqlite3.Error as error:
            raise StorageError(str(error)) from error

    def close(self) -> None:
        """Ends in an orderly way: everything in the one file, no log beside it. Raises StorageError.

        A journal that was not taken up stays as it is.
        """
        if not self._taken_up:
            return
        try:
            self._db.execute("UPDATE journal SET in_use = 0, commits = commits + 1")
            self._db.close()
        except sqlite3.Error as error:
            raise StorageError(str(error)) from error

    def _write(self, changes: Changes) -> None:
        many = self._db.executemany
        if changes.added:
            many(INSERT_JOB, map(_given, changes.added.values()))
        if changes.changed:
            many(UPDATE_JOB, map(_update, changes.changed.values()))
        if changes.data:
            many("INSERT INTO data VALUES(?, ?)", changes.data)
        if changes.data_copies:
            many("INSERT INTO data SELECT ?, body FROM data WHERE id = ?", changes.data_copies)
        if changes.forgotten:  # after the copies: a job may be copied and forgotten in one turn
            self._forget(sorted(changes.forgotten))
        if changes.outputs:
            self._write_outputs(changes.outputs)
        if changes.results:
            many("INSERT INTO result VALUES(?, ?)", changes.results)
        if changes.attempts:
            many("INSERT INTO attempt VALUES(?, ?, ?, ?, ?, ?, ?, ?)", map(_attempt, changes.attempts))
        if changes.submitted:
            many(INSERT_REQUEST, changes.submitted.values())
        if changes.settled:
            many("DELETE FROM hand WHERE n = ?", changes.settled)
        if changes.deliveries:
            many("INSERT INTO hand VALUES(?, ?)", changes.deliveries)
        if changes.session is not None:
            self._replace("session", [changes.session])
        if changes.types is not None:
            self._replace("type", changes.types.values())
            self._replace("announced", [(1,)])
        if changes.pauses:
            self._replace("pause", [paused for paused in changes.pauses[-1:] if paused is not None])
        if changes.counters is not None:
            self._db.execute(
                "UPDATE journal SET next_id = ?, change = ?, completed = ?, failed = ?, cancelled = ?, "
                "served_ms = coalesce(?, served_ms), served_at = coalesce(?, served_at), commits = commits + 1",
                (*changes.counters, *(changes.service or (None, None))),
            )
        else:
            self._db.execute("UPDATE journal SET commits = commits + 1")

    def _write_outputs(self, outputs: list[Printed]) -> None:
        many = self._db.executemany
        many("INSERT OR REPLACE INTO output VALUES(?, ?, ?, ?)", [piece[:4] for piece in outputs])
        again = [(piece.id, piece.run) for piece in outputs if piece.run > 1]
        if again:
            many("DELETE FROM output WHERE id = ? AND run < ?", again)
        full = [piece for piece in outputs if piece.kept_from]
        many(
            # the last piece that begins before the bound is kept: it may end behind it
            "DELETE FROM output WHERE id = ? AND run = ? AND offset < "
            "(SELECT max(offset) FROM output WHERE id = ? AND run = ? AND offset <= ?)",
            [(piece.id, piece.run, piece.id, piece.run, piece.kept_from) for piece in full],
        )

    def _forget(self, ids: list[int]) -> None:
        """Drops jobs with everything of theirs, and the keys whose jobs are all gone."""
        rows = [(job_id,) for job_id in ids]
        firsts = {row[0] for job_id in ids for row in self._all(REQUEST_OF, job_id)}
        for table in ("job", "data", "result", "output"):
            self._db.executemany(f"DELETE FROM {table} WHERE id = ?", rows)
        self._db.executemany("DELETE FROM attempt WHERE job = ?", rows)
        self._db.executemany(
            "DELETE FROM request WHERE first_id = ? AND NOT EXISTS "
            "(SELECT 1 FROM job WHERE id BETWEEN request.first_id AND request.first_id + request.count - 1)",
            [(first,) for first in firsts],
        )

    def give_back_space(self, pages: int) -> None:
        """Lets the file shrink by at most `pages` of those that are free. Raises StorageError."""
        if not self._one("PRAGMA freelist_count")[0]:
            return
        try:
            # A script, because it is run to its end: `execute` stops after a step, which is one page here.
            self._db.executescript(
                f"BEGIN; UPDATE journal SET commits = commits + 1; PRAGMA incremental_vacuum({pages}); COMMIT"
            )
        except sqlite3.Error as error:
            self._roll_back()
            raise StorageError(str(error)) from error

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


# What SQLite says when not the content is wrong (the codes for these are known to Python from 3.11 on).
NOT_DAMAGE = (
    "disk I/O error",
    "unable to open database file",
    "database is locked",
    "database or disk is full",
    "attempt to write a readonly database",
    "out of memory",
)

# Connections to files that turned out to be damaged, or were not taken up yet. SQLite moves the log into the file
# when a connection is closed; a damaged journal shall stay as it is, so these never are (the program ends anyway).
_unclosed: list[sqlite3.Connection] = []


@contextlib.contextmanager
def _damage(file: str) -> Iterator[None]:
    """Says JournalError for whatever reading a damaged file leads to."""
    try:
        yield
    except OSError as error:
        raise Unreadable(f"the journal {file} cannot be read: {error.strerror or error}") from error
    except (sqlite3.Error, StorageError) as error:
        if str(error).startswith(NOT_DAMAGE):
            raise Unreadable(f"the journal {file} cannot be read: {error}") from error
        raise JournalError(f"the journal {file} is damaged: {error}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise JournalError(f"the journal {file} is damaged: {error}") from error


def _with_its_own_log(connection: sqlite3.Connection, file: str) -> Journal:
    """The journal on a connection that has read nothing yet; raises JournalError when its log is another one's."""
    alone, log = lineage.of_file(file), lineage.of_log(file)
    foreign = JournalError(
        f"the log {file}-wal does not belong to the journal {file}: one of them was put beside the other, and together "
        "they would be damaged. Both are as they were; the log of another journal belongs beside that one"
    )
    try:
        _configure(connection)
        journal = Journal(connection, file)
        together = journal._stand()
    except (sqlite3.Error, StorageError, TypeError):
        if not lineage.fits(alone, log):
            raise foreign from None
        raise
    # When both are the same, SQLite found nothing whole in the log, and passes over it.
    if alone not in (None, together) and not lineage.fits(alone, log, together):
        raise foreign
    return journal


def _connection(file: str, only_read: bool = False) -> sqlite3.Connection:
    """`only_read`: from a place where nothing can be written, not even a lock. SQLite asks for a promise then that
    nobody else writes there either."""
    if only_read:
        return sqlite3.connect(_unchanging(file), uri=True, isolation_level=None)
    return sqlite3.connect(file, isolation_level=None, check_same_thread=False)


def _unchanging(file: str) -> str:
    return f"{Path(file).absolute().as_uri()}?immutable=1"


def _writable(file: str) -> bool:
    return os.access(file, os.R_OK | os.W_OK)


def _configure(connection: sqlite3.Connection) -> None:
    """The first thing that reads the file, so the first that may find it damaged."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute("PRAGMA temp_store = MEMORY")
    # Debian's SQLite overwrites what is deleted, through the log: to forget 200 MiB took 1.5 s instead of 20 ms.
    connection.execute("PRAGMA secure_delete = OFF")


def _create(file: str, new_id: str) -> sqlite3.Connection:
    connection = _connection(file)
    _configure(connection)
    connection.execute(f"PRAGMA page_size = {wal.PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.executescript(SCHEMA)
    connection.execute(
        "INSERT INTO journal(id, next_id, change, completed, failed, cancelled, in_use) VALUES(?, 1, 0, 0, 0, 0, 0)",
        (new_id,),
    )
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


def _refuse_foreign_links(file: str) -> None:
    """In a folder that others write to, a link of theirs would have us write to any file of ours."""
    for name in (file, *(file + suffix for suffix in ("-wal", "-shm", "-journal", ".new", ".new-wal", ".new-journal"))):
        if os.path.islink(name) and os.lstat(name).st_uid not in (os.geteuid(), 0):
            raise JournalError(f"{name} is a link that another user made: it is not followed")


def _has_content(file: str) -> bool:
    """Whether there is a file to open. An empty one is as good as none, unless it has a log."""
    try:
        if os.path.exists(file) and os.stat(file).st_size > 0:
            return True
        log = Path(file + "-wal")
        if log.exists() and log.stat().st_size > 0:
            raise JournalError(f"there is a log {log}, but its journal {file} is gone: put it back beside its log")
    except OSError as error:
        raise Unreadable(f"the journal {file} cannot be read: {error.strerror}") from error
    return False


def kind_of(file: str) -> Kind:
    """What the header says that `file` is. Raises JournalError for what is neither, or of an unknown format."""
    with _damage(file), open(file, "rb") as content:
        header = content.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise JournalError(f"the journal {file} is damaged: file is not a database")
    version, application_id = (int.from_bytes(header[at : at + 4], "big") for at in (60, APPLICATION_ID_AT))
    if application_id not in [kind.value for kind in Kind]:
        raise JournalError(f"{file} is an SQLite file, but not a journal of zjobs")
    _check_version(file, version)
    return Kind(application_id)


def _refuse_misplaced(file: str, found: Kind) -> None:
    if found is Kind.BACKUP:
        raise Misplaced(
            f"{file} is a backup: no broker runs on it, for the journal that it was made of has gone on since. "
            f"`zbroker restore {file} JOURNAL` makes a journal of it"
        )
    raise Misplaced(f"{file} is a journal and not a backup: `zbroker backup {file} TARGET` makes one")


def _check_header(file: str, kind: Kind | None, only_read: bool) -> Kind:
    """Refuses what is not a journal of ours, before anything could change the file.

    An orderly end leaves in_use = 0 and no log, so a file in use without a log has lost it, and with it jobs that were
    acknowledged. Beside a log only the header's bytes are looked at (sqlite.org/fileformat2.html#the_database_header):
    a crash while the log is moved into the file leaves pages, and a length, that only the log makes whole again.
    """
    if not os.access(file, os.R_OK if only_read else os.R_OK | os.W_OK):
        raise Unreadable(f"the journal {file} cannot be read{'' if only_read else ' and written'} by this user")
    found = kind_of(file)
    if kind not in (None, found):
        _refuse_misplaced(file, found)
    if not Path(file + "-wal").exists() and _in_use(file):
        raise JournalError(f"the journal {file} was in use, but its log {file}-wal is gone, and jobs with it")
    lost = wal.lost_commits(Path(file))
    if lost:
        raise JournalError(f"the log {file}-wal is damaged: {lost} commits stand behind the broken place")
    return found


def _check_version(file: str, version: int) -> None:
    if not 1 <= version <= SCHEMA_VERSION:
        raise JournalError(
            f"the journal {file} has format {version}; this zjobs reads format {SCHEMA_VERSION}"
            + (": use a newer one" if version > SCHEMA_VERSION else "")
        )


def _consecutive(ids: Sequence[int]) -> bool:
    """Whether one query for a range has them: most often so, but priorities mix them."""
    return len(ids) > 1 and list(ids) == list(range(ids[0], ids[0] + len(ids)))


def _in_use(file: str) -> bool:
    connection = sqlite3.connect(_unchanging(file), uri=True)
    try:
        return bool(connection.execute("SELECT in_use FROM journal").fetchone()[0])
    finally:
        connection.close()


def _files(file: str) -> list[Path]:
    return [Path(file), Path(file + "-wal")]


def _job(row: Sequence[Any]) -> Job:
    values = list(row)
    values[_STATE] = _known(JobState, values[_STATE])
    values[_REASON] = _reason(values[_REASON])
    values[_CANCELLING] = bool(values[_CANCELLING])
    return Job._make(values)


def _reason(value: str | None) -> FailReason | None:
    return None if value is None else _known(FailReason, value)


def _known(kind: type[Word], value: str) -> Word:
    """One of a closed list. What is none of it was damaged on disk: a KeyError would end the broker."""
    try:
        return _WORDS[kind][value]  # type: ignore[no-any-return]
    except KeyError:
        raise StorageError(f"a record is damaged: {value!r} is no {kind.__name__}") from None


# Written out field by field, because a million jobs pass here: going over the fields by name took twice as long.


def _given(job: Job) -> tuple[Any, ...]:
    """What a new job has that no other one does; see INSERT_JOB."""
    return (
        job.id,
        job.type,
        job.data_bytes,
        job.submitted_at,
        job.priority,
        job.ready_at,
        job.time_limit_ms,
        job.retry_of,
        job.owner,
    )


def _update(job: Job) -> tuple[Any, ...]:
    """What can change of a job; see UPDATE_JOB."""
    return (
        job.state.value,
        job.attempts,
        job.reruns,
        job.version,
        job.ready_at,
        job.cancelling,
        job.started_at,
        job.ended_at,
        job.elapsed_ms,
        job.output_bytes,
        job.killed,
        None if job.reason is None else job.reason.value,
        job.message,
        job.run,
        job.ended_served_ms,
        job.output_file,
        job.left_behind,
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
