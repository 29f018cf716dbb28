"""Backups, restores and checks of journals that no broker has open, at each place where one may go wrong."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zjobs.broker.cli import main
from zjobs.broker.core.admission import Rules
from zjobs.broker.core.core import Core
from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.jobs import Counters, Instant, Job, Session
from zjobs.broker.core.records.needs import Needs
from zjobs.broker.storage import restored
from zjobs.broker.storage.api import JournalError, MaintenanceError, StorageError
from zjobs.broker.storage.sqlite import opening, reading
from zjobs.broker.storage.sqlite.header import LOG, Kind, kind_of
from zjobs.broker.storage.sqlite.journal import SqliteJournal
from zjobs.broker.storage.sqlite.maintenance import backup, check, restore
from zjobs.broker.storage.sqlite.opening import open_journal
from zjobs.messages.dispatch import Heartbeat
from zjobs.messages.records import BrokerName, QueuePause, TaskType
from zjobs.messages.states import FailReason, JobState
from zjobs.program import lock

NOW = Instant(1_000, 1_700_000_000_000)
NAME = BrokerName("here", "tcp://127.0.0.1:5570", "journal")
TYPES = {"once": TaskType("once"), "safe": TaskType("safe", max_reruns=2)}


def changes(jobs: int) -> Changes:
    """Jobs of two types; the first two are with the worker, the last one has ended."""
    made = Changes()
    for job_id in range(1, jobs + 1):
        made.added[job_id] = Job(job_id, ("once", "safe")[job_id % 2], JobState.QUEUED, 0, 0, 0, 0, 1000)
    made.changed = {jobs: made.added[jobs]._replace(state=JobState.COMPLETED, ended_at=2000)}
    made.results = [(jobs, b"\xa2ok")]
    made.deliveries = [(7, 1), (8, 2)]
    made.session, made.types = Session("incarnation", "session", 9, 4, 7), TYPES
    made.counters = Counters(jobs + 1, jobs, 1, 0, 0)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal as kill -9 left it, with its log."""
    file = tmp_path / "journal.db"
    journal = claimed(file)
    journal.commit(changes(30))
    for end in ("", LOG):
        shutil.copy(f"{file}{end}", f"{file}.copy{end}")
    journal.release()
    for end in ("", LOG):
        os.rename(f"{file}.copy{end}", f"{file}{end}")
    return file


def claimed(file: Path) -> SqliteJournal:
    journal = SqliteJournal(str(file), "old")
    journal.claim("me")
    journal.announce("me, here")
    return journal


def files(folder: Path) -> dict[str, bytes]:
    """All but locks."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".lock"}


def run(*words: object) -> int:
    return main.run(list(map(str, words)))


# --- backup ---------------------------------------------------------------------------------------------------------


def test_a_backup_is_one_marked_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The journal stays as it was; the copy has everything, no log, and is checked as what it is."""
    before, target = files(path.parent), path.with_name("copy.db")
    assert run("backup", path, target) == 0 and "is a sound backup of" in capsys.readouterr().out
    after = files(path.parent)
    assert set(after) == {*before, "copy.db"} and all(after[name] == before[name] for name in before)
    assert target.stat().st_mode & 0o777 == 0o600 and kind_of(str(target)) is Kind.BACKUP
    assert (
        run("check", target) == 0 and "sound backup of journal old, 30 ids given, 29 queued" in capsys.readouterr().out
    )


def test_no_broker_starts_on_a_backup(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would go on from a moment that is past, under the identity of the journal that went on, too."""
    target = path.with_name("copy.db")
    run("backup", path, target)
    before = files(path.parent)
    assert run("--journal", target, "--listen", "ipc:///nowhere/f") == 78
    assert f"zbroker restore {target} JOURNAL" in capsys.readouterr().err and files(path.parent) == before


def test_what_is_left_of_a_killed_backup_is_marked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its first byte on."""
    copied: list[Kind] = []

    def killed(file: str, making: str, target: str) -> None:
        copied.append(kind_of(making))
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "_settle", killed)
    with pytest.raises(KeyboardInterrupt):
        backup.backup(str(path), str(path.with_name("copy.db")), None)
    assert copied == [Kind.BACKUP] and set(files(path.parent)) == {"journal.db", "journal.db-wal"}


