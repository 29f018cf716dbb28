"""`zbroker check` and `restore` for a journal in PostgreSQL; backups are made by PostgreSQL's own tools."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from zjobs.broker.credentials import Credentials
from zjobs.broker.storage import restored
from zjobs.broker.storage.api import JournalError, MaintenanceError, StorageError
from zjobs.broker.storage.postgres import loading
from zjobs.broker.storage.postgres.connection.claiming import HOLDER, SURROUNDINGS, TRY_LOCK, VERSION
from zjobs.broker.storage.postgres.connection.conninfo import Address
from zjobs.broker.storage.postgres.connection.link import Link, connected_at_once
from zjobs.broker.storage.postgres.connection.values import INTEGER, TEXT, Query
from zjobs.broker.storage.postgres.schema import CHECKS, FORMAT
from zjobs.broker.storage.postgres.writing import DELETE_PAUSES
from zjobs.program import clock

MAINTENANCE_S = 3600.0
PAGE = "docs/postgresql.md"

RENAME = Query("UPDATE journal SET id = $1, epoch = epoch + 1, holder = '', moved_to = '', copied_from = ''", TEXT)
DELETE_SESSION = Query("DELETE FROM session")
PAUSE = Query("INSERT INTO pause(place, owner, reason, since_at) VALUES(1, '', $1, $2)", TEXT, INTEGER)
QUEUED = Query(
    "SELECT id, type, id IN (SELECT id FROM in_flight) FROM job WHERE state = 'queued' ORDER BY priority DESC, id "
    "LIMIT $1",
    INTEGER,
)
COUNT_QUEUED = Query("SELECT count(*) FROM job WHERE state = 'queued'")


class DatabaseMaintenance:
    """`api.Maintenance`."""

    def __init__(self, url: str) -> None:
        """Raises JournalError for an invalid URL."""
        self._url = url
        self._address = Address(url)
        self._name = self._address.name

    def check(self) -> str:
        """Look for what must not be, and change nothing."""
        with self._session() as link:
            planner = [query() for query in loading.PLANNER]
            answers = link.run([*planner, *(Query(query)() for query in CHECKS.values())], MAINTENANCE_S)
            problems = [
                f"{sentence} ({row[0]})" for sentence, rows in zip(CHECKS, answers[len(planner) :]) for row in rows
            ]
            if problems:
                raise JournalError(f"the journal {self._name} is damaged: {'; '.join(problems)}")
            loaded = loading.loaded(link.run(loading.asked(), MAINTENANCE_S))
        return f"{self._name} is sound: {restored.summary(loaded)}"

    def backup(self, target: str, keys: Credentials | None) -> str:
        """Say how it is done."""
        raise MaintenanceError(
            f"{self._name} is a database, which PostgreSQL's own tools copy, also while a broker uses it: "
            f"pg_dump, pg_basebackup ({PAGE}, Backups)"
        )

    def restore(self, source: str) -> str:
        """Give the journal that PostgreSQL's tools have restored an identity of its own, and pause it."""
        if source != self._url:
            raise MaintenanceError(
                f"a database is restored with PostgreSQL's own tools, such as pg_restore; then `zbroker restore URL` "
                f"gives its journal a new identity ({PAGE}, Restore)"
            )
        new_id = os.urandom(8).hex()
        with self._session() as link:
            loaded = loading.loaded(link.run(loading.asked(), MAINTENANCE_S))
            pause = restored.pause_after("a backup", loaded.pauses, clock.wall_ms())
            changes = [RENAME(new_id), DELETE_SESSION(), DELETE_PAUSES(), PAUSE(pause.reason, pause.since_at)]
            *_, jobs, ((count,),) = link.run([*changes, QUEUED(restored.SHOWN), COUNT_QUEUED()], MAINTENANCE_S)
        told = f"{self._name} is journal {new_id} now, restored from a backup of journal {loaded.journal}"
        return "\n".join([told, *restored.open_jobs([(row[0], row[1], row[2]) for row in jobs], count)])

    @contextlib.contextmanager
    def _session(self) -> Iterator[Link]:
        """No broker claims the journal meanwhile."""
        link = connected_at_once(self._address)
        try:
            ((_, _, _, exists),) = link.run([SURROUNDINGS()], MAINTENANCE_S)[0]
            if not exists:
                raise MaintenanceError(f"there is no journal in {self._name}")
            if not link.run([TRY_LOCK()], MAINTENANCE_S)[0][0][0]:
                holders = link.run([HOLDER()], MAINTENANCE_S)[0]
                holder = holders[0][0] if holders else "somebody"
                raise MaintenanceError(f"a running broker has {self._name} open ({holder}): end it first", True)
            version = link.run([VERSION()], MAINTENANCE_S)[0][0][0]
            if version != FORMAT:
                raise JournalError(f"{self._name} has format {version}, and this zjobs looks at format {FORMAT}")
            yield link
        except StorageError as error:
            raise MaintenanceError(f"{self._name}: {error}") from error
        finally:
            link.close()
