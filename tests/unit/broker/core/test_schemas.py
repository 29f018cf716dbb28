"""What the worker's types take: asked for until it is there, kept in the journal, compared with what a client knows."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from zjobs.broker.core.records.needs import Needs
from zjobs.messages.dispatch import Describe, Described
from zjobs.messages.records import TaskType
from zjobs.messages.requests.changes import CheckedBy, NewJob, Submit
from zjobs.messages.states import ErrorCode

SCHEMA = b'{"type":"object"}'
DIGEST = hashlib.sha256(SCHEMA).hexdigest()[:16]
DESCRIBED = Described("A", DIGEST, SCHEMA)


def measure(digest: str = DIGEST) -> tuple[TaskType, ...]:
    return (TaskType("measure", schema_digest=digest), TaskType("plain"))


def test_schemas_are_asked_for_until_they_come(ready: Any) -> None:
    """With each heartbeat of a known worker; what has come is in the journal, for a restarted broker too."""
    assert ready.sent(Describe) == []
    for _ in range(2):
        ready.heartbeat(types=measure())
        assert ready.sent(Describe) == [Describe("A", (DIGEST,))]
    ready.core.on_described(DESCRIBED)
    ready.turn()
    assert ready.journal.read(Needs(schemas=[DIGEST])).schemas == {DIGEST: SCHEMA}
    ready.restart()
    ready.heartbeat(types=measure())
    assert ready.sent(Describe) == []


@pytest.mark.parametrize(
    "described",
    [
        DESCRIBED._replace(schema=b"{}"),
        DESCRIBED._replace(digest="0" * 16),
        Described("A", hashlib.sha256(b"x" * 65_537).hexdigest()[:16], b"x" * 65_537),
    ],
)
def test_what_is_not_the_schema_that_is_missing_is_not_kept(ready: Any, described: Described) -> None:
    """Nor what nobody asked for, or what comes again."""
    ready.heartbeat(types=(*measure(), TaskType("large", schema_digest=described.digest)))
    ready.core.on_described(described)
    assert not ready.turn().changes.schemas or described.digest == "0" * 16
    ready.heartbeat()
    ready.core.on_described(DESCRIBED)
    assert not ready.turn().changes.schemas


def test_schemas_go_with_the_last_type_that_names_them(ready: Any) -> None:
    """And are asked for anew when one names them again."""
    ready.heartbeat(types=measure())
    ready.core.on_described(DESCRIBED)
    ready.turn()
    ready.heartbeat(types=(*measure("1" * 16), TaskType("other", schema_digest=DIGEST)))
    assert ready.sent(Describe) == [Describe("A", ("1" * 16,))]
    ready.heartbeat(types=measure("1" * 16))
    assert ready.journal.read(Needs(schemas=[DIGEST])).schemas == {}
    ready.heartbeat(types=measure())
    assert ready.sent(Describe) == [Describe("A", (DIGEST,))]


def test_not_all_schemas_are_asked_for_at_once(ready: Any) -> None:
    """A request has its bound; the rest is asked for when some have come."""
    ready.heartbeat(types=tuple(TaskType(f"t{n}", schema_digest=f"{n:016x}") for n in range(150)))
    (describe,) = ready.sent(Describe)
    assert len(describe.digests) == 100


def test_a_submit_that_was_checked_by_another_schema_is_refused(ready: Any) -> None:
    """Nothing of it is taken. One that repeats a submit gets the same ids, whatever changed since."""
    ready.heartbeat(types=measure())

    def submit(key: str, *schemas: CheckedBy) -> Any:
        ready.ask(Submit(key, (NewJob("measure"), NewJob("plain")), schemas))
        return ready.reply()

    good, bad = CheckedBy("measure", DIGEST), CheckedBy("measure", "1" * 16)
    assert submit("a", good).count == 2
    assert submit("b", bad).code is submit("c", CheckedBy("plain", DIGEST)).code is ErrorCode.SCHEMA_CHANGED
    assert submit("a", bad).first_id == 1
    assert submit("d", CheckedBy("no such", DIGEST)).first_id == 3


def test_schemas_are_not_compared_before_a_worker_has_announced_its_types(bench: Any) -> None:
    bench.ask(Submit("a", (NewJob("measure"),), (CheckedBy("measure", DIGEST),)))
    assert bench.reply().checked is False
