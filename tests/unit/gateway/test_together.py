"""Status requests of one person that come together: one request to the broker, each with its own answer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from zjobs.client.aio import AsyncClient
from zjobs.client.errors import BrokerUnreachable, Expired, NotFound, NotPermitted
from zjobs.gateway.together import MOST_TOGETHER, Together
from zjobs.messages.records import JobStatus, Missing
from zjobs.messages.requests.queries import Status, StatusReply
from zjobs.messages.states import ErrorCode, JobState


class Broker:
    """Replies for a broker: jobs 1 to 999 are one's own, 1,000 is another's, and 404 and 410 are none."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.error: Exception | None = None

    async def ask(self, request: Status) -> StatusReply:
        self.asked.append(request.ids)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if 1000 in request.ids:
            raise NotPermitted("another's")
        jobs = tuple(job(id) for id in request.ids if id not in (404, 410))
        codes = {404: ErrorCode.NOT_FOUND, 410: ErrorCode.EXPIRED}
        missing = tuple(Missing(cast("Any", id), codes[id]) for id in request.ids if id in codes)
        return StatusReply("journal", jobs, missing, cast("Any", 0), cast("Any", None))


def job(id: int) -> JobStatus:
    return JobStatus(id, "echo", JobState.QUEUED, 0, 0, 5, 0, 0)  # type: ignore[arg-type]


async def outcomes(broker: Broker, *ids: int) -> list[Any]:
    together = Together(cast("AsyncClient", broker))
    return await asyncio.gather(*map(together.status, ids), return_exceptions=True)


async def test_one_request_for_all() -> None:
    """Whoever asks for the same job shares its answer; what is missing is told to those who asked for it."""
    broker = Broker()
    first, same, other, none, gone = await outcomes(broker, 1, 1, 2, 404, 410)
    assert (first, same, other) == (job(1), job(1), job(2))
    assert isinstance(none, NotFound) and isinstance(gone, Expired)
    assert broker.asked == [(1, 2, 404, 410)]


async def test_another_s_job_spoils_no_other_answer() -> None:
    """The broker refuses the whole request; then each is asked for alone."""
    broker = Broker()
    own, refused = await outcomes(broker, 1, 1000)
    assert own == job(1) and isinstance(refused, NotPermitted)
    assert broker.asked == [(1, 1000), (1,), (1000,)]


async def test_not_too_many_together() -> None:
    """A request has a bound."""
    broker = Broker()
    told = await outcomes(broker, *range(1, MOST_TOGETHER + 2))
    assert [each.id for each in told] == list(range(1, MOST_TOGETHER + 2))
    assert list(map(len, broker.asked)) == [MOST_TOGETHER, 1]


async def test_whoever_goes_takes_nobody_along() -> None:
    """A request that is cancelled leaves the others'."""
    together = Together(cast("AsyncClient", Broker()))
    leaving, staying = (asyncio.create_task(together.status(id)) for id in (1, 1))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == job(1)
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_broker_that_is_away_is_asked_once() -> None:
    """Its absence is told to all; nobody waits for it again."""
    broker = Broker()
    broker.error = BrokerUnreachable("tcp://nowhere", 5.0, "", False)
    assert all(isinstance(each, BrokerUnreachable) for each in await outcomes(broker, 1, 2))
    assert broker.asked == [(1, 2)]
