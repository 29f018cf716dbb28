"""The journal: one SQLite file with every job, its data, its result, and the dispatch to the worker.

One turn of the broker is one transaction. `synchronous=FULL` in WAL mode means that a commit returns after the
log is flushed to disk (sqlite.org/wal.html), so what is committed survives a power cut. The file is locked for
this one connection: SQLite before 3.51.3 can damage a WAL that two connections checkpoint at once.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.jobs import Job, Loaded
from zjobs.broker.core.records.needs import Found, Needs
from zjobs.broker.storage.api import (
    CannotCreate,
    Claimed,
    Guarantee,
    MaintenanceError,
    NotOwner,
    StorageError,
)
from zjobs.broker.storage.copying import check_place
from zjobs.broker.storage.sqlite import opening, reading
from zjobs.broker.storage.sqlite.database import CHECKPOINT_PAGES, MEMORY, Database, damage, roll_back
from zjobs.broker.storage.sqlite.writing import COUNT_COMMIT, write
from zjobs.messages.records import AuditEntry
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId
from zjobs.program import lock

MARK_IN_USE = "UPDATE journal SET in_use = 1, commits = commits + 1"
MARK_ENDED = "UPDATE journal SET in_use = 0, commits = commits + 1"


class SqliteJournal:
    """An `api.Journal` and `api.Files` in SQLite: in a file or, for as long as this process lives, in memory."""

    engine = sqlite3.sqlite_version

    def __init__(self, file: str, new_id: str) -> None:
        """Remember the names. `new_id`: the identity of the journal, if it is to be created."""
        self.name = file
        self.read_only: str | None = None
        self._new_id = new_id
        self._lock: lock.Lock | None = None
        self._database: Database | None = None
        self._serves = False

    @property
    def journal_id(self) -> str:
        """The identity of the journal."""
        return self._db.journal_id

    @property
    def guarantee(self) -> Guarantee:
        """SQLite flushes each commit."""
        return Guarantee("kept nowhere: the journal is in memory" if self.name == MEMORY else "flushed to this disk")

    @property
    def owned(self) -> bool:
        """True if the journal was claimed: the lock lasts until it is released."""
        return self._database is not None

    @property
    def files(self) -> SqliteJournal:
        """The care of the files, which is the journal's own."""
        return self

    @property
    def _db(self) -> Database:
        if self._database is None:
            raise NotOwner(f"the journal {self.name} was not claimed, or was released")
        return self._database

    # --- ownership ---------------------------------------------------------------------------------------------------

    def claim(self, holder: str) -> None:
        """Open or create the file and lock it."""
        if self.name != MEMORY:
            self._lock = _locked(self.name)
        try:
            self._tell(holder)
            database = opening.open_journal(self.name, self._new_id)
            check_place(self.name, *database.one("SELECT moved_to, copied_from FROM journal"))
            self._database = database
        except BaseException:
            self._unlock()
            raise

    def announce(self, holder: str) -> None:
        """Mark the file as in use, so that the loss of its log would be noticed (see `header`)."""
        self._tell(holder)
        db = self._db
        try:
            db.connection.execute(MARK_IN_USE)
            if not db.in_memory:
                db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                opening.unclosed.remove(db.connection)
        except sqlite3.Error as error:
            raise CannotCreate(f"the journal {self.name} cannot be written: {error}") from error
        self._serves = True

    def release(self) -> None:
        """End in an orderly way: leave everything in one file, with no log beside it."""
        database, serves = self._database, self._serves
        self._database, self._serves = None, False
        try:
            if database is not None and serves:
                database.connection.execute(MARK_ENDED)
                database.connection.close()
        except sqlite3.Error as error:
            raise StorageError(str(error)) from error
        finally:
            self._unlock()

    def _tell(self, holder: str) -> None:
        if self._lock is not None:
            try:
                self._lock.write(holder)
            except OSError as error:
                raise CannotCreate(f"the lock {self._lock.path} cannot be written: {error.strerror}") from error

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # --- reading -----------------------------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """Return what the core keeps in memory."""
        with damage(self.name):
            return reading.load(self._db)

    def read(self, needs: Needs) -> Found:
        """Return the named records."""
        return reading.read(self._db, needs)

    def page(self, below: JobId, state: JobState | None, most: int) -> tuple[list[Job], JobId]:
        """Return jobs with smaller ids, newest first."""
        return reading.page(self._db, below, state, most)

    def audit(self, below: int, since_at: int, who: str | None, most: int) -> list[AuditEntry]:
        """Return entries of the audit trail, newest first."""
        return reading.audit(self._db, below, since_at, who, most)

    def ended(self, after: JobId, most: int) -> tuple[list[Job], JobId]:
        """Return those of the next jobs that ended."""
        return reading.ended(self._db, after, most)

    def size_bytes(self) -> int:
        """Return the size of the file and its log."""
        if self._db.in_memory:
            return int(self._db.one("PRAGMA page_count")[0] * self._db.one("PRAGMA page_size")[0])
        return opening.size_bytes(self.name)

    def used_bytes(self) -> int:
        """Return the bytes in use."""
        pages = self._db.one("PRAGMA page_count")[0] - self._db.one("PRAGMA freelist_count")[0]
        return int(pages * self._db.one("PRAGMA page_size")[0])

    # --- writing -----------------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """Write one turn in one transaction."""
        connection = self._db.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            write(connection, changes)
            connection.execute("COMMIT")
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):  # our own bug, not the disk's fault
            roll_back(connection)
            raise
        except sqlite3.Error as error:
            self.read_only = str(error)
            roll_back(connection)
            raise StorageError(str(error)) from error

    def recover(self) -> None:
        """Try a checkpoint and a commit.

        The checkpoint is needed because after a failed flush the log's pages may be in the cache only, and another
        flush of the same pages would wrongly succeed. A checkpoint writes them anew, into the file itself.
        """
        db = self._db
        try:
            roll_back(db.connection)
            if not db.in_memory:
                db.move_log_into_file()
            db.connection.execute(MARK_IN_USE)
        except sqlite3.Error as error:
            roll_back(db.connection)
            raise StorageError(str(error)) from error
        self.read_only = None

    # --- the files ---------------------------------------------------------------------------------------------------

    def disk_bytes(self) -> tuple[int, int] | None:
        """Return the free and the total bytes of the disk."""
        if self._db.in_memory:
            return None
        try:
            disk = os.statvfs(Path(self.name).parent)
        except OSError as error:
            raise StorageError(str(error)) from error
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize

    def give_back_space(self, pages: int) -> None:
        """Shrink the file by free pages."""
        db = self._db
        if not db.one("PRAGMA freelist_count")[0]:
            return
        try:
            # A script runs to its end; `execute` would stop after one step, which is one page here.
            db.connection.executescript(f"BEGIN; {COUNT_COMMIT}; PRAGMA incremental_vacuum({pages}); COMMIT")
        except sqlite3.Error as error:
            roll_back(db.connection)
            raise StorageError(str(error)) from error

    def pause_checkpoints(self) -> None:
        """Leave the file unchanged; only the log grows."""
        if self._db.in_memory:
            raise MaintenanceError("the journal is in memory; there is nothing to copy")
        self._db.all("PRAGMA wal_autocheckpoint = 0")

    def resume_checkpoints(self) -> None:
        """End a checkpoint pause."""
        self._db.all(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")


def _locked(file: str) -> lock.Lock:
    path = Path(file + ".lock")
    try:
        return lock.acquire(path)
    except lock.Locked as error:
        who = error.holder or "another process"
        raise Claimed(f"the journal {file} is open in another broker, which must end first: {who}", who) from error
    except OSError as error:
        raise CannotCreate(f"the lock {path} cannot be made: {error.strerror}") from error
