"""The promises, and everything that was seen and bears on them. It sees what is committed, said and run, never why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from simulation.edits import EditPromises
from simulation.pauses import PausePromises
from simulation.times import TimePromises
from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.jobs import Instant, Job, Loaded
from zjobs.messages.dispatch import DispatchedJob, Jobs
from zjobs.messages.records import TaskType
from zjobs.messages.requests.changes import PauseReply, Retry, RetryReply, Submit, SubmitReply
from zjobs.messages.states import FailReason, JobState

# A run that ended so does not count as one that was lost with its worker; `told`: it was told to end, and did.
FAILED = ("fail", "died", "told")

LET_GO_MS = 2_500  # in so long a worker hears, with nothing in its way, what it is told with every heartbeat

REPEATER = "another user"  # who sends a request again; the first that is heard counts


class Broken(AssertionError):
    """A promise was not kept."""


def result_of(job_id: int, data: bytes) -> bytes:
    """What a run of the job gives: no other job's run gives the same."""
    return b"job %d: %s" % (job_id, data)


def printed_by(job_id: int) -> bytes:
    """What a run of the job prints."""
    return b"job %d here\n" % job_id


class Run(NamedTuple):
    incarnation: str
    how: str | None  # None: still running


class Oracle:
    def __init__(self, types: dict[str, TaskType], time: Callable[[], Instant]) -> None:
        self._types = types
        self._time = time
        self.acknowledged: set[int] = set()
        self.committed: dict[int, Job] = {}
        self.data: dict[int, bytes] = {}
        self.results: dict[int, bytes] = {}
        self.forgotten: set[int] = set()
        self.runs: dict[int, list[Run]] = {}
        self.healthy_since: int | None = None  # None: something may be in the way
        self.workers_ended = 0
        self.journal_replaced = False
        self.counts = dict.fromkeys(
            ("runs", "reruns", "hand-overs", "completed", "failed", "worker lost", "cancelled", "cancelled runs")
            + ("timed out", "retried", "copies", "overtakes", "delayed", "pauses", "pauses answered", "forgotten")
            + ("spooled", "delivered", "pieces", "timed out pauses", "edits", "edits recalled", "edits too late")
            + ("dependents", "dependents started", "dependents cancelled", "start times", "cancelled late"),
            0,
        )
        self.pauses = PausePromises(self._hold, time, self.counts)
        self.times = TimePromises(self._hold, time, self.counts)
        self.edits = EditPromises(self._hold, lambda id: id in self.runs or id in self._earlier, self.counts)
        self._earlier: dict[int, list[Run]] = {}  # before an older journal was put in place
        self._strangers: set[str] = set()  # workers of that time
        self._ended_in_order: set[str] = set()  # incarnations that told, or kept, everything before they ended
        self._incarnation = ""
        self._ids_of_key: dict[str, tuple[int, int]] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._handed: dict[int, int] = {}
        self._begun: set[tuple[str, int]] = set()
        self.running: int | None = None
        self._stranger_runs = False  # a worker of the time before an older journal was put in place
        self._paused_at: int | None = None
        self._may_start: set[int] | None = None  # while a pause that was answered lasts: what may still start
        self._killed_unheard: set[int] = set()  # ran, by what their worker had heard, when it was to kill what runs
        self._to_tell: list[tuple[Job, Job]] = []  # changed jobs, before and after
        self._wishes: dict[int, int] = {}  # when the wish that a job end was committed
        self._wakes: dict[int, int] = {}  # when the delay of a job ends, by the clock that nobody sets

    # --- what is promised to clients ---------------------------------------------------------------------

    def submit_answered(self, request: Submit, reply: SubmitReply) -> None:
        """The jobs are committed, and the ids are theirs for ever."""
        for job_id, new in zip(self._given(request.request_key, reply, len(request.jobs)), request.jobs):
            job = self.committed[job_id]
            self._hold((job.type, self.data[job_id]) == new[:2], f"job {job_id} is not the one submitted")
            asked = (job.priority, job.time_limit_ms, job.name, job.comment)
            as_submitted = asked == (new.priority, new.time_limit_ms, new.name, new.comment)
            self._hold(as_submitted or job_id in self.edits.edited, f"job {job_id} was not asked for so: {asked}")
            self._hold(job.submitter in (request.submitter, REPEATER), f"job {job_id} has another submitter")
            self._hold(job.ready_at is not None or job.reruns > 0 or not new.delay_ms, f"job {job_id} has no delay")

    def retry_answered(self, request: Retry, reply: RetryReply) -> None:
        """The copies are committed."""
        for job_id, old_id in zip(self._given(request.request_key, reply, len(request.ids)), request.ids):
            job, old = self.committed[job_id], self.committed.get(old_id)
            self._hold(job.retry_of == old_id, f"job {job_id} is no copy of {old_id}")
            self._hold(job.submitter in (request.submitter, REPEATER), f"job {job_id} has another submitter")
            if old is not None:
                same = (job.name, job.comment) == (old.name, old.comment) or job_id in self.edits.edited
                self._hold(same, f"job {job_id} has other texts")
                self._hold(self.data[job_id] == self.data[old_id], f"job {job_id} has other data than {old_id}")

    def _given(self, key: str, reply: SubmitReply | RetryReply, least: int) -> Iterable[int]:
        """The ids that an answer names, or none when some of them were forgotten by then."""
        ids = (reply.first_id, reply.count)
        self._hold(reply.count >= least, f"{reply.count} ids for {least} jobs")
        given = range(reply.first_id, reply.first_id + reply.count)
        if not self.forgotten.issuperset(given):  # else the key is gone with them
            self._hold(self._ids_of_key.setdefault(key, ids) == ids, f"key {key} got other ids")
        for job_id in given:
            known = job_id in self.committed or job_id in self.forgotten
            self._hold(known, f"job {job_id} was acknowledged before it was committed")
            self.acknowledged.add(job_id)
        return [] if self.forgotten.intersection(given) else given

    def cancel_answered(self, ids: Iterable[int]) -> None:
        """Jobs that there were: each has ended, or the wish is written down."""
        for job_id in ids:
            job = self.committed.get(job_id)
            self._hold(job is None or job.state.final or job.cancelling, f"job {job_id} goes on after its cancel")

    def pause_answered(self, reply: PauseReply) -> None:
        """What is not named in the reply does not start before the pause ends; what runs does not start again."""
        if self._paused_at is None:  # it was ended in the same turn
            return
        self.counts["pauses answered"] += 1
        named = {*reply.may_start, *(() if reply.running is None else (reply.running,))}  # offered is said to run
        self._may_start = named if self._may_start is None else self._may_start & named

    def nothing_dispatched(self) -> None:
        """`queue` would tell now that the worker has no job."""
        if self._paused_at is None or self._stranger_runs:
            return
        self._hold(self.running is None, f"job {self.running} runs in a pause, and no job is said to be dispatched")
        self._may_start = set()

    # --- what is written down -----------------------------------------------------------------------------

    def commits(self, changes: Changes, loaded: Loaded) -> None:
        """`loaded`: the journal after that."""
        for job in changes.added.values():
            known = job.id in self.committed or job.id in self.forgotten
            self._hold(not known, f"id {job.id} was given twice")
            self.committed[job.id] = job
            self._waits(job)
            self.times.changes(None, job)
            self.counts["copies"] += job.retry_of is not None
            self.counts["dependents"] += bool(job.after)
        self.data.update(changes.data)
        self.data.update((to, self.data[copied]) for to, copied in changes.data_copies)
        was_paused = self._paused_at is not None
        for job in changes.changed.values():
            self._changes(job)
            if job.state is JobState.FAILED and job.reason is FailReason.WORKER_LOST:
                self._hold(not job.cancelling, f"job {job.id} is failed, and was to be cancelled")
        while self._to_tell:  # of jobs that ended in the same commit, some stand behind those that wait for them
            self._told(*self._to_tell.pop())
        self._commits_results(changes)
        self._pauses(changes, loaded, was_paused)
        self.times.looks(self.committed.values())
        self._commits_hands(changes, loaded)
        self._incarnation = "" if loaded.session is None else loaded.session.incarnation
        for job_id in changes.forgotten:
            self._forgets(job_id)

    def _commits_results(self, changes: Changes) -> None:
        for job_id, body in changes.results:
            self._hold(self.committed[job_id].state is JobState.COMPLETED, f"a result of job {job_id}, not completed")
            self._hold(job_id not in self.results, f"job {job_id} got a second result")
            self._hold(body == result_of(job_id, self.data[job_id]), f"job {job_id} got the result {body[:30]!r}")
            self.results[job_id] = body
        for printed in changes.outputs:  # nothing: what an earlier run has printed goes
            whole = (printed.offset, printed.body) in ((0, printed_by(printed.id)), (0, b""))
            self._hold(whole, f"job {printed.id} is said to have printed {printed}")

    def _pauses(self, changes: Changes, loaded: Loaded, was_paused: bool) -> None:
        self.pauses.commits(loaded)
        if not loaded.pauses:
            self._paused_at = self._may_start = None
        elif self._paused_at is None:
            self.counts["pauses"] += 1
            self._paused_at = self._time().mono_ms
        self._hold(not loaded.pauses or not changes.deliveries, "something was handed over in a pause")

    def _commits_hands(self, changes: Changes, loaded: Loaded) -> None:
        self._handed = {delivery: job.id for delivery, job in loaded.in_flight.items()}
        for delivery, job_id in changes.deliveries:
            assert loaded.session is not None
            self.counts["hand-overs"] += 1
            owner = self._numbers.setdefault((loaded.session.session, delivery), job_id)
            self._hold(owner == job_id, f"number {delivery} belonged to job {owner} and now to job {job_id}")
            job = self.committed[job_id]
            self._hold(not job.cancelling and not job.state.final, f"job {job_id} shall end and was handed over")
        for job in loaded.in_flight.values():
            alone = job.reruns > 0 or self._types[job.type].max_reruns == 0
            self._hold(not alone or len(loaded.in_flight) == 1, f"job {job.id} travels with {list(loaded.in_flight)}")
        if changes.deliveries:
            self._in_turn([job_id for _, job_id in changes.deliveries])

    def _in_turn(self, handed: list[int]) -> None:
        """Of the ready jobs, those were handed over whose turn it is, and no other: however the wall clock was set."""
        mono_ms = self._time().mono_ms
        order = []
        for job_id in handed:
            job = self.committed[job_id]
            self._hold(self._wakes.get(job_id, 0) <= mono_ms, f"job {job_id} was not ready")
            self.times.handed_over(job)
            self.counts["delayed"] += job.ready_at is not None
            order.append((-job.priority, job_id))
        self._hold(order == sorted(order), f"handed over in the order {handed}")
        away = set(self._handed.values())
        for job in self.committed.values():
            parked = job.held or job.after or job.after_any
            ready = self._wakes.get(job.id, 0) <= mono_ms and self.times.is_ready(job)
            if not job.state.final and not parked and job.id not in away and ready:
                self._hold((-job.priority, job.id) > order[-1], f"job {job.id} was ready before {handed}")
                self.counts["overtakes"] += job.id < handed[-1]

    def _forgets(self, job_id: int) -> None:
        job = self.committed.pop(job_id)
        self._hold(job.state.final, f"job {job_id} was dropped and had not ended")
        self.counts["forgotten"] += 1
        self.forgotten.add(job_id)
        self.data.pop(job_id, None)
        self.results.pop(job_id, None)
        for key, (first, count) in list(self._ids_of_key.items()):
            if not any(other in self.committed for other in range(first, first + count)):
                del self._ids_of_key[key]

    def _changes(self, job: Job) -> None:
        before, kind = self.committed[job.id], self._types[job.type]
        if job == before._replace(output_bytes=job.output_bytes):  # it has printed something, and nothing else
            self.committed[job.id] = job
            return
        self._hold(not before.state.final, f"job {job.id} was {before.state} and changed again")
        self._hold(not before.cancelling or job.state.final, f"job {job.id} shall end and goes on")
        self._hold(job.version > before.version, f"job {job.id} changed without a greater version")
        self._hold(job.reruns <= self.workers_ended, f"job {job.id} lost more workers than there were")
        self._hold(job.attempts <= kind.max_attempts, f"job {job.id} was tried {job.attempts} times")
        self._hold(job.reruns <= kind.max_reruns + 1, f"job {job.id} was put back {job.reruns} times")
        if job.reruns > before.reruns and self._incarnation in self._ended_in_order and not self.journal_replaced:
            how = [run.how for run in self.runs.get(job.id, [])]
            killed = how[-1:] == ["killed"] or (how[-1:] == ["died"] and job.id in self._killed_unheard)
            self._hold(killed, f"job {job.id} is put back after an orderly end; its runs ended {how}")
        self.committed[job.id] = job
        self._to_tell.append((before, job))
        self.times.changes(before, job)
        if job.attempts > before.attempts or job.ready_at != before.ready_at or job.state.final:
            self._waits(job)
        if job.cancelling:
            self._wishes[job.id] = self._time().mono_ms
        if job.state is JobState.COMPLETED:
            self.counts["completed"] += 1
            how = [run.how for run in (*self._earlier.get(job.id, []), *self.runs.get(job.id, []))]
            self._hold("ok" in how, f"job {job.id} is completed, but its runs ended {how}")
        elif job.state is JobState.FAILED:
            self.counts["failed"] += 1
            self._fails(job, kind, before.cancelling)
        elif job.state is JobState.CANCELLED:
            self.counts["cancelled"] += 1
            self.counts["cancelled runs"] += job.id in self.runs
            self._hold(job.reason is None, f"job {job.id} is cancelled because of {job.reason}")
        elif job.reruns > before.reruns:
            self.counts["reruns"] += 1
        elif job.attempts > before.attempts:
            self.counts["retried"] += 1
            delay_ms = kind.retry_delay_ms * 2 ** (job.attempts - 1)
            self._hold(job.ready_at == (job.ended_at or 0) + delay_ms, f"job {job.id} is retried at {job.ready_at}")

    def _told(self, before: Job, job: Job) -> None:
        """A job waits no longer for one that has completed, and is cancelled because of one that has not."""
        for awaited in set(before.after) - set(job.after):
            self.counts["dependents started"] += 1
            completed = awaited in self.forgotten or self.committed[awaited].state is JobState.COMPLETED
            self._hold(completed, f"job {job.id} no longer waits for job {awaited}")
        if job.cancelled_by is not None:
            self.counts["dependents cancelled"] += 1
            other = self.committed.get(job.cancelled_by)
            lost = other is None or other.state in (JobState.FAILED, JobState.CANCELLED)
            self._hold(lost and job.state is JobState.CANCELLED, f"job {job.id} is cancelled by {job.cancelled_by}")

    def broker_loads(self, loaded: Loaded) -> None:
        """Over a restart the wall clock says what is left of a delay, and at most all of it is."""
        self.pauses.loads(loaded)
        self.times.loads(loaded)
        now = self._time()
        self._wakes = {
            job_id: now.mono_ms + min(ready_at - now.wall_ms, max(0, delay_ms))
            for ready_at, job_id, delay_ms in (
                *((each[0], each[1], each[3]) for each in loaded.waiting),
                *((each[1], each[0], each[2]) for each in loaded.parked),
            )
            if ready_at is not None and delay_ms is not None
        }
        for job in loaded.in_flight.values():  # it was ready once
            self._wakes.pop(job.id, None)

    def _waits(self, job: Job) -> None:
        """The delay that a job has as of this commit."""
        now = self._time()
        if job.ready_at is None or job.ready_at == job.start_at or job.state.final:
            self._wakes.pop(job.id, None)
        else:
            self._wakes[job.id] = now.mono_ms + job.ready_at - now.wall_ms

    def _fails(self, job: Job, kind: TaskType, unwanted: bool) -> None:
        self.counts["timed out"] += job.reason is FailReason.TIMED_OUT
        if job.reason is FailReason.WORKER_LOST:
            self.counts["worker lost"] += 1
            self._hold(job.reruns == kind.max_reruns + 1, f"job {job.id} failed after {job.reruns} lost workers")
        elif job.reason is not FailReason.BAD_DATA and not unwanted:
            self._hold(job.attempts == kind.max_attempts, f"job {job.id} failed after {job.attempts} attempts")

    def dispatches(self, message: Jobs) -> None:
        """Jobs leave the broker."""
        for delivery, job in enumerate(message.jobs, message.first):
            committed = self._numbers.get((message.session, delivery))
            self._hold(committed == job.id, f"number {delivery} left with job {job.id}, but {committed} was committed")
            rest = self.data[job.id][job.data_from :]
            self._hold(job.data == rest, f"job {job.id} left with the data {(job.data or b'')[:20]!r}")

    # --- what runs ----------------------------------------------------------------------------------------

    def begins(self, delivery: int, job: DispatchedJob, incarnation: str) -> None:
        self._hold(self.running is None, f"job {job.id} began while job {self.running} ran")
        self.running = job.id
        self.counts["runs"] += 1
        self._stranger_runs = incarnation in self._strangers
        if self._stranger_runs:
            self._earlier.setdefault(job.id, []).append(Run(incarnation, None))
            return
        self._hold(job.id not in self.forgotten, f"job {job.id} began after it was forgotten")
        self._hold(job.id in self.committed, f"job {job.id} began and was never committed")
        self._hold(not self.committed[job.id].state.final, f"job {job.id} began after it was final")
        self._hold(job.data == self.data[job.id], f"job {job.id} began with the data {(job.data or b'')[:20]!r}")
        self.edits.begins(self.committed[job.id])
        for awaited in self.committed[job.id].after:
            self._hold(False, f"job {job.id} began before job {awaited} had completed")
        self._begins_in_order(delivery, job.id, incarnation)
        runs = self.runs.setdefault(job.id, [])
        if runs:
            self._begins_again(job, incarnation, runs)
        runs.append(Run(incarnation, None))

    def _begins_in_order(self, delivery: int, job_id: int, incarnation: str) -> None:
        """The numbers given out were given in turn; they begin in their order, each of them once."""
        self._hold(self._handed.get(delivery) == job_id, f"job {job_id} began as number {delivery} of {self._handed}")
        self._hold((incarnation, delivery) not in self._begun, f"number {delivery} began twice")
        self._begun.add((incarnation, delivery))
        for lower in self._handed:
            began = lower >= delivery or (incarnation, lower) in self._begun
            self._hold(began, f"job {job_id}, number {delivery}, began before number {lower}")
        if self._may_start is not None:
            self._hold(job_id in self._may_start, f"job {job_id} began in a pause whose reply does not name it")
            self._may_start.discard(job_id)
        if self._paused_at is not None and self.healthy_since is not None:
            paused_ms = self._time().mono_ms - max(self._paused_at, self.healthy_since)
            self._hold(paused_ms < LET_GO_MS, f"job {job_id} began {paused_ms} ms after a pause")

    def _begins_again(self, job: DispatchedJob, incarnation: str, runs: list[Run]) -> None:
        kind, last = self._types[job.type], runs[-1]
        if last.incarnation == incarnation:
            self._hold(last.how in FAILED, f"job {job.id} began again after it ended {last.how!r}")
        lost = sum(run.how not in FAILED for run in runs)
        self._hold(lost <= kind.max_reruns, f"job {job.id} began again after {lost} lost runs")
        most = kind.max_attempts + kind.max_reruns
        self._hold(len(runs) < most, f"job {job.id} began {len(runs) + 1} times; {most} are allowed")

    def ends(self, job_id: int, how: str) -> None:
        self.running = None
        self._stranger_runs = False
        runs = next(runs[job_id] for runs in (self._earlier, self.runs) if job_id in runs and not runs[job_id][-1].how)
        runs[-1] = runs[-1]._replace(how=how)

    def exits(self, incarnation: str) -> None:
        """A worker ends in order: the broker has everything that it had to tell, or its spool has."""
        self._ended_in_order.add(incarnation)

    def kills(self, job_id: int | None) -> None:
        """A worker is told to stop at once while that job runs, by what it has heard. Whether the task process dies
        of that or died an instant before, nobody can tell."""
        if job_id is not None:
            self._killed_unheard.add(job_id)

    def sets_aside(self) -> None:
        """A spool is given up, because the broker does not know its session."""
        self._hold(self.journal_replaced, "a spool was set aside, and the journal was never replaced")

    def takes_over(self) -> None:
        """A worker was made to forget everything."""
        self._hold(self.journal_replaced, "a worker was taken over, and the journal was never replaced")
        self.workers_ended += 1

    # --- an older journal was put in place -----------------------------------------------------------------

    def restored(
        self,
        loaded: Loaded,
        jobs: dict[int, Job],
        data: dict[int, bytes],
        results: dict[int, bytes],
        worker: str | None,
    ) -> None:
        """From now on only what that journal knows is promised, and the runs since it was copied are not counted.

        `worker`: the incarnation that lives on; it may know more than that journal until it is taken over.
        """
        self.journal_replaced = True
        self.committed, self.data, self.results = jobs, data, results
        self.acknowledged &= set(jobs)
        self.forgotten = set(range(1, loaded.counters.next_id)) - set(jobs)
        self._ids_of_key, self._wishes, self._begun = {}, {}, set()
        session = "" if loaded.session is None else loaded.session.session
        self._numbers = {(session, delivery): job.id for delivery, job in loaded.in_flight.items()}
        self._handed = {delivery: job.id for delivery, job in loaded.in_flight.items()}
        self._paused_at = None if not loaded.pauses else self._time().mono_ms
        self._may_start = None  # what was answered, another journal had promised
        for job_id, runs in self.runs.items():
            self._earlier.setdefault(job_id, []).extend(runs)
        self.runs = {}
        self.edits.edited = set(jobs)  # at some time
        if worker is not None:
            self._strangers.add(worker)
            self._stranger_runs = self.running is not None

    # --- at any time, and in the end -------------------------------------------------------------------------

    def same(self, what: str, ours: Any, theirs: Any) -> None:
        self._hold(ours == theirs, f"{what}: {ours} is not {theirs}")

    def nobody_waits_for_its_end(self) -> None:
        """With nothing in the way, what shall end has ended."""
        assert self.healthy_since is not None
        self.pauses.nothing_overdue()
        jobs = self.committed.values()
        self.times.nobody_is_late(jobs, self.edits.has_begun, self.healthy_since, 2 * LET_GO_MS)
        now_ms = self._time().mono_ms
        for job_id, at_ms in self._wishes.items():
            job = self.committed.get(job_id)
            if job is not None and job.cancelling:
                waited_ms = now_ms - max(at_ms, self.healthy_since)
                self._hold(waited_ms < 2 * LET_GO_MS, f"job {job_id} has been cancelling for {waited_ms} ms")

    def kept(self, most: int | None, for_ms: int | None, served_ms: int) -> None:
        """What the operator does not want kept is gone."""
        ended = [job for job in self.committed.values() if job.state.final]
        self._hold(most is None or len(ended) <= most, f"{len(ended)} ended jobs are kept")
        if for_ms is not None:
            late = [job.id for job in ended if (job.ended_served_ms or 0) < served_ms - for_ms - 20_000]
            self._hold(not late, f"jobs {late} are kept too long")

    def drained(self) -> None:
        """Everything acknowledged is final."""
        for job_id in self.acknowledged - self.forgotten:
            job = self.committed[job_id]
            self._hold(job.state.final, f"job {job_id} is still {job.state}")
            self._hold((job_id in self.results) == (job.state is JobState.COMPLETED), f"job {job_id}: no result")

    def _hold(self, condition: bool, what: str) -> None:
        if not condition:
            raise Broken(what)
