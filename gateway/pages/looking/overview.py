"""The requests for the page of a service: everything at once, on behalf of the visitor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from zjobs.client.aio import AsyncClient
from zjobs.client.errors import ZjobsError
from zjobs.gateway.pages.visit.visitor import Visitor
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import (
    Info,
    InfoReply,
    List,
    ListReply,
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

NEXT = 12
DELAYED = 8
RECENT = 8
YOURS = 100
# The journal has no order of ends. Jobs end about in the order of their ids, so this many are looked at.
_NEAR = 50
# The last line of the output is looked for in this much of it.
_LAST_BYTES = 400


class Overview(NamedTuple):
    """A service at one moment, as the visitor may see it. `yours`: the next of the visitor's own jobs. `said`: the last
    line that the running job has printed. `limit_ms`: the running job's time limit."""

    at: int
    info: InfoReply
    queue: QueueReply
    running: JobStatus | None
    coming: tuple[JobStatus, ...]
    yours: JobStatus | None
    ended: tuple[JobStatus, ...]
    limit_ms: int | None
    said: str


async def look(client: AsyncClient, visitor: Visitor) -> Overview:
    """Ask for everything. Raises ZjobsError."""
    queue: QueueReply
    info: InfoReply
    queue, info, *pages = await asyncio.gather(
        client.ask(Queue(NEXT, DELAYED, preview=True)),
        client.ask(Info()),
        client.ask(List(JobState.QUEUED, limit=YOURS, owner=visitor.person.name)),
        *(client.ask(List(state, limit=RECENT)) for state in (JobState.FAILED, JobState.CANCELLED)),
        client.ask(List(limit=_NEAR)),
    )
    first, *rest = queue.jobs or (None,)
    running = first if first is not None and first.state is JobState.IN_PROGRESS else None
    coming = tuple(rest) if running is not None else queue.jobs
    own: ListReply
    own, *recent = pages
    near = [job.id for job in (running, *coming[:1]) if job is not None]
    if near:
        recent.append(await client.ask(List(limit=_NEAR, before=JobId(max(near) + 1))))
    limit_ms, said = await asyncio.gather(_limit(client, running), _last_line(client, running, visitor))
    yours = _yours(own.jobs, (*queue.jobs, *queue.delayed), visitor.person.name)
    return Overview(clock.wall_ms(), info, queue, running, coming, yours, _ended(recent), limit_ms, said)


def _yours(own: Sequence[JobStatus], known: Sequence[JobStatus], name: str) -> JobStatus | None:
    """Return the next of the visitor's jobs: the one that runs, or that starts first."""
    jobs = {job.id: job for job in (*own, *(job for job in known if job.owner == name))}
    far = len(jobs) + sum(job.ahead or 0 for job in jobs.values())
    return min(
        jobs.values(),
        key=lambda job: (
            job.state is JobState.QUEUED,
            far if job.ahead is None else job.ahead,
            job.ready_at or 0,
            job.id,
        ),
        default=None,
    )


def _ended(pages: Sequence[ListReply]) -> tuple[JobStatus, ...]:
    found = {job.id: job for page in pages for job in page.jobs if job.state.final}
    return tuple(sorted(found.values(), key=lambda job: (job.ended_at or 0, job.id), reverse=True)[:RECENT])


async def _limit(client: AsyncClient, running: JobStatus | None) -> int | None:
    if running is None:
        return None
    try:
        shown: ShowReply = await client.ask(Show(running.id))
        if shown.time_limit_ms is not None:
            return shown.time_limit_ms
        types: TypesReply = await client.ask(Types())
    except ZjobsError:  # it has been dropped meanwhile, say: the page does without
        return None
    return next((kind.time_limit_ms for kind in types.types if kind.name == running.type), None)


async def _last_line(client: AsyncClient, running: JobStatus | None, visitor: Visitor) -> str:
    """Return the last line that the running job has printed, if the visitor may read it."""
    if running is None or not running.output_bytes or not visitor.may("log", running.owner):
        return ""
    try:
        reply: LogReply = await client.ask(Log(running.id, max(0, running.output_bytes - _LAST_BYTES)))
    except ZjobsError:
        return ""
    lines = [line.strip() for line in reply.body.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
