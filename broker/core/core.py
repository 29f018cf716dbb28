"""The queue itself: what is taken, in which order it is handed over, and what becomes of it.

The core is a function of its inputs. It gets requests, the worker's messages and the time, and answers with
`Effects`: what must be written down, and what may be said once that is on disk. It has no clock, socket, file, log or
random numbers of its own; it reads committed records through `Records`. One turn of the broker is

    for each thing that came in:  core.change(request …) | core.on_beat(…) | … | core.on_reports(…)
    effects = core.end_turn(now)          hands over what the window has room for
    journal.commit(effects.changes)       if this fails, the core is thrown away and loaded anew
    send the rest of the effects

A job that has not ended is in exactly one of three places: it waits for its time (`_waiting`), it is ready (`_queue`),
or it is with the worker (`_worker`, where sessions, numbers and acknowledgements are).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from zjobs.broker.core.dispatch import Dispatch
from zjobs.broker.core.effects import Effects, JobChange
from zjobs.broker.core.jobs import TRANSITIONS, Counters, Envelope, Job, Loaded, Printed, Service, Step, Submitted
from zjobs.broker.core.needs import Found, Needs
from zjobs.broker.core.ready import DelayedJobs, Queue
from zjobs.broker.core.worker_status import Instant, WorkerStatus
from zjobs.messages.dispatch import Ended, Heartbeat, Output, Piece, Progress, Received, Reports, Started
from zjobs.messages.ops import OPERATION_OF
from zjobs.messages.records import Attempt, BrokerName, Limits, Missing, Paused, TaskType
from zjobs.messages.requests import (
    Cancel,
    Error,
    Forget,
    ForgetReply,
    NewJob,
    Pause,
    PauseReply,
    Reply,
    Request,
    Resume,
    ResumeReply,
    Retry,
    RetryReply,
    Submit,
    SubmitReply,
)
from zjobs.messages.states import ErrorCode, FailReason, JobState, Outcome
from zjobs.messages.units import JobId, Ms

PREFETCH = 256
JOB_BYTES = 300  # what the records of a job take in the journal beside its data
DISPATCHED_TOGETHER = 16
DETERMINISTIC = frozenset({FailReason.BAD_DATA, FailReason.BAD_RESULT})  # a retry would end the same way
LONGEST_RETRY_DELAY_MS = 3_600_000
LONGEST_BREAK_MS = 24 * 3_600_000
CLOCK_SLACK_MS = 1_000

NIL = b"\xc0"  # msgpack: nothing
LOST = "the worker died while running it"
INTERRUPTED = "the worker was told to stop at once while running it"


class Records(Protocol):
    """What the core may read: committed records, and nothing else of the journal."""

    def read(self, needs: Needs) -> Found: ...


class Rules(NamedTuple):
    """What the operator decided. `pause_on`: never, lost (its worker) or failed (that, or a job). `journal_bytes`:
    above that no new jobs are taken, None for no such bound."""

    limits: Limits = Limits()
    pause_on: str = "never"
    journal_bytes: int | None = None


class Core:
    """The state of one queue. `room_bytes`: how much the journal may grow by new jobs, None for without bound; it is
    told before requests are."""

    def __init__(self, loaded: Loaded, records: Records, rules: Rules, name: BrokerName, now: Instant) -> None:
        self.journal = loaded.journal
        self._totals = loaded.counters._asdict()
        self.paused = loaded.paused
        self._records = records
        self._rules = rules
        self._worker = Dispatch(loaded, name, rules.limits, now)
        self._effects = self._worker.effects
        self._queue = Queue(loaded.ready)
        self._waiting = DelayedJobs(_by_our_clock(loaded.waiting, now))
        self._began_ms = now.mono_ms
        self._served_before_ms = _served(loaded.service, now)
        self._owned = Counter(loaded.owned)
        self._ahead: dict[int, Job] = {}
        self.room_bytes: int | None = None
        for job in self._worker.jobs.values():
            self._take_out(job)

    # --- what is asked of the core -----------------------------------------------------------------------------

    @property
    def counters(self) -> Counters:
        """The journal's totals, as they will be after this turn."""
        return Counters(**self._totals)

    @property
    def worker(self) -> WorkerStatus:
        """What is believed of the worker."""
        return self._worker.view

    @property
    def types(self) -> dict[str, TaskType] | None:
        """The task types that a worker last announced, None when none ever did."""
        return self._worker.types

    @property
    def running(self) -> Job | None:
        """The job that the worker last said it is running."""
        return self._worker.running

    @property
    def running_started_at(self) -> Ms | None:
        """When the run in progress began (since 1970); the same for as long as it is told of."""
        delivery = self.worker.running_n
        return None if delivery is None else self._worker.began_at(delivery)

    def type_of(self, job: Job) -> TaskType:
        """The job's type as it was last announced, or with the defaults."""
        return self._worker.type_of(job)

    @property
    def session_name(self) -> str:
        """The session that hand-overs belong to; there are none without one."""
        return self._worker.session_name

    @property
    def queued(self) -> int:
        """How many jobs are ready, or with the worker and not known to be running."""
        return len(self._queue) + len(self._worker.jobs) - (self.running is not None)

    @property
    def dispatched(self) -> int:
        """How many jobs are with the worker: each runs, or may start at any moment, also while paused."""
        return len(self._worker.jobs)

    @property
    def waiting(self) -> int:
        """How many jobs wait for a delay to end."""
        return len(self._waiting)

    def ahead(self, job: Job) -> int | None:
        """How many jobs must end before this one starts; None when it waits for a delay, or has ended."""
        delivery = self._worker.number_of(job.id)
        if delivery is not None:
            return self._worker.ahead(delivery)
        if job.state.final or job.id in self._waiting:
            return None
        return len(self._worker.jobs) + self._queue.ahead(job.priority, job.id)

    def ready_at(self, job: Job, now: Instant) -> Ms | None:
        """When the job's delay ends, by the wall clock as it is now; None when it does not wait for that.

        The delay goes by the other clock, which nobody sets; what was said before stands unless they differ by now.
        """
        at = self._waiting.ready_at(job.id)
        if at is None:
            return None
        present = Ms(max(0, now.wall_ms + at - now.mono_ms))
        said = job.ready_at
        return present if said is None or abs(present - said) > CLOCK_SLACK_MS else said

    def service(self, now: Instant) -> Service:
        """For how long this journal has been in service: what ages the results that are kept for a while.

        That is the time in which a broker ran on it, and of each break at most a day: how long a break was only the
        wall clock says, and when that was wrong for a moment, it must not cost anybody's results.
        """
        return Service(self._served_before_ms + now.mono_ms - self._began_ms, now.wall_ms)

    def note_service(self, now: Instant) -> None:
        """Has it written down though nothing else is."""
        self._effects.changes.service = self.service(now)

    def next_ids(self, count: int) -> list[JobId]:
        """The id of the running job, if there is one, then of the `count` that start next."""
        running = self.running
        ids = [job.id for job in self._worker.jobs.values() if job is not running][:count]
        ids += map(JobId, self._queue.first(count - len(ids)))
        return ids if running is None else [running.id, *ids]

    def next_deadline_ms(self, now: Instant) -> int | None:
        """When `end_turn` wants to be called next though nothing came in (monotonic)."""
        silent_at, ready_at = self.worker.silent_at_ms(), self._waiting.next_ready_at()
        deadlines = [] if silent_at is None else [silent_at]
        if ready_at is not None:
            deadlines.append(ready_at)
        return min(deadlines, default=None)

    # --- requests ------------------------------------------------------------------------------------------------

    def change(self, request: Request, reply_to: Envelope, now: Instant, owner: str = "") -> None:
        """Carries out what a request changes, by the method of its operation's name."""
        getattr(self, OPERATION_OF[type(request)].name)(request, reply_to, now, owner)

    def submit(self, request: Submit, reply_to: Envelope, now: Instant, owner: str = "") -> None:
        """Takes all jobs of the request or none."""
        digest = _digest(request.jobs)
        known = self._known(owner, request.request_key, digest) or self._submit_refusal(request.jobs, owner)
        if isinstance(known, Error):
            self._reply(reply_to, known)
            return
        if known is None:
            known = self._taken(owner, request.request_key, len(request.jobs), digest)
            for job_id, new in enumerate(request.jobs, known.first_id):
                self._take(job_id, new, now, owner)
        self._reply(reply_to, SubmitReply(self.journal, JobId(known.first_id), known.count, self.types is not None))

    def retry(self, request: Retry, reply_to: Envelope, now: Instant, owner: str = "") -> None:
        """Submits copies of ended jobs, all or none."""
        digest = blake2b(repr(("retry", request.ids)).encode(), digest_size=16).digest()
        known = self._known(owner, request.request_key, digest)
        known = known or self._too_many(len(request.ids))
        olds = [] if known is not None else list(self._found(request.ids))
        known = known or self._retry_refusal(request.ids, olds, owner)
        if isinstance(known, Error):
            self._reply(reply_to, known)
            return
        if known is None:
            known = self._taken(owner, request.request_key, len(olds), digest)
            for job_id, old in enumerate(filter(None, olds), known.first_id):
                new = NewJob(old.type, None, old.priority, time_limit_ms=old.time_limit_ms)
                self._take(job_id, new, now, owner, copy_of=old)
        self._reply(reply_to, RetryReply(self.journal, JobId(known.first_id), known.count))

    def cancel(self, request: Cancel, reply_to: Envelope, now: Instant, owner: str = "") -> None:
        """Ends jobs: at once where they are not with the worker, else by telling it. Others stay as they are.
        What became of them is told when all are committed."""
        for job in self._found(request.ids):
            if job is None or job.state.final or job.cancelling:
                continue
            delivery = self._worker.number_of(job.id)
            if delivery is None:
                self._take_out(job)
                self._cancelled(job._replace(**self._end(now)), JobState.QUEUED)
            else:
                job = self._write(job, cancelling=True)
                self._worker.cancel(delivery, job)

    def pause(self, request: Pause, reply_to: Envelope, now: Instant, owner: str = "") -> None:
        """Nothing new starts until `resume`, but what the worker was given before: the reply names it."""
        paused = self._pause(request.reason, now)
        running = self.running.id if self.running else None
        may_start = tuple(job.id for job in self._worker.jobs.values() if job.id != running)
        self._reply(reply_to, PauseReply(self.journal, paused, running, may_start))

    def resume(self, request: Resume, reply_to: Envelope, now: Instant, owner: str = "") -> None:
        """Ends a pause."""
        self._reply(reply_to, ResumeReply(self.journal, self.paused))
        if self.paused is not None:
            self.paused = None
            self._effects.changes.pauses.append(None)

    def forget(self, request: Forget, reply_to: Envelope, now: Instant, owner: str = "") -> None:
        """Drops ended jobs and all that is kept of them."""
        kept = []
        missing = []
        forgotten = []
        ids = tuple(dict.fromkeys(request.ids))
        for job_id, job in zip(ids, self._found(ids)):
            if job is None:
                missing.append(Missing(job_id, self.why_missing(job_id)))
            elif not job.state.final or not self.drop(job):
                kept.append(job_id)
            else:
                forgotten.append(job_id)
        self._reply(reply_to, ForgetReply(self.journal, tuple(forgotten), tuple(kept), tuple(missing)))

    def drop(self, job: Job) -> bool:
        """Drops one ended job. Returns whether it could be: not in the turn in which it ended, and not twice."""
        changes = self._effects.changes
        if job.id in changes.changed or job.id in changes.added or job.id in changes.forgotten:
            return False
        changes.forgotten.add(job.id)
        self._count(job.state, -1)
        return True

    def why_missing(self, job_id: int) -> ErrorCode:
        """Why there is no such job."""
        return ErrorCode.EXPIRED if job_id < self._totals["next_id"] else ErrorCode.NOT_FOUND

    # --- the worker ------------------------------------------------------------------------------------------------

    def on_heartbeat(self, heartbeat: Heartbeat, new_session: str, now: Instant) -> None:
        """The worker as it is now. `new_session`: 32 hex digits never used before, if it comes to a session."""
        for job in self._worker.on_heartbeat(heartbeat, new_session, now):
            self._lost(job, LOST, "", now)
        if self.paused is not None:
            self._worker.recall()

    def on_gone(self) -> None:
        """The connection to the worker is lost; what it was running stays in doubt until one is heard again."""
        self.worker.gone()

    def on_started(self, message: Started, now: Instant) -> None:
        self._worker.on_started(message, now)

    def on_progress(self, message: Progress, now: Instant) -> None:
        self._worker.on_progress(message, now)

    def on_piece(self, message: Piece, now: Instant) -> None:
        self._worker.on_piece(message, now)

    def on_received(self, message: Received, lost: bool, now: Instant) -> None:
        self._worker.on_received(message, lost, now)

    def is_with_worker(self, delivery: int) -> bool:
        """Whether the job of this number was handed over, and has not ended or been returned."""
        return delivery in self._worker.jobs

    def on_reports(self, message: Reports, now: Instant) -> None:
        """Settles the jobs that the worker tells the end of, and takes back those it returns."""
        for job, report in self._worker.on_reports(message, now):
            if isinstance(report, Output):
                self._printed(job, report.offset, report.body)
                self._effects.changes.changed[job.id] = job  # told without a new version: it is no other state
            elif report is not None:
                self._ended(job, report, now)
            elif job.cancelling:
                self._cancelled(job._replace(**self._end(now)))
            else:
                _next_state(job, JobState.IN_PROGRESS, Step.RETURN)
                self._line_up(job)

    def _ended(self, job: Job, ended: Ended, now: Instant) -> None:
        elapsed_ms = ended.elapsed_us // 1000
        began_at = self._worker.began_at(ended.delivery)
        started_at = max(0, now.wall_ms - elapsed_ms) if began_at is None else began_at
        run: dict[str, Any] = {
            "elapsed_ms": elapsed_ms,
            "started_at": started_at,
            **self._end(now),
            "output_bytes": ended.output_bytes,
            "run": job.attempts + job.reruns + 1,
            "killed": ended.killed,
            "output_file": ended.output_file,
            "left_behind": ended.left_behind,
        }
        if ended.output is not None:
            self._printed(job, max(0, ended.output_bytes - len(ended.output)), ended.output)
        if ended.outcome is Outcome.COMPLETED:
            self._effects.changes.results.append((job.id, NIL if ended.result is None else ended.result))
            self._step(job, Step.COMPLETE, **run, attempts=job.attempts + 1, reason=None, message=None)
        elif ended.outcome is Outcome.FAILED:
            self._failed(job._replace(**run), ended, now)
        elif ended.outcome is Outcome.INTERRUPTED:
            self._lost(job._replace(**run), INTERRUPTED, ended.detail, now)
        else:
            job = job._replace(**run, reason=None)
            self._note_attempt(job, Outcome.CANCELLED, ended.message, ended.detail)
            self._cancelled(job)

    def _printed(self, job: Job, offset: int, body: bytes) -> None:
        """Keeps what the present run of a job has printed, of much of it the end."""
        end = offset + len(body)
        kept_from = max(0, end - self._rules.limits.output_bytes)
        self._effects.changes.outputs.append(Printed(job.id, job.attempts + job.reruns + 1, offset, body, kept_from))

    def _failed(self, job: Job, ended: Ended, now: Instant) -> None:
        job = job._replace(attempts=job.attempts + 1, reason=ended.reason or FailReason.RAISED, message=ended.message)
        self._note_attempt(job, Outcome.FAILED, ended.message, ended.detail)
        task_type = self._worker.type_of(job)
        if job.attempts < task_type.max_attempts and job.reason not in DETERMINISTIC and not job.cancelling:
            delay_ms = min(task_type.retry_delay_ms << min(job.attempts - 1, 32), LONGEST_RETRY_DELAY_MS)
            self._step(job, Step.RETRY, wakes_at=now.mono_ms + delay_ms, ready_at=now.wall_ms + delay_ms)
            return
        self._step(job, Step.FAIL)
        if self._rules.pause_on == "failed":
            self._stop_the_line(f"job {job.id} failed: {job.message}", now)

    def _lost(self, job: Job, message: str, detail: str, now: Instant) -> None:
        """A run came to nothing because of its worker: again, if that is allowed so often."""
        again = job.reruns < self._worker.type_of(job).max_reruns
        run = job.attempts + job.reruns + 1
        reruns, reason = job.reruns + 1, FailReason.WORKER_LOST
        job = job._replace(reruns=reruns, run=run, reason=reason, message=message, **self._end(now))
        self._note_attempt(job, Outcome.INTERRUPTED, message, detail)
        if job.cancelling:
            self._cancelled(job)
        else:
            self._step(job, Step.RERUN if again else Step.LOSE, ready_at=None)
        if self._rules.pause_on != "never":
            self._stop_the_line(f"job {job.id}: {message}", now)

    def _cancelled(self, job: Job, state: JobState = JobState.IN_PROGRESS) -> None:
        """It is no failure: what an earlier run failed of stays in the record of that run alone."""
        self._step(job, Step.CANCEL, state, reason=None, message=None)

    # --- the end of a turn -------------------------------------------------------------------------------------------

    def end_turn(self, now: Instant) -> Effects:
        """Hands over what the window has room for, and gives out the effects of the whole turn."""
        self.worker.notice_silence(now.mono_ms)
        for priority, job_id in self._waiting.take_ready(now.mono_ms):
            self._queue.add(priority, job_id)
        if self.paused is None and self._worker.accepts:
            for job in self._next_jobs():
                _next_state(job, JobState.QUEUED, Step.DISPATCH)
                if not self._worker.take(job):
                    break
                self._take_out(job)
        self._worker.end_turn(now)
        effects = self._effects
        self._effects = self._worker.effects = Effects()
        running = self.running
        effects.job_changes = [
            job_changes
            for job_changes in effects.job_changes
            if job_changes.change is not None or job_changes.job is running
        ]
        if effects.changes:
            effects.changes.counters = self.counters
            effects.changes.service = self.service(now)
        return effects

    def _next_jobs(self) -> Iterator[Job]:
        """The ready jobs in turn; each must leave the queue before the next is asked for."""
        while ids := self._queue.first(DISPATCHED_TOGETHER):
            for job_id in ids:
                if job_id not in self._ahead:
                    self._prefetch()
                yield self._ahead[job_id]

    def _prefetch(self) -> None:
        changes = self._effects.changes
        wanted = self._queue.first(PREFETCH)
        self._ahead = dict(self._records.read(Needs(jobs=wanted)).jobs)
        for job_id in wanted:
            job = changes.changed.get(job_id) or changes.added.get(job_id)
            if job is not None:
                self._ahead[job_id] = job

    # --- taking jobs -------------------------------------------------------------------------------------------------

    def _known(self, owner: str, request_key: str, digest: bytes) -> Submitted | Error | None:
        """What this owner submitted under this request key before; an error when that was something else."""
        key = owner, request_key
        taken = self._effects.changes.submitted.get(key)
        known = taken or self._records.read(Needs(submits=[key])).submits.get(key)
        if known is not None and known.digest != digest:
            return Error(ErrorCode.KEY_CONFLICT, f"the request key {request_key!r} was used for other jobs")
        return known

    def _taken(self, owner: str, request_key: str, count: int, digest: bytes) -> Submitted:
        """Gives out `count` ids."""
        taken = Submitted(owner, request_key, self._totals["next_id"], count, digest)
        self._totals["next_id"] += count
        self._effects.changes.submitted[owner, request_key] = taken
        return taken

    def _take(self, job_id: int, new: NewJob, now: Instant, owner: str, copy_of: Job | None = None) -> None:
        size = 0 if new.data is None else len(new.data)
        job = Job(JobId(job_id), new.type, JobState.QUEUED, 0, 0, 0, size, now.wall_ms, new.priority)
        if new.delay_ms or new.time_limit_ms is not None:
            ready_at = Ms(now.wall_ms + new.delay_ms) if new.delay_ms else None
            job = job._replace(ready_at=ready_at, time_limit_ms=new.time_limit_ms)
        if owner:
            job = job._replace(owner=owner)
            self._owned[owner] += 1
        if copy_of is not None:
            job = job._replace(data_bytes=copy_of.data_bytes, retry_of=copy_of.id)
            self._effects.changes.data_copies.append((job_id, copy_of.id))
        elif new.data is not None:
            self._effects.changes.data.append((job_id, new.data))
        self._effects.changes.added[job_id] = job
        self._place(job, now.mono_ms + new.delay_ms if new.delay_ms else None)
        self._tell(job)

    def _submit_refusal(self, jobs: Sequence[NewJob], owner: str) -> Error | None:
        limits = self._rules.limits
        if too_many := self._too_many(len(jobs)):
            return too_many
        for place, job in enumerate(jobs):
            if job.data is not None and len(job.data) > limits.data_bytes:
                what = f"{len(job.data)} bytes of data; the limit is {limits.data_bytes}"
                return Error(ErrorCode.TOO_LARGE, _which(place, jobs) + what)
            if self.types is not None and job.type not in self.types:
                return self._unknown_type(_which(place, jobs), job.type)
        return self._full(len(jobs), sum(len(job.data or b"") for job in jobs), owner)

    def _retry_refusal(self, ids: Sequence[int], jobs: Sequence[Job | None], owner: str) -> Error | None:
        for job_id, job in zip(ids, jobs):
            if job is None:
                return Error(self.why_missing(job_id), f"there is no job {job_id}")
            if not job.state.final:
                return Error(ErrorCode.NOT_FINISHED, f"job {job_id} has not ended yet")
            if self.types is not None and job.type not in self.types:
                return self._unknown_type(f"job {job_id}: ", job.type)
        data_bytes, most = sum(job.data_bytes for job in jobs if job is not None), self._rules.limits.request_bytes
        if len(ids) > 1 and data_bytes > most:  # a job by itself was taken once, by the limits of then
            return Error(ErrorCode.TOO_LARGE, f"these jobs have {data_bytes} bytes of data; the limit is {most}")
        return self._full(len(ids), data_bytes, owner)

    def _too_many(self, jobs: int) -> Error | None:
        most = self._rules.limits.request_jobs
        return Error(ErrorCode.TOO_LARGE, f"{jobs} jobs in one request; the limit is {most}") if jobs > most else None

    def _unknown_type(self, which: str, job_type: str) -> Error:
        known = ", ".join(sorted(self.types or {})) or "none"
        return Error(ErrorCode.UNKNOWN_TYPE, f"{which}the worker has no task type {job_type!r}; it has: {known}")

    def _full(self, more: int, data_bytes: int, owner: str) -> Error | None:
        most, share = self._rules.limits.queued_jobs, self._rules.limits.queued_per_owner
        if len(self._queue) + len(self._waiting) + len(self._worker.jobs) + more > most:
            return Error(ErrorCode.QUEUE_FULL, f"{more} more jobs would be more than the {most} that may be queued")
        if owner and self._owned[owner] + more > share:
            what = f"{more} more jobs would be more than the {share} that one owner may queue"
            return Error(ErrorCode.QUEUE_FULL, what)
        if self.room_bytes is not None:
            if data_bytes + more * JOB_BYTES > self.room_bytes:
                what = f"the journal would be larger than the {self._rules.journal_bytes} bytes that it may have"
                return Error(ErrorCode.QUEUE_FULL, what)
            self.room_bytes -= data_bytes + more * JOB_BYTES
        return None

    # --- small parts -------------------------------------------------------------------------------------------------

    def _found(self, ids: Sequence[JobId]) -> Iterator[Job | None]:
        """Return the jobs with these ids, with the changes of this turn; None for an id without a job."""
        changes = self._effects.changes
        committed = self._records.read(Needs(jobs=ids)).jobs
        for job_id in ids:
            job = changes.changed.get(job_id) or changes.added.get(job_id) or committed.get(job_id)
            yield None if job_id in changes.forgotten else job

    def _take_out(self, job: Job) -> None:
        """A job that is not with the worker leaves its place."""
        if job.id in self._waiting:
            self._waiting.remove(job.id)
        else:
            self._queue.remove(job.priority, job.id)
        self._ahead.pop(job.id, None)

    def _place(self, job: Job, wakes_at: int | None) -> None:
        """A job takes its place: among the ready, or among those that wait for their time (monotonic)."""
        if wakes_at is not None:
            self._waiting.add(wakes_at, job.id, job.priority)
        else:
            self._line_up(job)

    def _line_up(self, job: Job) -> None:
        self._queue.add(job.priority, job.id)
        if len(self._ahead) < 2 * PREFETCH:
            self._ahead[job.id] = job

    def _step(
        self,
        job: Job,
        step: Step,
        state: JobState = JobState.IN_PROGRESS,
        wakes_at: int | None = None,
        **fields: Any,
    ) -> None:
        """Takes a job along an arrow, writes it down with the new values of `fields`, and tells of it."""
        state = _next_state(job, state, step)
        job = self._write(job, state=state, cancelling=job.cancelling and not state.final, **fields)
        if state is JobState.QUEUED:
            self._place(job, wakes_at)
        else:
            self._count(state, 1)
            if job.owner:
                self._owned[job.owner] -= 1

    def _end(self, now: Instant) -> dict[str, Any]:
        """When a run ended: for people, and for how long it is kept."""
        return {"ended_at": now.wall_ms, "ended_served_ms": self.service(now).served_ms}

    def _write(self, job: Job, **fields: Any) -> Job:
        """Writes a job down with the new values of `fields` and tells of it; returns it as it is now."""
        job = job._replace(version=job.version + 1, **fields)
        self._effects.changes.changed[job.id] = job
        self._tell(job)
        return job

    def _tell(self, job: Job) -> None:
        self._totals["change"] += 1
        self._effects.job_changes.append(JobChange(job, self._totals["change"]))

    def _count(self, state: JobState, more: int) -> None:
        self._totals[state.value] += more

    def _note_attempt(self, job: Job, outcome: Outcome, message: str, detail: str) -> None:
        assert job.ended_at is not None
        attempt = Attempt(job.run, outcome, job.started_at, job.ended_at, job.reason, message, detail)
        self._effects.changes.attempts.append((job.id, attempt))

    def _pause(self, reason: str, now: Instant) -> Paused:
        self.paused = Paused(now.wall_ms, reason[:1000])
        self._effects.changes.pauses.append(self.paused)
        self._worker.recall()
        return self.paused

    def _stop_the_line(self, reason: str, now: Instant) -> None:
        """Pauses by itself. The first reason stands: what fails after it was most often begun before."""
        if self.paused is None:
            self._pause(reason, now)

    def _reply(self, reply_to: Envelope, reply: Reply) -> None:
        self._effects.replies.append((reply_to, reply))


