"""Past pauses in an audit trail."""

from __future__ import annotations

from zjobs.gateway.events.pauses import past_pauses
from zjobs.messages.records import AuditEntry
from zjobs.messages.units import Ms

NOW = 1_000_000


def trail(*told: tuple[int, str, str, str]) -> list[AuditEntry]:
    """Entries of time, operation, person and text, newest first, as a broker tells them."""
    entries = [
        AuditEntry(number, Ms(at), op, who, bool(who), "", "", text) for number, (at, op, who, text) in enumerate(told)
    ]
    return entries[::-1]


def test_a_pause_lasts_until_it_is_lifted() -> None:
    """Other operations lie between; one that nobody lifted goes on, and is no past one."""
    told = trail((1, "pause", "ann", "ann: aligning"), (2, "cancel", "bob", ""), (5, "resume", "ann", "ann: aligning"))
    assert past_pauses(told, NOW) == [(1, 5)]
    assert past_pauses(told[1:], NOW) == []


def test_one_persons_resume_leaves_anothers() -> None:
    """Until all are lifted at once."""
    begun = [(1, "pause", "ann", "ann"), (2, "pause", "bob", "bob: a; b"), (3, "resume", "ann", "ann")]
    assert past_pauses(trail(*begun), NOW) == [(1, 3)]
    assert past_pauses(trail(*begun, (9, "resume", "cid", "bob: a; b")), NOW) == [(1, 3), (2, 9)]
    both = trail(*begun[:2], (4, "resume", "cid", "ann; bob: a; b"))
    assert past_pauses(both, NOW) == [(1, 4), (2, 4)]


def test_a_timed_pause_ends_by_itself() -> None:
    """Unless it was lifted before, or has not ended yet."""
    told = trail((1, "pause", "ann", "ann: tea, for 3 s"))
    assert past_pauses(told, 3_000) == []
    assert past_pauses(told, 3_001) == [(1, 3_001)]
    lifted = trail((1, "pause", "", "for 3 s"), (2_000, "resume", "", ""))
    assert past_pauses(lifted, NOW) == [(1, 2_000)]


def test_a_persons_new_pause_replaces_the_one_before() -> None:
    """Whose end is its beginning."""
    told = trail((1, "pause", "ann", "ann"), (4, "pause", "ann", "ann, for 2 s"))
    assert past_pauses(told, NOW) == [(1, 4), (4, 2_004)]
