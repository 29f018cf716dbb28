"""Broker, worker and client in one process, and what can be done to them.

`World.do` takes one line of a scenario; `ACTIONS` lists them all. Everything else that happens follows from these
lines, so the same lines give the same run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from simulation.network import Network
from simulation.oracle import REPEATER, Broken, Oracle
from simulation.processes import MOST_TURNS, Broker, Crash, Worker
from simulation.store import Store
from simulation.tasks import BEHAVIOURS, FEW, TYPES, TaskProcesses
from zjobs.broker.core.admission import Rules
from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.core.records.jobs import Instant, Job
from zjobs.broker.core.records.needs import Needs, ResultNeed
from zjobs.broker.retention import Keep
from zjobs.broker.storage.api import Journal
from zjobs.messages.requests.changes import (
    Cancel,
    Edit,
    EditReply,
    Forget,
    NewJob,
    Pause,
    PauseReply,
    Resume,
    Retry,
    RetryReply,
    Submit,
    SubmitReply,
)
from zjobs.messages.requests.ops import Reply, Request
from zjobs.messages.states import JobState, Role
from zjobs.messages.units import Ms

WALL_MS = 1_700_000_000_000
LONGEST_DRAIN_MS = 600_000
LARGE_BYTES = 300_000  # more than may be on its way at once
JOB = re.compile(r"(\w+):(\w+)(?:\*(\d+))?(?:\^(-?\d+))?(?:\+(\d+))?(?:!(\d+))?(?:~(-?\d+))?(?:@(-?\d+))?(?:<(\d+))?")


class World:
    def __init__(self, store: Store) -> None:
        self.now = 1_000
        self.rules = Rules()
        self.keep = Keep()
        self.clock_was_set = False
        self._wall_ms = WALL_MS
        self.net = Network()
        self.oracle = Oracle({name: kind for name, (kind, _) in TYPES.items()}, self.time)
        self.lines: list[str] = []
        self.disk_full = False
        self.asked: list[Request] = []
        self._askers: dict[int, Who] = {}
        self.broker: Broker | None = None
        self.worker: Worker | None = None
        self.spool: bytes | None = None
        self.worker_disk_full = False
        self._crash = ""
        self._store = store
        self._names = 0
        self._orphan: TaskProcesses | None = None
        self._start_broker()

    # --- a scenario's lines ---------------------------------------------------------------------------------

    def do(self, line: str) -> None:
        """Does what a line of a scenario says; see ACTIONS."""
        self.lines.append(line)
        words = line.split()
        for length in (4, 3, 2, 1):
            name = " ".join(words[:length])
            if len(words) >= length and name in ACTIONS:
                ACTIONS[name](self, *words[length:])
                break
        else:
            raise ValueError(f"no such line: {line}")
        if self.worker is not None and self.worker.exited:
            self._worker_ends("1000000")

    def submit(self, *jobs: str) -> None:
        """A request under a new key. Its answer comes with a turn.

        `quick:ok*5^3+200!80~-1`, `quick:ok@200<300` and shorter: what does what, how often, with which priority, delay
        and time limit, after which job; in how long it is to start, and by when.
        """
        number, new = len(self.asked), []
        for job in jobs:
            match = JOB.fullmatch(job)
            assert match is not None and match[1] in TYPES and match[2] in BEHAVIOURS, job
            data = f"{match[2]}#{number}".encode() + bytes(LARGE_BYTES if match[2] == "large" else 0)
            limit_ms = int(match[6]) if match[6] else None
            texts = (f"name {number}", f"comment {number}")
            after = self._ids([match[7]]) if match[7] else ()
            times = self._by_the_wall(match[8]), self._by_the_wall(match[9])
            one = NewJob(match[1], data, int(match[4] or 0), int(match[5] or 0), limit_ms, *texts, after, (), *times)
            new += [one] * int(match[3] or 1)
        self._ask(Submit(f"key-{number}", tuple(new), submitter=f"user-{number}"))

    def retry(self, *ids: str) -> None:
        number = len(self.asked)
        self._ask(Retry(f"key-{number}", self._ids(ids), f"user-{number}", with_dependents=number % 2 == 0))

    def repeat(self, number: str) -> None:
        """A request with a key once more, whoever sends it."""
        keyed = [number for number, request in enumerate(self.asked) if isinstance(request, (Submit, Retry))]
        if self.broker is not None and keyed:
            number_ = keyed[int(number) % len(keyed)]
            self.broker.requests.append((number_, self.asked[number_]._replace(submitter=REPEATER)))

    def cancel(self, *ids: str) -> None:
        """Ids are those of jobs; -1 is the newest one, -2 the one before; `running`: that of the job that runs."""
        self._ask(Cancel(self._ids(ids)))

    def hold(self, *ids: str) -> None:
        self._ask(Edit(self._ids(ids), held=True))

    def release(self, *ids: str) -> None:
        self._ask(Edit(self._ids(ids), held=False))

    def edit(self, priority: str, *ids: str) -> None:
        """They get this priority, and another name."""
        self._ask(Edit(self._ids(ids), priority=int(priority), name=f"edited {len(self.asked)}"))
        self.oracle.edits.edited.update(self._ids(ids))

    def edit_at(self, in_ms: str, *ids: str) -> None:
        """They start in so long, or at `once`."""
        self._ask(Edit(self._ids(ids), start_at=0 if in_ms == "once" else self._by_the_wall(in_ms)))

    def edit_by(self, in_ms: str, *ids: str) -> None:
        """They are cancelled if they have not started then; or `never`."""
        self._ask(Edit(self._ids(ids), start_by=0 if in_ms == "never" else self._by_the_wall(in_ms)))

    def forget(self, *ids: str) -> None:
        self._ask(Forget(self._ids(ids)))

    def pause(self, who: str = "", for_ms: str = "") -> None:
        """`pause`: until `resume`; `pause ann 500`: a member's, for a time."""
        if who:
            self._askers[len(self.asked)] = Who(who, Role.MEMBER)
        self._ask(Pause("a person", for_ms=Ms(int(for_ms)) if for_ms else None))

    def resume(self, who: str = "") -> None:
        """`resume`: as an operator; `resume ann`: a member's own pauses; `resume all`: everybody's."""
        if who not in ("", "all"):
            self._askers[len(self.asked)] = Who(who, Role.MEMBER)
        self._ask(Resume(all=who == "all"))

    def pause_on(self, what: str) -> None:
        """The broker is started anew with this rule."""
        self.rules = Rules(pause_on=what)
        self._start_anew()

    def keeps(self, jobs: str = "", for_ms: str = "") -> None:
        """`keep 5`, `keep 5 1000`, `keep 0 1000`: how many ended jobs and for how long; `keep`: all, for ever."""
        self.keep = Keep(int(for_ms) if for_ms else None, int(jobs or 0) or None)
        self._start_anew()

    def clock(self, ms: str) -> None:
        """The wall clock is set, back when `ms` is negative."""
        self._wall_ms = max(self._wall_ms + int(ms), -self.now)
        self.clock_was_set = True

    def broker_turn(self, most: str = "1000") -> None:
        if self.broker is not None:
            self.broker.flush()
            self.broker.turn(int(most))

    def broker_dies(self, where: str, arrived: str = "0") -> None:
        """In a turn, `before` or `after` its commit; `arrived` messages reach the worker."""
        if self.broker is not None:
            self.broker.turn(1000, where)
            self._broker_ends(arrived)

    def broker_starts(self) -> None:
        if self.broker is None:
            self._start_broker()

    def disk_fills(self) -> None:
        self._fill_disk(True)

    def disk_empties(self) -> None:
        self._fill_disk(False)

    def worker_turn(self, most: str = "1000", stale: bool = False) -> None:
        if self.worker is not None:
            try:
                self.worker.turn(int(most), stale)
            except Crash:
                self._worker_ends("1000")

    def worker_stale(self, most: str = "1000") -> None:
        """The worker reads what an old connection left."""
        self.worker_turn(most, stale=True)

    def worker_starts(self, few: str = "") -> None:
        """`few`: without some of its types. It waits for the lock until the old task process is dead."""
        if self.worker is None:
            if self._orphan is not None:
                self._orphan.bury()
                self._orphan = None
            self.worker = Worker(self, FEW if few else TYPES)

    def worker_dies(self, arrived: str = "0") -> None:
        """kill -9; `arrived` of its messages reach the broker."""
        if self.worker is not None:
            self._worker_ends(arrived)

    def worker_stops(self) -> None:
        """Told once: after the running job. Told twice: at once. While it delivers a spool: at once, too."""
        if self.worker is not None and not self.worker.delivers and self.worker.core.state.stopping:
            self.worker_stops_at_once()
        elif self.worker is not None:
            self.worker.stop()

    def worker_stops_at_once(self) -> None:
        if self.worker is not None and not self.worker.delivers:
            self.oracle.kills(self.worker.core.session.running_id)
            for _ in range(1 if self.worker.core.state.stopping else 2):
                self.worker.stop()

    def worker_crashes(self, when: str, step: str) -> None:
        """`before` or `after` it does this to its spool the next time: SaveSpool, RemoveSpool, SetAsideSpool."""
        self._crash = f"{when} {step}"

    def worker_disk_fills(self) -> None:
        self.worker_disk_full = True

    def worker_disk_empties(self) -> None:
        self.worker_disk_full = False

    def crash_at(self, place: str) -> None:
        """Raises Crash when the worker shall die in this place."""
        if place == self._crash:
            self._crash = ""
            raise Crash

    def task_steps(self, most: str = "1") -> None:
        """The task process (that of a dead worker, too) begins or ends a job."""
        runner = self._runner()
        for _ in range(int(most)):
            if runner is None or not runner.step(self.now):
                break

    def task_dies(self) -> None:
        if self.worker is not None and self.worker.runner is not None:
            self.worker.runner.die()

    def wait(self, duration_ms: str) -> None:
        self.now += int(duration_ms)

    def cut_pipe(self, arrived: str = "0") -> None:
        self.net.cut_pipe(int(arrived))

    def cut_reports(self, arrived: str = "0") -> None:
        self.net.cut_reports(int(arrived))

    def connect(self) -> None:
        if self.broker is not None and self.worker is not None:
            self.net.connect()

    def run(self, duration_ms: str) -> None:
        """Nothing goes wrong for a while."""
        end = self.now + int(duration_ms)
        self.oracle.healthy_since = self.now
        while True:
            self._settle()
            if self.now >= end:
                break
            self.now = max(self.now + 1, min([end, *self._deadlines()]))

        healthy = self.broker is not None and self.worker is not None and not self.worker.core.state.stopping
        if healthy and not self.disk_full:
            self.oracle.nobody_waits_for_its_end()
        self.oracle.healthy_since = None

    def backup(self) -> None:
        self._store.backup()

    def restore(self, arrived: str = "0") -> None:
        """The broker dies, and starts again on the journal as it was copied last; `arrived` as when it dies."""
        self.broker_dies("after", arrived)
        if self._store.restore():
            self._forget_what_was_after()
        self.broker_starts()

    def drain(self) -> None:
        """Everything heals, and every job must end in bounded time."""
        self._fill_disk(False)
        self.worker_disk_full, self._crash = False, ""
        self.broker_starts()
        if self.rules != Rules():
            self.pause_on("never")
        end = self.now + LONGEST_DRAIN_MS
        while self.now < end:
            if self.worker is not None and self.worker.types != tuple(kind for kind, _ in TYPES.values()):
                self.worker_dies()
            self.worker_starts()
            self.resume("all")
            if held := [str(job.id) for job in self.oracle.committed.values() if job.held and not job.state.final]:
                self.release(*held)
            timed = [str(job.id) for job in self.oracle.committed.values() if job.start_at and not job.state.final]
            if timed:
                self.edit_at("once", *timed)
            self.run("1000")
            if self.worker is not None and self.worker.exited:
                self._worker_ends("1000000")
            assert self.broker is not None
            core = self.broker.core
            if core.queued == core.waiting == 0 and core.running is None:
                break
        self.run("3000" if self.keep == Keep() else "25000")
        served_ms = self.broker.core.service(self.time()).served_ms if self.broker is not None else 0
        self.oracle.kept(self.keep.jobs, self.keep.for_ms, served_ms)
        self._check_all()
        self.oracle.drained()

    def expect(self, job_id: str, state: str, _begins: str = "begins", times: str = "") -> None:
        """`expect 1 completed begins 2`: what became of a job, and how often it began."""
        self.oracle.same(f"job {job_id}", self.oracle.committed[int(job_id)].state, JobState(state))
        if times:
            self.oracle.same(f"job {job_id} began", len(self.oracle.runs.get(int(job_id), [])), int(times))

    # --- parts ----------------------------------------------------------------------------------------------

    def time(self) -> Instant:
        return Instant(self.now, self._wall_ms + self.now)

    def _by_the_wall(self, in_ms: str | None) -> Ms | None:
        return None if in_ms is None else Ms(max(1, self.time().wall_ms + int(in_ms)))

    def asker(self, number: int) -> Who:
        """Who made a request."""
        return self._askers.get(number, ANYBODY)

    def new_round(self) -> int:
        """Where a new broker begins to count its rounds: none that an earlier one had."""
        self._names += 1
        return 1_000_000 * self._names

    def new_name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._names}"

    def answered(self, number: int, reply: Reply) -> None:
        request = self.asked[number]
        if isinstance(reply, SubmitReply):
            assert isinstance(request, Submit)
            self.oracle.submit_answered(request, reply)
        elif isinstance(reply, RetryReply):
            assert isinstance(request, Retry)
            self.oracle.retry_answered(request, reply)
        elif isinstance(reply, EditReply):
            assert isinstance(request, Edit)
            self.oracle.edits.answered(request, reply, self.oracle.committed)
        elif isinstance(reply, PauseReply):
            self.oracle.pause_answered(reply)

    def close(self) -> None:
        self._store.close()

    def _ask(self, request: Request) -> None:
        self.asked.append(request)
        if self.broker is not None:
            self.broker.requests.append((len(self.asked) - 1, request))

    def _ids(self, words: Iterable[str]) -> tuple[int, ...]:
        newest = max(self.oracle.committed, default=0)
        numbers = [self.oracle.running or newest if word == "running" else int(word) for word in words]
        return tuple(max(1, number if number > 0 else newest + 1 + number) for number in numbers)

    def _start_anew(self) -> None:
        if self.broker is not None:
            self.broker_dies("after", "1000")
            self.broker_starts()

    def _start_broker(self) -> None:
        self.broker = Broker(self, self._store.open())
        self._fill_disk(self.disk_full)
        self._check_all()

    def _broker_ends(self, arrived: str) -> None:
        self.net.broker_ends(int(arrived))
        self._store.crash()
        self.broker = None

    def _worker_ends(self, arrived: str) -> None:
        assert self.worker is not None
        self.oracle.workers_ended += 1
        self.net.worker_ends(int(arrived))
        self._orphan = self.worker.runner
        self.worker = None

    def _fill_disk(self, full: bool) -> None:
        self.disk_full = full
        if self.broker is not None:
            self._store.fill(full)

    def _runner(self) -> TaskProcesses | None:
        return self._orphan if self.worker is None else self.worker.runner

    def _settle(self) -> None:
        """Turns until there is nothing to do at this moment."""
        for _ in range(MOST_TURNS):
            self.connect()
            if self.broker is not None and self._broker_eager():
                self.broker_turn()
            elif self.worker is not None and not self.worker.exited and (self.net.pipe or self.worker.eager):
                self.worker_turn()
            elif self.worker is not None and self.net.stale:
                self.worker_stale()
            else:
                runner = self._runner()
                if runner is None or not runner.step(self.now):
                    return
        raise Broken(f"no rest at {self.now} ms")

    def _broker_eager(self) -> bool:
        assert self.broker is not None
        if self.broker.journal.read_only is not None:
            return not self.disk_full  # it tries again each second; we wait for the disk
        due = any(at <= self.now for at in self._broker_deadlines())
        return bool(self.net.reports or self.broker.requests or self.net.broker_sees_loss or due)

    def _broker_deadlines(self) -> list[int]:
        if self.broker is None or self.broker.journal.read_only is not None:
            return []
        deadline_ms = self.broker.deadline_ms()
        return [] if deadline_ms is None else [deadline_ms]

    def _deadlines(self) -> list[int]:
        times: list[int | None] = [*self._broker_deadlines()]
        if self.worker is not None and not self.worker.exited:
            times.append(self.worker.deadline_ms())
        runner = self._runner()
        if runner is not None:
            times.append(runner.wakes_at(self.now))
        return [at for at in times if at is not None]

    def _check_all(self) -> None:
        """The journal holds what was committed, job by job."""
        assert self.broker is not None
        journal = self.broker.journal
        jobs, results = _records(journal, [*self.oracle.committed, *self.oracle.forgotten])
        for job_id, job in self.oracle.committed.items():
            self.oracle.same(f"job {job_id} in the journal", jobs.get(job_id), job)
            self.oracle.same(
                f"the result of job {job_id}", results.get(job_id, b""), self.oracle.results.get(job_id, b"")
            )
        for job_id in self.oracle.forgotten:
            self.oracle.same(f"forgotten job {job_id}", jobs.get(job_id), None)
            self.oracle.same(f"why there is no job {job_id}", self.broker.core.why_missing(job_id).value, "expired")
        counters = self.broker.core.counters
        for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED):
            count = sum(job.state is state for job in self.oracle.committed.values())
            self.oracle.same(f"how many are {state.value}", getattr(counters, state.value), count)
        self._store.check()

    def _forget_what_was_after(self) -> None:
        journal = self._store.open()
        loaded = journal.load()
        ids = range(1, loaded.counters.next_id)
        jobs, results = _records(journal, ids)
        runner = self._runner()
        worker = None if runner is None else runner.incarnation
        self.oracle.restored(loaded, jobs, dict(journal.read(Needs(data=ids)).data), results, worker)


