"""The checker is worth what it catches: a sound history passes, and each kind of wrong one is named."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from checker import KINDS, REPORT_S, Record, check, load, save


def accepted(first_id: int, *tokens: str, at: float = 1.0, key: str = "", **more: Any) -> Record:
    fields = {"key": key or f"key {first_id}", "first_id": first_id, "count": len(tokens), "journal": "j"}
    return {"what": "accepted", "asked": at - 0.1, "at": at, "tokens": list(tokens), **fields, **more}


def told(job_id: int, state: str, at: float, version: int = 1, **more: Any) -> Record:
    return {"what": "status", "asked": at - 0.1, "at": at, "id": job_id, "state": state, "version": version, **more}


def event(watcher: str, job_id: int, state: str, at: float, version: int = 1) -> Record:
    return {"what": "event", "at": at, "watcher": watcher, "id": job_id, "state": state, "version": version}


def result(job_id: int, value: Any, at: float) -> Record:
    return {"what": "result", "asked": at - 0.1, "at": at, "id": job_id, "value": value}


def run(token: str, begin: float, end: float | None, outcome: str = "returned", pid: int = 7) -> list[Record]:
    start = {"what": "start", "at": begin, "token": token, "pid": pid, "alone": True}
    return [start] + ([] if end is None else [{**start, "what": "end", "at": end, "outcome": outcome}])


def lives(token: str, since: float, *times: float) -> list[Record]:
    return [{"what": "alive", "at": at, "token": token, "pid": 17, "since": since} for at in times]


def dead(who: str, at: float) -> Record:
    return {"what": "dead", "at": at, "who": who}


def away(link: str, begin: float, end: float) -> list[Record]:
    return [{"what": "away", "at": begin, "link": link}, {"what": "back", "at": end, "link": link}]


DRAINED: Record = {"what": "drained", "at": 100.0}


def sound() -> list[Record]:
    """Three jobs; the worker dies in the second, which may run again, and the broker before the third."""
    return [
        accepted(1, "a", "b", max_reruns=2),
        accepted(3, "c", at=1.5),
        accepted(3, "c", at=1.6),
        {"what": "watch", "at": 1.7, "watcher": "w", "id": 3},
        {"what": "watch", "at": 1.7, "watcher": "stopped", "id": 3, "reads": False},
        *run("a", 2.0, 2.5),
        *lives("a", 2.1, 2.2, 2.6),
        *run("b", 3.0, None),
        dead("worker", 3.2),
        *lives("b", 3.1, 3.15, 3.9),
        *away("broker", 3.3, 3.6),
        dead("broker", 3.3),
        *run("b", 4.0, 4.5, pid=8),
        *run("c", 5.0, 5.5, pid=8),
        told(1, "queued", 1.8, 0),
        told(1, "completed", 6.0),
        told(2, "completed", 6.0, 2),
        told(3, "completed", 6.0),
        event("w", 3, "queued", 1.8, 0),
        event("w", 3, "completed", 5.6),
        result(1, "A", 6.1),
        result(1, "A", 7.1),
        DRAINED,
    ]


def kinds(history: list[Record]) -> list[str]:
    return [breach.kind for breach in check(history, str.upper).breaches]


def test_a_sound_history_passes_and_its_trials_are_counted() -> None:
    """No breach, and no zero that was never tried."""
    verdict = check(sound(), str.upper)
    assert verdict.breaches == []
    assert dict(verdict.trials) == {
        "lost": 3,
        "false acknowledgement": 3,
        "overlap": 4,
        "order": 3,
        "result changed": 2,
        "run again": 4,
        "final state changed": 6,
        "final missed": 1,
    }
    assert [row[0] for row in verdict.table()] == list(KINDS)


def without(history: list[Record], **fields: Any) -> list[Record]:
    left = [record for record in history if any(record.get(name) != value for name, value in fields.items())]
    assert len(left) < len(history)
    return left


LIMIT_S = 2.0
WRONG: dict[str, tuple[str, list[Record]]] = {
    "a job that never ends": ("lost", without(without(sound(), what="status", id=1, state="completed"), what="result")),
    "completed without a run": ("lost", without(sound(), what="end", token="a")),
    "completed though the run raised": (
        "lost",
        [accepted(1, "a"), *run("a", 2.0, 2.5, "raised"), told(1, "completed", 3.0)],
    ),
    "one id for two jobs": ("false acknowledgement", [accepted(1, "a"), accepted(1, "b", key="other")]),
    "two ids for one key": ("false acknowledgement", [accepted(1, "a", key="k"), accepted(2, "a", key="k")]),
    "two jobs made of one": ("false acknowledgement", [accepted(1, "a", key="k"), accepted(2, "a", key="l")]),
    "fewer than were sent": ("false acknowledgement", [{**accepted(1, "a", "b"), "count": 1}]),
    "acknowledged, then unknown": (
        "false acknowledgement",
        [accepted(1, "a"), {"what": "missing", "asked": 2.0, "at": 2.1, "id": 1, "code": "not_found"}],
    ),
    "a program that a run left": (
        "overlap",
        [*run("a", 2.0, 3.0), *lives("a", 2.5, 2.6, 3.6), *run("b", 3.5, 4.0)],
    ),
    "a program that a run left, in its own second run": (
        "overlap",
        [accepted(1, "a", max_reruns=1), *run("a", 2.0, None), dead("worker", 2.5), *lives("a", 2.2, 3.6)]
        + run("a", 3.5, 4.0, pid=8),
    ),
    "two runs by the clock": ("overlap", [*run("a", 2.0, 3.0), *run("b", 2.5, 3.5, pid=8)]),
    "a run inside another": ("overlap", [*run("a", 2.0, 9.0), *run("b", 3.0, 4.0, pid=8), *run("c", 5.0, 6.0, pid=8)]),
    "two runs by the lock": ("overlap", [*run("a", 2.0, None), {**run("b", 2.5, 3.5, pid=8)[0], "alone": False}]),
    "out of turn": ("order", [accepted(1, "a", "b"), *run("b", 2.0, 2.1), *run("a", 3.0, 3.1)]),
    "out of turn after a restart": (
        "order",
        [accepted(1, "a", "b"), *run("b", 2.0, None), dead("worker", 2.1), *run("a", 3.0, 3.1)],
    ),
    "a priority that was not heard of": (
        "order",
        [
            accepted(1, "a", "b"),
            accepted(3, "c", priority=5),
            *run("a", 2.0, 2.5),
            *run("b", 3.0, 4.0),
            *run("c", 5, 6),
        ],
    ),
    "a delay that was cut short": ("order", [accepted(1, "a", ready_after_s=5.0), *run("a", 3.0, 3.1)]),
    "a delay that goes by the wall clock though the broker lives": (
        "order",
        [accepted(1, "a", ready_after_s=5.0), {"what": "clock", "at": 2.0, "by_s": 60.0}, *run("a", 3.0, 3.1)],
    ),
    "a delay that was cut short by a restart alone": (
        "order",
        [accepted(1, "a", ready_after_s=5.0), *away("broker", 1.5, 2.0), *run("a", 3.0, 3.1)],
    ),
    "a delayed job that is passed over": (
        "order",
        [accepted(1, "a", ready_after_s=2.0), accepted(2, "b"), *run("b", 5.0, 5.5), *run("a", 6.0, 6.5)],
    ),
    "a result that changed": ("result changed", [result(1, "A", 2.0), result(1, "B", 3.0)]),
    "another job's result": ("result changed", [accepted(1, "a"), result(1, "B", 2.0)]),
    "run again though nobody died": ("run again", without(sound(), what="dead", who="worker")),
    "run again because the broker died": (
        "run again",
        [accepted(1, "a", max_reruns=9), *run("a", 2.0, 2.5), dead("broker", 2.7), *run("a", 3.0, 3.5)],
    ),
    "run again though its type forbids it": (
        "run again",
        [accepted(1, "a"), *run("a", 2.0, None), dead("worker", 2.5), *run("a", 3.0, 3.5, pid=8)],
    ),
    "rerun more often than allowed": (
        "run again",
        [
            accepted(1, "a", max_reruns=1),
            *run("a", 2.0, None),
            dead("worker", 2.5),
            *run("a", 3.0, None, pid=8),
            dead("worker", 3.5),
            *run("a", 4.0, 4.5, pid=9),
        ],
    ),
    "retried more often than allowed": (
        "run again",
        [
            accepted(1, "a", max_attempts=2),
            *run("a", 2.0, 2.1, "raised"),
            *run("a", 3.0, 3.1, "raised"),
            *run("a", 4.0, 4.1),
        ],
    ),
    "retried more often than allowed, though its worker died long after": (
        "run again",
        [
            accepted(1, "a", max_attempts=2, max_reruns=9),
            *run("a", 2.0, 2.1, "raised"),
            dead("worker", 2.1 + 2 * REPORT_S),
            *run("a", 5.0, 5.1, "raised", pid=8),
            *run("a", 6.0, 6.1, pid=8),
        ],
    ),
    "more often than failures and losses together allow": (
        "run again",
        [
            accepted(1, "a", max_attempts=2, max_reruns=1),
            *run("a", 2.0, 2.1, "raised"),
            dead("worker", 2.11),
            *run("a", 3.0, 3.1, "raised", pid=8),
            *run("a", 4.0, 4.1, "raised", pid=8),
            *run("a", 5.0, 5.1, pid=8),
        ],
    ),
    "retried after it returned": (
        "run again",
        [accepted(1, "a", max_attempts=3), *run("a", 2, 2.1), *run("a", 3, 3.1)],
    ),
    "run again before its time limit": (
        "run again",
        [accepted(1, "a", max_attempts=2, time_limit_s=LIMIT_S), *run("a", 2.0, None), *run("a", 3.0, 3.1, pid=8)],
    ),
    "run after it was cancelled": (
        "run again",
        [accepted(1, "a"), told(1, "cancelled", 2.0), *run("a", 3.0, 3.5)],
    ),
    "completed, then failed": ("final state changed", [told(1, "completed", 2.0), told(1, "failed", 3.0)]),
    "the same end twice": ("final state changed", [told(1, "failed", 2.0, 1), told(1, "failed", 3.0, 2)]),
    "completed, then queued": ("final state changed", [told(1, "completed", 2.0, 1), told(1, "queued", 3.0, 0)]),
    "an event newer than the end": (
        "final state changed",
        [told(1, "completed", 2.0, 1), event("w", 1, "in_progress", 3.0, 2)],
    ),
    "an end that nobody told the watcher": ("final missed", without(sound(), what="event", state="completed")),
    "an end that was missed while only the worker was away": (
        "final missed",
        [
            *without(sound(), what="event", state="completed"),
            *[{**record, "hearing": False} for record in away("worker", 5.2, 98.0)],
        ],
    ),
    "an end that came too late": (
        "final missed",
        [*without(sound(), what="event", state="completed"), event("w", 3, "completed", 50.0)],
    ),
    "an end that was missed after coming back": (
        "final missed",
        [
            *without(sound(), what="event", state="completed"),
            *away("clients", 5.2, 30.0),
            event("w", 3, "completed", 36.0),
        ],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_history_is_caught(name: str) -> None:
    """It is named as what it is, and as nothing else."""
    kind, history = WRONG[name]
    assert set(kinds(history)) == {kind}


RIGHT: dict[str, list[Record]] = {
    "a cancelled job never runs": [accepted(1, "a", "b"), told(1, "cancelled", 2.0), *run("b", 3.0, 3.1)],
    "a job that is lost before it began": [
        accepted(1, "a", "b"),
        dead("worker", 2.0),
        told(1, "failed", 2.5, reason="worker_lost"),
        *run("b", 3.0, 3.1),
    ],
    "a retry": [accepted(1, "a", max_attempts=2), *run("a", 2.0, 2.1, "raised"), *run("a", 3.0, 3.1)],
    "a failure that its worker could not tell of any more": [
        accepted(1, "a", max_attempts=2, max_reruns=1),
        *run("a", 2.0, 2.1, "raised"),
        dead("worker", 2.11),
        *run("a", 3.0, 3.1, "raised", pid=8),
        *run("a", 4.0, 4.1, pid=8),
    ],
    "a retry of one that killed its process": [
        accepted(1, "a", max_attempts=2),
        *run("a", 2.0, 2.1, "died"),
        *run("a", 3.0, 3.1, pid=8),
    ],
    "a retry after the time limit": [
        accepted(1, "a", max_attempts=2, time_limit_s=LIMIT_S),
        *run("a", 2.0, None),
        *run("a", 4.1, 4.2, pid=8),
    ],
    "a rerun passes over those that have begun before": [
        accepted(1, "a", "b", max_reruns=1),
        *run("a", 2.0, None),
        dead("worker", 2.5),
        *run("a", 3.0, 3.1, pid=8),
        *run("b", 4.0, 4.1, pid=8),
    ],
    "a priority overtakes": [
        accepted(1, "a", "b"),
        accepted(3, "c", priority=5, at=2.2),
        *run("a", 2.0, 2.5),
        *run("c", 3.0, 3.1),
        *run("b", 4.0, 4.1),
    ],
    "a priority that came too late to overtake": [
        accepted(1, "a", "b"),
        accepted(3, "c", priority=5, at=2.4),
        *run("a", 2.0, 2.5),
        *run("b", 2.6, 2.7),
        *run("c", 4.0, 4.1),
    ],
    "a priority that cannot reach the worker": [
        accepted(1, "a", "b"),
        accepted(3, "c", priority=5),
        *away("worker", 1.5, 8.0),
        *run("a", 2.0, 2.5),
        *run("b", 3.0, 4.0),
        *run("c", 5.0, 6.0),
    ],
    "a delay lets others pass": [
        accepted(1, "a", ready_after_s=5.0),
        accepted(2, "b"),
        *run("b", 2.0, 2.1),
        *run("a", 6.0, 6.1),
    ],
    "a delay over a restart, by a clock that was set meanwhile": [
        accepted(1, "a", ready_after_s=5.0),
        {"what": "clock", "at": 1.8, "by_s": 60.0},
        *away("broker", 1.5, 2.0),
        *run("a", 3.0, 3.1),
    ],
    "a watcher that is away": [
        *without(sound(), what="event", state="completed"),
        *away("clients", 5.2, 98.0),
    ],
    "a watcher that died before it could hear": [
        *without(sound(), what="event", state="completed"),
        {**dead("client", 9.0), "name": "w"},
    ],
    "a watcher that hears it after coming back": [
        *without(sound(), what="event", state="completed"),
        *away("clients", 5.2, 30.0),
        *away("broker", 32.0, 33.0),
        event("w", 3, "completed", 37.5),
    ],
    "dropped after its end": [
        accepted(1, "a"),
        {"what": "missing", "asked": 2.0, "at": 3.0, "id": 1, "code": "expired"},
        DRAINED,
    ],
    "an answer that was overtaken by another": [
        told(1, "completed", 2.0, 1),
        {**told(1, "queued", 2.5, 0), "asked": 1.5},
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_may_happen_is_not_held_against_anybody(name: str) -> None:
    """A checker that cries at everything would prove nothing either."""
    assert kinds(RIGHT[name]) == []


def test_the_order_of_the_records_does_not_matter() -> None:
    """Several processes write their own parts."""
    assert kinds(sound()[::-1]) == []
    assert set(kinds(WRONG["out of turn"][1][::-1])) == {"order"}


def test_a_history_is_kept_and_read_again(tmp_path: Path) -> None:
    """The file gives the same verdict; a line that a kill has cut does not matter."""
    kept = tmp_path / "history.jsonl"
    history = copy.deepcopy(WRONG["two runs by the clock"][1])
    save(history, kept)
    with kept.open("a") as file:
        file.write('{"what": "star')
    assert check(load(kept)).breaches == check(history).breaches != []


def test_an_old_final_event_of_another_watcher_does_not_count() -> None:
    """Each watcher is owed the end itself."""
    history = [*sound(), {"what": "watch", "at": 1.9, "watcher": "v", "id": 3}]
    assert kinds(history) == ["final missed"]
