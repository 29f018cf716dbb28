"""The same done with many jobs: cancel, retry, forget."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from zjobs.client.job import request_key_or_new
from zjobs.gateway.api.asking import Client, RequestKey, ServiceName, routes_of
from zjobs.gateway.api.jobs import url_of
from zjobs.gateway.numbers import JobNumber
from zjobs.gateway.web.answers import answer
from zjobs.gateway.web.documents import fails, returns
from zjobs.messages.fields import MAX_IDS
from zjobs.messages.records import Limits
from zjobs.messages.requests.changes import Cancel, CancelReply, Forget, ForgetReply, Retry, RetryReply
from zjobs.messages.units import JobId

ROUTES = routes_of("jobs")


class Ids(BaseModel):
    """The ids of the jobs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: list[JobNumber] = Field(min_length=1, max_length=MAX_IDS)

    def named(self) -> tuple[JobId, ...]:
        """Return them as requests name them."""
        return tuple(map(JobId, self.ids))


class Copied(Ids):
    """The jobs to copy: as many as a broker takes at once by default. `with_dependents`: see the route of one job."""

    ids: list[JobNumber] = Field(min_length=1, max_length=Limits().request_jobs)
    with_dependents: bool = False


@ROUTES.post("/cancel", responses=returns(CancelReply, "What each job has become; which ids have none."))
async def cancel_many(client: Client, body: Ids) -> Response:
    """Cancel jobs. Those that run end soon after; those that have ended stay as they are."""
    return answer(await client.ask(Cancel(body.named())))


@ROUTES.post(
    "/retry",
    status_code=201,
    responses=returns(RetryReply, "The copies are queued.", 201, ("Location",)) | fails(409, 410),
)
async def retry_many(service: ServiceName, client: Client, body: Copied, key: RequestKey = None) -> Response:
    """Queue copies of jobs that have ended, all or none. `Location` is the first copy."""
    reply: RetryReply = await client.ask(
        Retry(request_key_or_new(key), body.named(), with_dependents=body.with_dependents)
    )
    return answer(reply, 201, {"Location": url_of(service, reply.first_id)})


@ROUTES.post("/forget", responses=returns(ForgetReply, "What became of each job."))
async def forget_many(client: Client, body: Ids) -> Response:
    """Drop jobs that have ended, with data, results and output; the others are kept."""
    return answer(await client.ask(Forget(body.named())))
