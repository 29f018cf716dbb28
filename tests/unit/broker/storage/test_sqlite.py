"""The journal in SQLite: what only it has to keep, a file above all. See `test_contract` for the rest."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from journal_sample import (
    ATTEMPTS,
    COUNTERS,
    DONE,
    FAILED,
    FIRST,
    HISTORY,
    JOBS,
    LOADED,
    OLD_COUNTERS,
    OLD_TYPES,
    OLDER_TYPES,
    PAUSED,
    QUEUED,
    SECOND,
    SESSION,
    TYPES,
    URGENT,
    changes,
    everything,
)

from zjobs.broker.core.estimates.kinds import Kind
from zjobs.broker.core.records.jobs import Job, Loaded, Printed, Submitted
from zjobs.broker.core.records.needs import Needs, OutputNeed, ResultNeed
from zjobs.broker.storage.api import CannotCreate, JournalError, StorageError, Unreadable
from zjobs.broker.storage.sqlite import lineage, opening, reading, wal
from zjobs.broker.storage.sqlite.database import MEMORY, Database
from zjobs.broker.storage.sqlite.journal import SqliteJournal
from zjobs.broker.storage.sqlite.opening import check_content, open_journal
from zjobs.broker.storage.sqlite.schema import CHECKS, SCHEMA_VERSION

SAMPLES = Path(__file__).parent / "data"
OLDER = tuple(f"format_{number}.db" for number in range(1, SCHEMA_VERSION))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal may lie."""
    return tmp_path / "journal.db"


def claimed(path: Path, new_id: str = "new") -> SqliteJournal:
    """The journal that is there, or a new one, in use."""
    journal = SqliteJournal(str(path), new_id)
    journal.claim("me")
    journal.announce("me, here")
    return journal


def made(path: Path) -> SqliteJournal:
    """A new journal with something of everything in it."""
    journal = claimed(path, "one")
    journal.commit(everything())
    return journal


def loaded(path: Path) -> Loaded:
    """What a broker would find."""
    return reading.load(open_journal(str(path), "new"))


def sql(journal: SqliteJournal, statement: str) -> list[tuple[object, ...]]:
    return journal._db.all(statement)


# --- what is in it ---------------------------------------------------------------------------------------------------


HARMS = [
    ("INSERT INTO in_flight VALUES(9, 99)", "does not exist"),
    ("INSERT INTO in_flight VALUES(9, 2)", "has ended"),
    ("UPDATE journal SET next_id = 2", "not counted"),
    ("DELETE FROM result", "no result"),
    ("UPDATE data SET body = x'00'", "another size"),
    ("UPDATE job SET state = 'lost' WHERE id = 1", "unknown state"),
    ("UPDATE job SET reason = 'x' WHERE id = 1", "unknown reason"),
    ("UPDATE attempt SET outcome = 'x'", "unknown way"),
    ("INSERT INTO history VALUES('x', '')", "history of a type"),
    ("INSERT INTO history VALUES('x', '12 3.5')", "history of a type"),
    ("INSERT INTO history VALUES('x', '12 -3')", "history of a type"),
    ("UPDATE job SET after = '1 x' WHERE id = 1", "waits for what is no id"),
]


def test_each_rule_of_check_has_a_case() -> None:
    """Of what must hold beyond SQLite's own structure."""
    assert all(any(word in rule for _, word in HARMS) for rule in CHECKS)


@pytest.mark.parametrize(("harm", "word"), HARMS)
def test_check_finds_what_does_not_fit_together(path: Path, harm: str, word: str) -> None:
    """Each with a sentence."""
    journal = made(path)
    sql(journal, harm)
    with pytest.raises(JournalError, match=word):
        check_content(journal._db)
    journal.release()


