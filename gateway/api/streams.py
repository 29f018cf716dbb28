"""Events as they come, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response

from zjobs.client.protocol.job import gone
from zjobs.gateway.api.asking import Asker, Client, Events, Id
from zjobs.gateway.events.hub import Stream
from zjobs.gateway.events.stream import Subject
from zjobs.gateway.identity.person import until_revoked
from zjobs.gateway.web.answers import EventStream
from zjobs.gateway.web.documents import content, fails
from zjobs.gateway.web.media import EVENT_STREAM
from zjobs.messages.requests.queries import Queue, Status
from zjobs.messages.units import JobId

ROUTES = APIRouter(tags=["events"])

LastEventId = Annotated[str, Header(max_length=64, description="The last event that was heard: go on after it.")]


async def subject_of(person: Asker) -> Subject:
    """Return whom a stream is for."""
    return Subject(person.name, person.role)


Listener = Annotated[Subject, Depends(subject_of)]

_ABOUT = """\
Server-sent events. `job`: a job has changed; its data is the job's status. `service`: whether the broker is reachable,
the state of the worker, or a pause has changed. `resync`: events were missed; ask for everything anew."""


@ROUTES.get(
    "/events",
    response_class=EventStream,
    responses=content({EVENT_STREAM: {"type": "string"}}, _ABOUT),
)
async def events(
    request: Request, client: Client, hub: Events, listener: Listener, last_event_id: LastEventId = ""
) -> Response:
    """Stream the changes of all jobs that the person may see, and of the service. The stream begins with the service's
    state."""
    stream = Stream(hub, listener, last_event_id)
    await client.ask(Queue(1))  # whether the person may see the service
    stream.begin_with("service", hub.state)
    return EventStream(_until_revoked(request, stream), stream.end)


@ROUTES.get(
    "/jobs/{id}/events",
    response_class=EventStream,
    responses=content({EVENT_STREAM: {"type": "string"}}, f"{_ABOUT} The stream ends with the job.")
    | content({}, "The job has ended, and its end was heard.", 204)
    | fails(410),
)
async def job_events(
    request: Request, client: Client, hub: Events, listener: Listener, id: Id, last_event_id: LastEventId = ""
) -> Response:
    """Stream the changes of one job. The stream begins with the job's status."""
    stream = Stream(hub, listener._replace(job_id=id), last_event_id)
    reply = await client.ask(Status((JobId(id),)))
    for missing in reply.missing:
        raise gone(missing)
    (job,) = reply.jobs
    if job.state.final and stream.goes_on and not stream.next():
        return Response(status_code=204)
    stream.begin_with("job", job)
    return EventStream(_until_revoked(request, stream), stream.end)


async def _until_revoked(request: Request, stream: Stream) -> AsyncGenerator[bytes, None]:
    """Yield what the stream sends, for as long as the person may read it."""
    with until_revoked(request) as revoked:
        waiting = asyncio.create_task(revoked.wait())
        waiting.add_done_callback(lambda _: stream.end())
        try:
            async for text in stream:
                yield text
        finally:
            waiting.cancel()
