"""What only a journal in PostgreSQL can meet: a connection that breaks anywhere, other owners, other servers."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from journal_sample import COUNTERS, EMPTY, FIRST, JOBS, LOADED, changes, everything

from tests.conftest import wait_until
from tests.postgres import Postgres, running_postgres
from tests.postgres_link import broken_link
from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.needs import Needs, ResultNeed
from zjobs.broker.storage.api import CannotCreate, Claimed, JournalError, NotOwner, NotSafe, StorageError
from zjobs.broker.storage.postgres.connection.conninfo import Address
from zjobs.broker.storage.postgres.connection.durability import guarantee
from zjobs.broker.storage.postgres.connection.link import Lost
from zjobs.broker.storage.postgres.journal import PostgresJournal
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId

pytestmark = pytest.mark.postgres

numbers = itertools.count()


@pytest.fixture
def schema(postgres: Postgres) -> Iterator[str]:
    """A place for tables."""
    name = f"alone_{next(numbers)}"
    postgres.sql(f"CREATE SCHEMA {name}")
    yield name
    postgres.sql(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def make(postgres: Postgres, schema: str) -> Iterator[Callable[..., PostgresJournal]]:
    """Make journals there; all are released."""
    made: list[PostgresJournal] = []

    def journal(url: str = "", **how: bool) -> PostgresJournal:
        made.append(PostgresJournal(url or postgres.url(schema), "the journal", **how))
        return made[-1]

    yield journal
    for each in made:
        with contextlib.suppress(StorageError):
            each.release()


@pytest.fixture
def journal(make: Callable[..., PostgresJournal]) -> PostgresJournal:
    """A new journal, claimed and announced."""
    journal = make()
    journal.claim("me")
    journal.announce("me, here")
    return journal


def recovered(journal: PostgresJournal) -> None:
    """Try until it can be written again, as a broker does."""

    wait_until(lambda: tried(journal) is None, "the journal can be written again", lambda: str(journal.read_only))


def tried(journal: PostgresJournal) -> str | None:
    """What an attempt to recover says, None when it has."""
    try:
        journal.recover()
    except StorageError as error:
        return str(error)
    return None


def told(journal: PostgresJournal, sentence: str) -> None:
    """Try until the reason is this one."""
    wait_until(lambda: sentence in (tried(journal) or ""), sentence, lambda: str(journal.read_only))


@pytest.mark.parametrize("how", ["before", "during", "after"])
def test_a_session_cut_at_any_message_of_a_commit(
    how: str, postgres: Postgres, schema: str, make: Callable[..., PostgresJournal]
) -> None:
    """All of it or nothing is there afterwards, nothing but StorageError is raised, and the same owner goes on."""
    with broken_link(postgres) as proxy:
        journal = make(proxy.url(schema))
        journal.claim("me")
        journal.announce("me, here")
        before = proxy.carried
        journal.commit(everything())
        messages = proxy.carried - before
        assert messages > 60
        tables = "job, data, result, output, attempt, request, session, in_flight, type, type_schema, history, pause"
        totals = "next_id = 1, change = 0, completed = 0, failed = 0, cancelled = 0, announced = false"
        outcomes = set()
        for nth in [*range(1, messages, 7), messages + 1]:  # a new session prepares the fence, too
            postgres.sql(f"SET search_path = {schema}", f"TRUNCATE {tables}", f"UPDATE journal SET {totals}")
            journal._remember(1, 0)
            proxy.how, proxy.left = how, nth
            try:
                journal.commit(everything())
            except Lost:
                assert journal.read_only and not journal.owned
                with pytest.raises(StorageError):
                    journal.read(Needs(jobs=[1]))
            else:
                proxy.left = None  # prepared statements take fewer messages
            recovered(journal)
            loaded = journal.load()
            assert loaded in (EMPTY, LOADED)
            outcomes.add(loaded == LOADED)
        assert outcomes == ({False, True} if how == "after" else {False})  # the last message is what commits


def turn(number: int) -> Changes:
    """What a turn with a submit, an end and a dispatch writes."""
    job = JOBS[0]._replace(id=JobId(number), state=JobState.QUEUED, reason=None)
    before = {JobId(number - 1): job._replace(id=JobId(number - 1), state=JobState.COMPLETED)}
    return changes(
        added={job.id: job},
        changed=before,
        data=[(number, b"abc")],
        results=[(number, b"x")],
        submitted={("", f"{number}"): FIRST._replace(request_key=f"{number}", first_id=JobId(number), count=1)},
        settled=[(number - 1,)],
        deliveries=[(number, number)],
        session=LOADED.session,
        counters=COUNTERS._replace(next_id=number + 1),
    )


def test_a_turn_is_one_round_trip(postgres: Postgres, schema: str, make: Callable[..., PostgresJournal]) -> None:
    """Whatever it writes, and so is whatever it reads; statements are prepared once."""
    with broken_link(postgres) as link:
        journal = make(link.url(schema))
        journal.claim("me")
        journal.announce("me, here")
        journal.commit(turn(100))
        needs = Needs(jobs=[100, 101], data=[100], details=[100], results=[ResultNeed(100, 0, 9)])
        journal.read(needs)
        prepared, syncs, round_trips = link.kinds[b"P"], link.kinds[b"S"], link.round_trips
        for number in range(101, 105):
            journal.commit(turn(number))
            assert journal.read(needs).jobs
        assert link.kinds[b"S"] - syncs == link.round_trips - round_trips == 8
        assert link.kinds[b"P"] == prepared and link.kinds[b"Q"] == 0
        journal.release()


def test_a_turn_is_one_flush() -> None:
    """Of the server's log, by its own count, which it makes up when a session ends."""
    with running_postgres(fsync="on", wal_writer_delay="10s", checkpoint_timeout="1h", autovacuum="off") as server:

        def flushes(turns: int) -> int:
            count = "SELECT wal_sync FROM pg_stat_wal"
            journal = PostgresJournal(server.url(), "the journal")
            journal.claim("me")
            first = int(server.sql(count))
            for _ in range(turns):
                journal.commit(turn(next(ids)))
            journal.release()
            session = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'zbroker'"
            wait_until(lambda: not server.sql(session), "the session has ended")
            return int(server.sql(count)) - first

        ids = itertools.count(100)
        flushes(1)
        few, many = flushes(5), flushes(25)
        assert 20 <= many - few <= 22


