"""`zbroker check`, `backup` and `restore` on a journal in PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from journal_sample import LOADED, everything

from tests.postgres import Postgres
from zjobs.broker.storage.api import JournalError, MaintenanceError
from zjobs.broker.storage.postgres.journal import PostgresJournal
from zjobs.broker.storage.postgres.maintenance import DatabaseMaintenance

pytestmark = pytest.mark.postgres

numbers = itertools.count()


class Kept:
    """A journal with something of everything, which no broker has open."""

    def __init__(self, server: Postgres, schema: str) -> None:
        self._server, self._schema = server, schema
        self.url = server.url(schema)
        self.maintenance = DatabaseMaintenance(self.url)

    def sql(self, *statements: str) -> str:
        return self._server.sql(f"SET search_path = {self._schema}", *statements)

    def claimed(self) -> PostgresJournal:
        journal = PostgresJournal(self.url, "the journal")
        journal.claim("pid 7")
        return journal


@pytest.fixture
def kept(postgres: Postgres) -> Iterator[Kept]:
    schema = f"kept_{next(numbers)}"
    postgres.sql(f"CREATE SCHEMA {schema}")
    kept = Kept(postgres, schema)
    journal = kept.claimed()
    journal.commit(everything())
    journal.release()
    yield kept
    postgres.sql(f"DROP SCHEMA {schema} CASCADE")


def test_a_sound_journal(kept: Kept) -> None:
    """Its identity and its counts; nothing is changed."""
    before = kept.sql("SELECT * FROM journal")
    assert kept.maintenance.check().endswith(
        "is sound: journal the journal, 6 ids given, 2 queued, 1 waiting, 1 completed, 1 failed, 1 cancelled"
    )
    assert kept.sql("SELECT * FROM journal") == before


def test_a_journal_that_is_in_use(kept: Kept) -> None:
    """Neither checked nor restored; the owner is named."""
    journal = kept.claimed()
    for attempt in (kept.maintenance.check, lambda: kept.maintenance.restore(kept.url)):
        with pytest.raises(MaintenanceError, match=r"a running broker has .* open \(pid 7\)") as caught:
            attempt()
        assert caught.value.claimed
    journal.release()


@pytest.mark.parametrize(
    "harm, told",
    [
        ("UPDATE job SET state = 'lost' WHERE id = 2", "a job has an unknown state"),
        ("DELETE FROM result", "a completed job has no result"),
        ("UPDATE journal SET next_id = 3", "an id was given that is not counted"),
        ("UPDATE data SET body = 'x' WHERE id = 1", "a job's data has another size"),
        ("DELETE FROM job WHERE id = 1", "a job is in flight that does not exist"),
        ("UPDATE history SET runs = 'x'", "the history of a type is no list of numbers"),
    ],
)
def test_damage_is_found(kept: Kept, harm: str, told: str) -> None:
    """With a sentence and the id."""
    kept.sql(harm)
    with pytest.raises(JournalError, match=told):
        kept.maintenance.check()


def test_a_restored_journal_is_another_journal(kept: Kept) -> None:
    """It is paused, has no session, and what had not ended is listed; ids go on from where the backup was."""
    lines = kept.maintenance.restore(kept.url).splitlines()
    assert "restored from a backup of journal the journal" in lines[0]
    assert lines[2:] == ["  4  reverse", "  1  reverse  was with the worker", "  5  swap"]
    journal = kept.claimed()
    loaded = journal.load()
    journal.release()
    assert loaded.journal != "the journal" and loaded.journal in lines[0]
    assert loaded.session is None and loaded.counters == LOADED.counters
    (pause,) = loaded.pauses
    assert "may have run since" in pause.reason and pause.reason.endswith("Before that: looking at it")


def test_backups_are_made_by_postgresql(kept: Kept) -> None:
    """And restored, too: the sentences name its tools."""
    with pytest.raises(MaintenanceError, match="pg_dump"):
        kept.maintenance.backup("there", None)
    with pytest.raises(MaintenanceError, match="pg_restore"):
        kept.maintenance.restore("a file")


def test_where_there_is_no_journal(postgres: Postgres) -> None:
    """None is made by looking."""
    url = postgres.emptied()
    with pytest.raises(MaintenanceError, match="there is no journal"):
        DatabaseMaintenance(url).check()
    assert postgres.sql("SELECT to_regclass('public.journal') IS NULL") == "t"
