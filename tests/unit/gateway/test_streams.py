"""Server-sent events without I/O: ids, what is kept, who sees what."""

from __future__ import annotations

import json

import pytest

from zjobs.gateway.events.hub import ServiceState
from zjobs.gateway.events.stream import Entry, Kept, Subject
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState, Role


def job(id: int, owner: str = "") -> JobStatus:
    return JobStatus(id, "echo", JobState.QUEUED, 0, 0, 5, 0, 0, owner=owner)  # type: ignore[arg-type]


def test_an_event_as_it_is_sent() -> None:
    """An id, a kind and one line of JSON, whatever is in it."""
    kept = Kept("ab")
    entry = kept.add(job(1)._replace(name="a\nb\r\x00"))
    head, kind, data, *rest = entry.text("ab").decode().split("\n")
    assert (head, kind, rest) == ("id: ab-1", "event: job", ["", ""])
    assert json.loads(data.removeprefix("data: "))["name"] == "a\nb\r\x00"


def test_events_are_kept_up_to_a_bound() -> None:
    """After that, nobody can go on from too early."""
    kept = Kept("ab", most=3)
    for number in range(1, 6):
        kept.add(job(number + 1))
    assert [entry.number for entry in kept.after(2) or []] == [3, 4, 5]
    assert kept.after(1) is None and kept.after(5) == []


@pytest.mark.parametrize("text", ["", "ab-", "ab-6", "cd-3", "3", "ab--1", "ab-3 ", "ab-\u0663", "ab-" + "9" * 30])
def test_an_id_of_elsewhere(text: str) -> None:
    """Of another start, of the future, or no id at all: nobody can go on from there."""
    kept = Kept("ab")
    for number in range(5):
        kept.add(job(number + 1))
    assert kept.number_of("ab-3") == 3 and kept.number_of("ab-0") == 0
    assert kept.number_of(text) is None


ENTRIES = {
    "own": Entry(1, job(7, "kim")),
    "other": Entry(2, job(8, "lee")),
    "nobody's": Entry(3, job(9)),
    "service": Entry(4, ServiceState()),
}


@pytest.mark.parametrize("role", list(Role))
def test_who_sees_what(role: Role) -> None:
    """A submitter its own jobs, all other roles every job; all of them the service."""
    seen = {name for name, entry in ENTRIES.items() if Subject("kim", role.value).sees(entry)}
    assert seen == ({"own", "service"} if role is Role.SUBMITTER else set(ENTRIES))


def test_an_unknown_role_sees_no_job() -> None:
    """Nor does somebody without a name who submits."""
    for subject in (Subject("kim", "auditor"), Subject("kim", "")):
        assert [name for name, entry in ENTRIES.items() if subject.sees(entry)] == ["service"]


def test_a_stream_about_one_job() -> None:
    """It has that job alone, if the person may see it."""
    assert [name for name, entry in ENTRIES.items() if Subject("kim", "viewer", 8).sees(entry)] == ["other"]
    assert not Subject("kim", "submitter", 8).sees(ENTRIES["other"])
