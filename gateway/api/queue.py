"""The queue: what runs and what is next; pause and resume."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from zjobs.client.errors import BadRequest
from zjobs.gateway.api.asking import Before, Client, Limit, routes_of
from zjobs.gateway.numbers import MOST, WHOLE
from zjobs.gateway.problems import Problem
from zjobs.gateway.web.answers import answer
from zjobs.gateway.web.documents import fails, returns
from zjobs.messages.fields import MAX_DURATION_MS, MAX_PAGE, MAX_REASON_CHARS
from zjobs.messages.requests.changes import Pause, PauseReply, Resume, ResumeReply
from zjobs.messages.requests.queries import Audit, AuditReply, Queue, QueueReply
from zjobs.messages.units import Ms

ROUTES = routes_of("queue")

_BOTH: dict[str, Any] = {
    "properties": {"for_ms": {"type": "integer"}, "until_at": {"type": "integer"}},
    "required": ["for_ms", "until_at"],
}


class PauseBody(BaseModel):
    """A pause: why, and how long or until when; without either, until it is lifted."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"not": _BOTH})

    reason: str = Field("", max_length=MAX_REASON_CHARS)
    for_ms: Annotated[int, Field(ge=1, le=MAX_DURATION_MS), WHOLE] | None = None
    until_at: Annotated[int, Field(ge=0, le=MOST), WHOLE] | None = None

    @model_validator(mode="after")
    def _one_end(self) -> PauseBody:
        if self.for_ms is not None and self.until_at is not None:
            raise ValueError("for_ms and until_at exclude each other")
        return self


class ResumeBody(BaseModel):
    """The pauses to lift: one's own, or with `all` everybody's."""

    model_config = ConfigDict(extra="forbid", strict=True)

    all: bool = False


@ROUTES.get("/queue", responses=returns(QueueReply, "The running job first, if one runs, then the next."))
async def queue(
    client: Client,
    limit: Limit = 20,
    delayed_limit: Annotated[int, Query(ge=0, le=MAX_PAGE, description="At most this many delayed jobs.")] = 0,
) -> Response:
    """Return the running job, and which jobs start next and when."""
    return answer(await client.ask(Queue(limit, delayed_limit)))


@ROUTES.post("/pause", responses=returns(PauseReply, "Nothing starts but what the reply names.") | fails(409))
async def pause(client: Client, body: PauseBody) -> Response:
    """Start nothing new; the running job goes on. Pauses add up: the queue runs when none is in force.

    409 for a time that has passed.
    """
    try:
        return answer(await client.ask(Pause(body.reason, _ms(body.until_at), _ms(body.for_ms))))
    except BadRequest as error:
        if body.until_at is None:
            raise
        raise Problem(409, error.code, str(error)) from None


@ROUTES.post("/resume", responses=returns(ResumeReply, "The pauses that this lifted, and those still in force."))
async def resume(client: Client, body: ResumeBody | None = None) -> Response:
    """Lift one's own pauses, with `all` everybody's."""
    return answer(await client.ask(Resume(body is not None and body.all)))


@ROUTES.get("/audit", responses=returns(AuditReply, "A page of entries."))
async def audit(
    client: Client,
    limit: Limit = 100,
    before: Before = None,
    since_ms: Annotated[
        int | None, Query(ge=0, le=MAX_DURATION_MS, description="Only what was done within this time.")
    ] = None,
) -> Response:
    """Return who changed what by hand, newest first. For the next page, send the reply's `before`; null on the last
    one."""
    return answer(await client.ask(Audit(limit, before, _ms(since_ms))))


def _ms(value: int | None) -> Ms | None:
    return None if value is None else Ms(value)
