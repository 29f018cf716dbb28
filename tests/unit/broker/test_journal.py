"""The journal: one suite on a file and in memory, then what a file alone can have."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zjobs.broker import journal as j
from zjobs.broker.jobs import Changes, Counters, Job, Session, Submitted
from zjobs.broker.journal import MEMORY, CannotCreate, Journal, JournalError, StorageError
from zjobs.messages.types import Attempt, FailReason, JobState, Outcome, TaskType

SAMPLE = Path(__file__).parent / "data/format_1.db"

QUEUED = Job(1, "reverse", JobState.QUEUED, 1, 1, 2, 3, 1000, 1100, 1200, 100, FailReason.RAISED, "no")
DONE = Job(2, "swap", JobState.COMPLETED, 1, 0, 1, 0, 1001, 1101, 1201, 100)
FAILED = Job(3, "übel", JobState.FAILED, 1, 0, 1, 0, 1002, None, 1202, None, FailReason.WORKER_LOST, "tot")
ATTEMPTS = (
    Attempt(1, Outcome.FAILED, 1100, 1200, FailReason.RAISED, "no", "Traceback"),
    Attempt(2, Outcome.INTERRUPTED, None, 1300, None, "", ""),
)
TYPES = {"reverse": TaskType("reverse", "The text backwards.", 1, 2), "swap": TaskType("swap")}
SESSION = Session("incarnation", "session", 8, 4, 6)
COUNTERS = Counters(4, 9, 1, 1, 0)


def changes() -> Changes:
    """One of everything."""
    made = Changes()
    made.added = {job.id: job._replace(state=JobState.QUEUED, reason=None) for job in (QUEUED, DONE, FAILED)}
    made.changed = {job.id: job for job in (QUEUED, DONE, FAILED)}
    made.data = [(1, b"abc")]
    made.results = [(2, b"0123456789")]
    made.attempts = [(1, attempt) for attempt in ATTEMPTS]
    made.submitted = {"key": Submitted("key", 1, 3, b"digest")}
    made.hands = [(7, 1)]
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
    """After a crash: jobs, data, results, attempts, keys, hand-overs, session, types, counters."""
    opened().commit(changes())
    journal = opened()
    loaded = journal.load()
    assert loaded == ("the journal", COUNTERS, [1], {7: QUEUED}, SESSION, TYPES)
    assert [journal.job(n) for n in (1, 2, 3, 4)] == [QUEUED, DONE, FAILED, None]
    assert journal.jobs([1]) == [QUEUED] and journal.jobs([]) == []
    assert journal.data_of([1, 2, 3]) == journal.data_of([1, 3]) == {1: b"abc"}
    assert journal.attempts(1) == ATTEMPTS and journal.attempts(2) == ()
    assert journal.submitted("key") == Submitted("key", 1, 3, b"digest") and journal.submitted("other") is None
    assert [journal.key_of(n) for n in (1, 3)] == ["key", "key"]
    journal.check()


def test_a_new_journal_is_empty(opened: Callable[[], Journal]) -> None:
    """No worker ever announced types, which is not the same as none."""
    journal = opened()
    assert journal.load() == ("the journal", Counters(1), [], {}, None, None)
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
    again.forget_hands, again.hands = [(7,)], [(7, 1), (8, 1)]
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
        "not SQLite": (lambda path: path.write_bytes(b"something else" * 500), "damaged or unreadable"),
        "another program's": (lambda path: _sqlite(path, "PRAGMA application_id = 5"), "not a journal of zjobs"),
        "a newer format": (lambda path: _sqlite(path, "PRAGMA user_version = 2"), "use a newer one"),
        "an older format": (lambda path: _sqlite(path, "PRAGMA user_version = 0"), "format 0"),
        "its log lost": (lambda path: _sqlite(path, "UPDATE journal SET in_use = 1"), "is gone"),
        "a table lost": (lambda path: _sqlite(path, "DROP TABLE hand"), "damaged or unreadable"),
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
    for n in range(3):
        more = Changes()
        more.counters = COUNTERS._replace(change=10 + n)
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
    for n in range(30):
        more = Changes()
        more.added = {100 + n: QUEUED._replace(id=100 + n, data_bytes=200_000)}
        more.data = [(100 + n, b"x" * 200_000)]
        more.counters = COUNTERS._replace(next_id=101 + n)
        journal.commit(more)
    assert path.read_bytes() == before and journal.release_checkpoints()
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
    """A file that an earlier zjobs made, with one of everything in it, means the same for ever."""
    shutil.copy(SAMPLE, path)
    journal = Journal.open(str(path), "new")
    journal.take_up()
    assert journal.load() == ("sample", COUNTERS, [1], {7: QUEUED}, SESSION, TYPES)
    assert [journal.job(n) for n in (1, 2, 3)] == [QUEUED, DONE, FAILED]
    assert journal.attempts(1) == ATTEMPTS and journal.data_of([1]) == {1: b"abc"}
    assert journal.submitted("key") == Submitted("key", 1, 3, b"digest")
    assert journal.result_piece(2, 0, 99) == (10, b"0123456789")
    journal.close()
