"""Broker, worker and client in one process, and what can be done to them.

`World.do` takes one line of a scenario; `ACTIONS` lists them all. Everything else that happens follows from these
lines, so the same lines give the same run. The turns of the two programs are those of their `shell` modules.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from simulation.network import Network
from simulation.oracle import Broken, Oracle
from simulation.store import FileStore, MemoryStore, fill_disk
from simulation.tasks import BEHAVIOURS, FEW, TYPES, Runner
from zjobs.broker.core import Core, Effects, Handed
from zjobs.broker.journal import Journal, StorageError
from zjobs.broker.workerview import Now
from zjobs.messages import wire
from zjobs.messages.types import (
    Beat,
    BrokerName,
    Error,
    HandedJob,
    Jobs,
    JobState,
    Limits,
    NewJob,
    Started,
    Submit,
    SubmitReply,
)
from zjobs.worker import core as w

NAME = BrokerName("host", "tcp://127.0.0.1:5570", "journal-1")
WALL_MS = 1_700_000_000_000
LONGEST_DRAIN_MS = 600_000
MOST_TURNS = 2_000


class Broker:
    """A broker process."""

    def __init__(self, world: World, journal: Journal) -> None:
        self._world = world
        self.journal = journal
        self.requests: deque[tuple[int, Submit]] = deque()
        self._outbox: deque[bytes] = deque()
        self._load()

    def _load(self) -> None:
        self.core = Core(self.journal.load(), self.journal, Limits(), NAME, self._world.time())

    def turn(self, most: int, crash: str = "") -> bool:
        """One turn that reads at most `most` reports. `crash`: where it dies, "before" or "after" the commit.

        Returns whether it is still alive.
        """
        net = self._world.net
        reports = [net.reports.popleft() for _ in range(min(most, len(net.reports)))]
        lost, net.broker_sees_loss = net.broker_sees_loss, False
        requests = [self.requests.popleft() for _ in range(len(self.requests))]
        if self.journal.read_only is not None:
            try:
                self.journal.recover()
            except StorageError:
                return not crash
        try:
            return self._decide(requests, reports, lost, crash)
        except StorageError as error:
            if not self._world.disk_full:
                raise Broken(f"the journal refused a commit: {error}") from error
            self._load()
            return not crash

    def _decide(self, requests: list[tuple[int, Submit]], reports: list[bytes], lost: bool, crash: str) -> bool:
        now = self._world.time()
        if lost:
            self.core.on_gone(now)
            self._outbox.clear()
        for frame in reports:
            message = wire.decode(frame, wire.REPORTS)
            if isinstance(message, Beat):
                self.core.on_beat(message, self._world.new_name("session"), now)
            elif isinstance(message, Started):
                self.core.on_started(message, now)
            else:
                self.core.on_reports(message, now)
        for number, request in requests:
            self.core.submit(request, (b"%d" % number, b""), now)
        effects = self.core.end_turn(now)
        if crash == "before":
            return False
        if effects.changes:
            self.journal.commit(effects.changes)
            loaded = self.journal.load()
            self._world.oracle.commits(effects.changes, loaded)
            self._loads_back()
        if crash == "after":
            return False
        self._speak(effects)
        return True

    def _speak(self, effects: Effects) -> None:
        for (number, _), reply in effects.replies:
            self._world.answered(int(number), reply)
        self._outbox.extend(map(wire.encode, effects.pipe))
        for jobs in self._jobs_messages(effects.hand_over):
            self._world.oracle.hands_over(jobs)
            self._outbox.append(wire.encode(jobs))
        self.flush()

    def flush(self) -> None:
        if self._world.net.pipe_up:
            self._world.net.pipe.extend(self._outbox)
            self._outbox.clear()

    def _jobs_messages(self, handed: list[Handed]) -> Iterable[Jobs]:
        """Messages of consecutive numbers."""
        first, batch = 0, list[HandedJob]()
        for n, job in handed:
            if batch and n != first + len(batch):
                yield Jobs(self.core.session_name, first, tuple(batch))
                batch = []
            first = n - len(batch)
            data = self.journal.data_of([job.id]).get(job.id)
            batch.append(HandedJob(job.id, job.type, data, job.attempts + job.reruns + 1))
        if batch:
            yield Jobs(self.core.session_name, first, tuple(batch))

    def _loads_back(self) -> None:
        """A broker that started now would know what this one knows."""
        fresh = Core(self.journal.load(), self.journal, Limits(), NAME, self._world.time())
        for what in ("journal", "counters", "types"):
            self._world.oracle.same(what, getattr(self.core, what), getattr(fresh, what))
        self._world.oracle.same("the order of jobs", self.core.next_ids(10_000), fresh.next_ids(10_000))
        ids = self.core.next_ids(20)
        self._world.oracle.same("numbers ahead", [self.core.ahead(i) for i in ids], list(range(len(ids))))


class Worker:
    """A worker process with its task process."""

    def __init__(self, world: World, types: Iterable[str]) -> None:
        self._world = world
        self.types = tuple(TYPES[name][0] for name in types)
        incarnation = world.new_name("worker")
        self.core = w.WorkerCore(incarnation, self.types, "host", 1)
        self.runner: Runner | None = Runner(incarnation, world.oracle)
        self.runner.announced = True
        self.exited = False

    def turn(self, most: int, stale: bool = False) -> None:
        """One turn that reads at most `most` messages, of an old connection if `stale`."""
        now = self._world.now
        self._hear_task_process(now)
        net = self._world.net
        queue = net.stale if stale else net.pipe
        for _ in range(min(most, len(queue))):
            self.core.on_pipe(wire.decode(queue.popleft(), wire.PIPE), now, self._world.new_name("worker"))
        if net.worker_sees_subscription:
            net.worker_sees_subscription = False
            self.core.on_subscription(now)
        for _ in range(MOST_TURNS):
            effects = self.core.turn(now)
            for effect in effects:
                self._do(effect, now)
            if not effects:
                break
        else:
            raise Broken("the worker's turn does not end")
        if self.runner is not None:
            self.runner.feed()

    def _hear_task_process(self, now: int) -> None:
        if self.runner is None:
            if not self.core.stopping:
                self.runner = Runner(self.core.incarnation, self._world.oracle)
            return
        for ended in self.runner.results():
            self.core.on_ended(ended, now)
        if not self.runner.announced:
            self.runner.announced = True
            self.core.on_ready(self.types, now)
        death = self.runner.died()
        if death is not None:
            self.runner = None
            for ended in death.ended:
                self.core.on_ended(ended, now)
            self.core.on_task_process_died(death.lost, death.unbegun, "killed by SIGKILL", now)

    def _do(self, effect: w.Effect, now: int) -> None:
        if isinstance(effect, w.Publish):
            self._world.net.publish(wire.encode(effect.message))
        elif isinstance(effect, w.Offer):
            assert self.runner is not None
            self.runner.offer(effect.n, effect.job)
        elif isinstance(effect, w.TakeBack):
            self.core.on_taken_back([] if self.runner is None else self.runner.take_back(), now)
        elif isinstance(effect, w.KillTask):
            self._world.oracle.workers_ended += 1
            if self.runner is not None:
                self.runner.kill()
        elif isinstance(effect, w.Renew):
            self._world.oracle.takes_over()
            if self.runner is not None:
                self.runner.forget()
        elif isinstance(effect, w.Exit):
            self.exited = True

    @property
    def eager(self) -> bool:
        runner_waits = self.core.stopping is False if self.runner is None else self.runner.eager
        return (
            runner_waits or self._world.net.worker_sees_subscription or self.core.next_deadline_ms() <= self._world.now
        )


class World:
    def __init__(self, store: MemoryStore | FileStore) -> None:
        self.now = 1_000
        self.net = Network()
        self.oracle = Oracle({name: kind for name, (kind, _) in TYPES.items()})
        self.lines: list[str] = []
        self.disk_full = False
        self.submits: list[Submit] = []
        self.broker: Broker | None = None
        self.worker: Worker | None = None
        self._store = store
        self._names = 0
        self._orphan: Runner | None = None
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
        """`quick:ok` or `quick:ok*5`, one or more: a request under a new key. Its answer comes with a turn."""
        number, new = len(self.submits), []
        for job in jobs:
            kind, _, rest = job.partition(":")
            behaviour, _, times = rest.partition("*")
            assert kind in TYPES and behaviour in BEHAVIOURS, job
            new += [NewJob(kind, f"{behaviour}#{number}".encode())] * int(times or 1)
        self.submits.append(Submit(f"key-{number}", tuple(new)))
        self.repeat(str(number))

    def repeat(self, number: str) -> None:
        """The same request once more."""
        if self.broker is not None and self.submits:
            number_ = int(number) % len(self.submits)
            self.broker.requests.append((number_, self.submits[number_]))

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

    def worker_turn(self, most: str = "1000") -> None:
        if self.worker is not None:
            self.worker.turn(int(most))

    def worker_stale(self, most: str = "1000") -> None:
        """The worker reads what an old connection left."""
        if self.worker is not None:
            self.worker.turn(int(most), stale=True)

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
        """Told once: after the running job. Told twice: at once."""
        if self.worker is not None:
            self.worker.core.stop(self.now)

    def worker_stops_at_once(self) -> None:
        if self.worker is not None:
            self.worker.core.stop_at_once(self.now)

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
        while True:
            self._settle()
            if self.now >= end:
                return
            self.now = max(self.now + 1, min([end, *self._deadlines()]))

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
        self.broker_starts()
        end = self.now + LONGEST_DRAIN_MS
        while self.now < end:
            if self.worker is not None and self.worker.types != tuple(kind for kind, _ in TYPES.values()):
                self.worker_dies()
            self.worker_starts()
            self.run("1000")
            if self.worker is not None and self.worker.exited:
                self._worker_ends("1000000")
            if self.broker is not None and self.broker.core.queued == 0 and self.broker.core.running is None:
                break
        self.run("3000")
        self._check_all()
        self.oracle.drained()

    def expect(self, job_id: str, state: str, _begins: str = "begins", times: str = "") -> None:
        """`expect 1 completed begins 2`: what became of a job, and how often it began."""
        self.oracle.same(f"job {job_id}", self.oracle.committed[int(job_id)].state, JobState(state))
        if times:
            self.oracle.same(f"job {job_id} began", len(self.oracle.runs.get(int(job_id), [])), int(times))

    # --- parts ----------------------------------------------------------------------------------------------

    def time(self) -> Now:
        return Now(self.now, WALL_MS + self.now)

    def new_name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._names}"

    def answered(self, number: int, reply: SubmitReply | Error) -> None:
        if isinstance(reply, SubmitReply):
            self.oracle.answered(self.submits[number], reply)

    def close(self) -> None:
        self._store.close()

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
            fill_disk(self.broker.journal, full)

    def _runner(self) -> Runner | None:
        return self._orphan if self.worker is None else self.worker.runner

    def _settle(self) -> None:
        """Turns until there is nothing to do at this moment."""
        for _ in range(MOST_TURNS):
            self.connect()
            if self.broker is not None and self._broker_eager():
                self.broker_turn()
            elif self.worker is not None and not self.worker.exited and (self.net.pipe or self.worker.eager):
                self.worker.turn(1000)
            elif self.worker is not None and self.net.stale:
                self.worker.turn(1000, stale=True)
            else:
                runner = self._runner()
                if runner is None or not runner.step(self.now):
                    return
        raise Broken(f"no rest at {self.now} ms")

    def _broker_eager(self) -> bool:
        assert self.broker is not None
        if self.broker.journal.read_only is not None and self.disk_full:
            return False  # it tries again each second; we wait for the disk
        deadline = self.broker.core.next_deadline_ms()
        due = deadline is not None and deadline <= self.now
        return bool(self.net.reports or self.broker.requests or self.net.broker_sees_loss or due)

    def _deadlines(self) -> list[int]:
        times: list[int | None] = []
        if self.broker is not None:
            times.append(self.broker.core.next_deadline_ms())
        if self.worker is not None and not self.worker.exited:
            times.append(self.worker.core.next_deadline_ms())
        runner = self._runner()
        if runner is not None:
            times.append(runner.wakes_at(self.now))
        return [at for at in times if at is not None]

    def _check_all(self) -> None:
        """The journal holds what was committed, job by job."""
        assert self.broker is not None
        journal = self.broker.journal
        for job_id, job in self.oracle.committed.items():
            self.oracle.same(f"job {job_id} in the journal", journal.job(job_id), job)
            _, body = journal.result_piece(job_id, 0, 1000)
            self.oracle.same(f"the result of job {job_id}", body, self.oracle.results.get(job_id, b""))

    def _forget_what_was_after(self) -> None:
        journal = self._store.open()
        loaded = journal.load()
        ids = range(1, loaded.counters.next_id)
        jobs = {job.id: job for job in map(journal.job, ids) if job is not None}
        results = {job_id: journal.result_piece(job_id, 0, 1000)[1] for job_id in ids}
        results = {job_id: body for job_id, body in results.items() if body}
        session = "" if loaded.session is None else loaded.session.session
        hands = {(session, n): job.id for n, job in loaded.handed.items()}
        runner = self._runner()
        worker = None if runner is None else runner.incarnation
        self.oracle.restored(jobs, journal.data_of(list(ids)), results, hands, worker)


ACTIONS: dict[str, Callable[..., None]] = {
    "submit": World.submit,
    "repeat": World.repeat,
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