def _records(journal: Journal, ids: Sequence[int]) -> tuple[dict[int, Job], dict[int, bytes]]:
    """The jobs that there are, and the results that are not empty."""
    found = journal.read(Needs(jobs=ids, results=[ResultNeed(job_id, 0, 1 << 20) for job_id in ids]))
    return dict(found.jobs), {need.id: piece.body for need, piece in found.results.items() if piece.body}


ACTIONS: dict[str, Callable[..., None]] = {
    "submit": World.submit,
    "repeat": World.repeat,
    "cancel": World.cancel,
    "retry": World.retry,
    "hold": World.hold,
    "release": World.release,
    "edit": World.edit,
    "edit at": World.edit_at,
    "edit by": World.edit_by,
    "forget": World.forget,
    "pause": World.pause,
    "resume": World.resume,
    "pause on": World.pause_on,
    "keep": World.keeps,
    "clock": World.clock,
    "broker": World.broker_turn,
    "broker dies": World.broker_dies,
    "broker starts": World.broker_starts,
    "disk fills": World.disk_fills,
    "disk empties": World.disk_empties,
    "worker": World.worker_turn,
    "worker stale": World.worker_stale,
    "worker starts": World.worker_starts,
    "worker dies": World.worker_dies,
    "worker stops": World.worker_stops,
    "worker stops at once": World.worker_stops_at_once,
    "worker crashes": World.worker_crashes,
    "worker disk fills": World.worker_disk_fills,
    "worker disk empties": World.worker_disk_empties,
    "task": World.task_steps,
    "task dies": World.task_dies,
    "wait": World.wait,
    "cut pipe": World.cut_pipe,
    "cut reports": World.cut_reports,
    "connect": World.connect,
    "run": World.run,
    "backup": World.backup,
    "restore": World.restore,
    "drain": World.drain,
    "expect": World.expect,
}
