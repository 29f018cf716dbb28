"""Events as they come, as server-sent events."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated

from fastapi import Header, Request
from starlette.responses import Response

from zjobs.client.aio import AsyncClient
from zjobs.client.protocol.job import gone
from zjobs.gateway.api.asking import Client, Id, ServiceName, routes_of, services_of
from zjobs.gateway.events.hub import Hub, Stream
from zjobs.gateway.events.stream import Subject
from zjobs.gateway.identity.person import until_revoked
from zjobs.gateway.web.answers import EventStream
from zjobs.gateway.web.documents import content, fails
from zjobs.gateway.web.media import EVENT_STREAM
from zjobs.messages.requests.queries import Queue, Status
from zjobs.messages.units import JobId

ROUTES = routes_of("events")

LastEventId = Annotated[str, Header(max_length=64, description="The last event that was heard: go on after it.")]


_ABOUT = """\
Server-sent events. `job`: a job has changed; its data is the job's status. `service`: whether the broker is reachable,
the state of the worker, or a pause has changed. `resync`: events were missed; ask for everything anew."""


@ROUTES.get(
    "/events",
    response_class=EventStream,
    responses=content({EVENT_STREAM: {"type": "string"}}, _ABOUT),
)
async def events(request: Request, service: ServiceName, client: Client, last_event_id: LastEventId = "") -> Response:
    """Stream the changes of all jobs that the person may see, and of the service. The stream begins with the service's
    state."""
    hub = services_of(request).hub(service)
    stream = Stream(hub, _subject(client), last_event_id)
    await client.ask(Queue(1))  # whether the person may see the service
    stream.begin_with("service", hub.state)
    return EventStream(stream, _lasting(request, hub, stream))


@ROUTES.get(
    "/jobs/{id}/events",
    response_class=EventStream,
    responses=content({EVENT_STREAM: {"type": "string"}}, f"{_ABOUT} The stream ends with the job.")
    | content({}, "The job has ended, and its end was heard.", 204)
    | fails(410),
)
async def job_events(
    request: Request, service: ServiceName, client: Client, id: Id, last_event_id: LastEventId = ""
) -> Response:
    """Stream the changes of one job. The stream begins with the job's status."""
    hub = services_of(request).hub(service)
    stream = Stream(hub, _subject(client, id), last_event_id)
    reply = await client.ask(Status((JobId(id),)))
    for missing in reply.missing:
        raise gone(missing)
    (job,) = reply.jobs
    if job.state.final and stream.goes_on and not stream.text():
        return Response(status_code=204)
    stream.begin_with("job", job)
    return EventStream(stream, _lasting(request, hub, stream))


def _subject(client: AsyncClient, job_id: int | None = None) -> Subject:
    """Return whom the stream is for."""
    assert client.person is not None
    return Subject(client.person.name, client.person.role.value, job_id)


@contextlib.contextmanager
def _lasting(request: Request, hub: Hub, stream: Stream) -> Iterator[None]:
    """While it lasts, the stream is woken by events, and ended once the person may not read it any more."""
    with hub.waking(stream), until_revoked(request, stream.end):
        yield
