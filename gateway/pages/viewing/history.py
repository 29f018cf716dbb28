"""All jobs of a service, newest first, those that fit what is asked for."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from zjobs.client.aio import AsyncClient
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Client
from zjobs.gateway.pages.shared.visitor import Visiting
from zjobs.messages.fields import MAX_ID, MAX_JOB_NAME_CHARS, MAX_TYPE_CHARS
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import List, ListReply, Types, TypesReply
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId

ROUTES = APIRouter(prefix="/services/{service}", route_class=PageRoute, include_in_schema=False)

PAGE = 50
# A page of the broker's may have few of the jobs that are looked for; this many are asked for before ours is shown.
_MOST_ASKED = 8


class Filter(NamedTuple):
    """The filter of jobs; empty fields do not filter."""

    state: str = ""
    type: str = ""
    name: str = ""
    owner: str = ""

    @property
    def query(self) -> str:
        """The filter as the end of an address."""
        return urlencode({name: value for name, value in self._asdict().items() if value})

    def wanted(self, before: int | None, limit: int) -> List:
        """Return the request for a page of these jobs."""
        return List(
            JobState(self.state) if self.state else None,
            self.type or None,
            limit,
            None if before is None else JobId(before),
            self.name or None,
            self.owner or None,
            preview=True,
        )


async def filter_of(
    state: JobState | Annotated[str, Query(pattern="^$")] | None = None,
    type: Annotated[str, Query(max_length=MAX_TYPE_CHARS)] = "",
    name: Annotated[str, Query(max_length=MAX_JOB_NAME_CHARS)] = "",
    owner: Annotated[str, Query(max_length=MAX_TYPE_CHARS)] = "",
) -> Filter:
    """Return which jobs an address asks for; a form sends empty fields, too."""
    return Filter(state.value if isinstance(state, JobState) else "", type, name, owner)


Filtered = Annotated[Filter, Depends(filter_of)]
Before = Annotated[int | None, Query(ge=1, le=MAX_ID)]


@ROUTES.get("/jobs")
async def history(
    request: Request, client: Client, visitor: Visiting, wanted: Filtered, before: Before = None
) -> Response:
    """Show a page of jobs."""
    jobs, more = await matching(client, wanted, before, PAGE, _MOST_ASKED)
    types: TypesReply = await client.ask(Types())
    values: dict[str, Any] = {"jobs": jobs, "more": more, "wanted": wanted, "before": before, "types": types.types}
    return page(request, "history.html", 200, **values)


async def matching(
    client: AsyncClient, wanted: Filter, before: int | None, limit: int, most_asked: int
) -> tuple[list[JobStatus], int | None]:
    """Return jobs that fit, and where the next page of them begins; None: there are no more."""
    jobs: list[JobStatus] = []
    for _ in range(most_asked):
        reply: ListReply = await client.ask(wanted.wanted(before, min(limit - len(jobs), 1000)))
        jobs += reply.jobs
        before = reply.before
        if before is None or len(jobs) >= limit:
            break
    return jobs, before