@pytest.mark.parametrize("change", ["epoch = epoch + 1", "backend = backend + 1"])
def test_who_lost_the_journal_commits_nothing(
    journal: PostgresJournal, postgres: Postgres, schema: str, change: str
) -> None:
    """Whatever it sends is refused as a whole by its first statement: under an old epoch, or from another session."""
    postgres.sql(f"UPDATE {schema}.journal SET {change}")
    with pytest.raises(NotOwner):
        journal.commit(everything())
    assert not journal.owned and journal.read_only
    assert postgres.sql(f"SELECT count(*) FROM {schema}.job") == "0"


def test_a_lost_session_gives_way_to_another_broker(
    journal: PostgresJournal, make: Callable[..., PostgresJournal], postgres: Postgres
) -> None:
    """And comes back when that one has ended, under a newer epoch."""
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'zbroker'")
    other = make()
    other.claim("other")
    with pytest.raises(StorageError):
        journal.commit(everything())
    told(journal, "open in another broker, which must end first: other")
    other.commit(everything())
    other.release()
    recovered(journal)
    assert journal.load() == LOADED


def test_a_former_session_of_ones_own_is_ended(journal: PostgresJournal, postgres: Postgres, schema: str) -> None:
    """A server that has not noticed that the connection is gone holds the lock for it."""
    cut_off, journal._link = journal._link, None
    assert cut_off is not None
    told(journal, "former session")
    recovered(journal)
    journal.commit(everything())
    assert journal.load() == LOADED
    with pytest.raises(Lost):
        cut_off.run([], 1)


def test_a_database_that_went_back_in_time(journal: PostgresJournal, postgres: Postgres, schema: str) -> None:
    """What was acknowledged is missing: nothing is written, and the sentence says so."""
    journal.commit(everything())
    postgres.sql(
        f"UPDATE {schema}.journal SET change = 5",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'zbroker'",
    )
    with pytest.raises(StorageError):
        journal.commit(changes(counters=COUNTERS))
    told(journal, "has lost what was acknowledged: it is at change 5, and was at 9")
    assert not journal.owned


