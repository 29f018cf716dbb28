"""The queue: which jobs are admitted, in which order they are dispatched, and what becomes of them.

The core is a function of its inputs: requests, the worker's messages, the records that it asked for, and the time. It
returns `Effects`: what to write to the journal, and what to send once that is on disk. It has no clock, socket, file,
log or random numbers of its own, and never calls storage. One turn is

    needs = core.needs(requests, now)             name the records that the turn will look up
    core.read(read)                               receive them, all at once
    for each request and message:  core.change(request …) | core.on_heartbeat(…) | … | core.on_reports(…)
    effects = core.end_turn(now)                  dispatch what the window has room for

`broker.turn` calls it, commits the effects, and then sends them. If the commit fails, the core is discarded and loaded
anew.

Each class adds to the one before: `queue_state` answers questions about the queue, `queue_changes` changes it, `waits`
has what jobs wait for besides their turn, `runs` what the worker says. `admission` decides which jobs are admitted,
`lifecycle` what becomes of a job.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from zjobs.broker.core import admission, lifecycle
from zjobs.broker.core.people import audit, pauses
from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.core.records.effects import Dispatched, Effects, JobChange
from zjobs.broker.core.records.jobs import Envelope, Instant, Job, Step, next_state
from zjobs.broker.core.records.needs import Needs, Read
from zjobs.broker.core.runs import Runs
from zjobs.messages.records import COMMAND, Missing, Paused
from zjobs.messages.requests.changes import (
    Cancel,
    Forget,
    ForgetReply,
    Pause,
    PauseReply,
    Resume,
    ResumeReply,
    Retry,
    RetryReply,
    Submit,
    SubmitReply,
)
from zjobs.messages.requests.ops import OPERATION_OF, Error, Request
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId, Ms

PREFETCH = 256
DISPATCHED_TOGETHER = 16


class Core(Runs):
    """The decisions about one queue."""

    # --- the start of a turn -------------------------------------------------------------------------------------

    def needs(self, asked: Iterable[tuple[str, Request]], now: Instant) -> Needs:
        """Make the delayed jobs whose time has come ready, and name the records that the turn will look up.

        `asked`: the requests that change something, each with its owner.
        """
        self._follow_clock(now)
        for woken in self._delayed.wake(now.mono_ms):
            self._start_times.pop(woken.job_id, None)
            self._queue.add(woken.priority, woken.job_id, woken.kind)
            self._lacks_record = True
        ids = self._next_unread() if self._lacks_record else []
        if self._due:
            ids += self._due_ids()
        ids += self._overdue_ids(now)
        submits = []
        dependents: list[JobId] = []
        for owner, request in asked:
            named: Iterable[JobId] = OPERATION_OF[type(request)].ids_in(request)
            if isinstance(request, (Submit, Retry)):
                submits.append((owner, request.request_key))
                named = admission.named(request, self._rules.limits)
                if isinstance(request, Retry) and request.with_dependents:
                    dependents += named
            ids += [job_id for job_id in named if job_id not in self._jobs]
        return Needs(ids, submits, dependents=dependents)

    def _next_unread(self) -> list[JobId]:
        """Return the jobs to read, if the record of the first to start is not in memory: many, so that this is rare."""
        self._lacks_record = False
        first = self._queue.first(1)
        if not first or first[0] in self._jobs:
            return []
        self._jobs.prune(lambda job_id: self._dispatch.in_flight.delivery_of(job_id) is not None)
        return [job_id for job_id in self._queue.first(PREFETCH) if job_id not in self._jobs]

    def read(self, read: Read) -> None:
        """Receive the records that the turn needs."""
        if read.needs.jobs:
            self._jobs.read(read.needs.jobs, read.found.jobs)
        self._dependents_read = read.found.dependents
        self._admission.read(read.found.submits, read.used_bytes)

    # --- requests ------------------------------------------------------------------------------------------------

    def change(self, request: Request, reply_to: Envelope, now: Instant, who: Who = ANYBODY) -> None:
        """Carry out a request that changes something, with the method named like its operation."""
        getattr(self, OPERATION_OF[type(request)].name)(request, reply_to, now, who)

    def submit(self, request: Submit, reply_to: Envelope, now: Instant, who: Who = ANYBODY) -> None:
        """Admit all jobs of the request or none."""
        owner = who.name
        answer = self._admission.earlier(owner, request)
        answer = answer or admission.too_many(len(request.jobs), self._rules.limits)
        answer = answer or admission.refuse_commands(request.jobs, who, self._rules.commands_for)
        answer = answer or self._admission.refuse_submit(request.jobs, self.types, self.unended, owner)
        answer = answer or admission.outdated(request.schemas, self.types)
        answer = answer or admission.refuse_times(request.jobs, now.wall_ms)
        if answer is None and any(new.after or new.after_any for new in request.jobs):
            answer = self._refuse_waits(request, who)
        if answer is None:
            answer = self._give_ids(owner, request, request.jobs)
            for job_id, new in zip(answer.ids, request.jobs):
                if new.data is not None:
                    self._effects.changes.data.append((job_id, new.data))
                job = admission.new_job(job_id, new, owner, request.submitter, now.wall_ms)
                if new.after or new.after_any:
                    job = self._waiting_for(job, new)
                if new.start_at or new.start_by:
                    self._jobs.mark_edited(job.id)
                self._add(job, Ms(max(new.delay_ms, (new.start_at or 0) - now.wall_ms)), now)
        if isinstance(answer, Error):
            self._reply(reply_to, answer)
        else:
            checked = self.types is not None
            self._reply(reply_to, SubmitReply(self.journal, answer.first_id, answer.count, checked))

    def retry(self, request: Retry, reply_to: Envelope, now: Instant, who: Who = ANYBODY) -> None:
        """Submit copies of ended jobs, all or none."""
        owner = who.name
        answer = self._admission.earlier(owner, request) or admission.too_many(len(request.ids), self._rules.limits)
        olds = [] if answer else [self._jobs.get(job_id) for job_id in request.ids]
        if None in olds:
            missing = request.ids[olds.index(None)]
            answer = Error(self.why_missing(missing), f"there is no job {missing}")
        jobs = [job for job in olds if job is not None]
        if answer is None and request.with_dependents:
            jobs += self._cancelled_with(jobs, who)
            answer = admission.too_many(len(jobs), self._rules.limits)
        answer = answer or admission.refuse_commands(jobs, who, self._rules.commands_for)
        answer = answer or self._admission.refuse_retry(jobs, self.types, self.unended, owner)
        if answer is None:
            answer = self._give_ids(owner, request, jobs)
            self._audit(request, who, [job.id for job in jobs], now, f"as {audit.ranges(answer.ids)}")
            copies = {old.id: job_id for old, job_id in zip(jobs, answer.ids)}
            for job_id, old in zip(answer.ids, jobs):
                self._effects.changes.data_copies.append((job_id, old.id))
                job = admission.retried_job(job_id, old, owner, request.submitter, now.wall_ms)
                if old.after or old.after_any:
                    job = self._waiting_as(job, old, copies)
                self._add(job, Ms(0), now)
        if isinstance(answer, Error):
            self._reply(reply_to, answer)
        else:
            self._reply(reply_to, RetryReply(self.journal, answer.first_id, answer.count))

    def cancel(self, request: Cancel, reply_to: Envelope, now: Instant, who: Who = ANYBODY) -> None:
        """End jobs: at once where they are not in flight, else by telling the worker. Jobs that have ended stay as they
        are. The reply is made when all parts of the request are committed."""
        ended: list[JobId] = []
        for job in map(self._jobs.get, request.ids):
            if job is None or job.state.final or job.cancelling:
                continue
            ended.append(job.id)
            delivery = self._dispatch.in_flight.delivery_of(job.id)
            if delivery is None:
                self._leave_place(job)
                self._settle(lifecycle.cancelled_unbegun(job, self.moment(now)), now, JobState.QUEUED)
            else:
                self._write(job._replace(cancelling=True))
                self._dispatch.cancel(delivery)
        if ended:
            self._audit(request, who, ended, now)

    def pause(self, request: Pause, reply_to: Envelope, now: Instant, who: Who = ANYBODY) -> None:
        """Start no further jobs until `resume`, except those in flight, which the reply names."""
        if error := pauses.refusal(request, who, len(self._pauses), now):
            self._reply(reply_to, error)
            return
        submitter = "" if who.name else request.submitter
        self._pauses.replace(who.name, request.reason, pauses.duration_ms(request, now), now, submitter)
        self._pauses_changed()
        self._audit(request, who, (), now, pauses.begun_by(self.pauses[-1]))
        paused = Paused(now.wall_ms, request.reason)
        running = self._dispatch.running_id
        may_start = tuple(job_id for job_id in self._dispatch.in_flight.ids if job_id != running)
        self._reply(reply_to, PauseReply(self.journal, paused, running, may_start, self.pauses))

    def resume(self, request: Resume, reply_to: Envelope, now: Instant, who: Who = ANYBODY) -> None:
        """Lift the pauses that `who` may lift."""
        if error := pauses.lifting_refusal(request, who):
            self._reply(reply_to, error)
            return
        lifted = self._pauses.lift(partial(pauses.lifts, request, who), now)
        if lifted:
            self._pauses_changed()
            self._audit(request, who, (), now, "; ".join(map(pauses.audit_text, lifted)))
        was = Paused(lifted[0].since_at, lifted[0].reason) if lifted else None
        self._reply(reply_to, ResumeReply(self.journal, was, lifted, self.pauses))

    def forget(self, request: Forget, reply_to: Envelope, now: Instant, who: Who = ANYBODY) -> None:
        """Drop ended jobs, with their data, results and output."""
        kept = []
        missing = []
        forgotten = []
        for job_id in dict.fromkeys(request.ids):
            job = self._jobs.get(job_id)
            if job is None:
                missing.append(Missing(job_id, self.why_missing(job_id)))
            elif not job.state.final or not self.drop(job):
                kept.append(job_id)
            else:
                forgotten.append(job_id)
        if forgotten:
            self._audit(request, who, forgotten, now)
        self._reply(reply_to, ForgetReply(self.journal, tuple(forgotten), tuple(kept), tuple(missing)))

    # --- the end of a turn -------------------------------------------------------------------------------------------

    def end_turn(self, now: Instant) -> Effects:
        """Dispatch what the window has room for, and return the effects of the whole turn."""
        self.worker.notice_silence(now.mono_ms)
        if self._pending_edits:
            self._decide_pending_edits(now)
        if self._overdue or self._recalled:
            self._cancel_overdue(now)
        if self._due:
            self._tell_dependents(now)
        if self._pauses.end_due(now):
            self._pauses_changed()
        self._pauses.look(now)
        effects, self._effects = self._effects, Effects()
        decided = self._dispatch.end_turn(self._dispatch_ready(now), now)
        changes = effects.changes
        changes.session, changes.deliveries, changes.settled = decided.session, decided.deliveries, decided.settled
        effects.pipe, effects.resend = decided.pipe, decided.resend
        effects.warnings, effects.rejections = decided.warnings, decided.rejections
        changes.history = self._history.end_turn(now.mono_ms, self.dispatched > 0 and self.worker.accepts)
        for delivery in decided.to_send:
            if self.is_with_worker(delivery):
                effects.dispatched.append(Dispatched(delivery, self._jobs[self._dispatch.in_flight[delivery]]))
        running = self.running
        if decided.run_changed and running is not None:
            effects.job_changes.append(JobChange(running, None))
        self._jobs.end_turn(changes, self._stays)
        self._surplus.clear()
        self._admission.end_turn()
        if changes:
            changes.counters = self.counters
            changes.service = self.service(now)
        return effects

    def _dispatch_ready(self, now: Instant) -> str | None:
        """Dispatch the ready jobs in order. Return why this worker cannot run the next one, None if it can.

        A job whose record is not at hand waits for the next turn, which comes at once and reads it.
        """
        if self.paused is not None or self.types is None or not self._dispatch.accepts:
            return None
        while ids := self._queue.first(DISPATCHED_TOGETHER):
            for job_id in ids:
                if job_id not in self._jobs:
                    self._lacks_record = True
                    return None
                job = self._jobs[job_id]
                if self._is_late(job, now):  # the next turn cancels it
                    return None
                if job.type not in self.types:
                    option = "--commands" if job.type == COMMAND else "its --tasks"
                    return (
                        f"job {job_id} is of the type {job.type!r}, which the worker does not have "
                        f"(was it started without {option}?): nothing is dispatched until it has"
                    )
                next_state(job, Step.DISPATCH, JobState.QUEUED)
                if not self._dispatch.dispatch(job, self.types[job.type]):
                    return None
                self._kinds.remove(self._queue.remove(job.priority, job_id))
                if job.output_bytes:  # an earlier run's
                    self._jobs.keep(job._replace(output_bytes=0))
        return None

    def _stays(self, job: Job) -> bool:
        """True if a record stays in memory after this turn."""
        if job.state.final:
            return False
        if self._dispatch.in_flight.delivery_of(job.id) is not None:
            return True
        return job.id not in self._delayed and job.id not in self._parked and job.id not in self._surplus
