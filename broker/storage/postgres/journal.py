"""The journal in PostgreSQL: one connection, which owns it; one turn of the broker is one pipeline.

The session holds an advisory lock for as long as it lives, so a second broker is refused. A broker that lost its
session cannot commit anything: every transaction begins with its epoch (see `writing.FENCE`). The database may go away
and return at any time; meanwhile the journal is read-only, and `recover` opens a new session of the same owner in small
steps, so that the broker goes on answering.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Sequence

from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.jobs import Job, Loaded
from zjobs.broker.core.records.needs import NOTHING, Found, Needs
from zjobs.broker.storage.api import (
    CannotCreate,
    Claimed,
    Guarantee,
    JournalError,
    NotOwner,
    StorageError,
    Unreadable,
)
from zjobs.broker.storage.postgres import loading, reading
from zjobs.broker.storage.postgres.connection.claiming import UNLOCK, FormerSession, Owned, claimed
from zjobs.broker.storage.postgres.connection.conninfo import Address
from zjobs.broker.storage.postgres.connection.link import (
    Late,
    Link,
    Lost,
    Refused,
    Rows,
    Steps,
    Task,
    connected,
    connected_at_once,
)
from zjobs.broker.storage.postgres.connection.values import TEXT, TEXTS, Query, Statement
from zjobs.broker.storage.postgres.schema import TABLES
from zjobs.broker.storage.postgres.writing import DELETES, fenced, written
from zjobs.messages.records import AuditEntry
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId

ANSWER_S = 3.0  # for a turn; a server that is silent for longer is considered lost
LOAD_S = 120.0
CLAIM_S = 60.0  # older formats are brought up to date
GONE_S = 1.0  # until a server has noticed that a broker is gone
STEP_S = 0.1  # for a new session, at each try
RECLAIM_S = 10.0
JOB_BYTES = 300  # about what a job takes beside its bodies

SET_HOLDER = Query("UPDATE journal SET holder = $1", TEXT)
SIZE = Query("SELECT coalesce(sum(pg_total_relation_size(name::regclass)), 0)::bigint FROM unnest($1) AS name", TEXTS)
USED = Query(
    f"SELECT (SELECT count(*) FROM job) * {JOB_BYTES} + "
    + " + ".join(
        f"(SELECT coalesce(sum(octet_length(body)), 0)::bigint FROM {table})" for table in ("data", "result", "output")
    )
)


class PostgresJournal:
    """An implementation of `api.Journal`."""

    files = None

    def __init__(self, url: str, new_id: str, require_standby: bool = False) -> None:
        """Prepare a journal. `new_id`: its identity, if it is to be created. `require_standby`: own it only if commits
        wait for a standby. Raises JournalError for an invalid URL."""
        self._address = Address(url)
        self.name = self._address.name
        self.read_only: str | None = None
        self._new_id = new_id
        self._require_standby = require_standby
        self._holder = ""
        self._serves = False
        self._link: Link | None = None
        self._owner: Owned | None = None
        self._former: FormerSession | None = None
        self._engine = "PostgreSQL"
        self._attempts = itertools.cycle(self._address.attempts)
        self._reclaiming: Task[tuple[Link, Owned]] | None = None
        self._give_up_s = 0.0
        self._size_bytes = 0
        self._used_bytes: int | None = None

    @property
    def engine(self) -> str:
        """The name and version of the server."""
        return self._engine

    @property
    def journal_id(self) -> str:
        """The identity of the journal."""
        return self._owned.journal_id

    @property
    def guarantee(self) -> Guarantee:
        """The guarantee that the server gave when this session began."""
        return self._owned.guarantee

    @property
    def owned(self) -> bool:
        """True if there is a session that owns it."""
        return self._link is not None

    @property
    def _owned(self) -> Owned:
        if self._owner is None:
            raise NotOwner(f"the journal {self.name} was not claimed, or was released")
        return self._owner

    # --- ownership ---------------------------------------------------------------------------------------------------

    def claim(self, holder: str) -> None:
        """Open a session that owns the journal; create or update the tables."""
        self._holder = holder
        until_s = time.monotonic() + GONE_S
        while True:
            link = connected_at_once(self._address)
            try:
                owned = Task(self._claimed(link)).run(CLAIM_S)
            except BaseException as error:
                link.close()
                if isinstance(error, Claimed) and time.monotonic() < until_s:
                    time.sleep(STEP_S)
                    continue
                if isinstance(error, StorageError):
                    raise CannotCreate(f"the journal {self.name} cannot be used: {error}") from error
                raise
            self._adopt(link, owned)
            return

    def announce(self, holder: str) -> None:
        """Tell brokers that are refused where requests are received."""
        self._holder = holder
        try:
            self._run([fenced(self._owned.epoch), SET_HOLDER(holder)])
        except StorageError as error:
            raise CannotCreate(f"the journal {self.name} cannot be written: {error}") from error
        self._serves = True

    def release(self) -> None:
        """Give the lock back before the session ends, so that the next broker need not wait for that."""
        link, owner, serves = self._link, self._owner, self._serves
        self._link, self._owner, self._serves = None, None, False
        if self._reclaiming is not None:
            self._reclaiming.close()
        if link is None or owner is None:
            return
        try:
            last = [fenced(owner.epoch), SET_HOLDER("")] if serves else []
            link.run([*last, UNLOCK()], ANSWER_S)
        finally:
            link.close()

    def _adopt(self, link: Link, owned: Owned) -> None:
        before = self._former
        self._link, self._owner = link, owned
        self._engine = f"PostgreSQL {link.version}"
        self._former = FormerSession(
            owned.journal_id,
            owned.epoch,
            link.backend,
            before.next_id if before else 0,
            before.change if before else 0,
        )
        self._used_bytes = None

    # --- reading -----------------------------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """Return what the core keeps in memory."""
        try:
            loaded = loading.loaded(self._read(loading.asked(), LOAD_S))
        except StorageError as error:
            if self._serves:
                raise
            raise Unreadable(f"the journal {self.name} cannot be read: {error}") from error
        self._remember(loaded.counters.next_id, loaded.counters.change)
        return loaded

    def read(self, needs: Needs) -> Found:
        """Return the named records."""
        statements = reading.asked(needs)
        return reading.found(needs, self._read(statements)) if statements else NOTHING

    def page(self, below: JobId, state: JobState | None, most: int) -> tuple[list[Job], JobId]:
        """Return jobs with smaller ids, newest first."""
        return reading.page(self._rows(reading.page_asked(below, state, most)), most)

    def audit(self, below: int, since_at: int, who: str | None, most: int) -> list[AuditEntry]:
        """Return entries of the audit trail, newest first."""
        return [AuditEntry(*row) for row in self._rows(reading.AUDIT(below, since_at, who, most))]

    def ended(self, after: JobId, most: int) -> tuple[list[Job], JobId]:
        """Return the ended ones of the next jobs."""
        jobs, last = reading.page(self._rows(reading.ENDED(after, most)), most)
        return [job for job in jobs if job.state.final], last

    def size_bytes(self) -> int:
        """Return the size of the tables, as it was last if the server is away."""
        with contextlib.suppress(StorageError):
            self._size_bytes = self._rows(SIZE(TABLES))[0][0]
        return self._size_bytes

    def used_bytes(self) -> int:
        """Return the bytes in use. They are counted once, then updated with each commit."""
        if self._used_bytes is None and self._link is not None:
            self._used_bytes = int(self._rows(USED(), LOAD_S)[0][0])
        return self._used_bytes or 0

    # --- writing -----------------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        """Write one turn in one pipeline."""
        statements = written(self._owned.epoch, changes)
        answers = self._run(statements)
        if changes.counters is not None:
            self._remember(changes.counters.next_id, changes.counters.change)
        if self._used_bytes is not None:
            self._used_bytes += _grown(changes, statements, answers)

    def recover(self) -> None:
        """Commit again; without a session, work on a new one for a moment."""
        epoch = self._owned.epoch  # raises NotOwner
        if self._link is None:
            self._reclaim()
        else:
            self._run([fenced(epoch)])
        self.read_only = None

    def _reclaim(self) -> None:
        if self._reclaiming is None:
            self._reclaiming = Task(self._session(next(self._attempts)))
            self._give_up_s = time.monotonic() + RECLAIM_S
        try:
            link, owned = self._reclaiming.run(STEP_S)
        except Late:
            if time.monotonic() > self._give_up_s:
                self._reclaiming.close()
                self._reclaiming = None
            raise
        except (StorageError, JournalError) as error:
            self._reclaiming = None
            self.read_only = str(error)
            raise StorageError(str(error)) from error
        self._reclaiming = None
        self._adopt(link, owned)

    def _session(self, conninfo: str) -> Steps[tuple[Link, Owned]]:
        """Open a new session of this owner."""
        link = yield from connected(conninfo)
        try:
            owned = yield from self._claimed(link)
        except BaseException:
            link.close()
            raise
        return link, owned

    def _claimed(self, link: Link) -> Steps[Owned]:
        return claimed(link, self.name, self._new_id, self._holder, self._require_standby, self._former)

    # --- the session -------------------------------------------------------------------------------------------------

    def _rows(self, statement: Statement, for_s: float = ANSWER_S) -> Rows:
        return self._read([statement], for_s)[0]

    def _read(self, statements: Sequence[Statement], for_s: float = ANSWER_S) -> list[Rows]:
        if self._owner is None:
            raise NotOwner(f"the journal {self.name} was not claimed, or was released")
        if self._link is None:
            raise Lost(self.read_only or "there is no session")
        try:
            return self._link.run(statements, for_s)
        except Lost as error:
            self._lose(f"the connection to the database is lost: {error}")
            raise

    def _run(self, statements: Sequence[Statement]) -> list[Rows]:
        """Run the statements in a transaction that begins with the fence."""
        try:
            return self._read(statements)
        except Refused as error:
            if error.column == "epoch":
                self._lose(f"another broker has taken over the journal {self.name}")
                raise NotOwner(str(self.read_only)) from error
            self.read_only = str(error)
            raise

    def _lose(self, why: str) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None
        self.read_only = why

    def _remember(self, next_id: int, change: int) -> None:
        assert self._former is not None
        self._former = self._former._replace(next_id=next_id, change=change)


def _grown(changes: Changes, statements: Sequence[Statement], answers: Sequence[Rows]) -> int:
    """Return by how many bytes the space in use grew in a turn."""
    bodies = (*changes.data, *changes.results)
    grown = sum(len(body) for _, body in bodies) + sum(len(piece.body) for piece in changes.outputs)
    for (query, _), rows in zip(statements, answers):
        sizes = sum(row[0] for row in rows)
        grown += -sizes if query in DELETES else sizes
    return grown + JOB_BYTES * (len(changes.added) - len(changes.forgotten))