def test_what_is_no_journal_is_refused(make: Callable[..., PostgresJournal], postgres: Postgres, schema: str) -> None:
    """A table of somebody else, a newer format, a moved journal; none is changed."""
    postgres.sql(f"CREATE TABLE {schema}.journal(page text)")
    with pytest.raises(JournalError, match="that zjobs did not create"):
        make().claim("me")
    postgres.sql(f"DROP TABLE {schema}.journal")
    journal = make()
    journal.claim("me")
    journal.release()
    for change, why in (("moved_to = 'there'", "was moved to there"), ("format = 99", "use a newer one")):
        postgres.sql(f"UPDATE {schema}.journal SET {change}")
        with pytest.raises(JournalError, match=why):
            make().claim("me")


def test_texts_with_nul_are_kept(journal: PostgresJournal) -> None:
    """PostgreSQL's text has none; a sign stands for it."""
    first = LOADED.in_flight[7]
    journal.commit(changes(added={1: first._replace(name="a\0b")}))
    assert journal.read(Needs(jobs=[1])).jobs[1].name == "a\N{SYMBOL FOR NULL}b"


def test_a_standby_is_required(make: Callable[..., PostgresJournal], journal: PostgresJournal) -> None:
    """Without synchronous_standby_names the journal is not even claimed."""
    journal.release()
    with pytest.raises(NotSafe, match="do not wait for a standby"):
        make(require_standby=True).claim("me")
    make().claim("me")


@pytest.mark.parametrize(
    "settings, on_standby, warnings",
    [
        (("on", "", True, True), False, 0),
        (("on", "s1", True, True), True, 0),
        (("remote_apply", "ANY 1 (s1, s2)", True, True), True, 0),
        (("local", "s1", True, True), False, 0),
        (("on", "", False, False), False, 2),
    ],
)
def test_what_is_guaranteed(settings: tuple[str, str, bool, bool], on_standby: bool, warnings: int) -> None:
    """As the server is set up."""
    said = guarantee(*settings)
    assert (said.on_standby, len(said.warnings)) == (on_standby, warnings)


@pytest.mark.parametrize(
    "url, name",
    [
        ("postgresql://me:secret@db1:5433,db2:5434/jobs", "postgresql://me@db1:5433,db2:5434/jobs"),
        ("postgresql://db/jobs?sslmode=require", "postgresql://db/jobs?sslmode=require"),
        ("postgres:///jobs?host=/run/pg&password=secret", "postgresql:///jobs?host=/run/pg"),
        ("postgresql://", "postgresql:///"),
    ],
)
def test_the_name_of_a_journal_has_no_secrets(url: str, name: str) -> None:
    """It is shown to everybody."""
    assert Address(url).name == name
    assert len(Address("postgresql://a,b,c/x").attempts) == 3


def test_an_address_that_cannot_be_read() -> None:
    """A sentence."""
    with pytest.raises(JournalError, match="cannot be read"):
        Address("postgresql://x?nonsense=1")


def test_no_server_answers(make: Callable[..., PostgresJournal], tmp_path: Path) -> None:
    """The journal cannot be claimed; a broker that runs already would try again."""
    with pytest.raises(CannotCreate, match="cannot be reached"):
        make(f"postgresql://zjobs:secret@/x?host={tmp_path}").claim("me")


def test_a_silent_server_is_left_soon(journal: PostgresJournal, postgres: Postgres, schema: str) -> None:
    """A commit waits for a few seconds; an attempt to get a session back takes a moment."""
    blocker = threading.Thread(target=postgres.sql, args=(f"BEGIN; LOCK TABLE {schema}.journal; SELECT pg_sleep(4)",))
    blocker.start()
    wait_until(lambda: postgres.sql("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock'"), "the table is locked")
    with pytest.raises(Lost, match="no answer"):
        journal.commit(everything())
    began = time.monotonic()
    with pytest.raises(StorageError):
        journal.recover()
    assert time.monotonic() - began < 1
    blocker.join()
    recovered(journal)
    journal.commit(everything()) if journal.load() == EMPTY else None
    assert journal.load() == LOADED


def test_one_is_refused_while_another_owns(journal: PostgresJournal, make: Callable[..., PostgresJournal]) -> None:
    """Though each has its own connection."""
    with pytest.raises(Claimed, match="me, here"):
        make().claim("other")
