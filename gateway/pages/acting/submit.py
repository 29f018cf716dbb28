"""Submitting by a form: a type is chosen, its schema makes the fields, and the checks of zclient read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, RedirectResponse, Response

from zjobs.client.aio import AsyncClient
from zjobs.client.errors import BadData, BadRequest, Expired, NotCompleted, NotFound
from zjobs.client.job import request_key_or_new
from zjobs.client.protocol.job import NO_DATA
from zjobs.client.wording import text
from zjobs.gateway.pages.elements import form as forms
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Client, Reading
from zjobs.gateway.pages.shared.visitor import Form, Visiting, Visitor, text_of
from zjobs.gateway.problems import Problem
from zjobs.messages.fields import MAX_COMMENT_CHARS, MAX_ID, MAX_JOB_NAME_CHARS, MAX_PRIORITY
from zjobs.messages.records import TaskType
from zjobs.messages.requests.queries import Show, ShowReply, Types, TypesReply
from zjobs.messages.units import JobId
from zjobs.program.schema.parameters import Parameters

ROUTES = APIRouter(prefix="/services/{service}", route_class=PageRoute, include_in_schema=False)

# The fields that every job has: what is in them, by name.
_EMPTY = {"name": "", "comment": "", "priority": "0", "delay": "", "time_limit": "", "after": "", "after_any": ""}


class _Chosen(NamedTuple):
    """A type, with what its form begins with. `bytes_of`: the job whose bytes have to be chosen anew."""

    kind: TaskType
    parameters: Parameters | None
    words: Mapping[str, str]
    about: Mapping[str, str]
    like: int | None = None


@ROUTES.get("/submit")
async def form(
    request: Request,
    client: Client,
    visitor: Visiting,
    type: str = "",
    like: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> Response:
    """Show the form: for a type, for a job like another, or to choose a type first."""
    _check(visitor)
    types: TypesReply = await client.ask(Types())
    if like is not None:
        return _page(request, await _like(client, types, like), {})
    if not type and len(types.types) != 1:
        return page(request, "types.html", 200, types=types)
    kind = _kind(types, type or types.types[0].name)
    return _page(request, _Chosen(kind, await _parameters(client, kind), {}, _EMPTY), {})


@ROUTES.post("/submit")
async def submit(request: Request, client: Client, visitor: Visiting, form: Form) -> Response:
    """Queue the job, and show it; or the form again, with what is wrong beside each field."""
    _check(visitor)
    types: TypesReply = await client.ask(Types())
    kind = _kind(types, text_of(form, "type"))
    parameters = await _parameters(client, kind)
    given = await _given(form)
    about = {name: text_of(form, name).replace("\r\n", "\n") for name in _EMPTY}
    filled = forms.filled(parameters, given)
    mistakes = dict(filled.mistakes)
    if not mistakes:
        try:
            return await _submitted(request, client, kind, filled.data, about, text_of(form, "request_key"))
        except BadData as error:
            mistakes[forms.DATA] = str(error)
        except (NotFound, Expired, NotCompleted) as error:
            mistakes["job.after"] = str(error)
        except BadRequest as error:
            name, _, what = str(error).partition(" ")
            mistakes[f"job.{name.rstrip(':')}"] = what
    words = {name: word for name, word in given.items() if isinstance(word, str)}
    return _page(request, _Chosen(kind, parameters, words, about), mistakes)


@ROUTES.post("/submit/check")
async def check(reader: Reading, form: Form) -> JSONResponse:
    """Return what is wrong with the data in each field, for the script: it asks while somebody types."""
    _check(reader.visitor)
    parameters = await _parameters(reader.client, _kind(await reader.ask(Types()), text_of(form, "type")))
    mistakes = forms.filled(parameters, await _given(form)).mistakes
    return JSONResponse({f"{forms.PREFIX}{name}": what for name, what in mistakes.items()})


async def _submitted(
    request: Request, client: AsyncClient, kind: TaskType, data: Any, about: Mapping[str, str], key: str
) -> Response:
    """Queue a job. Sent twice, the form makes one: its request key came with it. Raises BadRequest and BadData."""
    try:
        priority = int(about["priority"] or 0)
    except ValueError:
        raise BadRequest(f"priority must be a whole number, not {about['priority']!r}") from None
    job = await client.submit(
        kind.name,
        data,
        priority=priority,
        delay=about["delay"] or 0,
        time_limit=about["time_limit"] or None,
        name=about["name"],
        comment=about["comment"],
        after=_ids("after", about["after"]),
        after_any=_ids("after_any", about["after_any"]),
        request_key=key or request_key_or_new(None),
    )
    service, root = request.path_params["service"], request.scope.get("root_path", "")
    return RedirectResponse(f"{root}/services/{service}/jobs/{job.id}", 303)


def _ids(name: str, words: str) -> list[int]:
    """Return the ids in a field such as `3, #7`. Raises BadRequest."""
    try:
        return [int(word.removeprefix("#")) for word in words.replace(",", " ").split()]
    except ValueError:
        raise BadRequest(f"{name} must be ids of jobs, such as 3, 7") from None


def _page(request: Request, chosen: _Chosen, mistakes: Mapping[str, str]) -> Response:
    return page(
        request,
        "submit.html",
        422 if mistakes else 200,
        kind=chosen.kind,
        fields=forms.fields(chosen.parameters, chosen.words, mistakes),
        about=chosen.about,
        like=chosen.like,
        mistakes=mistakes,
        request_key=request_key_or_new(None),
        most_name=MAX_JOB_NAME_CHARS,
        most_comment=MAX_COMMENT_CHARS,
        most_priority=MAX_PRIORITY,
    )


async def _like(client: AsyncClient, types: TypesReply, id: int) -> _Chosen:
    """Return the form for a job like this one."""
    details: ShowReply = await client.ask(Show(JobId(id)))
    job, kind = details.job, _kind(types, details.job.type)
    parameters = await _parameters(client, kind)
    data = NO_DATA if details.data_bytes is None else await client.data(id)
    limit = "" if details.time_limit_ms is None else text.exact(details.time_limit_ms).replace(" ", "")
    about = {**_EMPTY, "name": job.name, "comment": job.comment, "priority": str(job.priority), "time_limit": limit}
    return _Chosen(kind, parameters, forms.words_of(data, parameters), about, id)


async def _parameters(client: AsyncClient, kind: TaskType) -> Parameters | None:
    schema = await client.schema(kind.name, kind.schema_digest) if kind.schema_digest else None
    return None if schema is None else Parameters(schema)


async def _given(form: FormData) -> dict[str, str | bytes]:
    """Return the content of the fields for data. Browsers end lines in their own way; an empty field for a file has no
    name."""
    given: dict[str, str | bytes] = {}
    for name, value in form.multi_items():
        if name.startswith(forms.PREFIX):
            key = name.removeprefix(forms.PREFIX)
            if not isinstance(value, UploadFile):
                given[key] = value.replace("\r\n", "\n")
            elif value.filename:
                given[key] = await value.read()
    return given


def _kind(types: TypesReply, name: str) -> TaskType:
    for kind in types.types:
        if kind.name == name:
            return kind
    raise Problem(404, "unknown_type", f"the worker has no type {name}" if name else "the worker has no types yet")


def _check(visitor: Visitor) -> None:
    if not visitor.may("submit"):
        raise Problem(403, "not_permitted", f"a {visitor.person.role} may not submit jobs")
