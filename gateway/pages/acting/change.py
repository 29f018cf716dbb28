"""Changing one job: each change asks first, says what it will do, and carries the state that the visitor saw."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Path, Request
from starlette.responses import RedirectResponse, Response

from zjobs.client.aio import AsyncClient
from zjobs.client.job import request_key_or_new
from zjobs.client.protocol.job import gone
from zjobs.client.wording import text
from zjobs.gateway.pages.elements.jobs import STATES, title
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Client
from zjobs.gateway.pages.shared.visitor import Form, Visiting, Visitor, text_of
from zjobs.gateway.problems import Problem
from zjobs.messages.fields import MAX_ID
from zjobs.messages.records import JobStatus, TaskType
from zjobs.messages.requests.changes import Cancel, Edit, EditReply, Forget, ForgetReply, Retry, RetryReply
from zjobs.messages.requests.queries import Status, StatusReply, Types, TypesReply
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId

ROUTES = APIRouter(prefix="/services/{service}/jobs", route_class=PageRoute, include_in_schema=False)

Id = Annotated[int, Path(ge=1, le=MAX_ID)]


class Asked(NamedTuple):
    """The question to the visitor before a change. `fits`: True if the job's state allows the change at all.
    `may_take_dependents`: it can be made of the jobs, too, that were cancelled because this one did not complete."""

    question: str
    consequence: str
    button: str
    danger: bool
    fits: bool
    may_take_dependents: bool = False


OPERATIONS = ("cancel", "hold", "release", "retry", "forget")


@ROUTES.get("/{id}/{op}")
async def ask(request: Request, client: Client, visitor: Visiting, id: Id, op: str) -> Response:
    """Show what the change would do, with a button that does it."""
    return _page(request, await _asked(client, visitor, id, op), op)


@ROUTES.post("/{id}/{op}")
async def change(request: Request, client: Client, visitor: Visiting, form: Form, id: Id, op: str) -> Response:
    """Make the change if the job is as the visitor saw it; otherwise show how it is now, and ask again."""
    job, asked = await _asked(client, visitor, id, op)
    if not asked.fits or text_of(form, "seen") != seen(job):
        return _page(request, (job, asked), op, 409)
    try:
        went = await _done(client, id, op, form)
    except TooLate as late:
        return _page(request, await _asked(client, visitor, id, op), op, 409, str(late))
    root, service = request.scope.get("root_path", ""), request.path_params["service"]
    return RedirectResponse(f"{root}/services/{service}{went}", 303)


def seen(job: JobStatus) -> str:
    """Return what must still be so for a change to be what was meant. How far it has come may have changed."""
    return f"{job.version}.{job.run}.{job.state.value}"


def _page(request: Request, asked: tuple[JobStatus, Asked], op: str, status: int = 200, wrong: str = "") -> Response:
    job, what = asked
    return page(
        request,
        "confirm.html",
        status,
        job=job,
        asked=what,
        op=op,
        seen=seen(job),
        request_key=request_key_or_new(None),
        changed=status == 409,
        wrong=wrong,
    )


async def _asked(client: AsyncClient, visitor: Visitor, id: int, op: str) -> tuple[JobStatus, Asked]:
    """Return the job, and the question to the visitor. Raises Problem."""
    if op not in OPERATIONS:
        raise Problem(404, "not_found", "no page has this address")
    reply: StatusReply = await client.ask(Status((JobId(id),)))
    for missing in reply.missing:
        raise gone(missing)
    (job,) = reply.jobs
    if not visitor.may("edit" if op in ("hold", "release") else op, job.owner):
        raise Problem(403, "not_permitted", f"you may not {op} this job")
    if op != "cancel":
        return job, {"retry": _retry, "forget": _forget, "hold": _hold, "release": _release}[op](job)
    types: TypesReply = await client.ask(Types())
    return job, _cancel(job, next((kind for kind in types.types if kind.name == job.type), None))


def _named(job: JobStatus) -> str:
    return f"job #{job.id}, {title(job)}"


def _cancel(job: JobStatus, kind: TaskType | None) -> Asked:
    if job.state is JobState.IN_PROGRESS:
        ran = "" if job.elapsed_ms is None else f" It has run for {text.seconds(job.elapsed_ms / 1000)}."
        grace = "" if kind is None else f" After {text.exact(kind.grace_ms)} its process is killed."
        says = f"It runs now.{ran} It is told to end, and what it has done is lost.{grace}"
    else:
        says = "It will not start." if not job.state.final else f"It has {STATES[job.state][1]} already."
    fits = not job.state.final and not job.cancelling
    return Asked(f"Cancel {_named(job)}?", says, f"Cancel #{job.id}", True, fits)


def _hold(job: JobStatus) -> Asked:
    fits = can_be_edited(job) and not job.held
    says = "It does not start until somebody releases it, and keeps its place among others of its priority."
    return Asked(f"Hold {_named(job)}?", says if fits else _why_not(job, "held"), f"Hold #{job.id}", False, fits)


def _release(job: JobStatus) -> Asked:
    fits = can_be_edited(job) and job.held
    says = "It starts when its turn comes."
    why_not = _why_not(job, "not held")
    return Asked(f"Release {_named(job)}?", says if fits else why_not, f"Release #{job.id}", False, fits)


def can_be_edited(job: JobStatus) -> bool:
    """Return True if the job has not started. The worker may have it already: then the broker finds out."""
    return job.state is JobState.QUEUED and not job.cancelling


def _why_not(job: JobStatus, already: str) -> str:
    return (
        f"It is {already} already."
        if can_be_edited(job)
        else "Only a job that has not started can be held or released."
    )


def _retry(job: JobStatus) -> Asked:
    says = "A copy with the same data, name and priority is queued as a new job. This one stays as it is."
    return Asked(
        f"Retry {_named(job)}?",
        says if job.state.final else "It has not ended yet, so there is nothing to retry.",
        f"Retry #{job.id}",
        False,
        job.state.final,
        job.state.final and job.state is not JobState.COMPLETED,
    )


def _forget(job: JobStatus) -> Asked:
    says = "Its data, result and output are dropped for good."
    return Asked(
        f"Forget {_named(job)}?",
        says if job.state.final else "It has not ended yet: cancel it first.",
        f"Forget #{job.id}",
        True,
        job.state.final,
    )


async def _done(client: AsyncClient, id: int, op: str, form: Form) -> str:
    """Change it; where to look then. Raises ZjobsError and TooLate."""
    job_id = JobId(id)
    if op in ("hold", "release"):
        await edited(client, Edit((job_id,), held=op == "hold"))
        return f"/jobs/{id}"
    if op == "cancel":
        await client.ask(Cancel((job_id,)))
        return f"/jobs/{id}"
    if op == "retry":
        key = text_of(form, "request_key") or request_key_or_new(None)
        with_dependents = text_of(form, "with_dependents") == "yes"
        copied: RetryReply = await client.ask(Retry(key, (job_id,), with_dependents=with_dependents))
        return f"/jobs/{copied.first_id}"
    dropped: ForgetReply = await client.ask(Forget((job_id,)))
    for missing in dropped.missing:
        raise gone(missing)
    return "/jobs"


class TooLate(Exception):
    """A job could not be edited; the text says why."""


async def edited(client: AsyncClient, request: Edit) -> None:
    """Edit a job. Raises TooLate, and ZjobsError."""
    reply: EditReply = await client.ask(request)
    if reply.late:
        raise TooLate("it has started or ended: nothing is changed")
    if reply.pending:
        raise TooLate("the worker has it already, and has not said whether it has started; look again in a moment")
    for missing in reply.missing:
        raise gone(missing)