def _by_our_clock(waiting: Sequence[tuple[int, int, int, int]], now: Instant) -> Iterator[tuple[int, int, int]]:
    """Delays that began before this broker did: what the wall clock says is left of each, at most all of it."""
    for ready_at, job_id, priority, delay_ms in waiting:
        yield now.mono_ms + min(ready_at - now.wall_ms, max(0, delay_ms)), job_id, priority


def _served(service: Service, now: Instant) -> int:
    """A journal's service when a broker takes it up after a break."""
    break_ms = now.wall_ms - service.wall_ms if service.wall_ms else 0
    return service.served_ms + min(max(0, break_ms), LONGEST_BREAK_MS)


def _next_state(job: Job, state: JobState, step: Step) -> JobState:
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise AssertionError(f"job {job.id}: no step {step.value} from {state.value}") from None


def _which(place: int, jobs: Sequence[NewJob]) -> str:
    """Which of several jobs an error is about; of one there is nothing to say."""
    return f"jobs[{place}]: " if len(jobs) > 1 else ""


def _digest(jobs: Sequence[NewJob]) -> bytes:
    """The same for the same jobs: types and data with their lengths, so that no two lists look alike."""
    digest = blake2b(digest_size=16)
    for job in jobs:
        size = -1 if job.data is None else len(job.data)
        digest.update(b"%d %d " % (len(job.type.encode()), size))
        digest.update(job.type.encode())
        digest.update(job.data or b"")
        if job[2:] != (0, 0, None):
            digest.update(repr(job[2:]).encode())
    return digest.digest()
