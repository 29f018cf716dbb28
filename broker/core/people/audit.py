"""The audit trail: who changed what by hand, and when. An entry is written in the commit of its change."""

from __future__ import annotations

from collections.abc import Iterable

from zjobs.broker.core.people.who import Who
from zjobs.messages.records import AuditEntry
from zjobs.messages.units import JobId, Ms

MOST_CHARS = 1_000


def entry(op: str, who: Who, submitter: str, jobs: Iterable[JobId], text: str, wall_ms: Ms) -> AuditEntry:
    """Return the entry for a change. `submitter`: the name that the client gives, used where no key proves one."""
    proven = bool(who.name)
    return AuditEntry(0, wall_ms, op, who.name or submitter, proven, who.via, ranges(jobs), text[:MOST_CHARS])


def ranges(ids: Iterable[JobId]) -> str:
    """Return ids as `3-7 9`, in order. A very long list is cut."""
    parts: list[list[int]] = []
    for job_id in sorted(set(ids)):
        if parts and job_id == parts[-1][1] + 1:
            parts[-1][1] = job_id
        else:
            parts.append([job_id, job_id])
    told = " ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
    return told if len(told) <= MOST_CHARS else told[:MOST_CHARS].rpartition(" ")[0] + " …"
