"""The requests for the page of a service: everything at once, on behalf of the visitor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from zjobs.client.errors import ZjobsError
from zjobs.gateway.pages.shared.service import Reader
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

NEXT = 12
DELAYED = 8
RECENT = 8
YOURS = 100
# The journal has no order of ends. Jobs end about in the order of their ids, so this many are looked at.
_NEAR = 50
# The last line of the output is looked for in this much of it.
_LAST_BYTES = 400


class Overview(NamedTuple):
    """A service at one moment, as the visitor may see it. `yours`: the one of the visitor's own jobs that starts next.
    `last_line`: the last one that the running job has printed. `limit_ms`: the running job's time limit."""

    at: int
    info: InfoReply
    queue: QueueReply
    running: JobStatus | None
    coming: tuple[JobStatus, ...]
    yours: JobStatus | None
    ended: tuple[JobStatus, ...]
    limit_ms: int | None
    last_line: str

    @property
    def owners(self) -> set[str]:
        """The owners of the jobs that are shown."""
        jobs = (*self.queue.jobs, *self.queue.delayed, *self.ended)
        return {job.owner for job in jobs if job.owner}


async def look(reader: Reader) -> Overview:
    """Ask for everything. Raises ZjobsError."""
    queue: QueueReply
    info: InfoReply
    queue, info, *pages = await asyncio.gather(
        reader.ask(Queue(NEXT, DELAYED, preview=True)),
        reader.ask(Info()),
        *(reader.ask(List(state, limit=RECENT)) for state in (JobState.FAILED, JobState.CANCELLED)),
        reader.ask(List(limit=_NEAR)),
    )
    first, *rest = queue.jobs or (None,)
    running = first if first is not None and first.state is JobState.IN_PROGRESS else None
    coming = tuple(rest) if running is not None else queue.jobs
    near = [job.id for job in (running, *coming[:1]) if job is not None]
    if near:
        pages.append(await reader.ask(List(limit=_NEAR, before=JobId(max(near) + 1))))
    limit_ms, last_line, yours = await asyncio.gather(
        _limit(reader, running), _last_line(reader, running), _yours(reader, info, coming, queue.delayed)
    )
    return Overview(reader.at, info, queue, running, coming, yours, _ended(pages), limit_ms, last_line)


async def _yours(
    reader: Reader, info: InfoReply, coming: Sequence[JobStatus], delayed: Sequence[JobStatus]
) -> JobStatus | None:
    """Return the one of the visitor's jobs that starts next."""
    name = reader.visitor.person.name
    own = [job for job in coming if job.owner == name]
    if own:
        return own[0]
    own = [job for job in delayed if job.owner == name]
    if len(coming) + len(delayed) < info.queued + info.waiting and reader.visitor.may("submit"):
        listed: ListReply = await reader.ask(List(JobState.QUEUED, limit=YOURS, owner=name))
        own += listed.jobs
    return min(own, key=_starts, default=None)


def _starts(job: JobStatus) -> tuple[bool, int, int]:
    """Return what orders queued jobs by their starts: the ready ones first, in their order, then the delayed ones."""
    return (True, job.ready_at or 0, job.id) if job.ahead is None else (False, job.ahead, job.id)


def _ended(pages: Sequence[ListReply]) -> tuple[JobStatus, ...]:
    found = {job.id: job for page in pages for job in page.jobs if job.state.final}
    return tuple(sorted(found.values(), key=lambda job: (job.ended_at or 0, job.id), reverse=True)[:RECENT])


async def _limit(reader: Reader, running: JobStatus | None) -> int | None:
    if running is None:
        return None
    try:
        details: ShowReply = await reader.ask(Show(running.id))
        if details.time_limit_ms is not None:
            return details.time_limit_ms
        types: TypesReply = await reader.ask(Types())
    except ZjobsError:  # it has been dropped meanwhile, say: the page does without
        return None
    return next((kind.time_limit_ms for kind in types.types if kind.name == running.type), None)


async def _last_line(reader: Reader, running: JobStatus | None) -> str:
    """Return the last line that the running job has printed, if the visitor may read it."""
    if running is None or not running.output_bytes or not reader.visitor.may("log", running.owner):
        return ""
    try:
        reply: LogReply = await reader.ask(Log(running.id, max(0, running.output_bytes - _LAST_BYTES)))
    except ZjobsError:
        return ""
    lines = [line.strip() for line in reply.body.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
