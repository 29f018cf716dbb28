"""What each storage must do, whatever it is: `zjobs.broker.storage.api`, promise by promise.

Another storage passes this suite when it has a class beside those at the top.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_sample import (
    ATTEMPTS,
    CANCELLED,
    COUNTERS,
    DELAYED,
    DIGEST,
    DONE,
    EMPTY,
    FAILED,
    FIRST,
    JOBS,
    LOADED,
    QUEUED,
    SECOND,
    URGENT,
    changes,
    everything,
)

from tests.postgres import Postgres
from zjobs.broker.core.estimates.kinds import Kind
from zjobs.broker.core.records.jobs import Printed, Service
from zjobs.broker.core.records.needs import (
    MOST_DEPENDENTS,
    DataNeed,
    Details,
    Found,
    Needs,
    OutputNeed,
    OutputPiece,
    ResultNeed,
    ResultPiece,
)
from zjobs.broker.storage.api import Claimed, Journal, NotOwner, StorageError
from zjobs.broker.storage.postgres.journal import PostgresJournal
from zjobs.broker.storage.sqlite import opening
from zjobs.broker.storage.sqlite.database import MEMORY
from zjobs.broker.storage.sqlite.database import Database as SqliteDatabase
from zjobs.broker.storage.sqlite.journal import SqliteJournal
from zjobs.messages.records import QueuePause
from zjobs.messages.states import JobState

STEPS = ("an insert", "an update", "the commit")


class Memory:
    """A journal in memory outlives its broker in nothing but the connection."""

    shared = False
    lies_in = "tmp_path"

    def __init__(self, folder: Path) -> None:
        self._connection: sqlite3.Connection | None = None

    def journal(self) -> SqliteJournal:
        return SqliteJournal(MEMORY, "the journal")

    def claimed(self) -> SqliteJournal:
        """The journal as its last owner left it."""
        journal = self.journal()
        if self._connection is None:
            journal.claim("me")
            self._connection = journal._db.connection
        else:
            journal._database = SqliteDatabase(self._connection, MEMORY)
        return journal

    def crash(self, journal: SqliteJournal) -> None:
        """The owner is gone, without a release."""

    @contextlib.contextmanager
    def refusing(self, journal: SqliteJournal, step: str) -> Iterator[None]:
        """Commits fail at this step."""
        action = {"an insert": sqlite3.SQLITE_INSERT, "an update": sqlite3.SQLITE_UPDATE, "the commit": "COMMIT"}[step]
        connection = journal._db.connection
        connection.set_authorizer(lambda *what: int(action in what[:2]))
        try:
            yield
        finally:
            connection.set_authorizer(lambda *_: 0)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class File(Memory):
    """A journal in a file. A crash leaves what is in it and in its log."""

    shared = True

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        self._journals: list[SqliteJournal] = []

    def _file(self) -> Path:
        return self._folder / f"{self._number}.db"

    def journal(self) -> SqliteJournal:
        self._journals.append(SqliteJournal(str(self._file()), "the journal"))
        return self._journals[-1]

    def claimed(self) -> SqliteJournal:
        journal = self.journal()
        journal.claim("me")
        journal.announce("me, here")
        return journal

    def crash(self, journal: SqliteJournal) -> None:
        before = self._file()
        self._number += 1
        for end in ("", "-wal"):
            shutil.copy(f"{before}{end}", f"{self._file()}{end}")

    def close(self) -> None:
        for journal in self._journals:
            with contextlib.suppress(StorageError):
                journal.release()
        while opening.unclosed:
            opening.unclosed.pop().close()


TRIGGERS = {
    "an insert": "TRIGGER refusal BEFORE INSERT ON job",
    "an update": "TRIGGER refusal BEFORE UPDATE ON journal",
    "the commit": "CONSTRAINT TRIGGER refusal AFTER UPDATE ON journal DEFERRABLE INITIALLY DEFERRED",
}


class Database(File):
    """A journal in PostgreSQL. A crash ends the session."""

    lies_in = "postgres"
    numbers = itertools.count()

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._schema = f"journal_{next(self.numbers)}"
        self._journals: list[PostgresJournal] = []
        server.sql(f"CREATE SCHEMA {self._schema}")

    def journal(self) -> PostgresJournal:
        self._journals.append(PostgresJournal(self._server.url(self._schema), "the journal"))
        return self._journals[-1]

    def crash(self, journal: PostgresJournal) -> None:
        journal._link.close()

    @contextlib.contextmanager
    def refusing(self, journal: PostgresJournal, step: str) -> Iterator[None]:
        trigger = TRIGGERS[step]
        table = trigger.split(" ON ")[1].split()[0]
        here = f"SET search_path = {self._schema}"
        self._server.sql(
            here,
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$",
            f"CREATE {trigger} FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        yield
        self._server.sql(here, f"DROP TRIGGER refusal ON {table}", "DROP FUNCTION refuse")

    def close(self) -> None:
        for journal in self._journals:
            with contextlib.suppress(StorageError):
                journal.release()
        self._server.sql(f"DROP SCHEMA {self._schema} CASCADE")


@pytest.fixture(params=[File, Memory, pytest.param(Database, marks=pytest.mark.postgres)])
def storage(request: pytest.FixtureRequest) -> Iterator[Memory]:
    """An empty storage of each kind."""
    made = request.param(request.getfixturevalue(request.param.lies_in))
    yield made
    made.close()


@pytest.fixture
def empty(storage: Memory) -> Journal:
    """A new journal, claimed."""
    return storage.claimed()


@pytest.fixture
def full(empty: Journal) -> Journal:
    """One with something of everything in it."""
    empty.commit(everything())
    return empty


def details(journal: Journal, job_id: int) -> Details | None:
    return journal.read(Needs(details=[job_id])).details.get(job_id)


def output(journal: Journal, job_id: int, run: int, offset: int, size: int) -> OutputPiece | None:
    need = OutputNeed(job_id, run, offset, size)
    return journal.read(Needs(outputs=[need])).outputs.get(need)


def jobs(journal: Journal, *ids: int) -> list[int]:
    return sorted(journal.read(Needs(jobs=ids)).jobs)


# --- ownership -------------------------------------------------------------------------------------------------------


def test_a_second_broker_is_refused_and_told_who_owns_the_journal(storage: Memory) -> None:
    """Before and after the owner has announced itself; what the owner commits is not disturbed."""
    if not storage.shared:
        pytest.skip("nobody else reaches this journal")
    owner, other = storage.journal(), storage.journal()
    owner.claim("pid 7")
    with pytest.raises(Claimed, match="pid 7") as caught:
        other.claim("pid 8")
    assert caught.value.holder == "pid 7"
    owner.announce("pid 7, at port 5")
    with pytest.raises(Claimed) as caught:
        other.claim("pid 8")
    assert caught.value.holder == "pid 7, at port 5"
    with pytest.raises(NotOwner):
        other.commit(everything())
    owner.commit(everything())
    assert owner.load() == LOADED


def test_a_released_journal_can_be_claimed(storage: Memory) -> None:
    """By another broker, which finds everything."""
    if not storage.shared:
        pytest.skip("nobody else reaches this journal")
    owner, other = storage.claimed(), storage.journal()
    owner.commit(everything())
    owner.release()
    other.claim("pid 8")
    other.announce("pid 8, here")
    assert other.load() == LOADED and other.journal_id == "the journal"


def test_the_journal_of_a_dead_broker_can_be_claimed(storage: Memory, full: Journal) -> None:
    """With everything that was committed."""
    storage.crash(full)
    assert storage.claimed().load() == LOADED


def test_who_does_not_own_the_journal_commits_nothing(storage: Memory) -> None:
    """Neither before the claim nor after the release."""
    journal = storage.journal()
    assert not journal.owned
    with pytest.raises(NotOwner):
        journal.commit(everything())
    journal.claim("me")
    assert journal.owned
    journal.announce("me, here")
    journal.release()
    assert not journal.owned
    for attempt in (lambda: journal.commit(everything()), journal.recover):
        with pytest.raises(NotOwner):
            attempt()


def test_an_owner_may_release_twice(storage: Memory) -> None:
    """Whoever ends in two places need not know."""
    journal = storage.claimed()
    journal.release()
    journal.release()


# --- loading ---------------------------------------------------------------------------------------------------------


def test_a_new_journal_is_empty(storage: Memory, empty: Journal) -> None:
    """No worker ever announced types, which is not the same as none."""
    assert empty.load() == EMPTY and empty.read_only is None
    empty.commit(changes(types={}))
    storage.crash(empty)
    assert storage.claimed().load() == EMPTY._replace(types={})


def test_everything_committed_loads_back(storage: Memory, full: Journal) -> None:
    """After a crash: jobs, data, results, output, attempts, keys, deliveries, session, types, pause, counters."""
    storage.crash(full)
    journal = storage.claimed()
    ids = range(1, 8)
    result, printed = ResultNeed(2, 0, 99), OutputNeed(6, 0, 0, 99)
    keys = [("", "key"), ("", "second"), ("", "other"), ("alice", "key")]
    found = journal.read(Needs(ids, keys, ids, ids, [result, ResultNeed(1, 0, 9)], [printed], ids))
    plain = Details("second", None, None, (), ())
    assert journal.load() == LOADED
    assert found == Found(
        {job.id: job for job in JOBS},
        {("", "key"): FIRST, ("", "second"): SECOND},
        {1: b"abc", 4: b"abc"},
        {1: 3, 2: 10, 4: 3, 6: 7},
        {result: ResultPiece(10, b"0123456789")},
        {printed: OutputPiece(7, 0, b"printed", 1)},
        {
            1: Details("key", 3, None, (4,), ATTEMPTS),
            2: Details("key", None, 10, (), ()),
            3: Details("key", None, None, (), ()),
            4: Details("second", 3, None, (), ()),
            5: plain,
            6: plain,
        },
        {},
        {},
        {},
    )


def test_schemas_are_read_by_their_digests(storage: Memory, full: Journal) -> None:
    """One that comes again replaces itself; one that is dropped leaves the others."""
    assert full.read(Needs(schemas=[DIGEST, "other"])).schemas == {DIGEST: b"{}"}
    full.commit(changes(schemas={DIGEST: b"[]", "other": b"1"}))
    assert full.read(Needs(schemas=[DIGEST, "other"])).schemas == {DIGEST: b"[]", "other": b"1"}
    full.commit(changes(schemas={DIGEST: None, "never there": None}))
    assert full.read(Needs(schemas=[DIGEST, "other"])).schemas == {"other": b"1"}
    full.release()
    assert storage.claimed().load().schemas == {"other"}


def test_the_service_of_a_journal_is_kept(storage: Memory, full: Journal) -> None:
    """A turn that does not tell of it changes nothing."""
    full.commit(changes(counters=COUNTERS, service=Service(5, 6)))
    full.commit(changes(counters=COUNTERS))
    storage.crash(full)
    assert storage.claimed().load().service == Service(5, 6)


def test_pauses_are_kept_in_their_order(storage: Memory, full: Journal) -> None:
    """With owner and end; the clock may have been set between them."""
    ann = QueuePause("ann", "by hand", 900, 5000)
    pauses = (ann, QueuePause("", "a failure", 700, submitter="bob@lab"), ann._replace(since_at=800))
    full.commit(changes(pauses=[pauses]))
    storage.crash(full)
    assert storage.claimed().load().pauses == pauses


def test_a_resumed_journal_is_not_paused(storage: Memory, full: Journal) -> None:
    """Of several in one turn the last one holds."""
    full.commit(changes(pauses=[(QueuePause("", "again", 1),), ()]))
    storage.crash(full)
    assert storage.claimed().load().pauses == ()


def test_deliveries_are_settled_before_new_ones_are_noted(storage: Memory, full: Journal) -> None:
    """A number that is void in a turn may come again in the same one, in a new session."""
    full.commit(changes(settled=[(7,)], deliveries=[(7, 1), (8, 1)]))
    storage.crash(full)
    assert set(storage.claimed().load().in_flight) == {7, 8}


def test_a_held_job_is_parked(storage: Memory, full: SqliteJournal) -> None:
    """It is neither among the ready ones nor among those that wait for their time, until it is released."""
    held = {4: URGENT._replace(held=True), 5: DELAYED._replace(held=True)}
    full.commit(changes(changed=held, edited=held))
    storage.crash(full)
    journal = storage.claimed()
    loaded = journal.load()
    assert loaded.ready == {-3: (array("q"), bytearray()), 0: LOADED.ready[0], 5: (array("q"), bytearray())}
    assert (loaded.waiting, len(loaded.parked)) == ([], 2)
    assert [each[:3] for each in loaded.parked] == [(4, None, None), (5, 5000, 3996)]
    assert [loaded.kinds[each.kind - 1] for each in loaded.parked] == [Kind("reverse", 700), Kind("swap")]
    assert journal.read(Needs(jobs=[4, 5])).jobs == held
    journal.commit(changes(changed={5: DELAYED}, edited={5: DELAYED}))
    assert [each[:4] for each in journal.load().waiting] == [(5000, 5, -3, 3996)]


def test_a_job_that_waits_for_others_is_parked(storage: Memory, full: SqliteJournal) -> None:
    """With the jobs that it waits for, in order; also one that is submitted so, and not once it waits for none."""
    waits = URGENT._replace(after=(3, 1), after_any=(2,))
    new = URGENT._replace(id=7, after_any=(4,), cancelling=False)
    counters = COUNTERS._replace(next_id=8)
    full.commit(changes(added={7: new}, changed={4: waits}, edited={4: waits, 7: new}, counters=counters))
    storage.crash(full)
    journal = storage.claimed()
    loaded = journal.load()
    assert [(each.id, each.awaited) for each in loaded.parked] == [(4, (3, 1, 2)), (7, (4,))]
    assert len(loaded.ready[5][0]) == 0 and journal.read(Needs(jobs=[4, 7])).jobs == {4: waits, 7: new}
    journal.commit(changes(changed={4: URGENT}, edited={4: URGENT}))
    assert [each.id for each in journal.load().parked] == [7]


def test_jobs_cancelled_because_of_others_are_found(full: SqliteJournal) -> None:
    """And those cancelled because of them, by id; of very many as many as tell that they are too many."""
    lost = {
        job.id: job._replace(state=JobState.CANCELLED, cancelled_by=by, after=(by,))
        for job, by in ((URGENT, 2), (DELAYED, 4), (CANCELLED, 4))
    }
    full.commit(changes(changed=lost, edited=lost))
    found = full.read(Needs(dependents=[2, 4, 6])).dependents
    assert found == {2: (lost[4], lost[5], lost[6]), 4: (lost[5], lost[6]), 6: ()}
    many = {
        job_id: URGENT._replace(id=job_id, state=JobState.CANCELLED, cancelled_by=6)
        for job_id in range(10, 11 + MOST_DEPENDENTS)
    }
    full.commit(changes(added=many, changed=many, edited=many))
    assert len(full.read(Needs(dependents=[2])).dependents[2]) == MOST_DEPENDENTS


def test_what_was_asked_of_a_job_changes_with_an_edit_alone(storage: Memory, full: SqliteJournal) -> None:
    """What happens to a job is another matter, and both may come in one turn."""
    asked = {"held": True, "priority": -9, "time_limit_ms": 5, "name": "", "comment": "später", "after": (2,)}
    job = QUEUED._replace(**asked, version=3)
    full.commit(changes(changed={1: job}))
    assert full.read(Needs(jobs=[1])).jobs == {1: QUEUED._replace(version=3)}
    full.commit(changes(changed={1: job._replace(version=4)}, edited={1: job._replace(version=4)}))
    storage.crash(full)
    assert storage.claimed().read(Needs(jobs=[1])).jobs == {1: job._replace(version=4)}


def test_a_start_time_is_told_from_a_delay(storage: Memory, full: SqliteJournal) -> None:
    """It has no length; a later delay, of another attempt, has one again. Who shall start by a time is told apart."""
    timed = {
        4: URGENT._replace(ready_at=9000, start_at=9000, start_by=9500),
        5: DELAYED._replace(ready_at=9000, start_at=9000, held=True),
    }
    ran = {1: QUEUED._replace(start_by=9500)}
    full.commit(changes(changed=timed, edited={**timed, **ran}))
    storage.crash(full)
    journal = storage.claimed()
    loaded = journal.load()
    assert [each[:4] for each in loaded.waiting] == [(9000, 4, 5, None)]
    assert [each[:3] for each in loaded.parked] == [(5, 9000, None)]
    assert list(loaded.start_by) == [(4, 9500)], "job 1 has run"
    assert journal.read(Needs(jobs=[1, 4, 5])).jobs == {**timed, **ran}
    journal.commit(changes(changed={4: timed[4]._replace(ready_at=9700, ended_at=9600)}))
    assert [each[:4] for each in journal.load().waiting] == [(9700, 4, 5, 100)]


# --- reading by id ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [(3, 1, 5, 6), (4, 6, 1, 5), (1, 2, 3), (3, 2, 1), (2, 4, 6), (1, 1), (4, 7, 5, 6)])
def test_records_come_whatever_the_order_they_are_asked_in(full: Journal, ids: tuple[int, ...]) -> None:
    """Priorities mix the ids: a first and a last one that lie as far apart as they are many mean nothing."""
    found = full.read(Needs(jobs=ids, data=ids))
    assert set(found.jobs) == set(ids) - {7} and set(found.data) == set(ids) & {1, 4}


def test_a_long_list_is_one_read(empty: Journal) -> None:
    """Of thousands, in no order."""
    ids = range(1, 3_001)
    empty.commit(
        changes(added={job_id: URGENT._replace(id=job_id) for job_id in ids}, data=[(i, b"%d" % i) for i in ids])
    )
    mixed = sorted(ids, key=lambda job_id: job_id * 7919 % 3001)
    found = empty.read(Needs(jobs=mixed, data=mixed, kept_bytes=mixed))
    assert set(found.jobs) == set(ids) and all(job.id == job_id for job_id, job in found.jobs.items())
    assert found.data == {job_id: b"%d" % job_id for job_id in ids}
    assert found.kept_bytes == {job_id: len(str(job_id)) for job_id in ids}


def test_nothing_named_is_nothing_found(full: Journal) -> None:
    """Each kind of its own; empty lists as well."""
    nothing = Found({}, {}, {}, {}, {}, {}, {}, {}, {}, {})
    assert full.read(Needs()) == full.read(Needs([], [], [], [], [], [], [])) == nothing
    assert full.read(Needs(data_pieces=[DataNeed(99, 0, 1), DataNeed(2, 0, 1)])) == nothing
    assert (
        full.read(Needs([99], [("", "99")], [99], [99], [ResultNeed(99, 0, 1)], [OutputNeed(99, 0, 0, 1)], [99]))
        == nothing
    )


def test_a_result_comes_in_pieces(full: Journal) -> None:
    """With the size of the whole; behind its end the piece is empty."""
    needs = [ResultNeed(2, at, 4) for at in (0, 8, 10, 99, 2**63 - 1)]
    found = full.read(Needs(results=needs)).results
    assert [found[need].body for need in needs] == [b"0123", b"89", b"", b"", b""]
    assert {piece.size for piece in found.values()} == {10}


def test_data_comes_in_pieces(full: Journal) -> None:
    """Of many jobs at once, from different places; each with the size of the whole."""
    needs = [DataNeed(job_id, at, 2) for job_id in (4, 1, 2) for at in (0, 2, 3, 2**63 - 1)]
    found = full.read(Needs(data_pieces=needs)).data_pieces
    assert [found[need].body for need in needs if need.id != 2] == [b"ab", b"c", b"", b""] * 2
    assert {piece.size for piece in found.values()} == {3} and {need.id for need in found} == {1, 4}


def test_output_is_kept_in_the_pieces_it_came_in(full: Journal) -> None:
    """From any place on they are put together, up to a gap; what a later run prints takes an earlier one's place."""
    for piece in (Printed(1, 1, 0, b"abc"), Printed(1, 1, 3, b"def"), Printed(1, 1, 10, b"xyz")):
        full.commit(changes(outputs=[piece]))
    assert output(full, 1, 1, 0, 99) == (13, 0, b"abcdef", 1)
    assert output(full, 1, 0, 2, 3) == (13, 2, b"cde", 1)
    assert output(full, 1, 1, 6, 99) == output(full, 1, 1, 8, 99) == (13, 10, b"xyz", 1)
    assert output(full, 1, 1, 12, 99) == (13, 12, b"z", 1)
    assert output(full, 1, 1, 2**63 - 1, 9) == (13, 13, b"", 1)
    assert output(full, 1, 2, 0, 99) is None, "another run has printed nothing yet"
    full.commit(changes(outputs=[Printed(1, 2, 0, b"again"), Printed(1, 2, 5, b" and again")]))
    assert output(full, 1, 1, 0, 99) == (15, 0, b"again and again", 2)
    assert full.read(Needs(kept_bytes=[1])).kept_bytes == {1: 3 + 15}