def _full(monkeypatch: pytest.MonkeyPatch, after_bytes: int) -> None:
    real, written = os.write, [0]

    def write(descriptor: int, content: Any) -> int:
        if written[0] >= after_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = real(descriptor, content[: after_bytes - written[0]])
        written[0] += count
        return count

    monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize("after_bytes", [0, 5_000, 80_000])
def test_a_full_disk_leaves_nothing_and_is_the_targets(
    path: Path, after_bytes: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not half a copy that looks sound, and no word against the source."""
    before = files(path.parent)
    with monkeypatch.context() as patch:
        _full(patch, after_bytes)
        assert run("backup", path, path.with_name("copy.db")) == 73
    said = capsys.readouterr().err
    assert "copy.db" in said and "No space left" in said and str(path) not in said
    assert files(path.parent) == before


def test_a_disk_that_fails_while_the_copy_is_settled_is_the_targets(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQLite says it in another way."""
    before = files(path.parent)

    def fails(*_: object) -> None:
        raise StorageError("database or disk is full")

    monkeypatch.setattr(backup, "finish", fails)
    assert run("backup", path, path.with_name("copy.db")) == 73
    assert f"{path.with_name('copy.db')} cannot be written" in capsys.readouterr().err
    assert files(path.parent) == before


def test_a_source_that_is_damaged_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is left of the copy."""
    log = bytearray(Path(f"{path}-wal").read_bytes())
    log[-2000:] = bytes(2000)
    journal = path.read_bytes()
    Path(f"{path}-wal").unlink()
    path.write_bytes(journal[:8192])
    assert run("backup", path, path.with_name("copy.db")) == 74
    assert f"the journal {path} " in capsys.readouterr().err and set(files(path.parent)) == {"journal.db"}


def test_a_name_that_is_taken_meanwhile_is_not_written_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another backup that was faster."""
    target, settle = path.with_name("copy.db"), backup._settle

    def slow(*names: str) -> None:
        settle(*names)
        target.write_text("precious")

    monkeypatch.setattr(backup, "_settle", slow)
    with pytest.raises(MaintenanceError, match="exists already"):
        backup.backup(str(path), str(target), None)
    assert target.read_text() == "precious" and set(files(path.parent)) == {"journal.db", "journal.db-wal", "copy.db"}


# --- restore --------------------------------------------------------------------------------------------------------


@pytest.fixture
def backed_up(path: Path) -> Path:
    """A backup of the journal."""
    target = path.with_name("copy.db")
    backup.backup(str(path), str(target), None)
    return target


def test_a_restored_journal_is_another_one(backed_up: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """New identity, no session, paused with the reason; the jobs are told, a bounded number of them."""
    fresh = backed_up.with_name("new.db")
    assert run("restore", backed_up, fresh) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{fresh} is journal ") and said[0].endswith("a backup of journal old")
    assert "zclient resume" in said[1] and said[2:4] == [
        "  1  safe  was with the worker",
        "  2  once  was with the worker",
    ]
    assert len(said) == 2 + restored.SHOWN + 1 and said[-1] == "  and 9 more (zclient list --state queued)"
    journal = open_journal(str(fresh), "x")
    loaded = reading.load(journal)
    assert journal.journal_id not in ("old", "x") and said[0].split()[3] == journal.journal_id
    assert loaded.session is None and str(backed_up) in loaded.pauses[0].reason and loaded.pauses[0].until_at is None
    assert kind_of(str(backed_up)) is Kind.BACKUP


def test_what_was_with_the_worker_is_judged_by_the_rules(backed_up: Path) -> None:
    """As when the worker was lost: it may have run. What was not handed over is queued."""
    fresh = backed_up.with_name("new.db")
    restore.restore(str(backed_up), str(fresh))
    journal = claimed(fresh)
    core = Core(journal.load(), Rules(), NAME, NOW)
    heartbeat = Heartbeat("another", None, 0, 0, False, None, tuple(TYPES.values()), None, "here", 7)
    core.on_heartbeat(heartbeat, "a session", NOW)
    effects = core.end_turn(NOW)
    journal.commit(effects.changes)
    assert not effects.dispatched, "paused"
    jobs = journal.read(Needs(jobs=[1, 2, 3])).jobs
    assert (jobs[2].state, jobs[2].reason) == (JobState.FAILED, FailReason.WORKER_LOST)
    assert [(jobs[job_id].state, jobs[job_id].reruns) for job_id in (1, 3)] == [
        (JobState.QUEUED, 1),
        (JobState.QUEUED, 0),
    ]
    journal.release()


def test_what_was_there_is_moved_aside_and_named(
    path: Path, backed_up: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its log, so that it is still a journal; again and again, under names of its own."""
    before = files(path.parent)
    for number in range(3):
        assert run("restore", backed_up, path) == 0
        aside = capsys.readouterr().out.splitlines()[1].split(" is ")[1].removesuffix(" now")
        if number == 0:
            assert Path(aside).read_bytes() == before["journal.db"]
            assert Path(f"{aside}-wal").read_bytes() == before["journal.db-wal"]
            assert not Path(f"{path}-wal").exists() and check.check(aside)
    assert len([name for name in files(path.parent) if ".before-" in name]) == 4
    assert check.check(str(path))


def test_restore_waits_for_no_broker_and_disturbs_none(path: Path, backed_up: Path) -> None:
    """Exit code 75, and everything is as it was."""
    held = lock.acquire(Path(f"{path}.lock"))
    held.write("pid 7")
    before = files(path.parent)
    assert run("restore", backed_up, path) == 75 and files(path.parent) == before
    held.release()


def test_only_a_sound_backup_is_restored(path: Path, backed_up: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not a journal, and nothing that is damaged; the journal that is there stays."""
    plain = path.with_name("plain.db")
    shutil.copy(path, plain)
    assert run("restore", plain, path) == 78 and "is a journal and not a backup" in capsys.readouterr().err
    plain.unlink()
    whole = backed_up.read_bytes()
    backed_up.write_bytes(whole[: len(whole) // 2])
    before = files(path.parent)
    assert run("restore", backed_up, path) == 74 and f"the journal {backed_up} is damaged" in capsys.readouterr().err
    assert files(path.parent) == before


@pytest.mark.parametrize("name", ["rename", "replace", "link"])
def test_a_restore_that_fails_leaves_the_old_journal(
    path: Path, backed_up: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the moves the disk refuses. Without hard links it goes another way."""
    before = files(path.parent)

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, refuse)
        if name == "link":
            assert restore.restore(str(backed_up), str(path)) and check.check(str(path))
            return
        with pytest.raises(OSError, match="refused"):
            restore.restore(str(backed_up), str(path))
    if name == "replace":
        assert files(path.parent) == before
        assert open_journal(str(path), "x").journal_id == "old"
    else:
        assert files(path.parent) == before


def test_a_restore_cut_off_at_any_move_never_leaves_no_journal(
    path: Path, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that started then would begin with an empty one: it finds the old one, or refuses."""

    class Killed(BaseException):
        pass

    place = path.parent
    saved = files(place)
    for nth in range(3):
        for name in files(place):
            (place / name).unlink()
        for name, content in saved.items():
            (place / name).write_bytes(content)
        calls = iter(range(9))

        def dying(real: Callable[..., None], calls: Iterator[int] = calls, nth: int = nth) -> Callable[..., None]:
            def call(*names: Any) -> None:
                if next(calls) == nth:
                    raise Killed
                real(*names)

            return call

        with monkeypatch.context() as patch:
            for one in ("link", "rename", "replace"):
                patch.setattr(os, one, dying(getattr(os, one)))
            with pytest.raises(Killed):
                restore.restore(str(backed_up), str(path))
        assert path.exists()
        if nth < 2:
            assert open_journal(str(path), "x").journal_id == "old"
        else:
            with pytest.raises(JournalError, match="is gone"):
                open_journal(str(path), "x")
        while opening.unclosed:
            opening.unclosed.pop().close()


def test_an_earlier_pause_is_told_with_the_new_one(path: Path) -> None:
    """Its reason may still hold."""
    paused = Changes()
    paused.pauses = [(QueuePause("ann", "the lamp is broken", 5, 9),)]
    journal = claimed(path)
    journal.commit(paused)
    journal.release()
    target, fresh = str(path.with_name("copy.db")), str(path.with_name("new.db"))
    backup.backup(str(path), target, None)
    restore.restore(target, fresh)
    loaded = reading.load(open_journal(fresh, "x"))
    assert [pause.owner for pause in loaded.pauses] == [""]
    assert loaded.pauses[0].reason.endswith("Before that: the lamp is broken")


# --- damage and read-only places ------------------------------------------------------------------------------------


def test_check_and_backup_never_end_in_a_traceback(
    backed_up: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong in a journal, even one that is too large to be looked through at the start."""
    monkeypatch.setattr(opening, "CHECKED_AT_START_BYTES", 0)
    sound, draw, codes = backed_up.read_bytes(), random.Random(3), []
    victim, target = backed_up.with_name("victim.db"), backed_up.with_name("of-victim.db")
    for number in range(120):
        content = bytearray(sound)
        for _ in range(1 + number % 4):
            start = draw.randrange(100, len(content))
            content[start : start + draw.choice((1, 8, 400))] = draw.randbytes(draw.choice((1, 8, 400)))
        if number % 5 == 0:
            del content[draw.randrange(200, len(content)) :]
        victim.write_bytes(content)
        codes += [run("check", victim), run("backup", victim, target)]
        assert codes[-1] == 0 or not target.exists()
        target.unlink(missing_ok=True)
        while opening.unclosed:
            opening.unclosed.pop().close()
        for file in backed_up.parent.glob("victim.db*"):
            file.unlink()
    assert set(codes) == {0, 74} and codes.count(74) > 100, codes
    assert "Traceback" not in "".join(capsys.readouterr())


READ_ONLY = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
! touch "$1/x" 2>/dev/null
shift
exec "$@"
"""


def on_read_only_media(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Runs zbroker where `folder` cannot be written, in a mount namespace of its own; skips where none can be made."""
    program = [sys.executable, "-m", "zjobs.broker", *map(str, words)]
    outside = ["unshare", "--mount", "bash", "-c", READ_ONLY, "x", str(folder)]
    if subprocess.run([*outside, "true"], capture_output=True).returncode:
        pytest.skip("READ-ONLY MEDIA ARE NOT TESTED HERE: no mount namespace can be made")
    return subprocess.run([*outside, *program], capture_output=True, text=True)


@pytest.mark.parametrize("ended", ["killed", "in order", "locked"])
def test_read_only_media(path: Path, ended: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """check and backup need no lock there, with a log and without; a lock that somebody holds they respect."""
    target = tmp_path_factory.mktemp("elsewhere") / "copy.db"
    held = None
    if ended == "in order":
        journal = claimed(path)
        journal.release()
    elif ended == "locked":
        held = lock.acquire(Path(f"{path}.lock"))
        held.write("pid 7")
    before = files(path.parent)
    checked = on_read_only_media(path.parent, "check", path)
    copied = on_read_only_media(path.parent, "backup", path, target)
    if held is not None:
        assert checked.returncode == copied.returncode == 75, (checked, copied)
        held.release()
        return
    assert checked.returncode == 0 and "is sound: journal old, 30 ids given" in checked.stdout, checked
    assert copied.returncode == 0 and check.check(str(target)), copied
    assert files(path.parent) == before


def test_damage_is_told_on_read_only_media_too(path: Path) -> None:
    """With the name of the file that was given."""
    log = bytearray(Path(f"{path}-wal").read_bytes())
    log[40] ^= 1
    log += log[-4120:]
    Path(f"{path}-wal").write_bytes(log)
    Path(path).write_bytes(path.read_bytes()[:9000])
    checked = on_read_only_media(path.parent, "check", path)
    assert checked.returncode == 74 and str(path) in checked.stderr and "Traceback" not in checked.stderr, checked


def test_a_lock_that_cannot_be_read_is_not_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody can say that no broker has the journal."""

    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, "refused", f"{path}.lock")

    monkeypatch.setattr(lock, "acquire", refuse)
    monkeypatch.setattr(lock, "share", refuse)
    assert run("check", path) == run("backup", path, path.with_name("copy.db")) == 73
