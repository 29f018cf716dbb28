"""Changes to jobs that have not started: edit, hold and release, one job or many."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from zjobs.client.aio import AsyncClient
from zjobs.client.protocol.job import gone
from zjobs.gateway.api.asking import Client, Id, routes_of
from zjobs.gateway.api.many import Ids
from zjobs.gateway.numbers import MOST, WHOLE
from zjobs.gateway.problems import Problem
from zjobs.gateway.web.answers import answer
from zjobs.gateway.web.documents import fails, returns
from zjobs.gateway.web.records import plain
from zjobs.messages.fields import MAX_COMMENT_CHARS, MAX_DURATION_MS, MAX_JOB_NAME_CHARS, MAX_PRIORITY, MAX_TIME_MS
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.changes import Edit, EditReply
from zjobs.messages.requests.queries import Show
from zjobs.messages.units import JobId

ROUTES = routes_of("jobs")

_CHANGED = (
    returns(JobStatus, "The job as it is now.")
    | returns(JobStatus, "The worker has the job, and has not said yet whether it has started: ask again to know.", 202)
    | fails(409, 410)
)
_MANY = returns(EditReply, "Which jobs are changed, and which are not.")


class Seen(BaseModel):
    """The `version` of the job's status as you saw it: 409 if the job has changed since."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: Annotated[int, Field(ge=0, le=MOST), WHOLE] | None = None


class Changes(BaseModel):
    """The changes; what is not given stays as it is. A `time_limit_ms` of 0 is the type's; a `start_at`
    or `start_by` of 0 takes that time away."""

    model_config = ConfigDict(extra="forbid", strict=True)

    held: bool | None = None
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY), WHOLE] | None = None
    time_limit_ms: Annotated[int, Field(ge=0, le=MAX_DURATION_MS), WHOLE] | None = None
    name: str | None = Field(None, max_length=MAX_JOB_NAME_CHARS)
    comment: str | None = Field(None, max_length=MAX_COMMENT_CHARS)
    start_at: Annotated[int, Field(ge=0, le=MAX_TIME_MS), WHOLE] | None = None
    start_by: Annotated[int, Field(ge=0, le=MAX_TIME_MS), WHOLE] | None = None

    def given(self) -> dict[str, Any]:
        """Return the changes as fields of the request."""
        return {name: getattr(self, name) for name in Changes.model_fields}


class EditBody(Changes, Seen):
    """The changes of a job, and the version of it that you saw."""


class EditsBody(Changes, Ids):
    """The changes of many jobs."""


@ROUTES.patch("/jobs/{id}", responses=_CHANGED)
async def edit(client: Client, id: Id, body: EditBody) -> Response:
    """Change a job that has not started. 409 if it has, or has changed since you saw it: the problem has the job."""
    return await _edited(client, id, body.version, body.given())


@ROUTES.post("/jobs/{id}/hold", responses=_CHANGED)
async def hold(client: Client, id: Id, body: Seen | None = None) -> Response:
    """Hold a job: it does not start until it is released."""
    return await _edited(client, id, None if body is None else body.version, {"held": True})


@ROUTES.post("/jobs/{id}/release", responses=_CHANGED)
async def release(client: Client, id: Id, body: Seen | None = None) -> Response:
    """Release a held job."""
    return await _edited(client, id, None if body is None else body.version, {"held": False})


@ROUTES.post("/edit", responses=_MANY)
async def edit_many(client: Client, body: EditsBody) -> Response:
    """Change jobs that have not started; the others stay as they are."""
    return answer(await client.ask(Edit(body.named(), **body.given())))


@ROUTES.post("/hold", responses=_MANY)
async def hold_many(client: Client, body: Ids) -> Response:
    """Hold jobs."""
    return answer(await client.ask(Edit(body.named(), held=True)))


@ROUTES.post("/release", responses=_MANY)
async def release_many(client: Client, body: Ids) -> Response:
    """Release held jobs."""
    return answer(await client.ask(Edit(body.named(), held=False)))


async def _edited(client: AsyncClient, id: int, version: int | None, changes: dict[str, Any]) -> Response:
    """Change a job, and answer with what it is then."""
    asked = Show(JobId(id))
    if version is not None:
        job = (await client.ask(asked)).job
        if job.version != version:
            raise Problem(409, "changed", f"job {id} has changed since you saw it; look again", job=plain(job))
    reply: EditReply = await client.ask(Edit((JobId(id),), **changes))
    for missing in reply.missing:
        raise gone(missing)
    job = (await client.ask(asked)).job
    if reply.late:
        raise Problem(409, "late", f"job {id} has started or ended; nothing is changed", job=plain(job))
    return answer(job, 202 if reply.pending else 200)
