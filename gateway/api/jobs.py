"""Jobs: submit, list, ask; cancel, retry and forget one. `many.py` does that with many."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from zjobs.client.errors import ZjobsError
from zjobs.client.job import request_key_or_new
from zjobs.client.protocol.job import NO_DATA, gone
from zjobs.gateway.api.asking import (
    PREFIX,
    Before,
    Client,
    Id,
    Limit,
    RequestKey,
    ServiceName,
    Statuses,
    only,
    routes_of,
)
from zjobs.gateway.numbers import WHOLE, JobNumber
from zjobs.gateway.problems import Problem
from zjobs.gateway.web.answers import answer
from zjobs.gateway.web.documents import content, fails, returns
from zjobs.gateway.web.json_values import from_json
from zjobs.gateway.web.records import plain
from zjobs.messages.fields import (
    MAX_AFTER,
    MAX_COMMENT_CHARS,
    MAX_DURATION_MS,
    MAX_JOB_NAME_CHARS,
    MAX_PERSON_CHARS,
    MAX_PRIORITY,
    MAX_SUBMITTER_CHARS,
    MAX_TIME_MS,
    MAX_TYPE_CHARS,
)
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.changes import (
    Cancel,
    Forget,
    ForgetReply,
    NewJob,
    Retry,
    RetryReply,
    SubmitReply,
)
from zjobs.messages.requests.queries import List, ListReply, Show, ShowReply
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId, Ms

ROUTES = routes_of("jobs")


class JobBody(BaseModel):
    """A job to queue. Without `data` it has none, which is not the same as null. It does not start before `start_at`,
    and is cancelled if it has not started by `start_by`; both in milliseconds since 1970 (UTC)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: str = Field(min_length=1, max_length=MAX_TYPE_CHARS)
    data: Any = Field(default_factory=lambda: NO_DATA)  # a default given directly would appear in the description
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY), WHOLE] = 0
    delay_ms: Annotated[int, Field(ge=0, le=MAX_DURATION_MS), WHOLE] = 0
    time_limit_ms: Annotated[int, Field(ge=1, le=MAX_DURATION_MS), WHOLE] | None = None
    name: str = Field("", max_length=MAX_JOB_NAME_CHARS)
    comment: str = Field("", max_length=MAX_COMMENT_CHARS)
    start_at: Annotated[int, Field(ge=1, le=MAX_TIME_MS), WHOLE] | None = None
    start_by: Annotated[int, Field(ge=1, le=MAX_TIME_MS), WHOLE] | None = None
    after: list[JobNumber] = Field([], max_length=MAX_AFTER)
    after_any: list[JobNumber] = Field([], max_length=MAX_AFTER)

    def like(self) -> NewJob:
        """Return the job but for its data."""
        fields = {field: getattr(self, field) for field in JobBody.model_fields if field != "data"}
        return NewJob(**fields | {"after": tuple(self.after), "after_any": tuple(self.after_any)})


@ROUTES.post(
    "/jobs",
    status_code=201,
    responses=returns(SubmitReply, "The jobs are on disk.", 201, ("Location",)) | fails(409),
)
async def submit(
    service: ServiceName,
    client: Client,
    body: JobBody | Annotated[list[JobBody], Field(min_length=1)],
    key: RequestKey = None,
) -> Response:
    """Queue one job, or several of a list, all or none. `Location` is the first of them."""
    jobs = body if isinstance(body, list) else [body]
    try:
        given = [(job.like(), job.data) for job in jobs]
        reply = await client.submit_together(given, request_key_or_new(key), from_json)
    except ZjobsError:
        raise
    except (ValueError, OverflowError) as error:  # JSON has more than msgpack: larger integers, halves of characters
        raise Problem(422, "bad_data", f"the data cannot be sent to a task: {error}") from None
    return answer(reply, 201, {"Location": url_of(service, reply.first_id)})


class RetryBody(BaseModel):
    """The copies to make: with `with_dependents`, also of jobs that were cancelled because this one did not complete,
    and so on."""

    model_config = ConfigDict(extra="forbid", strict=True)

    with_dependents: bool = False


