"""The journal: one suite on a file and in memory, then what a file alone can have."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zjobs.broker.core.jobs import Changes, Counters, Job, Loaded, Printed, Session, Submitted
from zjobs.broker.storage import lineage, wal
from zjobs.broker.storage import sqlite as j
from zjobs.broker.storage.sqlite import MEMORY, CannotCreate, Journal, JournalError, StorageError, Unreadable
from zjobs.messages.records import Attempt, Paused, TaskType
from zjobs.messages.states import FailReason, JobState, Outcome

SAMPLES = Path(__file__).parent / "data"

LAST_RUN = {"started_at": 1100, "ended_at": 1200, "elapsed_ms": 100}
FAILURE = {"reason": FailReason.RAISED, "message": "no"}
# as format 1 could hold them
QUEUED = Job(1, "reverse", JobState.QUEUED, 1, 1, 2, 3, 1000)._replace(**LAST_RUN, **FAILURE, run=2)
DONE = Job(2, "swap", JobState.COMPLETED, 1, 0, 1, 0, 1001)._replace(
    started_at=1101, ended_at=1201, elapsed_ms=100, run=1
)
FAILED = Job(3, "übel", JobState.FAILED, 1, 0, 1, 0, 1002)._replace(
    ended_at=1202, reason=FailReason.WORKER_LOST, message="tot", run=1
)
# what came with format 2
URGENT = Job(4, "reverse", JobState.QUEUED, 0, 0, 0, 3, 1003, 5, time_limit_ms=700, cancelling=True, retry_of=1)
DELAYED = Job(5, "swap", JobState.QUEUED, 0, 0, 0, 0, 1004, -3, ready_at=5000)
CANCELLED = Job(6, "swap", JobState.CANCELLED, 0, 0, 1, 0, 1005, ended_at=1206, output_bytes=7, killed=3)
ATTEMPTS = (
    Attempt(1, Outcome.FAILED, 1100, 1200, FailReason.RAISED, "no", "Traceback"),
    Attempt(2, Outcome.INTERRUPTED, None, 1300, None, "", ""),
)
OLD_TYPES = {"reverse": TaskType("reverse", "The text backwards.", 1, 2), "swap": TaskType("swap")}
TYPES = {**OLD_TYPES, "slow": TaskType("slow", "", 3, 0, 60_000, 500, 250)}
SESSION = Session("incarnation", "session", 8, 4, 6)
OLD_COUNTERS = Counters(4, 9, 1, 1, 0)
COUNTERS = Counters(7, 9, 1, 1, 1)
PAUSED = Paused(1300, "looking at it")
JOBS = (QUEUED, DONE, FAILED, URGENT, DELAYED, CANCELLED)
LOADED = Loaded(
    "the journal",
    COUNTERS,
    {-3: array("q"), 0: array("q", [1]), 5: array("q", [4])},
    [(5000, 5, -3, 3996)],
    {7: QUEUED},
    SESSION,
    TYPES,
    PAUSED,
    {},
)


def changes() -> Changes:
    """One of everything."""
    made = Changes()
    made.added = {job.id: job._replace(state=JobState.QUEUED, reason=None) for job in JOBS}
    made.changed = {job.id: job for job in JOBS}
    made.data = [(1, b"abc")]
    made.data_copies = [(4, 1)]
    made.outputs = [Printed(6, 1, 0, b"printed")]
    made.pauses = [Paused(1200, "before"), None, PAUSED]
    made.results = [(2, b"0123456789")]
    made.attempts = [(1, attempt) for attempt in ATTEMPTS]
    taken = (Submitted("", "key", 1, 3, b"digest"), Submitted("", "second", 4, 3, b"2"))
    made.submitted = {each[:2]: each for each in taken}
    made.deliveries = [(7, 1)]
    made.session, made.types, made.counters = SESSION, TYPES, COUNTERS
    return made


@pytest.fixture(params=["file", "memory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Journal]]:
    """Opens the journal; the second time, what a crash leaves of the first: what is on disk, or in memory."""
    kept: list[Journal] = []

    def open_it() -> Journal:
        if request.param == "memory":
            kept.append(Journal(kept[0]._db, MEMORY) if kept else Journal.open(MEMORY, "the journal"))
        else:
            path = tmp_path / f"{len(kept)}.db"
            if kept:
                for end in ("", "-wal"):
                    shutil.copy(tmp_path / f"{len(kept) - 1}.db{end}", f"{path}{end}")
            kept.append(Journal.open(str(path), "the journal"))
            kept[-1].take_up()
        return kept[-1]

    yield open_it
    for connection in {journal._db for journal in kept}:
        connection.close()


# --- on a file and in memory --------------------------------------------------------------------------------------


def test_everything_committed_loads_back(opened: Callable[[], Journal]) -> None:
    """After a crash: jobs, data, results, output, attempts, keys, hand-overs, session, types, pause, counters."""
    opened().commit(changes())
    journal = opened()
    assert journal.load() == LOADED
    assert [journal.job(delivery) for delivery in range(1, 8)] == [*JOBS, None]
    assert journal.jobs([1]) == [QUEUED] and journal.jobs([]) == []
    assert journal.data_of([1, 2, 3]) == journal.data_of([1, 3]) == {1: b"abc"}
    assert journal.data_of([4]) == {4: b"abc"}, "a copy"
    assert journal.output_piece(6, 0, 0, 99)[:3] == (7, 0, b"printed") and journal.output_piece(1, 0, 0, 99) == (
        0,
        0,
        b"",
        0,
    )
    assert journal.copies_of(1) == (4,) and journal.copies_of(4) == ()
    assert journal.attempts(1) == ATTEMPTS and journal.attempts(2) == ()
    assert (
        journal.submitted("", "key") == Submitted("", "key", 1, 3, b"digest") and journal.submitted("", "other") is None
    )
    assert [journal.request_key_of(delivery) for delivery in (1, 3, 4, 6)] == ["key", "key", "second", "second"]
    journal.check()


@pytest.mark.parametrize("ids", [(3, 1, 5, 6), (4, 6, 1, 5), (1, 2, 3), (3, 2, 1), (2, 4, 6), (1, 1), (4, 7, 5, 6)])
def test_records_come_whatever_the_order_they_are_asked_in(opened: Callable[[], Journal], ids: tuple[int, ...]) -> None:
    """Priorities mix the ids: a first and a last one that lie as far apart as they are many mean nothing."""
    journal = opened()
    journal.commit(changes())
    assert {job.id for job in journal.jobs(ids)} == set(ids) - {7}
    assert set(journal.data_of(ids)) == set(ids) & {1, 4}


def test_a_resumed_journal_is_not_paused(opened: Callable[[], Journal]) -> None:
    """Of several in one turn the last one holds."""
    journal = opened()
    journal.commit(changes())
    more = Changes()
    more.pauses = [Paused(1, "again"), None]
    journal.commit(more)
    assert opened().load().paused is None


def test_a_forgotten_job_leaves_nothing_behind(opened: Callable[[], Journal]) -> None:
    """Its record, data, result, output and runs are gone, its key with the last job of its submit; copies stay."""
    journal = opened()
    journal.commit(changes())
    for ids, keys in (({2, 3}, {"key", "second"}), ({1}, {"second"}), ({6}, {"second"}), ({4, 5}, set())):
        more = Changes()
        more.forgotten = ids
        more.settled = [(7,)]
        journal.commit(more)
        left = journal.load()
        assert {key for key in ("key", "second") if journal.submitted("", key)} == keys
        assert not [job_id for job_id in ids if journal.job(job_id)]
        assert left.counters.next_id == 7, "ids are never given again"
        if 4 not in ids:
            assert journal.data_of([4]) == {4: b"abc"}
    for table in ("job", "data", "result", "output", "attempt", "request", "hand"):
        assert journal._one(f"SELECT count(*) FROM {table}")[0] == 0, table


def test_a_job_is_copied_before_it_is_forgotten(opened: Callable[[], Journal]) -> None:
    """Both in one turn."""
    journal = opened()
    journal.commit(changes())
    more = Changes()
    more.added = {7: URGENT._replace(id=7)}
    more.counters = COUNTERS._replace(next_id=8)
    more.data_copies, more.forgotten, more.settled = [(7, 1)], {1}, [(7,)]
    journal.commit(more)
    assert journal.data_of([7]) == {7: b"abc"} and journal.job(1) is None
    journal.check()


def test_pages_go_from_the_newest_to_the_oldest(opened: Callable[[], Journal]) -> None:
    """Each as long as asked; the rare states have an index of their own; the last page says so."""
    journal = opened()
    journal.commit(changes())
    pages = []
    below = 7
    while below:
        jobs, below = journal.page(below, None, 4)
        pages.append([job.id for job in jobs])
    assert pages == [[6, 5, 4, 3], [2, 1]]
    assert journal.page(7, JobState.CANCELLED, 4) == ([CANCELLED], 0)
    assert journal.page(7, JobState.FAILED, 1) == ([FAILED], 3)
    assert journal.page(3, JobState.FAILED, 1) == ([], 0)


def test_ended_jobs_are_found_in_portions(opened: Callable[[], Journal]) -> None:
    """Of the next few jobs those that ended, and where to go on."""
    journal = opened()
    journal.commit(changes())
    assert journal.ended(0, 2) == ([DONE], 2)
    assert journal.ended(2, 3) == ([FAILED], 5)
    assert journal.ended(5, 3) == ([CANCELLED], 0)


def test_a_new_journal_is_empty(opened: Callable[[], Journal]) -> None:
    """No worker ever announced types, which is not the same as none."""
    journal = opened()
    assert journal.load() == Loaded("the journal", Counters(1), {}, [], {}, None, None, None, {})
    none = Changes()
    none.types = {}
    journal.commit(none)
    assert opened().load().types == {}


def test_a_result_comes_in_pieces(opened: Callable[[], Journal]) -> None:
    """With the size of the whole; behind its end and without a result the piece is empty."""
    journal = opened()
    journal.commit(changes())
    assert [journal.result_piece(2, at, 4) for at in (0, 8, 10, 99)] == [
        (10, b"0123"),
        (10, b"89"),
        (10, b""),
        (10, b""),
    ]
    assert journal.result_piece(1, 0, 4) == (0, b"")


def test_hand_overs_are_forgotten_before_new_ones_are_noted(opened: Callable[[], Journal]) -> None:
    """A number that is void in a turn may come again in the same one, in a new session."""
    journal = opened()
    journal.commit(changes())
    again = Changes()
    again.settled, again.deliveries = [(7,)], [(7, 1), (8, 1)]
    journal.commit(again)
    assert set(opened().load().handed) == {7, 8}


@pytest.mark.parametrize("action", [sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, "COMMIT"])
def test_a_failed_commit_leaves_nothing(opened: Callable[[], Journal], action: object) -> None:
    """StorageError, nothing of it can be read, the reason is told until writing works again."""
    journal = opened()
    before = journal.load()
    journal._db.set_authorizer(lambda *what: int(action in what[:2]))
    with pytest.raises(StorageError):
        journal.commit(changes())
    assert journal.read_only
    journal._db.set_authorizer(lambda *_: 0)
    assert journal.load() == before and journal.job(1) is None
    journal.recover()
    assert journal.read_only is None
    journal.commit(changes())
    assert opened().load().counters == COUNTERS


def test_recover_fails_while_the_disk_does(opened: Callable[[], Journal]) -> None:
    """And the journal stays read-only until it does not."""
    journal = opened()
    journal._db.set_authorizer(lambda action, *_: int(action == sqlite3.SQLITE_UPDATE))
    with pytest.raises(StorageError):
        journal.commit(changes())
    with pytest.raises(StorageError):
        journal.recover()
    assert journal.read_only
    journal._db.set_authorizer(lambda *_: 0)
    journal.recover()


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        ("INSERT INTO hand VALUES(9, 99)", "does not exist"),
        ("INSERT INTO hand VALUES(9, 2)", "has ended"),
        ("UPDATE journal SET next_id = 2", "not counted"),
        ("DELETE FROM result", "no result"),
        ("UPDATE data SET body = x'00'", "another size"),
    ],
)
def test_check_finds_what_does_not_fit_together(opened: Callable[[], Journal], harm: str, word: str) -> None:
    """Each with a sentence."""
    journal = opened()
    journal.commit(changes())
    journal._db.execute(harm)
    with pytest.raises(JournalError, match=word):
        journal.check()


@pytest.mark.parametrize("harm", ["UPDATE job SET state = 'lost' WHERE id = 1", "UPDATE job SET reason = 'x'"])
def test_words_that_mean_nothing_are_damage(opened: Callable[[], Journal], harm: str) -> None:
    """A state or reason that this program does not know is not guessed at."""
    journal = opened()
    journal.commit(changes())
    journal._db.execute(harm)
    with pytest.raises(JournalError):
        journal.load()


# --- a file ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal may lie."""
    return tmp_path / "journal.db"


