"""Services, and what can be asked of each: its types, and the state of its broker."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from zjobs.gateway.api.asking import PREFIX, Client, TypeName, routes_of, services_of
from zjobs.gateway.events.hub import ServiceState
from zjobs.gateway.identity.person import current_person
from zjobs.gateway.problems import Problem
from zjobs.gateway.web.answers import answer, answer_json
from zjobs.gateway.web.documents import ALWAYS, content, documented, fails, returns
from zjobs.gateway.web.media import JSON
from zjobs.gateway.web.records import plain
from zjobs.messages.fields import Text
from zjobs.messages.records import TaskType
from zjobs.messages.requests.queries import Info, InfoReply, Types, TypesReply

LIST = APIRouter(tags=["service"], responses=fails(*ALWAYS))
ROUTES = routes_of("service")


class NamedService(NamedTuple):
    """A service and its state."""

    name: Text
    state: ServiceState


class ServiceList(NamedTuple):
    """The services of this gateway, in the order of its configuration."""

    services: tuple[NamedService, ...]


@LIST.get(PREFIX, dependencies=[Depends(current_person)], responses=returns(ServiceList, "All services."))
async def list_services(request: Request) -> Response:
    """List the services, and whether each can be reached."""
    services = services_of(request)
    return answer(ServiceList(tuple(NamedService(name, services.hub(name).state) for name in services.names)))


@ROUTES.get("/info", responses=returns(InfoReply, "Versions, counts, limits, the worker."))
async def info(client: Client) -> Response:
    """Return the state of broker, journal, queue and worker."""
    return answer(await client.ask(Info()))


@ROUTES.get("/types", responses=returns(TypesReply, "The types that the worker has."))
async def types(client: Client) -> Response:
    """Return the types of jobs that the worker runs."""
    return answer(await client.ask(Types()))


_TYPE = {
    "allOf": [documented(TaskType)],
    "properties": {"schema": {"type": ["object", "null"], "description": "JSON Schema of its parameters."}},
    "required": ["schema"],
}


@ROUTES.get("/types/{type}", responses=content({JSON: _TYPE}, "The type. `schema` is null when it has none."))
async def one_type(client: Client, type: TypeName) -> Response:
    """Return a type, with the JSON Schema of its jobs' parameters."""
    known: TypesReply = await client.ask(Types())
    for each in known.types:
        if each.name == type:
            schema: dict[str, Any] | None = await client.schema(type, each.schema_digest)
            return answer_json(plain(each) | {"schema": schema})
    names = ", ".join(each.name for each in known.types) or "none"
    raise Problem(404, "unknown_type", f"there is no type {type}; the worker has {names}")
