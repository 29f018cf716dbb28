"""Jobs on their way to the worker, as messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from zjobs.broker.effects import Handed
from zjobs.messages.types import HandedJob, Jobs

MESSAGE_BYTES = 1 << 20


def of(handed: Iterable[Handed], data: Mapping[int, bytes], session: str) -> Iterator[Jobs]:
    """Messages of consecutive numbers, each of about a mebibyte at most. `data`: that of those jobs that have any."""
    batch: list[HandedJob] = []
    size = first = 0
    for n, job in handed:
        if batch and (n != first + len(batch) or size + job.data_bytes > MESSAGE_BYTES):
            yield Jobs(session, first, tuple(batch))
            batch = []
        if not batch:
            first, size = n, 0
        batch.append(HandedJob(job.id, job.type, data.get(job.id), job.attempts + job.reruns + 1, job.time_limit_ms))
        size += job.data_bytes
    if batch:
        yield Jobs(session, first, tuple(batch))
