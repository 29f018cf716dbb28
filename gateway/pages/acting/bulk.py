"""Changing many jobs: those that fit a filter. How many they are is shown first, and must still be so."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from zjobs.client.aio import AsyncClient
from zjobs.client.job import request_key_or_new
from zjobs.gateway.pages.shared.rendering import page
from zjobs.gateway.pages.shared.route import PageRoute
from zjobs.gateway.pages.shared.service import Client
from zjobs.gateway.pages.shared.visitor import Form, Visiting, Visitor, text_of
from zjobs.gateway.pages.viewing.history import Filter, Filtered, matching
from zjobs.gateway.problems import Problem
from zjobs.messages.records import JobStatus

ROUTES = APIRouter(prefix="/services/{service}/bulk", route_class=PageRoute, include_in_schema=False)

# What one change may name. More are done by doing it again.
MOST = 1_000
SHOWN = 10
_MOST_ASKED = 50


@ROUTES.get("/{op}")
async def ask(request: Request, client: Client, visitor: Visiting, wanted: Filtered, op: str) -> Response:
    """Ask, naming how many jobs the action would change, and which."""
    return _page(request, wanted, op, await _jobs(client, visitor, wanted, op))


@ROUTES.post("/{op}")
async def change(
    request: Request, client: Client, visitor: Visiting, form: Form, wanted: Filtered, op: str
) -> Response:
    """Change them, if they are those that were counted; otherwise count again."""
    jobs = await _jobs(client, visitor, wanted, op)
    if not jobs or text_of(form, "seen") != _seen(jobs):
        return _page(request, wanted, op, jobs, 409)
    ids = [job.id for job in jobs]
    if op == "cancel":
        await client.cancel(ids)
    elif op == "forget":
        await client.forget(ids)
    else:  # the oldest first, as they were queued
        await client.retry(ids[::-1], text_of(form, "request_key") or None)
    root, service = request.scope.get("root_path", ""), request.path_params["service"]
    return RedirectResponse(f"{root}/services/{service}/jobs", 303)


async def _jobs(client: AsyncClient, visitor: Visitor, wanted: Filter, op: str) -> list[JobStatus]:
    """Return the jobs of the filter that this visitor may do this to, newest first. Raises Problem."""
    if op not in ("cancel", "retry", "forget"):
        raise Problem(404, "not_found", "no page has this address")
    if not visitor.may(op):
        raise Problem(403, "not_permitted", f"a {visitor.person.role} may not {op} jobs")
    if not visitor.is_operator:
        wanted = wanted._replace(owner=visitor.person.name)
    jobs, _ = await matching(client, wanted, None, MOST, _MOST_ASKED)
    return [job for job in jobs if job.state.final != (op == "cancel") and not job.cancelling]


def _page(request: Request, wanted: Filter, op: str, jobs: list[JobStatus], status: int = 200) -> Response:
    values = {"wanted": wanted, "op": op, "count": len(jobs), "jobs": jobs[:SHOWN], "most": MOST}
    return page(
        request,
        "bulk.html",
        status,
        **values,
        running=sum(job.started_at is not None and not job.state.final for job in jobs),
        seen=_seen(jobs),
        request_key=request_key_or_new(None),
        changed=status == 409,
    )


def _seen(jobs: list[JobStatus]) -> str:
    """Return how many jobs there are, and from which to which, as a text that differs once jobs come or end."""
    return f"{len(jobs)} {jobs[-1].id}-{jobs[0].id}" if jobs else "0"
