"""The page of a job: what it is, what became of it, what it printed and returned."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from zjobs.client.aio import AsyncClient
from zjobs.client.errors import JobEndedWithoutResult, ZjobsError
from zjobs.client.protocol.job import NO_DATA
from zjobs.gateway.output import output_from
from zjobs.gateway.pages.elements import command, jobs, timeline, values
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Client, Reader, Reading
from zjobs.gateway.problems import Problem
from zjobs.gateway.web import media
from zjobs.gateway.web.answers import HARMLESS, answer_value
from zjobs.messages.fields import MAX_ID
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import (
    Info,
    InfoReply,
    Log,
    LogReply,
    Queue,
    QueueReply,
    Show,
    ShowReply,
    Types,
    TypesReply,
)
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId
from zjobs.program import clock

ROUTES = APIRouter(prefix="/services/{service}/jobs", route_class=PageRoute, include_in_schema=False)

Id = Annotated[int, Path(ge=1, le=MAX_ID)]
Part = Literal["all", "job", "timeline", "log", "result"]

# A larger value is offered for download alone: nobody reads it on a page.
MOST_SHOWN_BYTES = 4 << 20
_LARGE_BYTES = 64 << 10
# This much of the end of the output is on the page; a script, or a link, asks for more.
SHOWN_OUTPUT_BYTES = 32 << 10

# Among this many delayed and parked jobs, those are looked for that wait for the job.
MOST_PARKED = 200


class Output(NamedTuple):
    """A piece of what the job has printed. `more_from`: where the piece before it begins, None: this is the first."""

    text: str
    run: int
    offset: int
    end: int
    size_bytes: int
    more_from: int | None


@ROUTES.get("/{id}")
async def job(request: Request, reader: Reading, id: Id, offset: Annotated[int | None, Query(ge=0)] = None) -> Response:
    """Show a job. `offset`: the part of its output to show, instead of the last one."""
    return page(request, "job.html", 200, **await _content(reader, id, offset))


@ROUTES.get("/{id}/part/{part}")
async def part(request: Request, reader: Reading, id: Id, part: Part) -> Response:
    """Return a part of the page, for the script: the element `job-PART`, or all of them."""
    return page(request, f"parts/job-{part}.html", 200, **await _content(reader, id, None))


@ROUTES.get("/{id}/log.txt")
async def log_file(client: Client, id: Id) -> Response:
    """All that the job's last run has printed and the broker has kept, as a file."""
    first: LogReply = await client.ask(Log(JobId(id)))
    headers = {**HARMLESS, "Content-Disposition": f'attachment; filename="job-{id}.log"'}
    return StreamingResponse(output_from(client, first), headers=headers, media_type=media.BYTES)


@ROUTES.get("/{id}/result")
async def result_file(client: Client, id: Id) -> Response:
    """Return the result as a file: bytes and text as they are, everything else as JSON."""
    return await _file(f"job-{id}-result", await _result_of(client, id))


@ROUTES.get("/{id}/data")
async def data_file(client: Client, id: Id) -> Response:
    """Return the data as a file."""
    return await _file(f"job-{id}-data", await client.data(id))


async def _result_of(client: AsyncClient, id: int) -> Any:
    try:
        return await client.result(id)
    except JobEndedWithoutResult as error:
        raise Problem(409, error.code, f"job {id} has no result: it {error.status.state.value}") from None


async def _file(name: str, value: Any) -> Response:
    if isinstance(value, (bytes, str)):
        ending = "bin" if isinstance(value, bytes) else "txt"
        answered = Response(value, headers=HARMLESS, media_type=media.BYTES)
    else:
        ending = "json"
        answered = await answer_value(None if value is NO_DATA else value, media.JSON)
    answered.headers["Content-Disposition"] = f'attachment; filename="{name}.{ending}"'
    return answered


# --- what a page shows -----------------------------------------------------------------------------------------


async def _content(reader: Reader, id: int, offset: int | None) -> dict[str, Any]:
    info: InfoReply
    types: TypesReply
    details: ShowReply
    queue: QueueReply
    details, info, types, queue = await asyncio.gather(
        reader.ask(Show(JobId(id))), reader.ask(Info()), reader.ask(Types()), reader.ask(Queue(1, MOST_PARKED))
    )
    job = details.job
    kind = next((each for each in types.types if each.name == job.type), None)
    limit_ms = details.time_limit_ms if kind is None or details.time_limit_ms is not None else kind.time_limit_ms
    may_read = reader.visitor.may("data", job.owner)
    data, result, output = await asyncio.gather(
        _data(reader.client, details) if may_read else _nothing(),
        _result(reader.client, details) if may_read else _nothing(),
        _output(reader, job, offset) if may_read else _nothing(),
    )
    now = clock.wall_ms()
    runs = job.state is JobState.IN_PROGRESS
    return {
        "details": details,
        "job": job,
        "info": info,
        "kind": kind,
        "limit_ms": limit_ms,
        "now": jobs.running(job, limit_ms, info.worker.state) if runs else None,
        "row": jobs.row(job, info.worker.running is not None, now) if job.state is JobState.QUEUED else None,
        "steps": timeline.steps(details),
        "may_read": may_read,
        "dependents": [each for each in queue.delayed if id in (*each.after, *each.after_any)],
        "data": None if data is None or data is NO_DATA else await _node(data, details.data_bytes),
        "result": None if result is None else await _node(result[0], details.result_bytes),
        "output": output,
        "command": "" if data is None else command.command_of(job, data, details.time_limit_ms),
    }


async def _node(value: Any, size_bytes: int | None) -> values.Node:
    """Return the node for a value; a large one is read in a thread, so that others need not wait for it."""
    large = (size_bytes or 0) > _LARGE_BYTES
    return await asyncio.to_thread(values.node_of, value) if large else values.node_of(value)


async def _nothing() -> None:
    return None


async def _data(client: AsyncClient, details: ShowReply) -> Any:
    """Return the data, None if it is too large for a page, or gone."""
    if (details.data_bytes or 0) > MOST_SHOWN_BYTES:
        return None
    try:
        return await client.data(details.job.id)
    except ZjobsError:
        return None


async def _result(client: AsyncClient, details: ShowReply) -> tuple[Any] | None:
    """Return the result in a tuple, since it may be None; None if there is no result."""
    if details.job.state is not JobState.COMPLETED or (details.result_bytes or 0) > MOST_SHOWN_BYTES:
        return None
    try:
        return (await client.result(details.job.id),)
    except ZjobsError:
        return None


async def _output(reader: Reader, job: JobStatus, offset: int | None) -> Output | None:
    start = max(0, job.output_bytes - SHOWN_OUTPUT_BYTES) if offset is None else offset
    try:
        reply: LogReply = await reader.ask(Log(job.id, start))
    except ZjobsError:
        return None
    body = reply.body if offset is None else reply.body[:SHOWN_OUTPUT_BYTES]
    before = max(0, reply.offset - SHOWN_OUTPUT_BYTES) if reply.offset and reply.offset <= start else None
    end = reply.offset + len(body)
    return Output(body.decode(errors="replace"), reply.run, reply.offset, end, reply.size_bytes, before)
