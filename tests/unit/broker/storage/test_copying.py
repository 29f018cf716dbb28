"""`zbroker copy`: a journal moves between a file and PostgreSQL, and only one of the two can be used at any time."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_sample import LOADED, changes, everything

from tests.copied import DIRECTIONS, Place, claimed, closed, loaded
from tests.postgres import Postgres
from zjobs.broker import journals
from zjobs.broker.storage.api import JournalError, MaintenanceError, Misplaced
from zjobs.broker.storage.tables import TABLES
from zjobs.messages.records import AuditEntry

pytestmark = pytest.mark.postgres

SAMPLES = Path(__file__).parent / "data"
ENTRY = AuditEntry(0, 1, "cancel", "ann", True, "", "7", "why")
# what a database has for itself alone
OWN = {
    "sqlite": {("journal", name) for name in ("in_use", "commits", "moved_to", "copied_from")} | {("announced", "at")},
    "postgres": {("journal", name) for name in ("one", "format", "epoch", "holder", "backend", "moved_to")}
    | {("journal", "copied_from"), ("session", "one")},
}


@pytest.fixture
def place(postgres: Postgres, tmp_path: Path) -> Iterator[Place]:
    place = Place(postgres, tmp_path)
    yield place
    place.close()


def made(name: str) -> None:
    """A journal with something of everything in it, that nobody has open."""
    journal = claimed(name)
    journal.commit(everything())
    journal.commit(changes(audit=[ENTRY, ENTRY]))
    journal.release()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_everything_moves(place: Place, direction: str) -> None:
    """With its identity and all ids; the counts are told; there and back, it is the same."""
    source, target = place.ends(direction)
    made(source)
    before = loaded(source)
    told = journals.copy(source, target)
    assert before.journal in told and "job: 6" in told and "audit: 2" in told and "result: 1" in told
    assert loaded(target) == before == LOADED._replace(journal=before.journal)
    journal = claimed(target)
    journal.commit(changes(forgotten={1}, settled=[(7,)]))
    audit = journal.audit(9, 0, None, 9)
    assert [entry._replace(number=0) for entry in audit] == [ENTRY, ENTRY]
    journal.release()
    with pytest.raises(Misplaced, match=r"was moved to .*: start the broker with that"):
        claimed(source)
    closed()
    assert not place.usable(source)


@pytest.mark.parametrize("sample", [f"format_{number}.db" for number in range(1, 8)])
def test_a_journal_of_an_older_format_moves(place: Place, sample: str) -> None:
    """It is brought up to date first, as at the start of a broker."""
    shutil.copy(SAMPLES / sample, place.file)
    journals.copy(str(place.file), place.url)
    closed()
    shutil.copy(SAMPLES / sample, place.file)
    assert loaded(place.url) == loaded(str(place.file))


def test_from_one_database_to_another(place: Place, postgres: Postgres) -> None:
    """Or to another schema."""
    made(place.url)
    postgres.sql("CREATE SCHEMA elsewhere")
    journals.copy(place.url, postgres.url("elsewhere"))
    assert loaded(postgres.url("elsewhere")).counters == LOADED.counters
    postgres.sql("DROP SCHEMA elsewhere CASCADE")


def test_a_source_in_use_is_not_moved(place: Place) -> None:
    """Its broker is named; so is that of the target. Nothing was changed."""
    for name, other in ((str(place.file), place.url), (place.url, str(place.file))):
        journal = claimed(name)
        for source, target in ((name, other), (other, name)):
            if source == other:
                made(other)
            with pytest.raises(MaintenanceError, match=r"a running broker has .* open \(me, here\)") as caught:
                journals.copy(source, target)
            assert caught.value.claimed
            closed() if source == other else None
        assert place.usable(other)
        journal.release()
        place.clear()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_target_with_something_in_it_is_left_alone(place: Place, direction: str) -> None:
    """A journal, and what is none."""
    source, target = place.ends(direction)
    made(source)
    claimed(target).release()
    kept = loaded(target)
    with pytest.raises(MaintenanceError, match="already"):
        journals.copy(source, target)
    closed()
    assert loaded(target) == kept and place.usable(source)


def test_what_cannot_be_copied(place: Place, postgres: Postgres) -> None:
    """Each with a sentence."""
    file = str(place.file)
    with pytest.raises(MaintenanceError, match="there is no file"):
        journals.copy(file, place.url)
    with pytest.raises(MaintenanceError, match="there is no journal in"):
        journals.copy(place.url, file)
    made(file)
    with pytest.raises(MaintenanceError, match="both files"):
        journals.copy(file, f"{file}2")
    postgres.sql(f"CREATE TABLE {place.schema}.job(id int)")
    with pytest.raises(MaintenanceError, match='"job" already exists'):
        journals.copy(file, place.url)
    closed()
    place.file.write_text("something else")
    postgres.sql(f"DROP TABLE {place.schema}.job")
    with pytest.raises(JournalError, match="damaged"):
        journals.copy(file, place.url)
    made(place.url)
    with pytest.raises(MaintenanceError, match="is in the way"):
        journals.copy(place.url, file)
    with pytest.raises(MaintenanceError, match="in memory"):
        journals.copy(place.url, ":memory:")
    closed()
    assert place.usable(place.url) and place.file.read_text() == "something else"


def test_a_journal_that_was_moved_is_not_moved_again(place: Place, postgres: Postgres) -> None:
    """The sentence says where it is, whatever happened to it there."""
    made(str(place.file))
    journals.copy(str(place.file), place.url)
    for target in (place.url, postgres.url("elsewhere")):
        postgres.sql("CREATE SCHEMA IF NOT EXISTS elsewhere")
        with pytest.raises(MaintenanceError, match=f"was moved already, to .*{place.schema}"):
            journals.copy(str(place.file), target)
        closed()
    postgres.sql("DROP SCHEMA elsewhere CASCADE")


@pytest.mark.parametrize(
    "harm",
    [
        "CREATE TRIGGER harm BEFORE INSERT ON data FOR EACH ROW WHEN (NEW.id = 4) EXECUTE FUNCTION harm()",
        "CREATE TRIGGER harm BEFORE INSERT ON job FOR EACH ROW WHEN (NEW.id = 4) EXECUTE FUNCTION harm()",
    ],
)
def test_what_was_not_kept_as_it_was_is_noticed(place: Place, postgres: Postgres, harm: str) -> None:
    """The source stays as it is, and nothing is left in the target."""
    made(str(place.file))
    table = harm.split(" ON ")[1].split()[0]
    change = "NEW.body = 'x'" if table == "data" else "RETURN NULL"
    postgres.sql(
        f"CREATE FUNCTION {place.schema}.spoil() RETURNS event_trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF to_regclass('{table}') IS NOT NULL AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'harm') "
        f"THEN {harm.replace('harm()', f'{place.schema}.harm()')}; END IF; END $$",
        f"CREATE FUNCTION {place.schema}.harm() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {change}; RETURN NEW; END $$",
        f"CREATE EVENT TRIGGER spoiling ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION "
        f"{place.schema}.spoil()",
    )
    try:
        with pytest.raises(MaintenanceError, match=f"did not keep the table {table} as it was"):
            journals.copy(str(place.file), place.url)
    finally:
        postgres.sql("DROP EVENT TRIGGER spoiling")
    closed()
    assert place.usable(str(place.file)) and place.marks(place.url) is None


def test_texts_with_nul_move_as_they_are_submitted(place: Place, postgres: Postgres) -> None:
    """PostgreSQL's text has none; a sign stands for it."""
    made(str(place.file))
    connection = sqlite3.connect(place.file)
    connection.execute("UPDATE job SET name = 'a' || char(0) || 'b' WHERE id = 1")
    connection.commit()
    connection.close()
    journals.copy(str(place.file), place.url)
    assert postgres.sql(f"SELECT name FROM {place.schema}.job WHERE id = 1") == "a\N{SYMBOL FOR NULL}b"


