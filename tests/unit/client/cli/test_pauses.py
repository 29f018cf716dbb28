"""Pauses, and who did what, as lines for people."""

from __future__ import annotations

from datetime import datetime

import pytest

from zjobs.client.cli.show.format import audit_line
from zjobs.client.cli.show.pauses import paused_lines, resumed_lines, since_when
from zjobs.client.wording.text import second
from zjobs.messages.records import AuditEntry, Paused, QueuePause
from zjobs.messages.requests.changes import ResumeReply

TWO = datetime(2026, 11, 28, 14).timestamp()
ANN = QueuePause("ann", "aligning\x1b[2J", int(TWO * 1000), int(TWO * 1000) + 600_000)
NOBODY = QueuePause("", "job 3 failed", int(TWO * 1000))


def test_who_until_when_and_why() -> None:
    """A line each; what is not known is not said, and nothing acts on a terminal."""
    assert paused_lines(None, (), TWO) == []
    assert paused_lines(Paused(1, "x"), (ANN, NOBODY), TWO) == [
        "paused by ann until 14:10: aligning\\x1b[2J",
        "paused: job 3 failed",
    ]
    assert paused_lines(Paused(1, ""), (), TWO) == ["paused"]
    assert paused_lines(None, (NOBODY._replace(submitter="bob@lab"),), TWO) == ["paused by bob@lab?: job 3 failed"]
    since = since_when(None, (ANN._replace(reason=""), NOBODY), TWO)
    assert since == "since 14:00 by ann until 14:10; since 14:00: job 3 failed"


@pytest.mark.parametrize(
    ("later_s", "told"),
    [(600, "14:10"), (630, "14:10:30"), (630.001, "14:10:31"), (86_400, "Sun 14:00"), (8 * 86_400, "2026-12-06 14:00")],
)
def test_when_a_pause_ends(later_s: float, told: str) -> None:
    """By the clock, to the second at most, with the day if it is not today; never too early."""
    ends = ANN._replace(reason="", until_at=int((TWO + later_s) * 1000))
    assert paused_lines(None, (ends,), TWO) == [f"paused by ann until {told}"]


def test_what_a_resume_leaves() -> None:
    """Whose pauses are still in force, and what lifts them."""
    was = Paused(1, "")
    assert resumed_lines(ResumeReply("j", was, (NOBODY,)), TWO) == ["resumed"]
    assert resumed_lines(ResumeReply("j", None), TWO) == ["it was not paused"]
    told = resumed_lines(ResumeReply("j", was, (NOBODY,), (ANN,)), TWO)
    assert told == ["lifted 1 of your pauses", "still paused by ann until 14:10: aligning\\x1b[2J"]


def test_who_did_what() -> None:
    """What no key proves is said to be unverified."""
    at = 1_700_000_000_000
    entry = AuditEntry(1, at, "cancel", "ann", True, "gate", "3-7", "")
    assert audit_line(entry) == f"{second(at)}  ann via gate  cancel 3-7"
    entry = AuditEntry(2, at, "pause", "eve@lab", False, "", "", "lamp\x1b")
    assert audit_line(entry) == f"{second(at)}  eve@lab (unverified)  pause: lamp\\x1b"
    assert "somebody (unverified)" in audit_line(entry._replace(who=""))