@pytest.mark.parametrize("harm", ["UPDATE job SET state = 'lost' WHERE id = 1", "UPDATE job SET reason = 'x'"])
def test_words_that_mean_nothing_are_damage(path: Path, harm: str) -> None:
    """A state or reason that this program does not know is not guessed at; of one job, the others can be read."""
    journal = made(path)
    sql(journal, harm)
    with pytest.raises(StorageError, match="a record is damaged"):
        journal.read(Needs(jobs=[1]))
    sql(journal, "INSERT OR IGNORE INTO in_flight VALUES(9, 1)")
    with pytest.raises(JournalError):
        journal.load()
    journal.release()


def test_a_forgotten_job_leaves_no_row(path: Path) -> None:
    """In no table."""
    journal = made(path)
    journal.commit(changes(forgotten=set(range(1, 7)), settled=[(7,)]))
    for table in ("job", "data", "result", "output", "attempt", "request", "in_flight"):
        assert sql(journal, f"SELECT count(*) FROM {table}") == [(0,)], table
    journal.release()


def test_a_mistake_of_ours_is_no_failure_of_the_disk(path: Path) -> None:
    """It ends the program, so that it is found; the journal can be written on."""
    journal = made(path)
    with pytest.raises(sqlite3.IntegrityError):
        journal.commit(changes(deliveries=[(7, 2)]))
    assert journal.read_only is None
    journal.commit(changes(deliveries=[(8, 4)]))
    journal.release()


# --- a file ----------------------------------------------------------------------------------------------------------


def test_a_commit_is_flushed_to_disk(path: Path) -> None:
    """WAL with synchronous=FULL, an exclusive lock: what sqlite.org calls durable."""
    journal = made(path)
    values = [
        journal._db.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    ]
    assert values == ["wal", 2]
    assert journal._db.connection.execute("PRAGMA locking_mode").fetchone()[0] == "exclusive"
    journal.release()


def test_an_orderly_end_leaves_one_file(path: Path) -> None:
    """And the journal keeps its identity, whatever is offered as a new one."""
    made(path).release()
    assert set(os.listdir(path.parent)) == {"journal.db", "journal.db.lock"}
    journal = open_journal(str(path), "another")
    assert journal.journal_id == "one" and reading.load(journal).counters == COUNTERS


def test_a_new_journal_is_for_its_owner_alone(path: Path) -> None:
    """Jobs may hold secrets."""
    made(path).release()
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    """As good as none; what a half-made attempt left beside it does not matter."""
    path.touch()
    Path(f"{path}.new").write_text("left over")
    made(path).release()
    assert set(os.listdir(path.parent)) == {"journal.db", "journal.db.lock"}


