"""Claiming a journal: the session's advisory lock, the tables brought up to date, a new epoch.

The epoch is raised only while the lock is held. If it were raised earlier, two brokers could each believe that the
other one's commits are fenced.
"""

from __future__ import annotations

from typing import NamedTuple

from zjobs.broker.storage.api import CannotCreate, Claimed, Guarantee, JournalError, NotSafe, StorageError
from zjobs.broker.storage.copying import check_place
from zjobs.broker.storage.postgres.connection.durability import AT_LEAST_LOCAL, READ_DURABILITY, guarantee
from zjobs.broker.storage.postgres.connection.link import Link, Lost, Refused, Steps
from zjobs.broker.storage.postgres.connection.values import INTEGER, TEXT, Query
from zjobs.broker.storage.postgres.schema import FORMAT, SCRIPTS, statements_of

LOCK_CLASS = 0x7A6A6F62  # "zjob"; the other half of the lock's key is the schema
KEY = f"{LOCK_CLASS}, (current_schema()::regnamespace::oid::bigint & 2147483647)::int"
OLDEST_SERVER = 13_00_00

SURROUNDINGS = Query(
    "SELECT current_schema(), current_setting('server_encoding'), current_setting('server_version_num')::bigint, "
    "to_regclass(quote_ident(current_schema()) || '.journal') IS NOT NULL"
)
TRY_LOCK = Query(f"SELECT pg_try_advisory_lock({KEY})")
UNLOCK = Query(f"SELECT pg_advisory_unlock({KEY})")
HOLDER = Query(
    f"""
SELECT holder, backend, epoch FROM journal JOIN pg_locks ON pg_locks.pid = journal.backend
WHERE locktype = 'advisory' AND granted AND classid = {LOCK_CLASS}
AND objid = (current_schema()::regnamespace::oid::bigint & 2147483647)::oid
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
)
VERSION = Query("SELECT format FROM journal")
STAND = Query("SELECT id, next_id, change, moved_to, copied_from FROM journal")
SET_FORMAT = Query("UPDATE journal SET format = $1", INTEGER)
NAME_JOURNAL = Query("UPDATE journal SET id = $1 WHERE id = ''", TEXT)
OWN = Query("UPDATE journal SET epoch = epoch + 1, holder = $1, backend = pg_backend_pid() RETURNING epoch, id", TEXT)
END_SESSION = Query("SELECT pg_terminate_backend($1::int)", INTEGER)


class Owned(NamedTuple):
    """A journal that this session owns."""

    epoch: int
    journal_id: str
    guarantee: Guarantee


class FormerSession(NamedTuple):
    """The last session of this broker. `epoch`: its own, under which the server process `backend` may still hold the
    lock. Ids below `next_id` were given in it."""

    journal_id: str
    epoch: int
    backend: int
    next_id: int
    change: int


def claimed(
    link: Link, name: str, new_id: str, holder: str, require_standby: bool, former: FormerSession | None
) -> Steps[Owned]:
    """Make this session the owner. Raises Claimed, JournalError and StorageError.

    `new_id`: the identity of the journal, if it is to be created. `former`: the session that was lost, if any.
    """
    try:
        exists = yield from _suitable(link, name)
        if not (yield from link.steps([TRY_LOCK()]))[0][0][0]:
            yield from _refuse(link, name, exists, former)
        yield from _bring_up_to_date(link, name, exists)
        yield from _compare(link, name, former)
        _, settings = yield from link.steps([AT_LEAST_LOCAL(), READ_DURABILITY()])
        promised = guarantee(*settings[0])
        if require_standby and not promised.on_standby:
            raise NotSafe(
                f"commits to {name} do not wait for a standby, as --require-sync-standby demands: set"
                " synchronous_standby_names, or start without that option"
            )
        _, owned = yield from link.steps([NAME_JOURNAL(new_id), OWN(holder)])
    except Refused as error:
        if former is not None:
            raise
        raise CannotCreate(f"the journal {name} cannot be used: {error}") from error
    ((epoch, journal_id),) = owned
    return Owned(epoch, journal_id, promised)


def _suitable(link: Link, name: str) -> Steps[bool]:
    """Return whether there is a journal. Raises JournalError for a database that cannot hold one."""
    (((*surroundings, exists),),) = yield from link.steps([SURROUNDINGS()])
    check_surroundings(name, *surroundings)
    return bool(exists)


def check_surroundings(name: str, schema: str | None, encoding: str, version: int) -> None:
    """Raise CannotCreate for a database that cannot hold a journal."""
    if schema is None:
        raise CannotCreate(f"the journal {name} cannot be created: no schema of the search_path exists")
    if encoding != "UTF8":
        raise CannotCreate(f"the journal {name} needs a database in UTF8, and this one is in {encoding}")
    if version < OLDEST_SERVER:
        raise CannotCreate(f"the journal {name} needs PostgreSQL {OLDEST_SERVER // 10_000} or newer")


def _refuse(link: Link, name: str, exists: bool, former: FormerSession | None) -> Steps[None]:
    """Raise Claimed, because somebody else has the lock; or end a former session of this broker that was cut off
    without the server noticing, and raise Lost."""
    holders = (yield from link.steps([HOLDER()]))[0] if exists else []
    holder, backend, epoch = holders[0] if holders else ("another broker", None, None)
    if former is not None and (backend, epoch) == (former.backend, former.epoch):
        yield from link.steps([END_SESSION(backend)])
        raise Lost("the broker's former session has not ended yet")
    raise Claimed(f"the journal {name} is open in another broker, which must end first: {holder}", holder)


def _bring_up_to_date(link: Link, name: str, exists: bool) -> Steps[None]:
    """Run the scripts that have not run yet, all in one transaction."""
    version = 0
    if exists:
        try:
            version = (yield from link.steps([VERSION()]))[0][0][0]
        except (Refused, IndexError):
            raise JournalError(f"{name} has a table named journal that zjobs did not create") from None
    if version > FORMAT:
        raise JournalError(
            f"the journal {name} has format {version}; this zjobs reads format {FORMAT}: use a newer one"
        )
    scripts = [Query(text)() for script in SCRIPTS[version:] for text in statements_of(script)]
    if scripts:
        yield from link.steps([*scripts, SET_FORMAT(FORMAT)])


def _compare(link: Link, name: str, former: FormerSession | None) -> Steps[None]:
    """Check that the journal is the same as before, and not an earlier copy of it. Raises JournalError and
    StorageError."""
    (((journal_id, next_id, change, *elsewhere),),) = yield from link.steps([STAND()])
    check_place(name, *elsewhere)
    if former is None:
        return
    if journal_id != former.journal_id:
        raise StorageError(f"{name} has another journal now, {journal_id} instead of {former.journal_id}")
    if next_id < former.next_id or change < former.change:
        raise StorageError(
            f"{name} has lost what was acknowledged: it is at change {change}, and was at {former.change}; "
            "an older copy took its place"
        )
