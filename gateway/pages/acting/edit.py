"""Changing a job that has not started: its priority, name and comment, and whether it is held."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from zjobs.client.aio import AsyncClient
from zjobs.gateway.pages.acting.change import Id, seen
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Client
from zjobs.gateway.pages.shared.visitor import Form, Visiting, Visitor, text_of
from zjobs.gateway.problems import Problem
from zjobs.messages.fields import MAX_COMMENT_CHARS, MAX_JOB_NAME_CHARS, MAX_PRIORITY
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.changes import Edit, EditReply
from zjobs.messages.requests.queries import Show, ShowReply
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId

ROUTES = APIRouter(prefix="/services/{service}/jobs", route_class=PageRoute, include_in_schema=False)


@ROUTES.get("/{id}/edit")
async def ask(request: Request, client: Client, visitor: Visiting, id: Id) -> Response:
    """Show the job as it is, in fields."""
    job = await _job(client, visitor, id)
    return _page(request, job, _present(job))


@ROUTES.post("/{id}/edit")
async def edit(request: Request, client: Client, visitor: Visiting, form: Form, id: Id) -> Response:
    """Change what was changed in the form, if the job is as the visitor saw it."""
    job = await _job(client, visitor, id)
    given = {name: text_of(form, name).replace("\r\n", "\n") for name in ("priority", "name", "comment", "held")}
    if text_of(form, "seen") != seen(job):
        return _page(request, job, _present(job), 409, "It has changed since you looked. This is how it is now.")
    if wrong := _mistake(given):
        return _page(request, job, given, 422, wrong)
    present = _present(job)
    changed: dict[str, Any] = {name: value for name, value in given.items() if value != present[name]}
    if "priority" in changed:
        changed["priority"] = int(changed["priority"])
    if "held" in changed:
        changed["held"] = changed["held"] == "yes"
    if changed:
        reply: EditReply = await client.ask(Edit((JobId(id),), **changed))
        if reply.late:
            wrong = "It has started or ended: nothing is changed."
            return _page(request, await _job(client, visitor, id), given, 409, wrong)
        if reply.pending:
            wrong = "The worker has it already, and has not said yet whether it has started. Look again in a moment."
            return _page(request, await _job(client, visitor, id), given, 409, wrong)
    root, service = request.scope.get("root_path", ""), request.path_params["service"]
    return RedirectResponse(f"{root}/services/{service}/jobs/{id}", 303)


async def _job(client: AsyncClient, visitor: Visitor, id: int) -> JobStatus:
    details: ShowReply = await client.ask(Show(JobId(id)))
    if not visitor.may("edit", details.job.owner):
        raise Problem(403, "not_permitted", "you may not edit this job")
    return details.job


def _present(job: JobStatus) -> dict[str, str]:
    held = "yes" if job.held else ""
    return {"priority": str(job.priority), "name": job.name, "comment": job.comment, "held": held}


def _mistake(given: dict[str, str]) -> str:
    try:
        fits = abs(int(given["priority"])) <= MAX_PRIORITY
    except ValueError:
        fits = False
    if not fits:
        return f"A priority is a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}."
    if len(given["name"]) > MAX_JOB_NAME_CHARS or len(given["comment"]) > MAX_COMMENT_CHARS:
        return f"A name has at most {MAX_JOB_NAME_CHARS} characters, a comment {MAX_COMMENT_CHARS}."
    return ""


def _page(request: Request, job: JobStatus, given: dict[str, str], status: int = 200, wrong: str = "") -> Response:
    fits = job.state is JobState.QUEUED and not job.cancelling
    bounds = {"most_name": MAX_JOB_NAME_CHARS, "most_comment": MAX_COMMENT_CHARS, "most_priority": MAX_PRIORITY}
    values = {"job": job, "given": given, "wrong": wrong, "fits": fits, "seen": seen(job)}
    return page(request, "edit.html", status, **values, **bounds)
