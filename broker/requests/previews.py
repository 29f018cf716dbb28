"""Previews: the beginnings of jobs' data in statuses, where the client may read them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence

from zjobs.broker.core.people.who import Who
from zjobs.broker.core.records.jobs import Job
from zjobs.broker.core.records.needs import DataNeed, Needs
from zjobs.broker.requests.access import reads
from zjobs.broker.storage.api import Journal
from zjobs.messages.records import DataPreview, JobStatus
from zjobs.messages.units import JobId

PREVIEW_BYTES = 128
STEP_BYTES = 2 << 20  # a database may have to read a whole body to return its beginning: about a millisecond


def previewed(
    journal: Journal, who: Who, jobs: Sequence[tuple[Job, JobStatus]]
) -> Generator[None, None, list[JobStatus]]:
    """Return the statuses with previews. Yields after each step of reading."""
    previews: dict[JobId, DataPreview] = {}
    for ids in _steps(job for job, _ in jobs if job.data_bytes and reads(who, job.owner)):
        pieces = journal.read(Needs(data_pieces=[DataNeed(job_id, 0, PREVIEW_BYTES) for job_id in ids])).data_pieces
        previews |= {need.id: DataPreview(piece.body, piece.size) for need, piece in pieces.items()}
        yield
    return [status._replace(data_preview=previews[job.id]) if job.id in previews else status for job, status in jobs]


def _steps(jobs: Iterable[Job]) -> Iterator[list[JobId]]:
    """Yield the ids in steps of about STEP_BYTES of data."""
    ids: list[JobId] = []
    size = 0
    for job in jobs:
        ids.append(job.id)
        size += job.data_bytes
        if size >= STEP_BYTES:
            yield ids
            ids, size = [], 0
    if ids:
        yield ids
