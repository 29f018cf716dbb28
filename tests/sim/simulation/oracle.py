"""The promises, and everything that was seen and bears on them. It sees what is committed, said and run, never why."""

from __future__ import annotations

from typing import Any, NamedTuple

from zjobs.broker.jobs import Changes, Job, Loaded
from zjobs.messages.types import FailReason, HandedJob, Jobs, JobState, NewJob, Submit, SubmitReply, TaskType


class Broken(AssertionError):
    """A promise was not kept."""


def result_of(job_id: int, data: bytes) -> bytes:
    """What a run of the job gives: no other job's run gives the same."""
    return b"job %d: %s" % (job_id, data)


class Run(NamedTuple):
    incarnation: str
    how: str | None  # None: still running


class Oracle:
    def __init__(self, types: dict[str, TaskType]) -> None:
        self._types = types
        self.acknowledged: dict[int, NewJob] = {}
        self.committed: dict[int, Job] = {}
        self.data: dict[int, bytes] = {}
        self.results: dict[int, bytes] = {}
        self.runs: dict[int, list[Run]] = {}
        self._earlier: dict[int, list[Run]] = {}  # before an older journal was put in place
        self._strangers: set[str] = set()  # workers of that time
        self.workers_ended = 0
        self.journal_replaced = False
        self.counts = dict.fromkeys(("runs", "reruns", "hand-overs", "completed", "failed", "worker lost"), 0)
        self._ids_of_key: dict[str, tuple[int, int]] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._running: int | None = None
        self._furthest = 0

    # --- what is promised to clients ---------------------------------------------------------------------

    def answered(self, request: Submit, reply: SubmitReply) -> None:
        """A submit was acknowledged: the jobs are committed, and the ids are theirs for ever."""
        ids = (reply.first_id, reply.count)
        self._hold(self._ids_of_key.setdefault(request.key, ids) == ids, f"key {request.key} got other ids")
        self._hold(reply.count == len(request.jobs), f"{reply.count} ids for {len(request.jobs)} jobs")
        for job_id, new in enumerate(request.jobs, reply.first_id):
            self._hold(job_id in self.committed, f"job {job_id} was acknowledged before it was committed")
            self._hold(self.acknowledged.setdefault(job_id, new) == new, f"id {job_id} was given twice")

    # --- what is written down -----------------------------------------------------------------------------

    def commits(self, changes: Changes, loaded: Loaded) -> None:
        """`loaded`: the journal after that."""
        for job in changes.added.values():
            self._hold(job.id not in self.committed, f"job {job.id} was added twice")
            self.committed[job.id] = job
        self.data.update(changes.data)
        for job in changes.changed.values():
            self._changes(job)
        for job_id, body in changes.results:
            self._hold(self.committed[job_id].state is JobState.COMPLETED, f"a result of job {job_id}, not completed")
            self._hold(job_id not in self.results, f"job {job_id} got a second result")
            self._hold(body == result_of(job_id, self.data[job_id]), f"job {job_id} got the result {body!r}")
            self.results[job_id] = body
        for n, job_id in changes.hands:
            assert loaded.session is not None
            self.counts["hand-overs"] += 1
            owner = self._numbers.setdefault((loaded.session.session, n), job_id)
            self._hold(owner == job_id, f"number {n} belonged to job {owner} and now to job {job_id}")
        for job in loaded.handed.values():
            alone = job.reruns > 0 or self._types[job.type].max_reruns == 0
            self._hold(not alone or len(loaded.handed) == 1, f"job {job.id} travels with {list(loaded.handed)}")

    def _changes(self, job: Job) -> None:
        before, kind = self.committed[job.id], self._types[job.type]
        self._hold(not before.state.final, f"job {job.id} was {before.state} and changed again")
        self._hold(job.version > before.version, f"job {job.id} changed without a greater version")
        self._hold(job.reruns <= self.workers_ended, f"job {job.id} lost more workers than there were")
        if job.state is JobState.COMPLETED:
            self.counts["completed"] += 1
            how = [run.how for run in (*self._earlier.get(job.id, []), *self.runs.get(job.id, []))]
            self._hold("ok" in how, f"job {job.id} is completed, but its runs ended {how}")
        elif job.state is JobState.FAILED:
            self.counts["failed"] += 1
            self._fails(job, kind)
        elif job.reruns > before.reruns:
            self.counts["reruns"] += 1
        self.committed[job.id] = job

    def _fails(self, job: Job, kind: TaskType) -> None:
        if job.reason is FailReason.WORKER_LOST:
            self.counts["worker lost"] += 1
            self._hold(job.reruns == kind.max_reruns + 1, f"job {job.id} failed after {job.reruns} lost workers")
        elif job.reason is not FailReason.BAD_DATA:
            self._hold(job.attempts == kind.max_attempts, f"job {job.id} failed after {job.attempts} attempts")

    def hands_over(self, message: Jobs) -> None:
        """Jobs leave the broker."""
        for n, job in enumerate(message.jobs, message.first):
            committed = self._numbers.get((message.session, n))
            self._hold(committed == job.id, f"number {n} left with job {job.id}, but {committed} was committed")

    # --- what runs ----------------------------------------------------------------------------------------

    def begins(self, job: HandedJob, incarnation: str) -> None:
        self._hold(self._running is None, f"job {job.id} began while job {self._running} ran")
        self._running = job.id
        self.counts["runs"] += 1
        if incarnation in self._strangers:
            self._earlier.setdefault(job.id, []).append(Run(incarnation, None))
            return
        runs = self.runs.setdefault(job.id, [])
        self._hold(job.id in self.committed, f"job {job.id} began and was never committed")
        self._hold(not self.committed[job.id].state.final, f"job {job.id} began after it was final")
        if runs:
            self._begins_again(job, incarnation, runs)
        else:
            self._hold(job.id > self._furthest, f"job {job.id} first began after job {self._furthest} had")
            self._furthest = job.id
        runs.append(Run(incarnation, None))

    def _begins_again(self, job: HandedJob, incarnation: str, runs: list[Run]) -> None:
        kind, last = self._types[job.type], runs[-1]
        if last.incarnation == incarnation:
            self._hold(last.how in ("fail", "died"), f"job {job.id} began again after it ended {last.how!r}")
        lost = sum(run.how not in ("fail", "died") for run in runs)
        self._hold(lost <= kind.max_reruns, f"job {job.id} began again after {lost} lost runs")
        most = kind.max_attempts + kind.max_reruns
        self._hold(len(runs) < most, f"job {job.id} began {len(runs) + 1} times; {most} are allowed")

    def ends(self, job_id: int, how: str) -> None:
        self._running = None
        runs = next(runs[job_id] for runs in (self._earlier, self.runs) if job_id in runs and not runs[job_id][-1].how)
        runs[-1] = runs[-1]._replace(how=how)

    def takes_over(self) -> None:
        """A worker was made to forget everything."""
        self._hold(self.journal_replaced, "a worker was taken over, and the journal was never replaced")
        self.workers_ended += 1

    # --- an older journal was put in place -----------------------------------------------------------------

    def restored(
        self,
        jobs: dict[int, Job],
        data: dict[int, bytes],
        results: dict[int, bytes],
        hands: dict[tuple[str, int], int],
        worker: str | None,
    ) -> None:
        """From now on only what that journal knows is promised, and the runs since it was copied are not counted.

        `worker`: the incarnation that lives on; it may know more than that journal until it is taken over.
        """
        self.journal_replaced = True
        self.committed, self.data, self.results = jobs, data, results
        self.acknowledged = {job_id: new for job_id, new in self.acknowledged.items() if job_id in jobs}
        self._ids_of_key, self._numbers, self._furthest = {}, hands, 0
        for job_id, runs in self.runs.items():
            self._earlier.setdefault(job_id, []).extend(runs)
        self.runs = {}
        if worker is not None:
            self._strangers.add(worker)

    # --- at any time, and in the end -------------------------------------------------------------------------

    def same(self, what: str, ours: Any, theirs: Any) -> None:
        self._hold(ours == theirs, f"{what}: {ours} is not {theirs}")

    def drained(self) -> None:
        """Everything acknowledged is final."""
        for job_id in self.acknowledged:
            job = self.committed[job_id]
            self._hold(job.state.final, f"job {job_id} is still {job.state}")
            self._hold((job_id in self.results) == (job.state is JobState.COMPLETED), f"job {job_id}: no result")

    def _hold(self, condition: bool, what: str) -> None:
        if not condition:
            raise Broken(what)
