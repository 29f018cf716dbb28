"""Pauses, and who did what, as lines for people."""

from __future__ import annotations

from zjobs.client.cli.show.format import audit_line
from zjobs.client.cli.show.pauses import paused_lines, resumed_lines, since_when
from zjobs.client.wording.text import moment
from zjobs.messages.records import AuditEntry, Paused, QueuePause
from zjobs.messages.requests.changes import ResumeReply

ANN = QueuePause("ann", "aligning\x1b[2J", 1_700_000_000_000, 1_700_000_600_000)
NOBODY = QueuePause("", "job 3 failed", 1_700_000_000_000)
UNTIL = moment(1_700_000_600_000)


def test_who_until_when_and_why() -> None:
    """A line each; what is not known is not said, and nothing acts on a terminal."""
    assert paused_lines(None, ()) == []
    assert paused_lines(Paused(1, "x"), (ANN, NOBODY)) == [
        f"paused by ann until {UNTIL}: aligning\\x1b[2J",
        "paused: job 3 failed",
    ]
    assert paused_lines(Paused(1, ""), ()) == ["paused"]
    since = f"since {moment(1_700_000_000_000)}"
    assert since_when(None, (ANN._replace(reason=""), NOBODY)) == (
        f"{since} by ann until {UNTIL}; {since}: job 3 failed"
    )


def test_what_a_resume_leaves() -> None:
    """Whose pauses are still in force, and what lifts them."""
    was = Paused(1, "")
    assert resumed_lines(ResumeReply("j", was, (NOBODY,)), "zclient") == ["resumed"]
    assert resumed_lines(ResumeReply("j", None), "zclient") == ["it was not paused"]
    told = resumed_lines(ResumeReply("j", was, (NOBODY,), (ANN,)), "zclient")
    assert told[0] == "lifted 1 of your pauses" and told[1].startswith("still paused by ann until")
    assert told[-1] == "operators lift all with zclient resume --all"


def test_who_did_what() -> None:
    """What no key proves is said to be unverified."""
    at = 1_700_000_000_000
    entry = AuditEntry(1, at, "cancel", "ann", True, "gate", "3-7", "")
    assert audit_line(entry) == f"{moment(at)}  ann via gate  cancel 3-7"
    entry = AuditEntry(2, at, "pause", "eve@lab", False, "", "", "lamp\x1b")
    assert audit_line(entry) == f"{moment(at)}  eve@lab (unverified)  pause: lamp\\x1b"
    assert "somebody (unverified)" in audit_line(entry._replace(who=""))
