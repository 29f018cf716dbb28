"""The queue itself: what is taken, in which order it is handed over, and what becomes of it.

The core is a function of its inputs. It gets requests, the worker's messages and the time, and answers with
`Effects`: what must be written down, and what may be said once that is on disk. It has no clock, socket, file, log or
random numbers of its own; it reads committed records through `Records`. One turn of the broker is

    for each thing that came in:  core.submit(…) | core.on_beat(…) | core.on_started(…) | core.on_reports(…)
    effects = core.end_turn(now)          hands over what the window has room for
    journal.commit(effects.changes)       if this fails, the core is thrown away and loaded anew
    send the rest of the effects

Jobs wait in `Queue` by id. A job that is handed over leaves the queue and stands in `_handed` under its hand-over
number until the worker reports how it ended (settled), returns it, or is lost. docs/protocol.md, part 2, has the rules
of that exchange and what each of them is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from zjobs.broker.jobs import TRANSITIONS, Changes, Envelope, Job, Loaded, Session, Step, Submitted
from zjobs.broker.queue import Queue
from zjobs.broker.window import Averages, Load, Weight, admits
from zjobs.broker.workerview import Now, WorkerView
from zjobs.messages.types import (
    Ack,
    Attempt,
    Beat,
    BrokerName,
    Ended,
    Error,
    ErrorCode,
    FailReason,
    JobState,
    Limits,
    NewJob,
    Outcome,
    PipeMessage,
    Reports,
    Returned,
    Started,
    StartSession,
    Submit,
    SubmitReply,
    TakeOver,
    TaskType,
)

PREFETCH = 256
DETERMINISTIC = frozenset({FailReason.BAD_DATA, FailReason.BAD_RESULT})  # a retry would end the same way

NIL = b"\xc0"  # msgpack: nothing
LOST = "the worker died while running it"
INTERRUPTED = "the worker was told to stop at once while running it"


class Records(Protocol):
    """What the core may read: committed records, and nothing else of the journal."""

    def jobs(self, ids: Sequence[int]) -> list[Job]: ...
    def submitted(self, key: str) -> Submitted | None: ...


class Handed(NamedTuple):
    n: int
    job: Job


class News(NamedTuple):
    """A job as it was after a change; `change` None: it began, which is not journaled."""

    job: Job
    change: int | None


class Effects:
    """What a turn leads to. `changes` must be on disk before anything else of it leaves the process."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.replies: list[tuple[Envelope, SubmitReply | Error]] = []
        self.pipe: list[PipeMessage] = []
        self.hand_over: list[Handed] = []
        self.news: list[News] = []
        self.notes: list[str] = []