# --- what there is to copy -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_every_column_is_copied(place: Place, postgres: Postgres, database: str) -> None:
    """Or named above as one that the database has for itself."""
    made(str(place.file))
    made(place.url)
    copied = {(table.name, column): kind for table in TABLES for column, kind in table.columns.items()}
    types = {"int": int, "big": int, "tex": str, "blo": bytes, "byt": bytes, "boo": bool}
    if database == "postgres":
        query = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = "
        rows = [line.split("|") for line in postgres.sql(f"{query}'{place.schema}'").splitlines()]
    else:
        connection = sqlite3.connect(place.file)
        query = "SELECT m.name, c.name, c.type FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = "
        rows = connection.execute(f"{query}'table'").fetchall()
        connection.close()
        renamed = {("output", "begins"): ("output", "offset")}
        copied = {renamed.get(name, name): kind for name, kind in copied.items()}
        copied = {name: int if kind is bool else kind for name, kind in copied.items()}
        del copied["journal", "announced"], copied["pause", "place"]
    there = {(table, column): types[kind[:3].lower()] for table, column, kind in rows}
    assert {name: kind for name, kind in there.items() if name not in OWN[database]} == copied


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_copy_takes_little_memory(place: Place, direction: str) -> None:
    """However much there is."""
    source, target = place.ends(direction)
    made(source)
    journal = claimed(source)
    for number in range(9):
        journal.commit(changes(data=[(100 * number + place, os.urandom(1 << 20)) for place in range(100, 110)]))
    journal.release()
    closed()
    child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        journals.copy(source, target)
        grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        os._exit(min(grown_mib, 255))
    grown_mib = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 0 <= grown_mib < 48 + 25  # the first is SQLite's cache
