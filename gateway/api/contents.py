"""Routes to the contents of jobs: data, results and output."""

from __future__ import annotations

import codecs
from typing import Annotated, Any, NamedTuple, cast

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from zjobs.client.aio import AsyncClient
from zjobs.client.errors import BadData, JobEndedWithoutResult, NotFinished, WaitTimeout
from zjobs.client.protocol.job import NO_DATA, gone
from zjobs.gateway.api.asking import Accept, Client, Id, Offset, routes_of
from zjobs.gateway.output import output_from
from zjobs.gateway.problems import Problem
from zjobs.gateway.web import media
from zjobs.gateway.web.answers import HARMLESS, answer, answer_value
from zjobs.gateway.web.documents import content, documented, fails, returns
from zjobs.gateway.web.records import plain
from zjobs.messages import fields
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import Log, LogReply, Status
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId

ROUTES = routes_of("jobs")

LONGEST_WAIT_S = 60


def _values(about: str) -> dict[int | str, dict[str, Any]]:
    """Describe the reply with a job's value."""
    packed = {"type": "string", "contentMediaType": media.MSGPACK}
    raw = {"type": "string", "contentMediaType": media.BYTES}
    return content({media.JSON: {}, media.MSGPACK: packed, media.BYTES: raw}, about)


@ROUTES.get(
    "/jobs/{id}/data",
    responses=_values("The data: JSON, or msgpack if that is preferred. Bytes come as they are.")
    | content({}, "The job has no data.", 204)
    | fails(406, 409, 410),
)
async def data(client: Client, id: Id, accept: Accept = "*/*") -> Response:
    """Return the data that a job was submitted with. 409 if it is not a value: brokers do not look into it."""
    try:
        value = await client.data(id)
    except BadData as error:
        raise Problem(409, error.code, str(error)) from None
    return Response(status_code=204) if value is NO_DATA else await answer_value(value, accept)


@ROUTES.get(
    "/jobs/{id}/result",
    responses=_values("The result: JSON, or msgpack if that is preferred. Bytes come as they are.")
    | returns(JobStatus, "The job has not ended yet.", 202)
    | fails(406, 409, 410),
)
async def result(
    client: Client,
    id: Id,
    accept: Accept = "*/*",
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT_S, description="Wait for its end, this many seconds at most.")
    ] = 0,
) -> Response:
    """Return the result of a completed job. 409 if it failed or was cancelled: the problem has the job."""
    try:
        return await answer_value(await _result(client, id, wait), accept)
    except NotFinished:
        reply = await client.ask(Status((JobId(id),)))
        for missing in reply.missing:
            raise gone(missing) from None
        return answer(reply.jobs[0], 202)
    except JobEndedWithoutResult as error:
        raise Problem(409, error.code, str(error), job=plain(error.status)) from None


async def _result(client: AsyncClient, id: int, wait_s: float) -> Any:
    """Return the result. Raises NotFinished if the job does not end in time.

    The broker decides whether the person may ask; then all who wait share the gateway's few waiting requests.
    """
    try:
        return await client.result(id)
    except NotFinished:
        if not wait_s:
            raise
    own = cast("AsyncClient", client.whole)
    try:
        await own.job(id).wait(wait_s)
    except WaitTimeout:
        raise NotFinished(f"job {id} has not ended yet; wait for it") from None
    return await client.result(id)


# --- output ----------------------------------------------------------------------------------------------


class LogPiece(NamedTuple):
    """A piece of what the job's last run has printed. `text`: with U+FFFD for what is not UTF-8. Ask for the next piece
    from `next_offset` on, or from 0 if `run` has changed."""

    id: fields.Id
    state: JobState
    run: fields.Number
    size_bytes: fields.Number
    offset: fields.Number
    next_offset: fields.Number
    text: fields.Text


def piece_of(reply: LogReply) -> LogPiece:
    """Return a piece of output as text. A character that is not complete yet is left for the next piece."""
    more = reply.offset + len(reply.body) < reply.size_bytes or not reply.state.final
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(reply.body, final=not more)
    left, _ = decoder.getstate()
    next_offset = reply.offset + len(reply.body) - len(left)
    return LogPiece(reply.id, reply.state, reply.run, reply.size_bytes, reply.offset, next_offset, text)


@ROUTES.get(
    "/jobs/{id}/log",
    responses=content(
        {media.JSON: documented(LogPiece), media.TEXT: {"type": "string"}},
        "A piece of the output; all that there is from `offset` on, as it was printed, if text/plain is preferred.",
    )
    | fails(410),
)
async def log(client: Client, id: Id, offset: Offset = 0, accept: Accept = "*/*") -> Response:
    """Return the output of the job's last run, even while it runs."""
    reply: LogReply = await client.ask(Log(JobId(id), offset))
    if media.preferred(accept, (media.JSON, media.TEXT)) == media.JSON:
        return answer(piece_of(reply))
    return StreamingResponse(output_from(client, reply), headers=HARMLESS, media_type=media.TEXT)