class Core:
    """The state of one queue. `new_id()` makes the name of a session: 32 hex digits, never the same twice."""

    def __init__(self, loaded: Loaded, records: Records, limits: Limits, name: BrokerName, now: Now) -> None:
        self.journal = loaded.journal
        self.counters = loaded.counters
        self.types = loaded.types
        self.worker = WorkerView(now.mono_ms)
        self._records = records
        self._limits = limits
        self._name = name
        self._session = loaded.session
        self._handed = dict(loaded.handed)
        handed_ids = {job.id for job in self._handed.values()}
        self._queue = Queue(job_id for job_id in loaded.queued if job_id not in handed_ids)
        self._numbers = {job.id: n for n, job in self._handed.items()}
        self._averages = Averages()
        self._ahead: dict[int, Job] = {}
        self._acknowledge = False
        self._effects = Effects()

    # --- what is asked of the core -----------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """How many jobs have not ended and are not known to be running."""
        return len(self._queue) + len(self._handed) - (self.running is not None)

    @property
    def running(self) -> Job | None:
        """The job that the worker last said it is running."""
        n = self.worker.running_n
        return None if n is None else self._handed.get(n)

    @property
    def session_name(self) -> str:
        """The session that hand-overs belong to; there are none without one."""
        assert self._session is not None
        return self._session.session

    def ahead(self, job_id: int) -> int:
        """How many jobs must end before `job_id` starts; it must be queued or handed over."""
        n = self._numbers.get(job_id)
        if n is not None:
            return n - next(iter(self._handed))
        return len(self._handed) + self._queue.ahead(job_id)

    def next_ids(self, count: int) -> list[int]:
        """The ids of the jobs that start next, those handed over first; the running one is among them."""
        ids = [job.id for job in self._handed.values()][:count]
        return ids + self._queue.first(count - len(ids))

    def next_deadline_ms(self) -> int | None:
        """When `end_turn` wants to be called next though nothing came in (monotonic)."""
        return self.worker.silent_at_ms()

    # --- requests ------------------------------------------------------------------------------------------

    def submit(self, request: Submit, reply_to: Envelope, now: Now) -> None:
        """Takes all jobs of the request or none. `reply_to` comes back beside the reply."""
        self._effects.replies.append((reply_to, self._submit(request, now)))

    def _submit(self, request: Submit, now: Now) -> SubmitReply | Error:
        changes = self._effects.changes
        digest = _digest(request.jobs)
        known = changes.submitted.get(request.key) or self._records.submitted(request.key)
        if known is not None:
            if known.digest != digest:
                return Error(ErrorCode.KEY_CONFLICT, f"the key {request.key!r} was used for other jobs")
            return SubmitReply(self.journal, known.first_id, known.count, self.types is not None)
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        first_id = self.counters.next_id
        count = len(request.jobs)
        for job_id, new in enumerate(request.jobs, first_id):
            size = 0 if new.data is None else len(new.data)
            job = Job(job_id, new.type, JobState.QUEUED, 0, 0, 0, size, now.wall_ms)
            changes.added[job_id] = job
            if new.data is not None:
                changes.data.append((job_id, new.data))
            if len(self._ahead) < 2 * PREFETCH:
                self._ahead[job_id] = job
            self._queue.add(job_id)
            self._tell(job)
        self.counters = self.counters._replace(next_id=first_id + count)
        changes.submitted[request.key] = Submitted(request.key, first_id, count, digest)
        return SubmitReply(self.journal, first_id, count, self.types is not None)

    def _refusal(self, request: Submit) -> Error | None:
        limits = self._limits
        jobs = request.jobs
        if len(jobs) > limits.request_jobs:
            return Error(ErrorCode.TOO_LARGE, f"{len(jobs)} jobs in one request; the limit is {limits.request_jobs}")
        for place, job in enumerate(jobs):
            if job.data is not None and len(job.data) > limits.data_bytes:
                return Error(
                    ErrorCode.TOO_LARGE,
                    f"jobs[{place}] has {len(job.data)} bytes of data; the limit is {limits.data_bytes}",
                )
            if self.types is not None and job.type not in self.types:
                known = ", ".join(sorted(self.types)) or "none"
                return Error(
                    ErrorCode.UNKNOWN_TYPE,
                    f"jobs[{place}]: the worker has no task type {job.type!r}; it has: {known}",
                )
        if len(self._queue) + len(self._handed) + len(jobs) > limits.queued_jobs:
            return Error(ErrorCode.QUEUE_FULL, f"{limits.queued_jobs} jobs may be queued, and that many are")
        return None

    # --- the worker ----------------------------------------------------------------------------------------

    def on_beat(self, beat: Beat, new_session: str, now: Now) -> None:
        """The worker as it is now. `new_session`: the name for a session, if this beat leads to one."""
        self.worker.heard(beat, now.mono_ms)
        journaled = self._session
        if journaled is not None and beat.incarnation == journaled.incarnation:
            if beat.session is None:
                self._learn_types(beat)
                self._start_session()
            elif self._is_known(beat, journaled):
                self._learn_types(beat)
                self._go_on(beat, journaled, now)
            else:
                self._refuse(beat, now)
        elif beat.session is None:
            # First what the old worker leaves: how often that may run again says the old worker's list of types.
            self._begin(beat.incarnation, new_session, now)
            self._learn_types(beat)
        else:
            self._refuse(beat, now)

    def on_gone(self, now: Now) -> None:
        """The connection to the worker is lost; what it was running stays in doubt until one is heard again."""
        self.worker.gone(now.mono_ms)

    def on_started(self, message: Started, now: Now) -> None:
        """The worker began a job; of use only to those who look on."""
        if self._speaks(message.session) and self._settled_next(message.n):
            self._began(message.n, now)

    def on_reports(self, message: Reports, now: Now) -> None:
        """Takes the reports that come next, and each of them once."""
        if not self._speaks(message.session):
            return
        assert self._session is not None
        self._acknowledge = True
        done = self._session.reports_done
        for number, report in enumerate(message.reports, message.first):
            if number != done + 1:
                continue  # a repeat, or one whose predecessor was lost on the way
            if isinstance(report, Returned):
                self._on_returned(report)
            elif self._settled_next(report.n):
                self._on_ended(report, now)
            else:
                self._effects.notes.append(f"the worker reported the end of number {report.n} out of turn: taking over")
                self._effects.pipe.append(TakeOver(self._session.incarnation))
                break
            done = number
        self._change_session(reports_done=done)

    def _speaks(self, session: str) -> bool:
        """Whether `session` is the present one, and its worker was heard since this broker started."""
        return self._session is not None and session == self._session.session and self.worker.known

    def _is_known(self, beat: Beat, journaled: Session) -> bool:
        return (
            beat.session == journaled.session and beat.taken < journaled.next_n and beat.acked <= journaled.reports_done
        )

    def _learn_types(self, beat: Beat) -> None:
        types = {task_type.name: task_type for task_type in beat.types}
        if types != self.types:
            self.types = types
            self._effects.changes.types = types

    def _start_session(self) -> None:
        assert self._session is not None
        self._effects.pipe.append(
            StartSession(self._session.incarnation, self._session.session, self._name, self._limits.result_bytes)
        )

    def _begin(self, incarnation: str, session: str, now: Now) -> None:
        """A new worker: the old one is gone, and with it the certainty about what it was given."""
        self._effects.hand_over.clear()  # repeats for the old worker, by its numbers; none of them was sent
        for n, job in list(self._handed.items()):
            began = n == self.worker.running_n
            started_at = now.wall_ms - (now.mono_ms - self.worker.running_since_ms) if began else None
            self._unhand(n, job)
            self._put_back_or_lose(job._replace(started_at=started_at, elapsed_ms=None), LOST, "", now)
        self._session = self._effects.changes.session = Session(incarnation, session, 1, 0, 1)
        self._start_session()

    def _go_on(self, beat: Beat, journaled: Session, now: Now) -> None:
        self.worker.known = True
        self.worker.note = None
        if beat.acked < journaled.reports_done:
            self._acknowledge = True
        if beat.running is not None and self._settled_next(beat.running.n):
            self._began(beat.running.n, now, beat.running.elapsed_ms)
        if self.worker.missed_hand_overs(beat.taken, journaled.next_n - 1):
            self._effects.hand_over += [Handed(n, job) for n, job in self._handed.items() if n > beat.taken]

    def _refuse(self, beat: Beat, now: Now) -> None:
        """A worker with a session that this journal does not know."""
        self.worker.known = False
        other = beat.broker
        if other is not None and (other.host, other.frontend) == (self._name.host, self._name.frontend):
            self._effects.pipe.append(TakeOver(beat.incarnation))
        else:
            self.worker.serves(other, now.mono_ms)

    def _on_ended(self, ended: Ended, now: Now) -> None:
        job = self._handed[ended.n]
        self._unhand(ended.n, job)
        self._averages.took(job.type, ended.elapsed_us)
        elapsed_ms = ended.elapsed_us // 1000
        started_at = max(0, now.wall_ms - elapsed_ms)
        job = job._replace(elapsed_ms=elapsed_ms, started_at=started_at, ended_at=now.wall_ms)
        if ended.outcome is Outcome.COMPLETED:
            self._effects.changes.results.append((job.id, NIL if ended.result is None else ended.result))
            self._step(job._replace(attempts=job.attempts + 1, reason=None, message=None), Step.COMPLETE)
        elif ended.outcome is Outcome.INTERRUPTED:
            self._put_back_or_lose(job, INTERRUPTED, ended.detail, now)
        else:
            self._failed(job, ended)
        if ended.n + 1 in self._handed:
            self._began(ended.n + 1, now)

    def _failed(self, job: Job, ended: Ended) -> None:
        job = job._replace(attempts=job.attempts + 1, reason=ended.reason or FailReason.RAISED, message=ended.message)
        self._note_attempt(job, Outcome.FAILED, ended.detail)
        again = job.attempts < self._type(job).max_attempts and job.reason not in DETERMINISTIC
        self._step(job, Step.RETRY if again else Step.FAIL)

    def _put_back_or_lose(self, job: Job, message: str, detail: str, now: Now) -> None:
        """A run came to nothing because of its worker: again, if that is allowed so often."""
        again = job.reruns < self._type(job).max_reruns
        job = job._replace(reruns=job.reruns + 1, ended_at=now.wall_ms, reason=FailReason.WORKER_LOST, message=message)
        self._note_attempt(job, Outcome.INTERRUPTED, detail)
        self._step(job, Step.RERUN if again else Step.LOSE)

    def _on_returned(self, returned: Returned) -> None:
        """Voids the numbers from `returned.n` on; the worker goes on with a number never given out."""
        assert self._session is not None
        for n, job in list(self._handed.items()):
            if n >= returned.n:
                self._unhand(n, job)
                self._queue.add(job.id)
                self._ahead[job.id] = job
        self.worker.stopping = returned.stopping
        self._change_session(resume=self._session.next_n)

    def _began(self, n: int, now: Now, elapsed_ms: int = 0) -> None:
        if self.worker.running_n != n:
            self.worker.runs(n, now.mono_ms - elapsed_ms)
            self._effects.news.append(News(self._handed[n], None))

    def _settled_next(self, n: int) -> bool:
        return n == next(iter(self._handed), None)

    # --- the end of a turn: hand over --------------------------------------------------------------------

    def end_turn(self, now: Now) -> Effects:
        """Hands over what the window has room for, and gives out the effects of the whole turn."""
        self.worker.check(now.mono_ms)
        if self.worker.accepts:
            self._hand_over()
        if self._acknowledge and self._session is not None:
            session = self._session
            self._effects.pipe.append(Ack(session.session, session.reports_done, session.resume))
        self._acknowledge = False
        effects, self._effects = self._effects, Effects()
        effects.news = [news for news in effects.news if news.change is not None or news.job is self.running]
        if effects.changes:
            effects.changes.counters = self.counters
        return effects

    def _hand_over(self) -> None:
        assert self._session is not None
        if next(iter(self._handed), self._session.resume) < self._session.resume:
            return  # not before all that a return has left is settled; so the numbers handed over have no gap
        load = Load()
        for job in self._handed.values():
            load = load.plus(self._weight(job))
        n = self._session.next_n
        for job in self._next_jobs():
            if self.types is not None and job.type not in self.types:
                self.worker.note = (
                    f"job {job.id} is of the type {job.type!r}, which the worker does not have "
                    f"(was it started without its --tasks?): nothing is handed over until it has"
                )
                break
            weight = self._weight(job)
            if not admits(load, weight):
                break
            load = load.plus(weight)
            self._hand(n, job)
            n += 1
        if n > self._session.next_n:
            self._change_session(next_n=n)

    def _next_jobs(self) -> Iterator[Job]:
        """The waiting jobs in turn; each must leave the queue before the next is asked for."""
        while ids := self._queue.first(1):
            job = self._ahead.get(ids[0])
            if job is None:
                self._prefetch()
                job = self._ahead[ids[0]]
            yield job

    def _prefetch(self) -> None:
        fresh = self._effects.changes
        wanted = self._queue.first(PREFETCH)
        self._ahead = {job.id: job for job in self._records.jobs(wanted)}
        for job_id in wanted:
            job = fresh.changed.get(job_id) or fresh.added.get(job_id)
            if job is not None:
                self._ahead[job_id] = job

    def _hand(self, n: int, job: Job) -> None:
        _next_state(job, JobState.QUEUED, Step.HAND_OVER)
        self._queue.remove(job.id)
        self._ahead.pop(job.id, None)
        self._handed[n] = job
        self._numbers[job.id] = n
        self._effects.changes.hands.append((n, job.id))
        self._effects.hand_over.append(Handed(n, job))

    # --- small parts -----------------------------------------------------------------------------------------

    def _unhand(self, n: int, job: Job) -> None:
        del self._handed[n], self._numbers[job.id]
        if self.worker.running_n == n:
            self.worker.running_n = None
        self._effects.changes.forget_hands.append((n,))

    def _step(self, job: Job, step: Step) -> None:
        """Takes a job that was handed over along an arrow, writes it down and tells of it."""
        state = _next_state(job, JobState.IN_PROGRESS, step)
        job = job._replace(state=state, version=job.version + 1)
        changes = self._effects.changes
        if job.id in changes.added:
            changes.added[job.id] = job
        else:
            changes.changed[job.id] = job
        if state is JobState.QUEUED:
            self._queue.add(job.id)
            self._ahead[job.id] = job
        elif state is JobState.COMPLETED:
            self.counters = self.counters._replace(completed=self.counters.completed + 1)
        elif state is JobState.FAILED:
            self.counters = self.counters._replace(failed=self.counters.failed + 1)
        self._tell(job)

    def _tell(self, job: Job) -> None:
        change = self.counters.change + 1
        self.counters = self.counters._replace(change=change)
        self._effects.news.append(News(job, change))

    def _note_attempt(self, job: Job, outcome: Outcome, detail: str) -> None:
        assert job.ended_at is not None
        number = job.attempts + job.reruns
        attempt = Attempt(number, outcome, job.started_at, job.ended_at, job.reason, job.message or "", detail)
        self._effects.changes.attempts.append((job.id, attempt))

    def _change_session(self, **fields: Any) -> None:
        assert self._session is not None
        self._session = self._effects.changes.session = self._session._replace(**fields)

    def _type(self, job: Job) -> TaskType:
        return (self.types or {}).get(job.type) or TaskType(job.type)

    def _weight(self, job: Job) -> Weight:
        alone = job.reruns > 0 or self._type(job).max_reruns == 0
        return Weight(self._averages.of(job.type), job.data_bytes, alone)


def _next_state(job: Job, state: JobState, step: Step) -> JobState:
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise AssertionError(f"job {job.id}: no step {step.value} from {state.value}") from None


def _digest(jobs: Sequence[NewJob]) -> bytes:
    """The same for the same jobs: types and data with their lengths, so that no two lists look alike."""
    digest = blake2b(digest_size=16)
    for job in jobs:
        size = -1 if job.data is None else len(job.data)
        digest.update(b"%d %d " % (len(job.type.encode()), size))
        digest.update(job.type.encode())
        digest.update(job.data or b"")
    return digest.digest()
