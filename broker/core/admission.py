"""The admission of new jobs, and their records.

A request is admitted whole or not at all. If an owner repeats a request with the same request key, it gets the same ids
and no new jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from zjobs.broker.core.people.who import Who, role_refusal
from zjobs.broker.core.records.jobs import Job, Submitted
from zjobs.messages.records import COMMAND, Limits, TaskType
from zjobs.messages.requests.changes import CheckedBy, NewJob, Retry, Submit
from zjobs.messages.requests.ops import Error
from zjobs.messages.states import ErrorCode, JobState, Role
from zjobs.messages.units import JobId, Ms

JOB_BYTES = 300  # journal space for the records of a job, without its data


MOST_AWAITED = 1_000  # different jobs that those of one request wait for: they are read together
PLAIN = NewJob("any")


class Rules(NamedTuple):
    """The operator's rules. `pause_on`: never, lost (a worker was lost) or failed (that, or a job failed).
    `journal_bytes`: the size above which the journal admits no jobs, None for no limit. `commands_for`: the least role
    that may submit commands."""

    limits: Limits = Limits()
    pause_on: str = "never"
    journal_bytes: int | None = None
    commands_for: Role = Role.OPERATOR


class Admission:
    """The room for new jobs, and the earlier submits with the request keys of this turn."""

    def __init__(self, owned: Mapping[str, int], rules: Rules) -> None:
        """Start. `owned`: how many jobs of each owner have not ended."""
        self._owned = Counter(owned)
        self._limits = rules.limits
        self._journal_bytes = rules.journal_bytes
        self._submitted: dict[tuple[str, str], Submitted] = {}
        self._free_bytes: int | None = None

    def read(self, submitted: Mapping[tuple[str, str], Submitted], used_bytes: int) -> None:
        """Add earlier submits with the request keys of this turn, and the size of the journal."""
        self._submitted.update(submitted)
        if self._journal_bytes is not None:
            self._free_bytes = self._journal_bytes - used_bytes

    def earlier(self, owner: str, request: Submit | Retry) -> Submitted | Error | None:
        """Return this owner's earlier submit with this request key, or an error if its jobs were different."""
        earlier = self._submitted.get((owner, request.request_key))
        if earlier is not None and earlier.digest != _digest(request):
            what = f"the request key {request.request_key!r} was used for other jobs; use another one"
            return Error(ErrorCode.KEY_CONFLICT, what)
        return earlier

    def refuse_submit(
        self, jobs: Sequence[NewJob], types: Collection[str] | None, unended: int, owner: str
    ) -> Error | None:
        """Return why these jobs are refused, None if they are not. `types`: those of the worker, None if unknown.
        `unended`: how many jobs have not ended."""
        limit = self._limits.data_bytes
        for place, job in enumerate(jobs):
            if job.data is not None and len(job.data) > limit:
                what = f"{len(job.data)} bytes of data; the limit is {limit}"
                return Error(ErrorCode.TOO_LARGE, _which(place, jobs) + what)
            if types is not None and job.type not in types:
                return unknown_type(_which(place, jobs), job.type, types)
        return self._no_room(jobs, unended, owner)

    def refuse_retry(
        self, jobs: Sequence[Job], types: Collection[str] | None, unended: int, owner: str
    ) -> Error | None:
        """Return why copies of these jobs are refused, None if they are not; see `refuse_submit`."""
        for job in jobs:
            if not job.state.final:
                return Error(ErrorCode.NOT_FINISHED, f"job {job.id} has not ended yet; wait for it")
            if types is not None and job.type not in types:
                return unknown_type(f"job {job.id}: ", job.type, types)
        size, most = _given_bytes(jobs), self._limits.request_bytes
        if len(jobs) > 1 and size > most:  # a single job was admitted before, perhaps with higher limits
            return Error(ErrorCode.TOO_LARGE, f"these jobs have {size} bytes of data; the limit is {most}")
        return self._no_room(jobs, unended, owner)

    def admit(
        self, owner: str, request: Submit | Retry, jobs: Sequence[NewJob] | Sequence[Job], first_id: JobId
    ) -> Submitted:
        """Admit the jobs of this request, with ids from `first_id` on."""
        given = Submitted(owner, request.request_key, first_id, len(jobs), _digest(request))
        self._submitted[owner, request.request_key] = given
        if owner:
            self._owned[owner] += len(jobs)
        if self._free_bytes is not None:
            self._free_bytes -= _growth(jobs)
        return given

    def end_turn(self) -> None:
        """Forget the submits of this turn; they are committed, and read again when needed."""
        self._submitted.clear()

    def ended(self, owner: str) -> None:
        """Record that a job of this owner ended."""
        if owner:
            self._owned[owner] -= 1

    def _no_room(self, jobs: Sequence[NewJob] | Sequence[Job], unended: int, owner: str) -> Error | None:
        more, most, share = len(jobs), self._limits.queued_jobs, self._limits.queued_per_owner
        if unended + more > most:
            what = f"{more} more jobs would exceed the limit of {most} queued jobs; wait until some end"
        elif owner and self._owned[owner] + more > share:
            what = f"{more} more jobs would exceed the limit of {share} queued jobs of one owner; wait until some end"
        elif self._free_bytes is not None and _growth(jobs) > self._free_bytes:
            what = f"the journal would exceed {self._journal_bytes} bytes; forget old jobs, or raise --max-journal"
        else:
            return None
        return Error(ErrorCode.QUEUE_FULL, what)


