"""A damaged journal is refused with a sentence and left byte for byte as it is, or what it holds is told truthfully.

What SQLite itself cannot see is the one thing left: it has no checksums over the pages of a file (its log has), so a
bit that flips inside a text or a number there goes unnoticed. docs/reliability.md says so.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulting.damage import Files, Sample, cut, flipped, moved_into_the_file, put, read, sample, told, verdict
from faulting.forge import Ended, Forge
from faulting.scene import Scene
from soaking.asker import Asker

FLIPS = 60
SEED = 5
PAGE_BYTES = 4096


@pytest.fixture(scope="module")
def ruined(forge: Forge) -> Iterator[tuple[Scene, Sample]]:
    """A place to damage journals in, and a journal as kill -9 left it."""
    with Scene(forge) as scene:
        yield scene, sample(scene)


def refused(scene: Scene, files: Files) -> str:
    """What the broker says; that it refused with 74 and changed nothing is asserted."""
    put(scene, files)
    with pytest.raises(Ended) as ended:
        scene.start_broker().ready()
    assert ended.value.code == 74 and "Traceback" not in ended.value.log, ended.value.log
    assert read(scene) == files
    return ended.value.log


def test_an_undamaged_one_is_served(ruined: tuple[Scene, Sample]) -> None:
    """Or the others would prove nothing: as it was left, and after its log was moved into the file."""
    scene, whole = ruined
    assert verdict(scene, whole.files, whole.truth) == "served"


def test_bits_that_flip_in_the_log(ruined: tuple[Scene, Sample]) -> None:
    """Its checksums show them. In the last commit alone a flip looks as a torn write does, which loses that commit."""
    scene, whole = ruined
    draw = random.Random(SEED)
    log = whole.files["journal.db-wal"]
    last_commit = len(log) * 9 // 10
    verdicts: Counter[str] = Counter()
    for _ in range(FLIPS):
        content = bytearray(log)
        place = draw.randrange(last_commit)
        content[place] ^= 1 << draw.randrange(8)
        verdicts[verdict(scene, {**whole.files, "journal.db-wal": bytes(content)}, whole.truth)] += 1
    assert set(verdicts) <= {"refused", "served"} and verdicts["refused"] > FLIPS // 2


def test_bits_that_flip_in_the_file(ruined: tuple[Scene, Sample], tmp_path: Path) -> None:
    """Never a traceback, never a change of a refused file, and every job is there whatever its bytes have become."""
    scene, whole = ruined
    files = moved_into_the_file(whole.files, tmp_path)
    draw = random.Random(SEED)
    for _ in range(FLIPS // 3):
        found = verdict(scene, flipped(files, draw), whole.truth)
        assert found in ("refused", "served") or (found.startswith("served, but") and "not_found" not in found), found


def test_a_file_that_ends_too_early(ruined: tuple[Scene, Sample], tmp_path: Path) -> None:
    """Wherever it was cut, not a job is missing from what is served."""
    scene, whole = ruined
    files = moved_into_the_file(whole.files, tmp_path)
    draw = random.Random(SEED)
    for _ in range(20):
        found = verdict(scene, cut(files, draw), whole.truth)
        assert found == "refused" or "not_found" not in found, found


def test_a_log_that_is_gone(ruined: tuple[Scene, Sample]) -> None:
    """The file knows that it was in use, so it is missed."""
    scene, whole = ruined
    assert "is gone" in refused(scene, {"journal.db": whole.files["journal.db"]})


def test_a_crash_while_the_log_is_moved_into_the_file(ruined: tuple[Scene, Sample], tmp_path: Path) -> None:
    """Any of the pages may be new, old or torn in the middle: the log is whole, so everything is served."""
    scene, whole = ruined
    old, moved = whole.files["journal.db"], moved_into_the_file(whole.files, tmp_path)["journal.db"]
    draw = random.Random(SEED)
    for _ in range(20):
        mixed = bytearray(old)
        mixed[:PAGE_BYTES] = moved[:PAGE_BYTES]  # pages are moved in their order, so the file is still too short
        for start in range(PAGE_BYTES, draw.randrange(len(old), len(moved)), PAGE_BYTES):
            size = draw.choice((0, PAGE_BYTES // 2, PAGE_BYTES))
            mixed[start : start + size] = moved[start : start + size]
        assert verdict(scene, {**whole.files, "journal.db": bytes(mixed)}, whole.truth) == "served"


FOREIGN = {
    "a newer version": ("PRAGMA user_version = 99", "use a newer one"),
    "another program's": ("PRAGMA application_id = 1", "not a journal of zjobs"),
    "without a table": ("DROP TABLE job", "damaged"),
    "without its one row": ("DELETE FROM journal", "damaged"),
    "with a schema that cannot be read": (
        "PRAGMA writable_schema = ON; "
        "UPDATE sqlite_schema SET sql = replace(sql, 'TABLE', 'TABDE') WHERE name = 'pause'",
        "malformed database schema",
    ),
    "with a state that is none": ("UPDATE job SET state = 'flying' WHERE id = 1", "damaged"),
    "with a reason that is none": ("UPDATE job SET state = 'failed', reason = 'mood' WHERE id = 1", "damaged"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_kind(name: str, ruined: tuple[Scene, Sample], tmp_path: Path) -> None:
    """Each gets a sentence of its own."""
    statement, words = FOREIGN[name]
    scene, whole = ruined
    files = moved_into_the_file(whole.files, tmp_path)
    put(scene, files)
    with sqlite3.connect(scene.journal, isolation_level=None) as connection:
        connection.executescript(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = scene.journal.read_bytes()
    connection.close()
    assert words in refused(scene, {"journal.db": content, "journal.db-wal": b""})


@pytest.mark.parametrize("content", [b"not a journal\n" * 100, b"SQLite format 3\0" + bytes(84), b"\0" * 8192])
def test_what_is_no_journal_at_all(content: bytes, ruined: tuple[Scene, Sample]) -> None:
    """Text, the beginning of a database and nothing, of the right size."""
    scene, _ = ruined
    refused(scene, {"journal.db": content})


def test_a_journal_that_cannot_be_read(ruined: tuple[Scene, Sample]) -> None:
    """A folder in its place."""
    scene, _ = ruined
    put(scene, {})
    scene.journal.mkdir()
    try:
        with pytest.raises(Ended) as ended:
            scene.start_broker().ready()
    finally:
        scene.journal.rmdir()
    assert ended.value.code == 74 and "Traceback" not in ended.value.log


# --- check and backup ------------------------------------------------------------------------------------------------


def upkeep(scene: Scene, *words: str) -> tuple[int, str]:
    """(exit code, what was said) of `zbroker check` or `zbroker backup`."""
    program = scene.forge.start("broker", list(words), scene.place, scene.env)
    code = program.ended()
    assert "Traceback" not in program.log, program.log
    return code, program.out.read_text() + program.log


def test_check_tells_a_sound_journal_from_a_damaged_one(ruined: tuple[Scene, Sample]) -> None:
    """Exit code 0 or 74 with a sentence; neither changes a byte."""
    scene, whole = ruined
    put(scene, whole.files)
    code, said = upkeep(scene, "check", str(scene.journal))
    assert code == 0 and f"{len(whole.truth)} ids given, 12 queued" in said and read(scene) == whole.files
    broken = {
        **whole.files,
        "journal.db-wal": whole.files["journal.db-wal"].replace(b"soak_once", b"soak_twice"[:9], 9),
    }
    put(scene, broken)
    code, said = upkeep(scene, "check", str(scene.journal))
    assert code == 74 and "damaged" in said and read(scene) == broken


def test_check_needs_a_journal_that_nobody_uses(scene: Scene) -> None:
    """75, and it names who does."""
    broker = scene.start_broker().ready()
    code, said = upkeep(scene, "check", str(scene.journal))
    assert code == 75 and f"pid {broker.pid}" in said


def test_a_backup_of_a_running_broker_holds_everything_acknowledged_before(scene: Scene) -> None:
    """While it takes jobs and runs them, again and again; each copy is sound, and is served once it is restored."""
    scene.start_broker().ready()
    scene.start_worker().ready()
    stop = threading.Event()
    submitted: list[int] = []

    def load() -> None:
        asker = Asker(scene.endpoint, scene.recorder)
        jobs = [{"type": "soak_safe", "data": b"\xa1a"}] * 5
        for number in itertools.count():
            if stop.is_set():
                asker.close()
                return
            submitted.append(asker.ask("submit", request_key=f"load {number}", jobs=jobs)["first_id"] + 4)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for number in range(3):
            scene.until(lambda number=number: len(submitted) > 10 * (number + 1), "the load goes on")
            acknowledged = submitted[-1]
            target = scene.place / f"copy{number}.db"
            code, said = upkeep(scene, "backup", str(scene.journal), str(target))
            assert code == 0 and "sound backup" in said, said
            with sqlite3.connect(f"file:{target}?mode=ro", uri=True) as copy:
                assert copy.execute("SELECT count(*) FROM job WHERE id <= ?", (acknowledged,)).fetchone() == (
                    acknowledged,
                )
            copy.close()
    finally:
        stop.set()
        thread.join()
    truth = told(scene, list(range(1, 6)))
    scene.kill("worker")
    scene.kill("broker")
    scene.journal = scene.place / "restored.db"
    assert upkeep(scene, "restore", str(target), str(scene.journal))[0] == 0
    scene.start_broker().ready()
    assert told(scene, list(range(1, 6))) == truth


def test_a_backup_never_writes_over_anything(ruined: tuple[Scene, Sample]) -> None:
    """73, and the file that was there is as it was."""
    scene, whole = ruined
    put(scene, whole.files)
    target = scene.place / "precious"
    target.write_text("mine")
    code, said = upkeep(scene, "backup", str(scene.journal), str(target))
    assert code == 73 and "exists already" in said and target.read_text() == "mine"
