"""Changing a job that has not started: its priority, time limit, name and comment."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from zjobs.client.aio import AsyncClient
from zjobs.client.errors import BadRequest
from zjobs.client.protocol.job import milliseconds
from zjobs.client.wording import text
from zjobs.gateway.pages.acting.change import Id, TooLate, can_be_edited, edited, seen
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Client
from zjobs.gateway.pages.shared.visitor import Form, Visiting, Visitor, text_of
from zjobs.gateway.problems import Problem
from zjobs.messages.fields import MAX_COMMENT_CHARS, MAX_JOB_NAME_CHARS, MAX_PRIORITY
from zjobs.messages.requests.changes import Edit
from zjobs.messages.requests.queries import Show, ShowReply
from zjobs.messages.units import JobId

ROUTES = APIRouter(prefix="/services/{service}/jobs", route_class=PageRoute, include_in_schema=False)


@ROUTES.get("/{id}/edit")
async def ask(request: Request, client: Client, visitor: Visiting, id: Id) -> Response:
    """Show the job as it is, in fields."""
    details = await _details(client, visitor, id)
    return _page(request, details, _present(details))


@ROUTES.post("/{id}/edit")
async def edit(request: Request, client: Client, visitor: Visiting, form: Form, id: Id) -> Response:
    """Change what was changed in the form, if the job is as the visitor saw it."""
    details = await _details(client, visitor, id)
    present = _present(details)
    if text_of(form, "seen") != seen(details.job):
        return _page(request, details, present, 409, "it has changed since you looked; this is how it is now")
    given = {name: text_of(form, name).replace("\r\n", "\n") for name in present}
    try:
        changed = _meant({name: value for name, value in given.items() if value != present[name]})
    except BadRequest as error:
        return _page(request, details, given, 422, str(error))
    try:
        if changed:
            await edited(client, Edit((JobId(id),), **changed))
    except TooLate as late:
        return _page(request, await _details(client, visitor, id), given, 409, str(late))
    root, service = request.scope.get("root_path", ""), request.path_params["service"]
    return RedirectResponse(f"{root}/services/{service}/jobs/{id}", 303)


async def _details(client: AsyncClient, visitor: Visitor, id: int) -> ShowReply:
    details: ShowReply = await client.ask(Show(JobId(id)))
    if not visitor.may("edit", details.job.owner):
        raise Problem(403, "not_permitted", "you may not edit this job")
    return details


def _present(details: ShowReply) -> dict[str, str]:
    job, limit_ms = details.job, details.time_limit_ms
    limit = "" if limit_ms is None else text.exact(limit_ms).replace(" ", "")
    return {"priority": str(job.priority), "time_limit": limit, "name": job.name, "comment": job.comment}


def _meant(given: dict[str, str]) -> dict[str, Any]:
    """Return the fields of a request for what was given. Raises BadRequest."""
    changed: dict[str, Any] = {name: given[name] for name in ("name", "comment") if name in given}
    if len(given.get("name", "")) > MAX_JOB_NAME_CHARS or len(given.get("comment", "")) > MAX_COMMENT_CHARS:
        raise BadRequest(f"a name has at most {MAX_JOB_NAME_CHARS} characters, a comment {MAX_COMMENT_CHARS}")
    if "priority" in given:
        changed["priority"] = _priority(given["priority"])
    if "time_limit" in given:
        word = given["time_limit"].strip()
        changed["time_limit_ms"] = milliseconds("time_limit", word, low_ms=1) if word else 0
    return changed


def _priority(word: str) -> int:
    try:
        priority = int(word)
    except ValueError:
        priority = MAX_PRIORITY + 1
    if abs(priority) > MAX_PRIORITY:
        raise BadRequest(f"a priority is a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}")
    return priority


def _page(request: Request, details: ShowReply, given: dict[str, str], status: int = 200, wrong: str = "") -> Response:
    job = details.job
    bounds = {"most_name": MAX_JOB_NAME_CHARS, "most_comment": MAX_COMMENT_CHARS, "most_priority": MAX_PRIORITY}
    values = {"job": job, "given": given, "wrong": wrong, "fits": can_be_edited(job), "seen": seen(job)}
    return page(request, "edit.html", status, **values, **bounds)
