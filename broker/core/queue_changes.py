"""The changes that can be made to the queue. Each is written with the turn, and announced once that is on disk.

`core` decides which change is made.
"""

from __future__ import annotations

from collections.abc import Sequence

from zjobs.broker.core.admission import Admission, Rules
from zjobs.broker.core.lifecycle import Fate
from zjobs.broker.core.people import audit
from zjobs.broker.core.people.who import Who
from zjobs.broker.core.queue_state import QueueState
from zjobs.broker.core.records.effects import Effects, JobChange
from zjobs.broker.core.records.jobs import Envelope, Instant, Job, Loaded, Printed, Step, Submitted, next_state
from zjobs.messages.fields import MAX_REASON_CHARS
from zjobs.messages.records import BrokerName
from zjobs.messages.requests.changes import Cancel, Edit, Forget, NewJob, Pause, Resume, Retry, Submit
from zjobs.messages.requests.ops import OPERATION_OF, Reply
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId, Ms

MOST_AT_HAND = 512  # records of ready jobs, before those of new jobs are no longer kept


ByHand = Cancel | Edit | Retry | Forget | Pause | Resume


class QueueChanges(QueueState):
    """A queue that can be changed. Collects the changes of one turn until its end."""

    def __init__(self, loaded: Loaded, rules: Rules, name: BrokerName, now: Instant) -> None:
        super().__init__(loaded, rules.limits, name, now)
        self._rules = rules
        self._admission = Admission(loaded.owned, rules)
        self._effects = Effects()
        self._surplus: set[JobId] = set()  # ready jobs whose records are not kept in memory

    def record_service(self, now: Instant) -> None:
        """Record the journal's time in service, even if nothing else is written."""
        self._effects.changes.service = self.service(now)

    def drop(self, job: Job) -> bool:
        """Drop one ended job. Return False if it cannot be dropped yet: it ended in this turn, or others that wait for
        its end have not been told."""
        if job.id in self._dependents or not self._jobs.forget(job.id):
            return False
        self._totals[job.state.value] -= 1
        return True

    def _give_ids(self, owner: str, request: Submit | Retry, jobs: Sequence[NewJob] | Sequence[Job]) -> Submitted:
        given = self._admission.admit(owner, request, jobs, self._totals["next_id"])
        self._totals["next_id"] += given.count
        self._effects.changes.submitted[owner, request.request_key] = given
        return given

    def _add(self, job: Job, delay_ms: Ms, now: Instant) -> None:
        """Add a new job."""
        self._may_drop(job)
        self._jobs.add(job)
        self._put_in_place(job, delay_ms, now)
        self._tell(job)

    def _may_drop(self, job: Job) -> None:
        """Keep the record of a ready job only if there are few: else it is read again when its turn comes."""
        if len(self._jobs) >= self.dispatched + MOST_AT_HAND:
            self._surplus.add(job.id)

    def _settle(self, fate: Fate, now: Instant, state: JobState = JobState.IN_PROGRESS) -> None:
        """Carry out a job's transition, record it, and announce it."""
        job = fate.job
        after = next_state(job, fate.step, state)
        if fate.attempt is not None:
            self._effects.changes.attempts.append((job.id, fate.attempt))
        if fate.step is Step.RETRY:
            job = job._replace(ready_at=Ms(now.wall_ms + fate.delay_ms))
        job = self._write(job._replace(state=after, cancelling=job.cancelling and not after.final))
        if after is JobState.QUEUED:
            self._put_in_place(job, fate.delay_ms, now)
        else:
            self._totals[after.value] += 1
            self._start_by.set(job.id, None)
            self._admission.ended(job.owner)
            if job.id in self._dependents:
                self._due[job.id] = None
        pauses = self._rules.pause_on == "failed" or (fate.lost and self._rules.pause_on == "lost")
        if fate.mishap and pauses and not self._pauses.endless:  # the first reason stands: others may follow from it
            self._pauses.begin("", fate.mishap[:MAX_REASON_CHARS], None, now)
            self._pauses_changed()

    def _write(self, job: Job) -> Job:
        """Record a changed job under its next version, and announce it. Return the new record."""
        job = job._replace(version=job.version + 1)
        self._jobs.write(job)
        self._tell(job)
        return job

    def _tell(self, job: Job) -> None:
        self._totals["change"] += 1
        self._effects.job_changes.append(JobChange(job, self._totals["change"]))

    def _keep_output(self, job: Job, offset: int, body: bytes) -> None:
        """Keep the output of a job's present run: its end, if there is too much."""
        kept_from = max(0, offset + len(body) - self._rules.limits.output_bytes)
        self._effects.changes.outputs.append(Printed(job.id, job.attempts + job.reruns + 1, offset, body, kept_from))

    def _pauses_changed(self) -> None:
        """Record the pauses in force, and recall the jobs that have not begun."""
        self._effects.changes.pauses.append(self._pauses.kept)
        if self._pauses:
            self._dispatch.recall()

    def _audit(self, request: ByHand, who: Who, ids: Sequence[JobId], now: Instant, text: str = "") -> None:
        """Add the changes made by a request to the audit trail."""
        op = OPERATION_OF[type(request)].name
        self._effects.changes.audit.append(audit.entry(op, who, request.submitter, ids, text, now.wall_ms))

    def _reply(self, reply_to: Envelope, reply: Reply) -> None:
        self._effects.replies.append((reply_to, reply))
