"""Server-sent events without I/O: ids, what is kept, who sees what."""

from __future__ import annotations

import asyncio
import json
from itertools import chain
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from zjobs.gateway.events import stream
from zjobs.gateway.events.hub import Hub, ServiceState, Stream
from zjobs.gateway.events.stream import Entry, Kept, Subject
from zjobs.messages.records import JobStatus
from zjobs.messages.states import JobState, Role

if TYPE_CHECKING:
    from zjobs.client.aio import AsyncClient
    from zjobs.client.aio_job import AsyncWatch


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


def test_who_sees_the_same_shares_the_bytes() -> None:
    """Those who see all jobs, whatever their names; a submitter is sent none of another's."""
    kept = Kept("ab")
    for owner in ("kim", "lee"):
        kept.add(job(7, owner))
    shared = kept.passage(Subject("ann", "viewer"), 0)
    assert shared is not None and shared is kept.passage(Subject("bob", "operator"), 0)
    own = {name: kept.passage(Subject(name, "submitter"), 0) for name in ("kim", "lee", "ann")}
    texts = {name: passage.text if passage else None for name, passage in own.items()}
    assert b'"owner":"kim"' in texts["kim"] and b'"owner":"lee"' not in texts["kim"]  # type: ignore[operator]
    assert b'"owner":"lee"' in texts["lee"] and texts["ann"] == b""  # type: ignore[operator]
    assert (kept.passage(Subject("ann", "auditor"), 0) or shared).text == b""
    assert (kept.passage(Subject("ann", "viewer", 8), 0) or shared).text == b""
    kept.add(job(9))
    longer = kept.passage(Subject("ann", "viewer"), 0)
    assert longer is not None and longer.last == 3 and longer.text.startswith(shared.text)


def test_an_event_that_nobody_hears_is_not_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that many hear is encoded once."""
    encoded: list[int] = []
    real = stream.encode
    monkeypatch.setattr(stream, "encode", lambda value: encoded.append(value.id) or real(value))
    kept = Kept("ab")
    kept.add(job(1))
    kept.add(job(2))
    assert encoded == []
    for subject in (Subject("ann", "viewer"), Subject("bob", "member"), Subject("kim", "viewer", 2)):
        kept.passage(subject, 1)
    assert encoded == [2]


def hub_of(*jobs: JobStatus) -> Hub:
    hub = Hub(cast("AsyncClient", None))
    for each in jobs:
        hub.kept.add(each)
    return hub


def ids_in(text: bytes) -> list[int]:
    return [json.loads(line[6:])["id"] for line in text.decode().splitlines() if line.startswith("data: ")]


def test_a_slow_stream_gets_everything_in_order() -> None:
    """In several pieces, and without waiting for another event between them."""
    hub = hub_of(*(job(id) for id in range(1, 1_202)))
    slow = Stream(hub, Subject("ann", "viewer"), f"{hub.kept.epoch}-0")
    pieces = [ids_in(slow.text()) for _ in range(3)]
    assert [len(piece) for piece in pieces] == [500, 500, 201] and [*chain(*pieces)] == [*range(1, 1_202)]
    assert slow.text() == b""
    own = Stream(hub, Subject("kim", "submitter"), f"{hub.kept.epoch}-0")
    hub.kept.add(job(1_300, "kim"))
    assert ids_in(own.text()) == [1_300]  # behind more events of others than are looked through at once


def test_a_stream_that_is_too_far_behind() -> None:
    """It is told to ask for everything, once, and goes on with what comes then."""
    hub = hub_of(job(1))
    late = Stream(hub, Subject("ann", "viewer"), f"{hub.kept.epoch}-0")
    for id in range(2, 5_003):
        hub.kept.add(job(id))
    assert b"event: resync" in late.text() and late.text() == b""
    hub.kept.add(job(6_000))
    assert ids_in(late.text()) == [6_000]


def test_a_stream_of_a_job_has_what_is_newer_and_ends_with_it() -> None:
    """What it began with is not told again by an event that was on its way."""
    hub = hub_of()
    of_job = Stream(hub, Subject("ann", "viewer", 7), "")
    of_job.begin_with("job", job(7)._replace(version=3))
    hub.kept.add(job(7)._replace(version=2))
    hub.kept.add(job(7)._replace(version=3))
    assert len(ids_in(of_job.text())) == 1 and of_job.text() == b""
    hub.kept.add(job(7)._replace(version=4, state=JobState.COMPLETED))
    hub.kept.add(job(8))
    assert ids_in(of_job.text()) == [7]
    assert asyncio.run(of_job.next()) == b"retry: 2000\n\n" and asyncio.run(of_job.next()) == b""


def test_a_watch_that_begins_anew_lets_nobody_go_on() -> None:
    """What came before is unknown, so those who listen ask for everything, and an id of before is of no use."""
    hub = hub_of(job(1))
    before = hub.kept.here
    listening = Stream(hub, Subject("ann", "viewer"), before)
    hub._begin(cast("AsyncWatch", SimpleNamespace(worker=None, service=None)))
    assert b"event: resync" in listening.text() and listening.text() == b""
    assert b"event: resync" in Stream(hub, Subject("ann", "viewer"), before).text()
    hub.kept.add(job(2))
    assert ids_in(listening.text()) == [2]
