"""The audit trail: who changed what by hand, written with the change."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.broker.core.people.audit import MOST_CHARS, ranges
from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.requests.contents import Service
from zjobs.broker.requests.queries import Queries
from zjobs.broker.storage.sqlite import writing
from zjobs.messages.dispatch import Ended
from zjobs.messages.records import AuditEntry, Limits
from zjobs.messages.requests.changes import Cancel, Forget, Pause, Resume, Retry
from zjobs.messages.requests.queries import Audit
from zjobs.messages.states import Outcome, Role

BOSS = Who("boss", Role.OPERATOR)
ANN = Who("ann", Role.MEMBER, via="gate")


def trail(bench: Any, who: str | None = None) -> list[AuditEntry]:
    """What the journal has, the oldest first."""
    entries: list[AuditEntry] = bench.journal.audit(1 << 60, 0, who, 1_000)
    return entries[::-1]


@pytest.mark.parametrize(
    ("who", "since_ms", "found"),
    [
        (BOSS, None, ["boss", "sue"]),
        (BOSS, 500, ["boss"]),
        (ANN, 5_000, ["boss", "sue"]),
        (Who("sue", Role.SUBMITTER), None, ["sue"]),
    ],
)
def test_who_is_told_what(ready: Any, who: Who, since_ms: int | None, found: list[str]) -> None:
    """Submitters what they did themselves; with `since_ms` what was done in this time by the broker's clock."""
    ready.submit("once", "once", "once")
    ready.ask(Cancel((2,)), who=Who("sue", Role.SUBMITTER))
    ready.after(1_000)
    ready.ask(Cancel((3,)), who=BOSS)
    ready.turn()
    service = Service(Limits(), "tcp://127.0.0.1:5571", "4.3.5", 400)
    queries = Queries(ready.core, ready.journal, service, who, ready.now, lambda request: None)
    assert [entry.who for entry in queries.audit(Audit(since_ms=since_ms)).entries] == found


def test_each_change_by_hand_is_written_down(ready: Any) -> None:
    """With who, what and when; what changed nothing leaves no entry."""
    ready.submit("once", "once", "once")
    ready.report(1, Ended(1, Outcome.COMPLETED, 10, b"\xc0"))
    asked = [
        (Cancel((2, 3, 99)), BOSS),
        (Cancel((3,)), BOSS),
        (Pause("lamp", for_ms=60_000), ANN),
        (Retry("again", (1,)), BOSS),
        (Forget((1,)), BOSS),
        (Forget((1,)), BOSS),
        (Resume(), ANN),
        (Resume(), ANN),
    ]
    for request, who in asked:
        ready.ask(request, who=who)
        ready.turn()
    told = [(each.op, each.who, each.via, each.jobs, each.text) for each in trail(ready)]
    assert told == [
        ("cancel", "boss", "", "2-3", ""),
        ("pause", "ann", "gate", "", "ann: lamp, for 60 s"),
        ("retry", "boss", "", "1", "as 4"),
        ("forget", "boss", "", "1", ""),
        ("resume", "ann", "gate", "", "ann: lamp"),
    ]
    assert all(each.proven and each.at == ready.now.wall_ms for each in trail(ready))
    assert [each.op for each in trail(ready, "ann")] == ["pause", "resume"]


def test_without_keys_nobody_is_proven(ready: Any) -> None:
    """What the client says of itself is kept as such; with a key it counts for nothing."""
    ready.ask(Pause("a", submitter="eve@lab"), who=ANYBODY)
    ready.ask(Resume(submitter="eve@lab"), who=BOSS)
    ready.turn()
    assert [(each.who, each.proven) for each in trail(ready)] == [("eve@lab", False), ("boss", True)]


def test_it_is_in_the_commit_of_its_change(ready: Any) -> None:
    """Before the commit there is nothing, and a broker that dies leaves both or neither."""
    ready.submit("once", "once")
    ready.ask(Cancel((2,)), who=BOSS)
    assert trail(ready) == []
    ready.restart()
    ready.turn()
    assert trail(ready) == [] and not ready.job(2).state.final
    ready.ask(Cancel((2,)), who=BOSS)
    ready.turn()
    assert len(trail(ready)) == 1 and ready.job(2).state.final


def test_as_many_are_kept_as_documented() -> None:
    """In every storage."""
    from zjobs.broker.storage.postgres import writing as in_postgres

    assert writing.AUDIT_ENTRIES == in_postgres.AUDIT_ENTRIES == 10_000


def test_the_newest_are_kept(ready: Any, monkeypatch: Any) -> None:
    """So many, in pages by their numbers, which never come again."""
    monkeypatch.setattr(writing, "AUDIT_ENTRIES", 3)
    for number in range(5):
        ready.ask(Pause(str(number)), who=BOSS)
        ready.turn()
    assert [(each.number, each.text) for each in trail(ready)] == [(n, f"boss: {n - 1}") for n in (3, 4, 5)]
    assert [each.number for each in ready.journal.audit(5, 0, None, 1)] == [4]
    assert ready.journal.audit(1 << 60, ready.now.wall_ms + 1, None, 9) == []


def test_ids_as_ranges() -> None:
    """In order and once; of very many the first."""
    assert ranges([]) == "" and ranges([9, 3, 5, 4, 3]) == "3-5 9" and ranges([7, 8]) == "7-8"
    many = ranges(range(1, 10_000, 2))
    assert many.startswith("1 3 5 ") and many.endswith(" …") and len(many) <= MOST_CHARS + 2