def test_the_beginning_of_much_output_goes_piece_by_piece(full: Journal) -> None:
    """The piece in which the bound lies is kept; no piece is ever written again."""
    for place in range(0, 100, 10):
        full.commit(changes(outputs=[Printed(1, 1, place, b"%010d" % place, max(0, place + 10 - 25))]))
    assert output(full, 1, 1, 0, 99) == (100, 70, b"%010d%010d%010d" % (70, 80, 90), 1)
    assert full.read(Needs(kept_bytes=[1])).kept_bytes == {1: 3 + 30}


# --- reading in order ------------------------------------------------------------------------------------------------


def test_pages_go_from_the_newest_to_the_oldest(full: Journal) -> None:
    """Each as long as asked; the rare states are found without the others; the last page says so."""
    pages = []
    below = 7
    while below:
        found, below = full.page(below, None, 4)
        pages.append([job.id for job in found])
    assert pages == [[6, 5, 4, 3], [2, 1]]
    assert full.page(7, JobState.CANCELLED, 4) == ([CANCELLED], 0)
    assert full.page(7, JobState.FAILED, 1) == ([FAILED], 3)
    assert full.page(3, JobState.FAILED, 1) == ([], 0)


def test_ended_jobs_are_found_in_portions(full: Journal) -> None:
    """Of the next few jobs those that ended, and where to go on."""
    assert full.ended(0, 2) == ([DONE], 2)
    assert full.ended(2, 3) == ([FAILED], 5)
    assert full.ended(5, 3) == ([CANCELLED], 0)