def test_a_journal_appears_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is complete it has another name."""

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        open_journal(str(path), "one")
    assert not path.exists()


def test_nothing_is_written_before_its_owner_announces_itself(path: Path) -> None:
    """A broker that fails to start for another reason leaves the file as it was."""
    made(path).release()
    before = path.read_bytes()
    journal = SqliteJournal(str(path), "x")
    journal.claim("me")
    journal.load()
    journal.release()
    assert path.read_bytes() == before


def _sqlite(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def _harms() -> dict[str, tuple[Callable[[Path], object], str]]:
    return {
        "not SQLite": (lambda path: path.write_bytes(b"something else" * 500), "is damaged"),
        "another program's": (lambda path: _sqlite(path, "PRAGMA application_id = 5"), "not a journal of zjobs"),
        "a newer format": (lambda path: _sqlite(path, "PRAGMA user_version = 99"), "use a newer one"),
        "an older format": (lambda path: _sqlite(path, "PRAGMA user_version = 0"), "format 0"),
        "its log lost": (lambda path: _sqlite(path, "UPDATE journal SET in_use = 1"), "is gone"),
        "a table lost": (lambda path: _sqlite(path, "DROP TABLE in_flight"), "is damaged"),
        "cut short": (lambda path: os.truncate(path, path.stat().st_size // 2), "damaged"),
        "a folder": (lambda path: (path.unlink(), path.mkdir()), "journal"),
    }


@pytest.mark.parametrize("harm", _harms())
def test_what_cannot_be_a_journal_is_refused_and_left_alone(path: Path, harm: str) -> None:
    """With a sentence that names the file and says why; not a byte of it changes."""
    made(path).release()
    do, word = _harms()[harm]
    do(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(JournalError, match=word) as caught:
        loaded(path)
    assert str(path) in str(caught.value)
    assert before is None or path.read_bytes() == before


def _copied(path: Path, name: str, *ends: str) -> Path:
    """What a crash at this moment would leave, in a file of its own."""
    copy = path.with_name(name)
    for end in ends or ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    return copy


def _refused_untouched(path: Path, word: str) -> None:
    before = {file: file.read_bytes() for file in (path, Path(f"{path}-wal"))}
    with pytest.raises(JournalError, match=word):
        open_journal(str(path), "new")
    gc.collect()
    assert {file: file.read_bytes() for file in before} == before


def _one_more(journal: SqliteJournal, change: int = 10) -> None:
    journal.commit(changes(counters=COUNTERS._replace(change=change)))


def test_the_log_of_another_journal_is_refused(path: Path) -> None:
    """SQLite would lay it over the file; both stay as they are."""
    journal, other = made(path), claimed(Path(f"{path}.other"), "two")
    other.commit(everything())
    mixed = _copied(path, "mixed.db")
    shutil.copy(f"{path}.other-wal", f"{mixed}-wal")
    _refused_untouched(mixed, "does not belong")
    journal.release()
    other.release()


@pytest.mark.parametrize("same_session", [True, False])
def test_a_log_of_another_day_is_refused(path: Path, same_session: bool) -> None:
    """An older copy of the file beside the present log, and the present file beside an older log."""
    journal = made(path)
    older = _copied(path, "older.db")
    for change in range(20, 25):
        _one_more(journal, change)
        journal.recover()  # which moves the log into the file
        if not same_session:
            journal.release()
            journal = claimed(path)
    _one_more(journal)
    newer = _copied(path, "newer.db")
    journal.release()
    assert loaded(_copied(newer, "sound.db")).counters.change == 10
    for file, log in ((older, newer), (newer, older)):
        mixed = _copied(file, f"mixed-{file.name}")
        shutil.copy(f"{log}-wal", f"{mixed}-wal")
        _refused_untouched(mixed, "does not belong")


def test_a_log_without_its_journal_is_refused(path: Path) -> None:
    """No new journal is made beside it: the log would be laid over that one."""
    journal = made(path)
    copy = _copied(path, "copy.db", "-wal")
    journal.release()
    with pytest.raises(JournalError, match=r"copy\.db is gone"):
        open_journal(str(copy), "new")
    assert not copy.exists()


def test_every_transaction_counts_itself(path: Path) -> None:
    """Announcing, commits with and without counters, giving back space, recovering, closing; read from the raw page."""
    journal = made(path)
    stands = [journal._db.stand().commits]
    journal._db.connection.execute("INSERT INTO data VALUES(9, zeroblob(100000))")
    journal._db.connection.execute("DELETE FROM data WHERE id = 9")
    for do in (
        lambda: journal.commit(changes()),
        lambda: _one_more(journal),
        journal.recover,
        lambda: journal.give_back_space(100),
        journal.recover,
    ):
        do()
        stands.append(journal._db.stand().commits)
    assert sorted(set(stands)) == stands and stands[0] > 0
    journal.recover()
    written = journal._db.stand()
    sql(journal, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert lineage.of_file(str(path)) == written and lineage.of_log(str(path)) is None
    _one_more(journal)
    assert lineage.of_log(str(path)) == journal._db.stand() == written._replace(commits=written.commits + 1)
    journal.release()


def test_a_large_log_is_not_looked_through_at_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts with the file: what a crash left in the log is as long to look at as what is in the file."""
    journal = made(path)
    journal.pause_checkpoints()
    journal._db.connection.execute("INSERT INTO data VALUES(9, zeroblob(1000000))")
    monkeypatch.setattr(opening, "CHECKED_AT_START_BYTES", path.stat().st_size + 500_000)
    checked: list[str] = []
    monkeypatch.setattr(opening, "check_content", lambda database: checked.append(database.file))
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{path}2{suffix}")
    copy = open_journal(f"{path}2", "x")
    assert copy.one("SELECT length(body) FROM data WHERE id = 9") == (1_000_000,) and checked == []
    journal.release()