def new_job(job_id: JobId, new: NewJob, owner: str, submitter: str, wall_ms: Ms) -> Job:
    """Return the record of a job that is admitted now. The client's name for its submitter counts only if no owner is
    proven."""
    ready_at = Ms(wall_ms + new.delay_ms) if new.delay_ms else new.start_at
    return Job(
        job_id,
        new.type,
        JobState.QUEUED,
        0,
        0,
        0,
        0 if new.data is None else len(new.data),
        wall_ms,
        new.priority,
        ready_at,
        new.time_limit_ms,
        owner=owner,
        name=new.name,
        comment=new.comment,
        submitter="" if owner else submitter,
        start_at=new.start_at,
        start_by=new.start_by,
    )


def retried_job(job_id: JobId, old: Job, owner: str, submitter: str, wall_ms: Ms) -> Job:
    """Return the record of a copy of an ended job. The journal copies the data."""
    new = NewJob(old.type, None, old.priority, Ms(0), old.time_limit_ms, old.name, old.comment)
    job = new_job(job_id, new, owner, submitter, wall_ms)
    return job._replace(data_bytes=old.data_bytes, retry_of=old.id)


def named(request: Submit | Retry, limits: Limits) -> Collection[JobId]:
    """Return the jobs whose records decide on a request; none if it is refused whatever they are."""
    if isinstance(request, Submit):
        ids: Collection[JobId] = awaited(request.jobs)
        return ids if len(ids) <= MOST_AWAITED else ()
    return () if too_many(len(request.ids), limits) else request.ids


def awaited(jobs: Iterable[NewJob]) -> set[JobId]:
    """Return the jobs that these shall wait for."""
    return {each for job in jobs if job.after or job.after_any for each in (*job.after, *job.after_any)}


def too_many(jobs: int, limits: Limits) -> Error | None:
    """Return an error if one request names more jobs than allowed."""
    most = limits.request_jobs
    return Error(ErrorCode.TOO_LARGE, f"{jobs} jobs in one request; the limit is {most}") if jobs > most else None


def refuse_commands(jobs: Iterable[NewJob | Job], who: Who, least: Role) -> Error | None:
    """Return why `who` may not submit these jobs, if commands are among them: a command can do whatever the worker's
    account can."""
    if all(job.type != COMMAND for job in jobs):
        return None
    return role_refusal(who, least.and_above, "a command")


def outdated(checked_by: Iterable[CheckedBy], types: Mapping[str, TaskType] | None) -> Error | None:
    """Return an error if a client checked its data by another schema than a type has now. `types`: None while no worker
    has announced any."""
    for name, digest in checked_by:
        task_type = (types or {}).get(name)
        if task_type is not None and task_type.schema_digest != digest:
            what = f"the parameters of {name!r} have changed: ask for its schema, and check the data by that"
            return Error(ErrorCode.SCHEMA_CHANGED, what)
    return None


def refuse_times(jobs: Sequence[NewJob], wall_ms: Ms) -> Error | None:
    """Return why the times of these jobs are refused, None if they are not."""
    for place, job in enumerate(jobs):
        if job.start_at and job.delay_ms:
            what = "start_at and delay_ms exclude each other"
        elif job.start_by and job.start_by <= max(wall_ms, job.start_at or 0):
            what = "start_by is over" if job.start_by <= wall_ms else "start_by must come after start_at"
        else:
            continue
        return Error(ErrorCode.BAD_REQUEST, _which(place, jobs) + what)
    return None


def _given_bytes(jobs: Sequence[NewJob] | Sequence[Job]) -> int:
    """Return the size of data, names and comments."""
    data = sum(len(job.data or b"") if isinstance(job, NewJob) else job.data_bytes for job in jobs)
    return data + sum(len(text.encode()) for job in jobs for text in (job.name, job.comment) if text)


def _growth(jobs: Sequence[NewJob] | Sequence[Job]) -> int:
    """Return how much the journal grows by these jobs."""
    return _given_bytes(jobs) + len(jobs) * JOB_BYTES


def unknown_type(which: str, job_type: str, types: Collection[str]) -> Error:
    """Return the error that the worker has no such type. `which`: the prefix that says which of several jobs it is
    about."""
    if job_type == COMMAND:
        return Error(ErrorCode.UNKNOWN_TYPE, f"{which}the worker runs no commands; zworker --commands does")
    names = ", ".join(sorted(types)) or "none"
    return Error(ErrorCode.UNKNOWN_TYPE, f"{which}the worker has no task type {job_type!r}; it has: {names}")


def _which(place: int, jobs: Sequence[NewJob]) -> str:
    """Return a prefix that says which of several jobs an error is about; empty if there is only one."""
    return f"jobs[{place}]: " if len(jobs) > 1 else ""


def _options(job: NewJob) -> bytes:
    """Return the part of the digest for options that differ from the usual ones."""
    parts = [job[2:5]] if job[2:5] != (0, 0, None) else []
    texts = [job[5:7]] if job.name or job.comment else []
    waits = [("after", job.after, job.after_any)] if job.after or job.after_any else []
    times = [("start", job.start_at, job.start_by)] if job.start_at or job.start_by else []
    return "".join(map(repr, [*parts, *texts, *waits, *times])).encode()


def _digest(request: Submit | Retry) -> bytes:
    """Return a digest of the jobs. It includes the lengths of types and data, so different lists never look alike.

    It must not change for jobs of the kinds there were before: digests are kept for as long as their jobs.
    """
    if isinstance(request, Retry):
        what = "retry with dependents" if request.with_dependents else "retry"
        return blake2b(repr((what, request.ids)).encode(), digest_size=16).digest()
    digest = blake2b(digest_size=16)
    for job in request.jobs:
        size = -1 if job.data is None else len(job.data)
        digest.update(b"%d %d " % (len(job.type.encode()), size))
        digest.update(job.type.encode())
        digest.update(job.data or b"")
        if job[2:] != PLAIN[2:]:
            digest.update(_options(job))
    return digest.digest()
