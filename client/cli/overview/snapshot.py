"""The requests for an overview of the whole queue: one flow, which both clients run."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.client.config.settings import Settings
from zjobs.client.errors import Expired, NotFound, NotPermitted
from zjobs.client.protocol.actions import Ask, Flow
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import (
    Info,
    InfoReply,
    List,
    ListReply,
    Queue,
    QueueReply,
    Show,
    ShowReply,
    Types,
    TypesReply,
)
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId

# This many jobs are searched for those that ended last.
LOOKED_AT = 50


class Limit(NamedTuple):
    """The time limit of a job. `limit_ms`: None if it has none."""

    id: int
    limit_ms: int | None


class Overview(NamedTuple):
    """The queue at one moment: `running`, `next` in order, `delayed` by when they are ready, `ended` latest first.

    `limit`: that of the running job, None if it cannot be known.
    """

    address: str
    info: InfoReply
    running: JobStatus | None
    next: tuple[JobStatus, ...]
    delayed: tuple[JobStatus, ...]
    ended: tuple[JobStatus, ...]
    limit: Limit | None


def overview(
    to: Settings, next_limit: int, delayed_limit: int, ended_limit: int, before: Overview | None = None
) -> Flow[Overview]:
    """Request everything. `before`: an earlier overview, of which whatever cannot have changed is reused."""
    queue: QueueReply = yield Ask(Queue(next_limit, delayed_limit, preview=True), QueueReply)
    info: InfoReply = yield Ask(Info(), InfoReply)
    first, *rest = queue.jobs or (None,)
    running = first if first is not None and first.state is JobState.IN_PROGRESS else None
    coming = tuple(rest) if running is not None else queue.jobs
    ended = (yield from _ended(running, coming, ended_limit)) if ended_limit else ()
    limit = None
    if running is not None:
        known = before.limit if before is not None and before.info.journal == info.journal else None
        limit = known if known is not None and known.id == running.id else (yield from _limit(running))
    return Overview(to.address, info, running, coming, queue.delayed, ended, limit)


def _ended(running: JobStatus | None, coming: tuple[JobStatus, ...], most: int) -> Flow[tuple[JobStatus, ...]]:
    """Return those that ended last, searched where most of them are: the journal has no order of ends.

    Jobs end about in the order of their ids, a job of high priority ends soon after it came, and a cancel ends any.
    """
    near = [job.id for job in (running, *coming[:1]) if job is not None]
    places = [List(limit=LOOKED_AT), List(JobState.FAILED, limit=most), List(JobState.CANCELLED, limit=most)]
    if near:
        places.append(List(limit=LOOKED_AT, before=JobId(max(near) + 1)))
    found: dict[int, JobStatus] = {}
    for place in places:
        page: ListReply = yield Ask(place._replace(preview=True), ListReply)
        found.update((job.id, job) for job in page.jobs if job.state.final)
    return tuple(sorted(found.values(), key=lambda job: (job.ended_at or 0, job.id), reverse=True)[:most])


def _limit(running: JobStatus) -> Flow[Limit | None]:
    try:
        details: ShowReply = yield Ask(Show(JobId(running.id)), ShowReply)
        if details.time_limit_ms is not None:
            return Limit(running.id, details.time_limit_ms)
        types: TypesReply = yield Ask(Types(), TypesReply)
    except (NotPermitted, NotFound, Expired):
        return None
    return next((Limit(running.id, kind.time_limit_ms) for kind in types.types if kind.name == running.type), None)