@pytest.mark.parametrize("sample", ["", *OLDER])
def test_the_row_of_the_journal_is_where_it_is_looked_for(path: Path, sample: str) -> None:
    """In new journals and in those brought up to date: the page, and the column."""
    if sample:
        shutil.copy(SAMPLES / sample, path)
    journal = claimed(path)
    assert sql(journal, "SELECT rootpage FROM sqlite_master WHERE name = 'journal'") == [(lineage.JOURNAL_PAGE,)]
    columns = [row[1] for row in sql(journal, "PRAGMA table_info(journal)")]
    assert columns.index("commits") == lineage.COMMITS_COLUMN
    sql(journal, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert lineage.of_file(str(path)) == journal._db.stand()
    journal.release()


def test_a_newer_format_in_the_log_alone_is_refused(path: Path) -> None:
    """The header of the file still has the present one."""
    journal = made(path)
    journal._db.connection.execute("PRAGMA user_version = 99")
    copy = _copied(path, "copy.db")
    journal.release()
    assert copy.read_bytes()[63] == SCHEMA_VERSION
    _refused_untouched(copy, "use a newer one")


@pytest.mark.parametrize("what", ["disk I/O error", "unable to open database file", "database is locked"])
def test_a_disk_that_fails_is_not_called_damage(path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing about what is in the file."""
    made(path).release()

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError(what)

    monkeypatch.setattr(opening, "configure", fails)
    with pytest.raises(Unreadable) as caught:
        open_journal(str(path), "x")
    assert str(caught.value) == f"the journal {path} cannot be read: {what}"


def test_a_log_that_vanished_is_missed(path: Path) -> None:
    """A journal in use whose log is gone has lost acknowledged jobs: refused, not silently forgotten."""
    journal = made(path)
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    journal.release()
    with pytest.raises(JournalError, match=r"copy\.db-wal is gone"):
        open_journal(str(copy), "new")


def test_a_bit_that_flipped_in_the_log_is_noticed(path: Path) -> None:
    """SQLite would take it for the end of the log, and forget the commits behind it."""
    journal = made(path)
    for change in range(3):
        _one_more(journal, 10 + change)
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    journal.release()
    log = bytearray(Path(f"{copy}-wal").read_bytes())
    log[100] ^= 1
    Path(f"{copy}-wal").write_bytes(log)
    with pytest.raises(JournalError, match="commits follow the broken place"):
        open_journal(str(copy), "new")


def test_a_large_log_is_looked_at_by_sqlite_and_not_by_python(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sound log nothing is read here but its header: 256 MiB of it held up the start for 9 s."""
    journal = made(path)
    journal.commit(changes(data=[(job_id, bytes(1 << 20)) for job_id in range(100, 116)]))
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    journal.release()
    assert os.path.getsize(f"{copy}-wal") > 16 << 20
    asked = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *where: asked.append(where[1]) or pread(*where))
    assert wal.lost_commits(copy) == 0
    assert sum(asked) < 1 << 10
    assert not Path(f"{copy}-shm").exists()


def test_a_log_that_ends_in_the_middle_of_a_commit_is_sound(path: Path) -> None:
    """What kill -9 or a power cut leaves: the unfinished commit never was."""
    journal = made(path)
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    size = os.path.getsize(f"{copy}-wal")
    _one_more(journal)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    journal.release()
    assert os.path.getsize(f"{copy}-wal") > size
    os.truncate(f"{copy}-wal", os.path.getsize(f"{copy}-wal") - 100)
    assert loaded(copy).counters == COUNTERS


def test_a_place_where_nothing_can_be_made_is_said(tmp_path: Path) -> None:
    """A missing folder is CannotCreate, which has an exit code of its own."""
    with pytest.raises(CannotCreate, match="cannot be created"):
        open_journal(str(tmp_path / "no such folder/journal.db"), "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_is_refused(path: Path) -> None:
    """Said at the start, not at the first job."""
    made(path).release()
    path.chmod(0o400)
    with pytest.raises(JournalError, match="cannot be read and written"):
        open_journal(str(path), "x")


def test_a_second_connection_is_kept_out(path: Path) -> None:
    """The lock on the file is exclusive: no other program can change it under the broker."""
    journal = made(path)
    other = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM journal").fetchall()
    other.close()
    journal.release()


def test_a_journal_whose_checkpoints_are_paused_can_be_copied(path: Path) -> None:
    """While checkpoints are paused the file does not change, and with the log it gives what was committed."""
    journal = made(path)
    journal.pause_checkpoints()
    before = path.read_bytes()
    for job_id in range(100, 130):
        job = QUEUED._replace(id=job_id, data_bytes=200_000)
        counters = COUNTERS._replace(next_id=job_id + 1)
        journal.commit(changes(added={job_id: job}, data=[(job_id, b"x" * 200_000)], counters=counters))
    assert path.read_bytes() == before
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    journal.release()
    assert loaded(copy).counters.next_id == 130


def test_the_size_includes_the_log(path: Path) -> None:
    """What the journal takes on disk."""
    journal = made(path)
    assert journal.size_bytes() == path.stat().st_size + os.path.getsize(f"{path}-wal")
    journal.release()


@pytest.mark.parametrize("sample", OLDER)
def test_an_older_format_is_not_changed_by_a_look_at_it(path: Path, sample: str) -> None:
    """`zbroker check` changes nothing."""
    shutil.copy(SAMPLES / sample, path)
    with pytest.raises(JournalError, match=f"older format {sample[7]}"):
        open_journal(str(path), "new", as_it_is=True)
    assert path.read_bytes() == (SAMPLES / sample).read_bytes()


@pytest.mark.parametrize("sample", OLDER)
def test_an_older_format_gets_the_present_tables(path: Path, sample: str) -> None:
    """And indexes; also when the first broker was killed after it had brought the file up to date."""
    shutil.copy(SAMPLES / sample, path)
    open_journal(str(path), "new")
    while opening.unclosed:
        opening.unclosed.pop().close()
    assert _layout(open_journal(str(path), "new")) == _layout(open_journal(MEMORY, "new"))


def test_a_journal_of_format_1_still_means_the_same(path: Path) -> None:
    """A file that an earlier zjobs made, with one of everything in it; what it could not hold can be written to it."""
    shutil.copy(SAMPLES / "format_1.db", path)
    journal = claimed(path)
    ready = {0: (array("q", [1]), bytearray([1]))}
    expected = Loaded("sample", OLD_COUNTERS, ready, [], {7: QUEUED}, SESSION, OLD_TYPES, (), {})
    assert journal.load() == expected._replace(kinds=(Kind("reverse"),))
    result = ResultNeed(2, 0, 99)
    found = journal.read(Needs([1, 2, 3], [("", "key")], [1], (), [result], (), [1]))
    assert found.jobs == {1: QUEUED, 2: DONE, 3: FAILED} and found.submits == {("", "key"): FIRST}
    assert found.data == {1: b"abc"} and found.results[result] == (10, b"0123456789")
    assert found.details[1].attempts == ATTEMPTS
    one = {4: URGENT}
    more = {"outputs": [Printed(2, 1, 0, b"x")], "pauses": [(PAUSED,)]}
    journal.commit(changes(added=one, changed=one, data_copies=[(4, 1)], types=TYPES, **more))
    assert journal.read(Needs(jobs=[4])).jobs == one and journal.load().types == TYPES
    journal.release()


@pytest.mark.parametrize("sample", OLDER[1:])
def test_a_journal_of_a_later_format_still_means_the_same(path: Path, sample: str) -> None:
    """A file with one of everything in it, made so: claim it as "sample", announce, commit `everything`."""
    shutil.copy(SAMPLES / sample, path)
    journal = claimed(path)
    has_texts = sample >= "format_6.db"
    loaded = LOADED._replace(journal="sample", history=HISTORY if has_texts else {})
    has_schemas = sample >= "format_5.db"
    assert journal.load() == (loaded if has_schemas else loaded._replace(types=OLDER_TYPES, schemas=frozenset()))
    result, printed = ResultNeed(2, 0, 99), OutputNeed(6, 0, 0, 99)
    found = journal.read(Needs(range(1, 7), [("", "second")], [1, 4], (), [result], [printed], [1]))
    assert list(found.jobs.values()) == [_as_kept_by(sample, job) for job in JOBS]
    assert found.data == {1: b"abc", 4: b"abc"} and found.submits == {("", "second"): SECOND}
    assert found.results[result].body == b"0123456789" and found.outputs[printed].body == b"printed"
    assert found.details[1].attempts == ATTEMPTS
    journal.release()


def _as_kept_by(sample: str, job: Job) -> Job:
    """The job as a file of an earlier format has it."""
    job = job._replace(exit_code=None)
    if sample < "format_3.db":
        job = job._replace(killed=0)
    if sample < "format_6.db":
        job = job._replace(name="", comment="", submitter="")
    return job if sample >= "format_7.db" else job._replace(after=(), after_any=(), cancelled_by=None)


def test_request_keys_of_format_2_go_to_their_owners(path: Path) -> None:
    """It had OWNER/KEY in one text. Whose it is the request's jobs tell, whichever of them are left."""
    shutil.copy(SAMPLES / "format_2.db", path)
    old = sqlite3.connect(path, isolation_level=None)
    rows = {"alice/x": "alice", "alice/bob/x": "alice", "bob/alice/x": "bob", "bob/x": "", "übel/ü": "übel", "/x": ""}
    for first, (key, owner) in enumerate(rows.items(), 1):
        old.execute("INSERT INTO request VALUES(?, ?, 5, x'00')", (10 * first, key))
        old.execute(
            "INSERT INTO job(id, type, state, attempts, reruns, version, data_bytes, submitted_at, owner) "
            "VALUES(?, 'swap', 'queued', 0, 0, 0, 0, 0, ?)",
            (10 * first + first % 3, owner),  # of some requests the first jobs were forgotten
        )
    old.execute("UPDATE journal SET next_id = 100")
    old.close()
    journal = claimed(path)
    found = {(row[0], row[1]) for row in sql(journal, "SELECT owner, request_key FROM request WHERE first_id >= 10")}
    whose = {("alice", "x"), ("alice", "bob/x"), ("bob", "alice/x"), ("", "bob/x"), ("übel", "ü"), ("", "/x")}
    assert found == whose
    submits = journal.read(Needs(submits=[("alice", "x"), ("bob", "x")])).submits
    assert submits == {("alice", "x"): Submitted("alice", "x", 10, 5, b"\0")}, "bob/x was another key without an owner"
    journal.release()


def _layout(database: Database) -> tuple[object, ...]:
    """The columns of each table, in whatever order, and the indexes."""
    tables = [name for (name,) in database.all("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    columns = {name: {row[1:] for row in database.all(f"PRAGMA table_info({name})")} for name in tables}
    indexes = database.all("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name")
    return columns, indexes


def test_a_refused_file_is_not_changed_when_its_connection_is_forgotten(tmp_path: Path) -> None:
    """Not even by what SQLite does when a connection is closed, which Python does with one that nobody has any more."""
    file, log = tmp_path / "journal.db", tmp_path / "journal.db-wal"
    claimed(file).release()
    connection = sqlite3.connect(file, isolation_level=None)
    connection.executescript(
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'no table' WHERE name = 'pause'"
    )
    connection.close()
    log.touch()
    content = file.read_bytes()
    with pytest.raises(JournalError, match="malformed database schema"):
        open_journal(str(file), "id")
    gc.collect()
    assert log.exists() and file.read_bytes() == content
