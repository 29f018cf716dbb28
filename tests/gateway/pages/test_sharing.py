"""Replies that several viewers are given: the broker decides who may see the same, and the pages must know it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from zjobs.client import AsyncClient, Client
from zjobs.client.errors import ZjobsError
from zjobs.gateway.identity.grants import Person
from zjobs.gateway.pages.shared import replies
from zjobs.gateway.pages.shared.replies import audience
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import Info, List, Log, Queue, Show, Types
from zjobs.messages.states import JobState, Role

if TYPE_CHECKING:
    from tests.conftest import Service
    from tests.gateway.pages.conftest import Visit

PEOPLE = [Person(f"{role.value}{number}", role.value, False) for role in Role for number in (1, 2)]


def still(reply: Any) -> Any:
    """A reply without what changes with time alone."""
    if isinstance(reply, JobStatus):
        return reply._replace(estimate=None)
    if isinstance(reply, tuple):
        return tuple(still(each) for each in reply)
    return reply


async def ask(app: Any, person: Person, request: Any) -> Any:
    """What the broker says to this person, also if it refuses."""
    try:
        return still(await app.state.services.client("laser").acting_for(person.name, person.role).ask(request))
    except ZjobsError as error:
        return error.code


async def test_one_audience_gets_the_same_from_the_broker(app: Any, shared_service: Service) -> None:
    """Otherwise somebody would be shown what they may not see, or miss what they may."""
    with Client(shared_service.endpoint, key="") as client:
        failed = client.submit("raises", "lamp")
        failed.wait(20)
        client.pause("so that nothing changes")
        ids = [failed.id]
        for person in PEOPLE:
            if person.role != Role.VIEWER:
                ids.append(client.acting_for(person.name, person.role).submit("echo", person.name).id)
        requests = [Queue(20, 8, preview=True), Queue(20), Types(), List(limit=50), List(preview=True)]
        requests += [List(JobState.QUEUED, owner="member1"), *(op(id) for op in (Show, Log) for id in ids)]
        for request in requests:
            told: dict[tuple[str, str], set[Any]] = defaultdict(set)
            for person in PEOPLE:
                told[audience(person, request)].add(await ask(app, person, request))
            assert all(len(each) == 1 for each in told.values()), (request, told)
        assert len({audience(person, Info()) for person in PEOPLE}) == 1
        client.resume(all=True)
        client.cancel(ids)


async def test_many_viewers_cost_the_broker_as_much_as_one(
    visit: Visit, app: Any, shared_service: Service, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People of a role share replies, and see which jobs are theirs all the same."""
    browsers = [await visit(name) for name in ("root", "otto", "root", "otto")]
    asked: list[str] = []
    ask = AsyncClient.ask

    async def counted(client: AsyncClient, request: Any, **how: Any) -> Any:
        asked.append(type(request).__name__)
        return await ask(client, request, **how)

    monkeypatch.setattr(AsyncClient, "ask", counted)
    monkeypatch.setattr(replies, "LASTS_MS", 60_000)
    kept = app.state.services.hub("laser").kept
    with Client(shared_service.endpoint, key="") as client:
        before = kept.last
        job = client.acting_for("otto", "operator").submit("echo", 1, delay=3600)
        await until(lambda: kept.last > before)
        pages = await asyncio.gather(*(browser.open("/services/laser/part/all") for browser in browsers))
        client.cancel([job.id])
    assert all(f"#{job.id}" in page.text for page in pages)
    assert ['class="who mine"' in page.html for page in pages] == [False, True, False, True]
    assert sorted(asked) == ["Info", "List", "List", "List", "Queue"]
