"""The records in memory, and the changes and effects of one turn of the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from zjobs.broker.core.records.jobs import Counters, Envelope, Job, Printed, Service, Session, Submitted
from zjobs.messages.dispatch import PipeMessage
from zjobs.messages.records import Attempt, AuditEntry, QueuePause, TaskType
from zjobs.messages.requests.ops import Reply
from zjobs.messages.units import DeliveryNumber, JobId

# What people ask of a job. It is written when it differs from what the job was submitted with; else, only what happens.
EDITED = (
    ("held", "priority", "time_limit_ms", "name", "comment")
    + ("after", "after_any", "cancelled_by")
    + ("start_at", "start_by")
)


class Changes:
    """The changes that one turn writes in one commit. Empty or None: nothing of that kind."""

    def __init__(self) -> None:
        self.added: dict[JobId, Job] = {}  # as admitted; later changes are in `changed`
        self.changed: dict[JobId, Job] = {}  # what happened to jobs
        self.edited: dict[JobId, Job] = {}  # what was asked of jobs, see EDITED
        self.forgotten: set[JobId] = set()
        self.data: list[tuple[JobId, bytes]] = []
        self.data_copies: list[tuple[JobId, JobId]] = []  # (to, from)
        self.results: list[tuple[JobId, bytes]] = []
        self.outputs: list[Printed] = []
        self.attempts: list[tuple[JobId, Attempt]] = []
        self.submitted: dict[tuple[str, str], Submitted] = {}  # by owner and request key
        self.settled: list[tuple[DeliveryNumber]] = []
        self.deliveries: list[tuple[DeliveryNumber, JobId]] = []
        self.session: Session | None = None
        self.types: dict[str, TaskType] | None = None
        self.history: dict[str, tuple[int, ...]] = {}  # the last runs of each type that ran; (): drop them
        self.schemas: dict[str, bytes | None] = {}  # by digest; None: drop it
        self.audit: list[AuditEntry] = []
        self.pauses: list[tuple[QueuePause, ...]] = []  # each: all pauses in force; the last one counts
        self.counters: Counters | None = None
        self.service: Service | None = None

    def __bool__(self) -> bool:
        return any(vars(self).values())


class JobTable:
    """The records that the core works with, by id; None for an id that was read and has no job. During a turn only this
    table has a job's current record.

    Between turns it keeps the jobs in flight and some of those that start next. All other records that a turn needs are
    read before it (`Core.needs`); looking up any other is a bug and raises KeyError. So a decision never waits for
    storage, and a turn costs one round trip of reads.
    """

    def __init__(self, in_flight: Iterable[Job]) -> None:
        self._jobs: dict[JobId, Job | None] = {job.id: job for job in in_flight}
        self._added: dict[JobId, Job] = {}
        self._written: dict[JobId, None] = {}
        self._edited: set[JobId] = set()
        self._forgotten: set[JobId] = set()
        self._touched: set[JobId] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job_id: JobId) -> bool:
        return job_id in self._jobs

    def __getitem__(self, job_id: JobId) -> Job:
        """Return the record of a job. Raises KeyError if there is no such job, or it was not read."""
        job = self._jobs[job_id]
        if job is None:
            raise KeyError(job_id)
        return job

    def at_hand(self, job_id: JobId) -> Job | None:
        """Return the record, None if it is not in memory."""
        return self._jobs.get(job_id)

    def get(self, job_id: JobId) -> Job | None:
        """Return the record, None if there is no such job. Raises KeyError if the id was not read."""
        return self._jobs[job_id]

    def read(self, ids: Sequence[JobId], jobs: Mapping[JobId, Job]) -> None:
        """Add the committed records of these jobs."""
        self._jobs.update((job_id, jobs.get(job_id)) for job_id in ids)
        self._touched.update(ids)

    def add(self, job: Job) -> None:
        """Add a new job, which this turn inserts into the journal."""
        self._jobs[job.id] = self._added[job.id] = job
        self._touched.add(job.id)

    def write(self, job: Job) -> None:
        """Replace a record, and write it to the journal with this turn."""
        self._jobs[job.id] = job
        self._written[job.id] = None
        self._touched.add(job.id)

    def mark_edited(self, job_id: JobId) -> None:
        """Record that a job written in this turn was also changed on request."""
        self._edited.add(job_id)

    def keep(self, job: Job) -> None:
        """Replace a record without writing it to the journal."""
        self._jobs[job.id] = job
        self._touched.add(job.id)

    def forget(self, job_id: JobId) -> bool:
        """Drop a job from the journal. Return False, and do nothing, if this turn has written or dropped it."""
        if job_id in self._written or job_id in self._added or self._jobs[job_id] is None:
            return False
        self._jobs[job_id] = None
        self._forgotten.add(job_id)
        self._touched.add(job_id)
        return True

    def prune(self, stays: Callable[[JobId], bool]) -> None:
        """Drop every record that does not stay and that this turn has not touched."""
        self._jobs = {job_id: job for job_id, job in self._jobs.items() if job_id in self._touched or stays(job_id)}

    def end_turn(self, changes: Changes, stays: Callable[[Job], bool]) -> None:
        """Put this turn's changes into `changes`, and drop every record it touched that does not stay."""
        changes.added = self._added
        changes.changed = {job_id: self[job_id] for job_id in self._written}
        changes.edited = {job_id: self[job_id] for job_id in self._edited}
        changes.forgotten = self._forgotten
        for job_id in self._touched:
            job = self._jobs[job_id]
            if job is None or not stays(job):
                del self._jobs[job_id]
        self._added, self._written, self._forgotten, self._touched = {}, {}, set(), set()
        self._edited = set()


class Dispatched(NamedTuple):
    """A job and the delivery number under which it is dispatched."""

    delivery: DeliveryNumber
    job: Job


class JobChange(NamedTuple):
    """A job after a change. `change`: None if it began or reported progress, which is not journaled."""

    job: Job
    change: int | None


class Effects:
    """The effects of a turn. `changes` must be on disk before anything else leaves the process. `resend`: `dispatched`
    contains everything that the worker may still need, and whatever was being sent before is void."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.replies: list[tuple[Envelope, Reply]] = []
        self.pipe: list[PipeMessage] = []
        self.dispatched: list[Dispatched] = []
        self.resend = False
        self.job_changes: list[JobChange] = []
        self.edits_decided: list[tuple[Envelope, JobId]] = []  # see `QueueState.edit_outcomes`
        self.warnings: list[str] = []
        self.rejections: list[str] = []