@pytest.fixture(autouse=True)
def _close_what_was_refused() -> Iterator[None]:
    """A program that refuses a journal ends; a test does not, so it closes what was left open."""
    yield
    while j._unclosed:
        j._unclosed.pop().close()


def made(path: Path) -> Journal:
    """A new journal with something in it."""
    journal = Journal.open(str(path), "one")
    journal.take_up()
    journal.commit(changes())
    return journal


def test_a_commit_is_flushed_to_disk(path: Path) -> None:
    """WAL with synchronous=FULL, an exclusive lock: what sqlite.org calls durable."""
    journal = made(path)
    values = [journal._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert values == ["wal", 2]
    assert journal._db.execute("PRAGMA locking_mode").fetchone()[0] == "exclusive"
    journal.close()


def test_an_orderly_end_leaves_one_file(path: Path) -> None:
    """And the journal keeps its identity, whatever is offered as a new one."""
    made(path).close()
    assert os.listdir(path.parent) == ["journal.db"]
    journal = Journal.open(str(path), "another")
    assert journal.journal_id == "one" and journal.load().counters == COUNTERS


def test_a_new_journal_is_for_its_owner_alone(path: Path) -> None:
    """Jobs may hold secrets."""
    made(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    """As good as none; what a half-made attempt left beside it does not matter."""
    path.touch()
    Path(f"{path}.new").write_text("left over")
    made(path).close()
    assert os.listdir(path.parent) == ["journal.db"]


def test_a_journal_appears_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is complete it has another name."""

    def dies(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        Journal.open(str(path), "one")
    assert not path.exists()


def test_nothing_is_written_before_it_is_taken_up(path: Path) -> None:
    """A broker that fails to start for another reason leaves the file as it was."""
    made(path).close()
    before = path.read_bytes()
    Journal.open(str(path), "x").close()
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
        "a table lost": (lambda path: _sqlite(path, "DROP TABLE hand"), "is damaged"),
        "cut short": (lambda path: os.truncate(path, path.stat().st_size // 2), "damaged"),
        "a folder": (lambda path: (path.unlink(), path.mkdir()), "journal"),
    }


@pytest.mark.parametrize("harm", _harms())
def test_what_cannot_be_a_journal_is_refused_and_left_alone(path: Path, harm: str) -> None:
    """With a sentence that names the file and says why; not a byte of it changes."""
    made(path).close()
    do, word = _harms()[harm]
    do(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(JournalError, match=word) as caught:
        Journal.open(str(path), "new").load()
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
        Journal.open(str(path), "new")
    gc.collect()
    assert {file: file.read_bytes() for file in before} == before


def _one_more(journal: Journal, change: int = 10) -> None:
    more = Changes()
    more.counters = COUNTERS._replace(change=change)
    journal.commit(more)


def test_the_log_of_another_journal_is_refused(path: Path) -> None:
    """SQLite would lay it over the file; both stay as they are."""
    journal, other = made(path), Journal.open(f"{path}.other", "two")
    other.take_up()
    other.commit(changes())
    mixed = _copied(path, "mixed.db")
    shutil.copy(f"{path}.other-wal", f"{mixed}-wal")
    _refused_untouched(mixed, "does not belong")
    journal.close()
    other.close()


@pytest.mark.parametrize("same_session", [True, False])
def test_a_log_of_another_day_is_refused(path: Path, same_session: bool) -> None:
    """An older copy of the file beside the present log, and the present file beside an older log."""
    journal = made(path)
    older = _copied(path, "older.db")
    for change in range(20, 25):
        _one_more(journal, change)
        journal.recover()  # which moves the log into the file
        if not same_session:
            journal.close()
            journal = Journal.open(str(path), "x")
            journal.take_up()
    _one_more(journal)
    newer = _copied(path, "newer.db")
    journal.close()
    assert Journal.open(str(_copied(newer, "sound.db")), "x").load().counters.change == 10
    for file, log in ((older, newer), (newer, older)):
        mixed = _copied(file, f"mixed-{file.name}")
        shutil.copy(f"{log}-wal", f"{mixed}-wal")
        _refused_untouched(mixed, "does not belong")


def test_a_log_without_its_journal_is_refused(path: Path) -> None:
    """No new journal is made beside it: the log would be laid over that one."""
    journal = made(path)
    copy = _copied(path, "copy.db", "-wal")
    journal.close()
    with pytest.raises(JournalError, match=r"copy\.db is gone"):
        Journal.open(str(copy), "new")
    assert not copy.exists()


def test_every_transaction_counts_itself(path: Path) -> None:
    """Taking up, commits with and without counters, giving back space, recovering, closing; read from the raw page."""
    journal = made(path)
    stands = [journal._stand().commits]
    journal._db.execute("INSERT INTO data VALUES(9, zeroblob(100000))")
    journal._db.execute("DELETE FROM data WHERE id = 9")
    for do in (
        lambda: journal.commit(Changes()),
        lambda: _one_more(journal),
        journal.recover,
        lambda: journal.give_back_space(100),
        journal.recover,
    ):
        do()
        stands.append(journal._stand().commits)
    assert sorted(set(stands)) == stands and stands[0] > 0
    journal.recover()
    written = journal._stand()
    journal._all("PRAGMA wal_checkpoint(TRUNCATE)")
    assert lineage.of_file(str(path)) == written and lineage.of_log(str(path)) is None
    _one_more(journal)
    assert lineage.of_log(str(path)) == journal._stand() == written._replace(commits=written.commits + 1)
    journal.close()


def test_a_large_log_is_not_looked_through_at_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts with the file: what a crash left in the log is as long to look at as what is in the file."""
    journal = made(path)
    journal.hold_checkpoints()
    journal._db.execute("INSERT INTO data VALUES(9, zeroblob(1000000))")
    monkeypatch.setattr(j, "CHECKED_AT_START_BYTES", path.stat().st_size + 500_000)
    checked: list[str] = []
    monkeypatch.setattr(Journal, "check", lambda journal: checked.append(journal.file))
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{path}2{suffix}")
    copy = Journal.open(f"{path}2", "x")
    assert copy.data_size(9) == 1_000_000 and checked == []
    journal.close()
    copy.take_up()
    copy.close()


@pytest.mark.parametrize("sample", ["", "format_1.db", "format_2.db"])
def test_the_row_of_the_journal_is_where_it_is_looked_for(path: Path, sample: str) -> None:
    """In new journals and in those brought up to date: the page, and the column."""
    if sample:
        shutil.copy(SAMPLES / sample, path)
    journal = Journal.open(str(path), "new")
    journal.take_up()
    assert journal._one("SELECT rootpage FROM sqlite_master WHERE name = 'journal'") == (lineage.JOURNAL_PAGE,)
    columns = [row[1] for row in journal._all("PRAGMA table_info(journal)")]
    assert columns.index("commits") == lineage.COMMITS_COLUMN
    journal._all("PRAGMA wal_checkpoint(TRUNCATE)")
    assert lineage.of_file(str(path)) == journal._stand()
    journal.close()


def test_a_newer_format_in_the_log_alone_is_refused(path: Path) -> None:
    """The header of the file still has the present one."""
    journal = made(path)
    journal._db.execute("PRAGMA user_version = 99")
    copy = _copied(path, "copy.db")
    journal.close()
    assert copy.read_bytes()[63] == j.SCHEMA_VERSION
    _refused_untouched(copy, "use a newer one")


@pytest.mark.parametrize("what", ["disk I/O error", "unable to open database file", "database is locked"])
def test_a_disk_that_fails_is_not_called_damage(path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing about what is in the file."""
    made(path).close()

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError(what)

    monkeypatch.setattr(j, "_configure", fails)
    with pytest.raises(Unreadable) as caught:
        Journal.open(str(path), "x")
    assert str(caught.value) == f"the journal {path} cannot be read: {what}"


def test_a_log_that_vanished_is_missed(path: Path) -> None:
    """A journal in use whose log is gone has lost acknowledged jobs: refused, not silently forgotten."""
    journal = made(path)
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    journal.close()
    with pytest.raises(JournalError, match=r"copy\.db-wal is gone"):
        Journal.open(str(copy), "new")


def test_a_bit_that_flipped_in_the_log_is_noticed(path: Path) -> None:
    """SQLite would take it for the end of the log, and forget the commits behind it."""
    journal = made(path)
    for delivery in range(3):
        more = Changes()
        more.counters = COUNTERS._replace(change=10 + delivery)
        journal.commit(more)
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    journal.close()
    log = bytearray(Path(f"{copy}-wal").read_bytes())
    log[100] ^= 1
    Path(f"{copy}-wal").write_bytes(log)
    with pytest.raises(JournalError, match="commits stand behind the broken place"):
        Journal.open(str(copy), "new")


def test_a_large_log_is_looked_at_by_sqlite_and_not_by_python(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sound log nothing is read here but its header: 256 MiB of it held up the start for 9 s."""
    journal = made(path)
    more = Changes()
    more.data = [(job_id, bytes(1 << 20)) for job_id in range(100, 116)]
    journal.commit(more)
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    journal.close()
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
    more = Changes()
    more.counters = COUNTERS._replace(change=10)
    journal.commit(more)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    journal.close()
    assert os.path.getsize(f"{copy}-wal") > size
    os.truncate(f"{copy}-wal", os.path.getsize(f"{copy}-wal") - 100)
    assert Journal.open(str(copy), "new").load().counters == COUNTERS


def test_a_place_where_nothing_can_be_made_is_said(tmp_path: Path) -> None:
    """A missing folder is CannotCreate, which has an exit code of its own."""
    with pytest.raises(CannotCreate, match="cannot be created"):
        Journal.open(str(tmp_path / "no such folder/journal.db"), "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_is_refused(path: Path) -> None:
    """Said at the start, not at the first job."""
    made(path).close()
    path.chmod(0o400)
    with pytest.raises(JournalError, match="cannot be read and written"):
        Journal.open(str(path), "x")


def test_a_second_connection_is_kept_out(path: Path) -> None:
    """The lock on the file is exclusive: no other program can change it under the broker."""
    journal = made(path)
    other = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM journal").fetchall()
    other.close()
    journal.close()


def test_a_held_journal_can_be_copied(path: Path) -> None:
    """While checkpoints are held the file does not change, and with the log it gives what was committed."""
    journal = made(path)
    journal.hold_checkpoints()
    before = path.read_bytes()
    for delivery in range(30):
        more = Changes()
        more.added = {100 + delivery: QUEUED._replace(id=100 + delivery, data_bytes=200_000)}
        more.data = [(100 + delivery, b"x" * 200_000)]
        more.counters = COUNTERS._replace(next_id=101 + delivery)
        journal.commit(more)
    assert path.read_bytes() == before
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    journal.close()
    assert Journal.open(str(copy), "new").load().counters.next_id == 130


def test_the_size_includes_the_log(path: Path) -> None:
    """What the journal takes on disk."""
    journal = made(path)
    assert journal.size_bytes() == path.stat().st_size + os.path.getsize(f"{path}-wal")
    journal.close()


def test_a_journal_of_format_1_still_opens(path: Path) -> None:
    """A file that an earlier zjobs made, with one of everything in it, is brought up to date and means the same."""
    shutil.copy(SAMPLES / "format_1.db", path)
    with pytest.raises(JournalError, match="older format 1"):
        Journal.open(str(path), "new", as_it_is=True)
    assert path.read_bytes() == (SAMPLES / "format_1.db").read_bytes()
    while j._unclosed:
        j._unclosed.pop().close()
    Journal.open(str(path), "new")
    while j._unclosed:  # what a crash before `take_up` leaves
        j._unclosed.pop().close()
    journal = Journal.open(str(path), "new")
    journal.take_up()
    ready = {0: array("q", [1])}
    assert journal.load() == Loaded("sample", OLD_COUNTERS, ready, [], {7: QUEUED}, SESSION, OLD_TYPES, None, {})
    assert [journal.job(delivery) for delivery in (1, 2, 3)] == [QUEUED, DONE, FAILED]
    assert journal.attempts(1) == ATTEMPTS and journal.data_of([1]) == {1: b"abc"}
    assert journal.submitted("", "key") == Submitted("", "key", 1, 3, b"digest")
    assert journal.result_piece(2, 0, 99) == (10, b"0123456789")
    new = Journal.open(MEMORY, "new")
    assert _layout(journal) == _layout(new), "the same tables and indexes as in a new one"
    more = Changes()
    more.added = more.changed = {4: URGENT}
    more.data_copies, more.pauses, more.outputs = [(4, 1)], [PAUSED], [Printed(2, 1, 0, b"x")]
    more.types = TYPES
    journal.commit(more)
    assert journal.job(4) == URGENT and journal.load().types == TYPES
    journal.close()
    new._db.close()


def test_a_journal_of_format_2_still_opens(path: Path) -> None:
    """A file with one of everything in it. It was made like this: open it as "sample", `take_up`, commit `changes`."""
    shutil.copy(SAMPLES / "format_2.db", path)
    with pytest.raises(JournalError, match="older format 2"):
        Journal.open(str(path), "new", as_it_is=True)
    assert path.read_bytes() == (SAMPLES / "format_2.db").read_bytes()
    while j._unclosed:
        j._unclosed.pop().close()
    journal = Journal.open(str(path), "new")
    journal.take_up()
    new = Journal.open(MEMORY, "new")
    assert _layout(journal) == _layout(new), "the same tables and indexes as in a new one"
    new._db.close()
    assert journal.load() == LOADED._replace(journal="sample")
    assert [journal.job(delivery) for delivery in range(1, 7)] == [job._replace(killed=0) for job in JOBS]
    assert journal.data_of([1, 4]) == {1: b"abc", 4: b"abc"} and journal.output_piece(6, 0, 0, 99)[:3] == (
        7,
        0,
        b"printed",
    )
    assert journal.attempts(1) == ATTEMPTS and journal.result_piece(2, 0, 99) == (10, b"0123456789")
    assert journal.submitted("", "second") == Submitted("", "second", 4, 3, b"2")
    new = Journal.open(MEMORY, "new")
    assert _layout(journal) == _layout(new), "the same tables and indexes as in a new one"
    journal.close()
    new._db.close()


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
    journal = Journal.open(str(path), "new")
    journal.take_up()
    found = {(row[0], row[1]) for row in journal._all("SELECT owner, request_key FROM request WHERE first_id >= 10")}
    whose = {("alice", "x"), ("alice", "bob/x"), ("bob", "alice/x"), ("", "bob/x"), ("übel", "ü"), ("", "/x")}
    assert found == whose
    assert journal.submitted("alice", "x") == Submitted("alice", "x", 10, 5, b"\0")
    assert journal.submitted("bob", "x") is None, "without an owner it was another key"
    journal.close()


def _layout(journal: Journal) -> tuple[object, ...]:
    """The columns of each table, in whatever order, and the indexes."""
    tables = [name for (name,) in journal._all("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    columns = {name: {row[1:] for row in journal._all(f"PRAGMA table_info({name})")} for name in tables}
    indexes = journal._all("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name")
    return columns, indexes


def test_a_refused_file_is_not_changed_when_its_connection_is_forgotten(tmp_path: Path) -> None:
    """Not even by what SQLite does when a connection is closed, which Python does with one that nobody has any more."""
    file, log = tmp_path / "journal.db", tmp_path / "journal.db-wal"
    journal = Journal.open(str(file), "id")
    journal.take_up()
    journal.close()
    connection = sqlite3.connect(file, isolation_level=None)
    connection.executescript(
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'no table' WHERE name = 'pause'"
    )
    connection.close()
    log.touch()
    content = file.read_bytes()
    with pytest.raises(JournalError, match="malformed database schema"):
        Journal.open(str(file), "id")
    gc.collect()
    assert log.exists() and file.read_bytes() == content


def test_output_is_kept_in_the_pieces_it_came_in(opened: Callable[[], Journal]) -> None:
    """From any place on they are put together, up to a gap; what a later run prints takes an earlier one's place."""
    journal = opened()
    journal.commit(changes())
    for piece in (Printed(1, 1, 0, b"abc"), Printed(1, 1, 3, b"def"), Printed(1, 1, 10, b"xyz")):
        more = Changes()
        more.outputs = [piece]
        journal.commit(more)
    assert journal.output_piece(1, 1, 0, 99) == (13, 0, b"abcdef", 1)
    assert journal.output_piece(1, 0, 2, 3) == (13, 2, b"cde", 1)
    assert journal.output_piece(1, 1, 6, 99) == journal.output_piece(1, 1, 8, 99) == (13, 10, b"xyz", 1)
    assert journal.output_piece(1, 1, 12, 99) == (13, 12, b"z", 1)
    assert journal.output_piece(1, 1, 2**63 - 1, 9) == (13, 13, b"", 1)
    assert journal.output_piece(1, 2, 0, 99) == (0, 0, b"", 2), "another run has printed nothing yet"
    more = Changes()
    more.outputs = [Printed(1, 2, 0, b"again"), Printed(1, 2, 5, b" and again")]
    journal.commit(more)
    assert journal.output_piece(1, 1, 0, 99) == (15, 0, b"again and again", 2)
    assert journal._one("SELECT count(*) FROM output WHERE id = 1")[0] == 2


def test_the_beginning_of_much_output_goes_piece_by_piece(opened: Callable[[], Journal]) -> None:
    """The piece in which the bound lies is kept; no piece is ever written again."""
    journal = opened()
    journal.commit(changes())
    for place in range(0, 100, 10):
        more = Changes()
        more.outputs = [Printed(1, 1, place, b"%010d" % place, max(0, place + 10 - 25))]
        journal.commit(more)
    assert journal.output_piece(1, 1, 0, 99) == (100, 70, b"%010d%010d%010d" % (70, 80, 90), 1)
    assert journal._one("SELECT count(*) FROM output WHERE id = 1")[0] == 3