# --- committing ------------------------------------------------------------------------------------------------------


def test_a_forgotten_job_leaves_nothing_behind(full: Journal) -> None:
    """Its record, data, result, output and runs are gone, its key with the last job of its submit; copies stay."""
    for ids, keys in (({2, 3}, {"key", "second"}), ({1}, {"second"}), ({6}, {"second"}), ({4, 5}, set())):
        full.commit(changes(forgotten=ids, settled=[(7,)]))
        dropped = sorted(ids)
        found = full.read(Needs(dropped, [("", "key"), ("", "second")], [*dropped, 4], dropped))
        assert {key for _, key in found.submits} == keys
        assert not found.jobs and not found.kept_bytes
        assert full.load().counters.next_id == 7, "ids are never given again"
        assert found.data == ({} if 4 in ids else {4: b"abc"})
    assert full.load() == LOADED._replace(ready={}, waiting=[], in_flight={}, kinds=())
    full.commit(changes(added={2: URGENT._replace(id=2)}))
    assert details(full, 2) == ("", None, None, (), ())


def test_a_job_is_copied_before_it_is_forgotten(full: Journal) -> None:
    """Both in one turn."""
    full.commit(
        changes(
            added={7: URGENT._replace(id=7)},
            counters=COUNTERS._replace(next_id=8),
            data_copies=[(7, 1)],
            forgotten={1},
            settled=[(7,)],
        )
    )
    assert full.read(Needs(data=[7, 1])).data == {7: b"abc"} and jobs(full, 1, 7) == [7]


