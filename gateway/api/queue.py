"""The queue: what runs and what is next; pause and resume."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from zjobs.gateway.api.asking import Client, Limit
from zjobs.gateway.web.answers import answer
from zjobs.gateway.web.documents import returns
from zjobs.messages.fields import MAX_REASON_CHARS
from zjobs.messages.requests.changes import Pause, PauseReply, Resume, ResumeReply
from zjobs.messages.requests.queries import Queue, QueueReply

ROUTES = APIRouter(tags=["queue"])


class PauseBody(BaseModel):
    """A pause: why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field("", max_length=MAX_REASON_CHARS)


@ROUTES.get("/queue", responses=returns(QueueReply, "The running job first, if one runs, then the next."))
async def queue(client: Client, limit: Limit = 20) -> Response:
    """What runs, and what starts next."""
    return answer(await client.ask(Queue(limit)))


@ROUTES.post("/pause", responses=returns(PauseReply, "Nothing starts but what the reply names."))
async def pause(client: Client, body: PauseBody) -> Response:
    """Start nothing new until `resume`; the running job goes on."""
    return answer(await client.ask(Pause(body.reason)))


@ROUTES.post("/resume", responses=returns(ResumeReply, "The pause that this ended; null: there was none."))
async def resume(client: Client) -> Response:
    """End a pause."""
    return answer(await client.ask(Resume()))