def _text(most: int) -> Any:
    return Query(max_length=most, description="Each `*` in it stands for any text.")


@ROUTES.get("/jobs", responses=returns(ListReply, "A page of jobs, which may be empty and yet not be the last."))
async def list_jobs(
    client: Client,
    state: JobState | None = None,
    type: Annotated[str | None, Query(min_length=1, max_length=MAX_TYPE_CHARS)] = None,
    name: Annotated[str | None, _text(MAX_JOB_NAME_CHARS)] = None,
    comment: Annotated[str | None, _text(MAX_COMMENT_CHARS)] = None,
    owner: Annotated[str | None, _text(MAX_PERSON_CHARS)] = None,
    submitter: Annotated[str | None, _text(MAX_SUBMITTER_CHARS)] = None,
    mine: Annotated[bool, Query(description="Only the jobs of whoever asks, in place of `owner`.")] = False,
    since_ms: Annotated[
        int | None, Query(ge=0, le=MAX_DURATION_MS, description="Only jobs that were submitted within this time.")
    ] = None,
    limit: Limit = 100,
    before: Before = None,
) -> Response:
    """List jobs, newest first: those that match every filter given. For the next page, send the reply's `before`; if it
    is null, this was the last one."""
    wanted = List(
        state,
        type,
        limit,
        None if before is None else JobId(before),
        name,
        client.owner if mine else owner,
        submitter,
        None if since_ms is None else Ms(since_ms),
        comment=comment,
    )
    return answer(await client.ask(wanted))


@ROUTES.get("/jobs/{id}", responses=returns(JobStatus, "The job's status.") | fails(410))
async def status(statuses: Statuses, id: Id) -> Response:
    """Return the status of one job: where it is, or how it ended."""
    return answer(await statuses.status(id))


@ROUTES.get(
    "/jobs/{id}/show", responses=returns(ShowReply, "The job, and each run that did not complete it.") | fails(410)
)
async def show(client: Client, id: Id) -> Response:
    """Return everything known about a job, except its data and result."""
    return answer(await client.ask(Show(JobId(id))))


@ROUTES.post(
    "/jobs/{id}/cancel",
    responses=returns(JobStatus, "The job is cancelled.")
    | returns(JobStatus, "The job is told to end, and has not yet.", 202)
    | fails(409, 410),
)
async def cancel(client: Client, id: Id) -> Response:
    """Cancel a job. One that runs ends soon after; 409 if it has ended already, and not by a cancel."""
    job = only(await client.ask(Cancel((JobId(id),))))
    if job.state is JobState.CANCELLED:
        return answer(job)
    if job.state.final:
        raise Problem(409, "ended", f"job {id} has {job.state.value} already", job=plain(job))
    return answer(job, 202)


@ROUTES.post(
    "/jobs/{id}/retry",
    status_code=201,
    responses=returns(RetryReply, "A copy is queued.", 201, ("Location",)) | fails(409, 410),
)
async def retry(
    service: ServiceName, client: Client, id: Id, body: RetryBody | None = None, key: RequestKey = None
) -> Response:
    """Queue a copy of a job that has ended. `Location` is the copy."""
    with_dependents = body is not None and body.with_dependents
    reply = await client.ask(Retry(request_key_or_new(key), (JobId(id),), with_dependents=with_dependents))
    return answer(reply, 201, {"Location": url_of(service, reply.first_id)})


@ROUTES.delete("/jobs/{id}", status_code=204, responses=content({}, "The job is dropped.", 204) | fails(409, 410))
async def forget(client: Client, id: Id) -> Response:
    """Drop a job that has ended, with its data, result and output."""
    reply: ForgetReply = await client.ask(Forget((JobId(id),)))
    for missing in reply.missing:
        raise gone(missing)
    if reply.kept:
        raise Problem(409, "not_finished", f"job {id} has not ended yet; cancel it first")
    return Response(status_code=204)


def url_of(service: str, id: int) -> str:
    """Return where a job is."""
    return f"{PREFIX}/{service}/jobs/{id}"
