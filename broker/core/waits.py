"""The reasons besides its turn for which a job waits, and the changes that people make to it before it starts.

A job that the worker has already may have started, so it is recalled first. The edit is made in the turn in which the
worker returns the job; it is too late if the job turns out to have started. Until then it is kept only in memory: its
client has not been answered yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from zjobs.broker.core import admission, lifecycle
from zjobs.broker.core.admission import MOST_AWAITED, Rules
from zjobs.broker.core.people import edits
from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.core.queue_changes import QueueChanges
from zjobs.broker.core.records.jobs import Envelope, Instant, Job, Loaded
from zjobs.messages.records import BrokerName, Missing
from zjobs.messages.requests.changes import Edit, EditReply, NewJob, Submit
from zjobs.messages.requests.ops import Error
from zjobs.messages.states import ErrorCode, JobState, Role
from zjobs.messages.units import JobId, Ms

TOLD_A_TURN = 200
MOST_EDGES_A_REQUEST = 20_000
MOST_EDGES = 1_000_000
MOST_PENDING = 10_000
OUTCOMES_KEPT = 10_000


class PendingEdit(NamedTuple):
    """An edit of a job that was recalled, and the client that waits for the outcome."""

    request: Edit
    reply_to: Envelope
    who: Who


class Waits(QueueChanges):
    """A queue whose jobs can be held, released and edited."""

    def __init__(self, loaded: Loaded, rules: Rules, name: BrokerName, now: Instant) -> None:
        super().__init__(loaded, rules, name, now)
        self._dependents_read: Mapping[JobId, Sequence[Job]] = {}
        self._pending_edits: dict[JobId, list[PendingEdit]] = {}

    # --- jobs that wait for others ---------------------------------------------------------------------------------

    def _refuse_waits(self, request: Submit, who: Who) -> Error | None:
        """Return why these jobs cannot wait for the jobs that they name, None if they can."""
        awaited = admission.awaited(request.jobs)
        count = sum(len(new.after) + len(new.after_any) for new in request.jobs)
        if len(awaited) > MOST_AWAITED or count > MOST_EDGES_A_REQUEST:
            what = f"the jobs of one request may wait for {MOST_AWAITED} others, {MOST_EDGES_A_REQUEST} times in all"
            return Error(ErrorCode.TOO_LARGE, what)
        if count + self._edges > MOST_EDGES:
            return Error(ErrorCode.QUEUE_FULL, "too many jobs wait for others; wait until some end")
        for job_id in sorted(awaited):
            job = self._jobs.get(job_id)
            if job is None:
                return Error(self.why_missing(job_id), f"there is no job {job_id} to start after")
            if who.role is Role.SUBMITTER and job.owner != who.name:
                what = f"job {job_id} is not yours; a submitter may start a job after its own jobs alone"
                return Error(ErrorCode.NOT_PERMITTED, what)
        for job_id in sorted({each for new in request.jobs for each in new.after}):
            job = self._jobs[job_id]
            if job.state in (JobState.FAILED, JobState.CANCELLED):
                what = f"job {job_id}, to start after, is {job.state.value} and will not complete"
                return Error(ErrorCode.NOT_COMPLETED, what)
        return None

    def _waiting_for(self, job: Job, new: NewJob) -> Job:
        """Return a new job that waits for those of the others that have not ended."""
        after = tuple(each for each in dict.fromkeys(new.after) if not self._jobs[each].state.final)
        others = dict.fromkeys(each for each in new.after_any if each not in after)
        after_any = tuple(each for each in others if not self._jobs[each].state.final)
        if after or after_any:
            self._jobs.mark_edited(job.id)
        return job._replace(after=after, after_any=after_any)

    def _waiting_as(self, job: Job, old: Job, copies: Mapping[JobId, JobId]) -> Job:
        """Return a copy that waits as its original did: for `copies` instead of what they are copies of. Whoever copies
        a job wants it to run, so the end that cancelled it no longer counts."""
        after, after_any = (
            tuple(copies.get(each, each) for each in ids if each in copies or each != old.cancelled_by)
            for ids in (old.after, old.after_any)
        )
        if after or after_any:
            self._jobs.mark_edited(job.id)
        self._due |= dict.fromkeys({*after, *after_any} - set(copies.values()))  # they may have ended, and be gone
        return job._replace(after=after, after_any=after_any)

    def _cancelled_with(self, jobs: Sequence[Job], who: Who) -> list[Job]:
        """Return the jobs that were cancelled because these did not complete, as far as `who` may copy them."""
        found = {job.id: job for of in jobs for job in self._dependents_read.get(of.id, ())}
        there = {job.id for job in jobs}
        mine = (found[job_id] for job_id in sorted(found.keys() - there))
        return [job for job in mine if who.role is Role.OPERATOR or job.owner == who.name]

    def _due_ids(self) -> list[JobId]:
        """Return the ids of the records that are needed to tell jobs of the next ends."""
        ids: list[JobId] = []
        for awaited in self._due:
            ids += [awaited, *islice(self._dependents.get(awaited, ()), TOLD_A_TURN)]
            if len(ids) >= TOLD_A_TURN:
                break
        return [job_id for job_id in ids[: TOLD_A_TURN + 1] if job_id not in self._jobs]

    def _tell_dependents(self, now: Instant) -> None:
        """Tell jobs of the ends that they wait for, as far as their records were read for this turn."""
        for awaited in list(self._due):
            if awaited not in self._jobs:
                return
            ended = self._jobs.get(awaited)
            if ended is None or ended.state.final:
                for job_id in list(islice(self._dependents.get(awaited, ()), TOLD_A_TURN)):
                    if job_id not in self._jobs:
                        return
                    self._tell_dependent(self._jobs[job_id], awaited, ended, now)
                if awaited in self._dependents:
                    return
            del self._due[awaited]

    def _tell_dependent(self, job: Job, awaited: JobId, ended: Job | None, now: Instant) -> None:
        delay_ms = self._delay_left(job, now)
        self._leave_place(job)
        if awaited in job.after and (ended is None or ended.state is not JobState.COMPLETED):
            self._settle(lifecycle.cancelled_waiting(job, awaited, ended, self.moment(now)), now, JobState.QUEUED)
        else:
            after, after_any = (tuple(each for each in ids if each != awaited) for ids in (job.after, job.after_any))
            job = self._write(job._replace(after=after, after_any=after_any))
            self._put_in_place(job, delay_ms, now)
            self._may_drop(job)
        self._jobs.mark_edited(job.id)

    # --- jobs that have not started by their time --------------------------------------------------------------------

    def _overdue_ids(self, now: Instant) -> list[JobId]:
        """The records that are needed to cancel the next of the jobs whose time to start is over."""
        self._overdue |= dict.fromkeys(self._start_by.take_due(now.wall_ms))
        return [job_id for job_id in islice(self._overdue, TOLD_A_TURN) if job_id not in self._jobs]

    def _is_late(self, job: Job, now: Instant) -> bool:
        """Return whether a job that is not in flight must not start any more."""
        return job.start_by is not None and not job.run and job.start_by <= now.wall_ms

    def _cancel_overdue(self, now: Instant) -> None:
        """Cancel jobs that have not started by their time, and recall those that the worker has."""
        for job_id in [*islice(self._overdue, TOLD_A_TURN), *self._recalled]:
            if job_id not in self._jobs:
                continue
            self._overdue.pop(job_id, None)
            job = self._jobs.get(job_id)
            gone = job is None or job.state.final or job.cancelling
            if job is None or gone or self._has_started(job_id) or not self._is_late(job, now):
                self._recalled.pop(job_id, None)
            elif self._dispatch.in_flight.delivery_of(job_id) is None:
                self._recalled.pop(job_id, None)
                self._leave_place(job)
                self._settle(lifecycle.cancelled_late(job, self.moment(now)), now, JobState.QUEUED)
            elif job_id not in self._recalled:
                self._recalled[job_id] = None
                self._dispatch.recall()

    # --- edits -----------------------------------------------------------------------------------------------------

    def edit(self, request: Edit, reply_to: Envelope, now: Instant, who: Who = ANYBODY) -> None:
        """Change jobs that have not started. Those that the worker has are recalled first."""
        changed: list[JobId] = []
        late: list[JobId] = []
        pending: list[JobId] = []
        missing: list[Missing] = []
        for job_id in dict.fromkeys(request.ids):
            job = self._jobs.get(job_id)
            if job is None:
                missing.append(Missing(job_id, self.why_missing(job_id)))
            elif job.state.final or job.cancelling or self._has_started(job_id):
                late.append(job_id)
            elif self._dispatch.in_flight.delivery_of(job_id) is not None:
                pending.append(job_id)
            else:
                self._edit(job, request, now)
                changed.append(job_id)
        if changed:
            self._audit(request, who, changed, now, edits.audit_text(request))
        if pending and len(self._pending_edits) < MOST_PENDING:
            self._recall(pending, PendingEdit(request, reply_to, who))
        lists = tuple(changed), tuple(late), tuple(pending), tuple(missing)
        self._reply(reply_to, EditReply(self.journal, *lists))

    def _edit(self, job: Job, request: Edit, now: Instant) -> None:
        """Change a job that is not in flight, and put it where it belongs now."""
        delay_ms = self._delay_left(job, now)
        if request.start_at is not None:
            delay_ms = Ms(max(0, request.start_at - now.wall_ms))
        self._leave_place(job)
        job = self._write(edits.edited(job, request))
        self._jobs.mark_edited(job.id)
        self._put_in_place(job, delay_ms, now)
        self._may_drop(job)

    def _recall(self, ids: list[JobId], edit: PendingEdit) -> None:
        """Ask the worker for jobs, and keep the edit until it is known whether they have started."""
        for job_id in ids:
            self._pending_edits.setdefault(job_id, []).append(edit)
            self.edit_outcomes.pop((edit.reply_to, job_id), None)
        self._dispatch.recall()

    def _has_started(self, job_id: JobId) -> bool:
        """Return whether a job in flight is certain to have started."""
        delivery = self._dispatch.in_flight.delivery_of(job_id)
        return delivery is not None and self._dispatch.has_started(delivery)

    def _decide_pending_edits(self, now: Instant) -> None:
        """Make the edits of the jobs that the worker has returned; those of jobs that have started come too late."""
        for job_id in list(self._pending_edits):
            started = self._has_started(job_id)
            if not started and self._dispatch.in_flight.delivery_of(job_id) is not None:
                continue
            for edit in self._pending_edits.pop(job_id):
                job = self._jobs[job_id]
                may = not started and not job.state.final
                if may:
                    self._edit(job, edit.request, now)
                    self._audit(edit.request, edit.who, [job_id], now, edits.audit_text(edit.request))
                self.edit_outcomes[edit.reply_to, job_id] = may
                self._effects.edits_decided.append((edit.reply_to, job_id))
        for old in list(islice(self.edit_outcomes, max(0, len(self.edit_outcomes) - OUTCOMES_KEPT))):
            del self.edit_outcomes[old]