@pytest.mark.parametrize("step", STEPS)
def test_a_failed_commit_leaves_nothing(storage: Memory, empty: Journal, step: str) -> None:
    """StorageError, nothing of it can be read, the reason is told until writing works again."""
    with storage.refusing(empty, step):
        with pytest.raises(StorageError):
            empty.commit(everything())
        assert empty.read_only
    assert empty.load() == EMPTY and jobs(empty, *range(1, 7)) == []
    empty.recover()
    assert empty.read_only is None
    empty.commit(everything())
    storage.crash(empty)
    assert storage.claimed().load() == LOADED


def test_recovery_fails_while_commits_do(storage: Memory, empty: Journal) -> None:
    """And the journal stays read-only until it does not."""
    with storage.refusing(empty, "an update"):
        for attempt in (lambda: empty.commit(everything()), empty.recover):
            with pytest.raises(StorageError):
                attempt()
            assert empty.read_only
    empty.recover()
    assert empty.read_only is None


def test_used_bytes_follow_what_is_kept(full: Journal) -> None:
    """What is forgotten is free again, though the journal may stay as large."""
    before = full.used_bytes()
    full.commit(changes(added={8: URGENT._replace(id=8)}, data=[(8, bytes(1 << 20))]))
    assert full.used_bytes() >= before + (1 << 20) and full.size_bytes() >= full.used_bytes()
    full.commit(changes(forgotten={8}))
    assert full.used_bytes() < before + (1 << 16)
