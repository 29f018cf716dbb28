"""Rules shared by every restored journal: it starts paused, and its operator is told what had not ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zjobs.broker.core.records.jobs import Loaded
from zjobs.messages.records import QueuePause
from zjobs.messages.units import Ms

SHOWN = 20
REASON = "restored from {}: what was queued in it may have run since; look at it, cancel what has, then resume"


def pause_after(source: str, before: Iterable[QueuePause], wall_ms: int) -> QueuePause:
    """Return a pause: jobs that the backup calls queued may have run since, so nothing may start before somebody has
    looked."""
    reasons = [pause.reason for pause in before if pause.reason]
    reason = REASON.format(source) + (f". Before that: {reasons[0]}" if reasons else "")
    return QueuePause("", reason[:1000], Ms(wall_ms))


def open_jobs(jobs: Sequence[tuple[int, str, bool]], count: int) -> list[str]:
    """Return lines about the jobs that had not ended. `jobs`: id, type, whether it is in flight, in order; `count`: how
    many there are in all."""
    if not count:
        return ["no job in it was queued; nothing starts before `zclient resume`"]
    lines = ["nothing starts before `zclient resume`: these jobs had not ended in the backup, and may have run since"]
    lines += [
        f"  {job_id}  {job_type}" + ("  was with the worker" if in_flight else "")
        for job_id, job_type, in_flight in jobs
    ]
    if count > len(jobs):
        lines.append(f"  and {count - len(jobs)} more (zclient list --state queued)")
    return lines


def summary(loaded: Loaded) -> str:
    """Return a journal's identity and counts."""
    counters = loaded.counters
    queued, waiting = sum(len(ids) for ids, _ in loaded.ready.values()), len(loaded.waiting)
    return (
        f"journal {loaded.journal}, {counters.next_id - 1} ids given, {queued} queued, {waiting} waiting, "
        f"{counters.completed} completed, {counters.failed} failed, {counters.cancelled} cancelled"
    )
