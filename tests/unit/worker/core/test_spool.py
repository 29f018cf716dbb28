"""The spool: its content, its file, and its delivery."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjobs.messages.dispatch import (
    Ack,
    Ended,
    Heartbeat,
    Jobs,
    PipeMessage,
    Rejected,
    Report,
    Reports,
    Returned,
    TakeOver,
)
from zjobs.messages.records import BrokerName, TaskType
from zjobs.messages.states import FailReason, Outcome
from zjobs.worker.core import effects as e
from zjobs.worker.core.core import HEARTBEAT_MS
from zjobs.worker.core.interfaces import Damaged, Spool
from zjobs.worker.core.spool import MAGIC, RETRY_MS, SpoolDelivery, pack, unpack
from zjobs.worker.files.spool_file import SpoolFile

BEAT = Heartbeat(
    "old", "session", 7, 3, True, None, (TaskType("t", "what it does"),), BrokerName("h", "f", "j"), "host", 17
)
REPORTS: tuple[Report, ...] = (
    Ended(6, Outcome.COMPLETED, 5, b"\xc4\x01x", output=b"printed\n", output_bytes=8, id=16),
    Returned(7, True),
    Ended(7, Outcome.FAILED, 5, None, FailReason.RAISED, "ValueError: é", "a traceback", id=17),
)
SPOOL = Spool(BEAT, REPORTS)


# --- its content -----------------------------------------------------------------------------------------


def test_a_spool_comes_back_as_it_was() -> None:
    """Every report, with result and output, and whose they are."""
    assert unpack(pack(SPOOL)) == SPOOL


@given(st.integers(0, len(pack(SPOOL)) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_found(place: int, change: int) -> None:
    """Wherever it is."""
    content = bytearray(pack(SPOOL))
    content[place] ^= change
    with pytest.raises(Damaged):
        unpack(bytes(content))


@given(st.integers(0, len(pack(SPOOL)) - 1))
def test_a_piece_of_a_spool_is_found(length: int) -> None:
    """An empty file, too."""
    with pytest.raises(Damaged):
        unpack(pack(SPOOL)[:length])


@pytest.mark.parametrize(
    "wrong",
    [
        SPOOL._replace(heartbeat=BEAT._replace(broker=None)),
        SPOOL._replace(heartbeat=BEAT._replace(acked=2**63 - 2)),
    ],
    ids=["of no broker", "numbers that cannot be"],
)
def test_a_spool_that_cannot_be_is_found(wrong: Spool) -> None:
    """Even when its digest is right."""
    content = pack(wrong) if wrong.heartbeat.broker is None else pack(wrong) + b"\0" * 9
    with pytest.raises(Damaged):
        unpack(content)


# --- its file ----------------------------------------------------------------------------------------------


def test_the_file_is_for_its_user_alone_and_goes_again(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask; what a crash left of another attempt does not matter."""
    file = SpoolFile(tmp_path / "w.spool")
    assert file.load() is None
    (tmp_path / "w.spool.new").write_bytes(b"half")
    before = os.umask(0)
    try:
        file.save(SPOOL)
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600 and file.load() == SPOOL
    file.remove()
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_was_done_to_the_file_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content before it gets its name; and each time the folder, which has the names, before the call returns."""
    file, flushed = SpoolFile(tmp_path / "w.spool"), []

    def fsync(descriptor: int) -> None:
        flushed.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, file.path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    file.save(SPOOL)
    assert flushed == [("w.spool.new", False), (tmp_path.name, True)]
    file.set_aside("0a1b")
    assert flushed[2:] == [(tmp_path.name, False)]
    file.save(SPOOL)
    file.remove()
    assert flushed[5:] == [(tmp_path.name, False)]


def test_what_is_no_spool_is_damaged(tmp_path: Path) -> None:
    """It can be set aside, under a name of its own, and is not changed."""
    file = SpoolFile(tmp_path / "w.spool")
    file.path.write_bytes(MAGIC + b"nonsense")
    with pytest.raises(Damaged):
        file.load()
    aside = file.set_aside("0a1b")
    assert aside.name == "w.spool.aside-0a1b" and aside.read_bytes() == MAGIC + b"nonsense" and file.load() is None


def test_links_and_pipes_are_not_read(tmp_path: Path) -> None:
    """Somebody else may have put them there; a pipe would never end."""
    file = SpoolFile(tmp_path / "w.spool")
    file.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        file.load()
    file.path.unlink()
    os.mkfifo(file.path)
    with pytest.raises(OSError):
        file.load()


def test_a_disk_that_is_full_leaves_no_half_file(tmp_path: Path) -> None:
    """The error is told, and the room is given back."""
    file = SpoolFile(tmp_path / "missing" / "w.spool")
    with pytest.raises(OSError):
        file.save(SPOOL)
    file = SpoolFile(tmp_path / "w.spool")
    file.path.mkdir()
    with pytest.raises(OSError):
        file.save(SPOOL)
    assert [path.name for path in tmp_path.iterdir()] == ["w.spool"]


# --- its delivery --------------------------------------------------------------------------------------------


class Delivering:
    """A delivery and its time."""

    def __init__(self) -> None:
        self.now = 1000
        self.core = SpoolDelivery(SPOOL, "new-host", 18)

    def turn(self, after_ms: int = 0) -> list[e.Effect]:
        self.now += after_ms
        return list(self.core.turn(self.now))

    def pipe(self, message: PipeMessage) -> list[e.Effect]:
        self.core.on_pipe(message, self.now)
        return self.turn()


def test_it_speaks_as_the_worker_that_wrote_it() -> None:
    """Its incarnation, session, types; but no jobs are to come, and host and pid are those of who speaks."""
    heartbeat, reports = Delivering().turn()
    assert heartbeat == e.Publish(BEAT._replace(spooled=True, host="new-host", pid=18))
    assert reports == e.Publish(Reports("session", 4, REPORTS))


def test_it_repeats_until_all_is_acknowledged() -> None:
    """On a subscription, and when the broker says that some were lost; then the file goes, and no sooner."""
    it = Delivering()
    it.turn()
    assert len(it.turn(HEARTBEAT_MS)) == 1, "they may still be on their way"
    it.core.on_subscription(it.now)
    assert len(it.turn()) == 2
    assert it.pipe(Ack("session", 5, 1, 1, 1, again=True)) == [e.Publish(Reports("session", 6, REPORTS[2:], 2))]
    heartbeat = BEAT._replace(spooled=True, host="new-host", pid=18, acked=5, round=2, sent=1)
    assert it.turn(HEARTBEAT_MS) == [e.Publish(heartbeat)]
    assert it.core.next_deadline_ms() == it.now + HEARTBEAT_MS
    assert it.pipe(Ack("session", 6, 1)) == [e.RemoveSpool()]


@pytest.mark.parametrize(
    "message",
    [
        Ack("another", 6, 1),
        Ack("session", 2, 1),
        Ack("session", 7, 1),
        TakeOver("another"),
        Jobs("session", 8, ()),
    ],
    ids=repr,
)
def test_what_is_not_for_it_is_dropped(message: PipeMessage) -> None:
    """Other sessions, reports that there are none of, jobs."""
    it = Delivering()
    it.turn()
    assert it.pipe(message) == []


def test_a_rejection_is_told_to_people() -> None:
    """The delivery goes on."""
    it = Delivering()
    it.turn()
    (said,) = it.pipe(Rejected("session", 4, "it is too large"))
    assert isinstance(said, e.Say) and "report 4: it is too large" in said.sentence
    assert it.pipe(Rejected("another", 4, "it is too large")) == []


def test_a_file_that_cannot_be_removed_is_tried_again() -> None:
    """Nothing else is done before it is gone."""
    it = Delivering()
    it.turn()
    assert it.pipe(Ack("session", 6, 1)) == [e.RemoveSpool()]
    assert it.turn(RETRY_MS - 1) == [] and it.core.next_deadline_ms() == it.now + 1
    assert it.turn(1) == [e.RemoveSpool()]


def test_a_broker_that_does_not_know_the_session_has_it_set_aside() -> None:
    """The file is kept for people."""
    it = Delivering()
    it.turn()
    assert it.pipe(TakeOver("old")) == [e.SetAsideSpool()]
