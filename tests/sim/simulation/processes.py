"""The two programs: both take their own turns, as their services do."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from simulation.oracle import Broken
from simulation.tasks import TYPES, TaskProcess, TaskProcesses
from zjobs.broker import turn as broker_turn
from zjobs.broker.core.core import Core
from zjobs.broker.core.estimates.kinds import Kind
from zjobs.broker.core.records.effects import Changes
from zjobs.broker.core.records.jobs import EndedJob, Loaded
from zjobs.broker.core.records.needs import Needs
from zjobs.broker.journaling import take_turn, try_writing
from zjobs.broker.requests.waiting_requests import WaitingRequests
from zjobs.broker.retention import Retention
from zjobs.broker.storage.api import Journal
from zjobs.messages import codec
from zjobs.messages.dispatch import PIPE, REPORTS, Jobs, Piece
from zjobs.messages.records import BrokerName
from zjobs.messages.requests.changes import Cancel, Edit
from zjobs.messages.requests.ops import Request
from zjobs.worker.core.core import WorkerCore
from zjobs.worker.core.interfaces import RunName, Spool
from zjobs.worker.core.spool import pack, unpack
from zjobs.worker.core.states import State
from zjobs.worker.turn import Inputs, StrayOutput, Turn

if TYPE_CHECKING:
    from simulation.world import World

NAME = BrokerName("host", "tcp://127.0.0.1:5570", "journal-1")
MOST_TURNS = 2_000
MOST_WAITING = 8
LOG = logging.getLogger("simulated worker")
LOG.setLevel(logging.CRITICAL)  # what people would be told is not looked at here


class Crash(Exception):
    """A program dies here."""


class CommitWatch:
    """The journal of a broker, as its turns use it: the oracle sees every commit, and the broker may die before or
    after one."""

    def __init__(self, world: World, journal: Journal, dies: str) -> None:
        """`dies`: "before" or "after" the commit; "": not at all."""
        self._world = world
        self._journal = journal
        self._dies = dies
        self.loaded: Loaded | None = None  # what a broker would load after the commit, None without one

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def commit(self, changes: Changes) -> None:
        if self._dies == "before":
            raise Crash
        self._journal.commit(changes)
        self.loaded = self._journal.load()
        self._world.oracle.commits(changes, self.loaded)
        if self._dies == "after":
            raise Crash


class Broker:
    """A broker process. It receives, and sends what its turns say."""

    def __init__(self, world: World, journal: Journal) -> None:
        self._world = world
        self.journal = journal
        self.requests: deque[tuple[int, Request]] = deque()
        self._waiting: WaitingRequests[int] = WaitingRequests(MOST_WAITING, MOST_WAITING)
        self._awaited: set[int] = set()
        self._turns = broker_turn.Turn(
            self._load(),
            world.rules,
            NAME,
            Retention(world.keep),
            world.new_round(),
            lambda: world.new_name("session"),
            world.time(),
        )

    @property
    def core(self) -> Core:
        return self._turns.core

    def _load(self) -> Loaded:
        loaded = self.journal.load()
        self._world.oracle.broker_loads(loaded)
        return loaded

    def turn(self, most: int, dies: str = "") -> None:
        """One turn that reads at most `most` reports. `dies`: see `CommitWatch`; it is dead by the end in any case."""
        with contextlib.suppress(Crash):
            self._turn(most, dies)

    def _turn(self, most: int, dies: str) -> None:
        net, oracle, now = self._world.net, self._world.oracle, self._world.time()
        frames = [net.reports.popleft() for _ in range(min(most, len(net.reports)))]
        lost, net.broker_sees_loss = net.broker_sees_loss, False
        requests = [self.requests.popleft() for _ in range(len(self.requests))]
        oracle.counts["pieces"] += sum(isinstance(codec.decode(frame, REPORTS), Piece) for frame in frames)
        if self.journal.read_only is not None and try_writing(self._turns, self.journal, now):
            oracle.broker_loads(self.journal.load())
        known = set(oracle.committed)
        who = self._world.asker
        asked = [broker_turn.Asked((b"%d" % number, b""), request, who(number)) for number, request in requests]
        oracle.edits.asked(each.request for each in asked if isinstance(each.request, Edit))
        oracle.pauses.asked((each.who, each.request) for each in asked)
        journal = CommitWatch(self._world, self.journal, dies)
        waiting = 0 if lost else len(self._turns.outbox)
        self._wait_for_all()
        if self.journal.read_only is None:
            oracle.times.looks(oracle.committed.values())
        inputs = broker_turn.Inputs(asked, frames, lost)
        said = take_turn(self._turns, cast(Journal, journal), inputs, now)
        if said.anew:
            if not self._world.disk_full:
                raise Broken(f"the journal refused a commit: {said.lines[0].text}")
            oracle.broker_loads(self.journal.load())
        if dies:
            return
        self._answer_waiting(said.ended)
        for (number, _), job_id in said.edits_decided:
            made = self.core.edit_outcomes[(number, b""), job_id]
            oracle.edits.decided(cast(Edit, self._world.asked[int(number)]), oracle.committed[job_id], made)
        for (number, _), reply in said.replies:
            self._world.answered(int(number), reply)
        self._look_at(list(self._turns.outbox)[waiting:])
        self.flush()
        if said.refused:
            return
        if journal.loaded is not None:
            self._loads_back(journal.loaded)
        for _, request in requests:
            if isinstance(request, Cancel):
                oracle.cancel_answered(known.intersection(request.ids))
        if self.core.paused is not None and not self.core.dispatched:
            oracle.nothing_dispatched()

    def _wait_for_all(self) -> None:
        """Somebody waits for each job that is seen not to have ended; too many of them are answered early."""
        for job_id, job in self._world.oracle.committed.items():
            if not job.state.final and job_id not in self._awaited:
                self._awaited.add(job_id)
                self._awaited.difference_update(self._waiting.register(b"%d" % (job_id % 3), (job_id,), 0, job_id))

    def _answer_waiting(self, ended: Mapping[int, EndedJob]) -> None:
        """Each end that is committed answers those who wait for it, with what is on the disk."""
        oracle = self._world.oracle
        for job_id, (job, result) in ended.items():
            self._awaited.difference_update(self._waiting.came(job_id))
            if job_id in oracle.committed and (job, result) != (
                oracle.committed[job_id],
                oracle.results.get(job_id, b""),
            ):
                raise Broken(f"who waits for job {job_id} is told another end than is on the disk")
        missed = [n for n in self._awaited if n in oracle.committed and oracle.committed[n].state.final]
        if missed:
            raise Broken(f"the end of the jobs {missed} was missed by those who wait for them")

    def deadline_ms(self) -> int | None:
        return self._turns.deadline_ms(self.journal.read_only is not None, self._world.time().mono_ms)

    def flush(self) -> None:
        if self._world.net.pipe_up:
            self._world.net.pipe.extend(self._turns.outbox)
            self._turns.outbox.clear()

    def _look_at(self, frames: Iterable[bytes]) -> None:
        """What is on its way to the worker."""
        for message in (codec.decode(frame, PIPE) for frame in frames):
            if isinstance(message, Jobs):
                self._world.oracle.dispatches(message)
            self._world.oracle.counts["pieces"] += isinstance(message, Piece)

    def _loads_back(self, loaded: Loaded) -> None:
        """A broker that started now would know what this one knows."""
        same, now = self._world.oracle.same, self._world.time()
        fresh = Core(loaded, self._world.rules, NAME, now)
        fresh.needs((), now)  # lines up who is ready
        for what in ("journal", "counters", "types", "paused"):
            same(what, getattr(self.core, what), getattr(fresh, what))
        if not self._world.clock_was_set:  # a delay goes by the other clock, but over a restart by this one
            same("the order of jobs", self.core.next_ids(10_000), fresh.next_ids(10_000))
            same("how many wait", self.core.waiting, fresh.waiting)
            same("how many of each kind are ready", _ready_by_kind(self.core), _ready_by_kind(fresh))
        same("how many of each kind there are", _by_kind(self.core), _by_kind(fresh))
        same("how long runs took", self.core._history._runs, fresh._history._runs)
        ids = self.core.next_ids(8)
        found = self.journal.read(Needs(jobs=ids)).jobs
        jobs = [found[job_id] for job_id in ids if job_id in found]
        same("numbers ahead", [self.core.ahead(job) for job in jobs], list(range(len(jobs))))


def _by_kind(core: Core) -> dict[Kind | None, int]:
    """How many queued jobs of each kind are not in flight."""
    return {kind: core._kinds._counts[number] for number, kind in core._kinds}


def _ready_by_kind(core: Core) -> dict[tuple[int, Kind | None], int]:
    """How many jobs of each priority and kind are ready."""
    kinds = dict(core._kinds)
    counts = core._queue.kinds()
    return {(priority, kinds[kind]): count for priority, of in counts for kind, count in of.items() if count}


class Worker:
    """A worker process with its task process. It begins with what the world has of the worker before: `world.spool`."""

    def __init__(self, world: World, types: Iterable[str]) -> None:
        self._world = world
        self.types = tuple(TYPES[name][0] for name in types)
        core = WorkerCore(world.new_name("worker"), self.types, "host", 1)
        self._task_process = TaskProcess(world, self.types, lambda: core.incarnation)
        self._turn = Turn(
            core,
            self._task_process,
            Spools(world),
            NoRunLogs(),
            StrayOutput(LOG),
            LOG,
            lambda: world.new_name("worker"),
            lambda broker: "",
        )
        self.exited = False

    @property
    def core(self) -> WorkerCore:
        return self._turn.core

    @property
    def runner(self) -> TaskProcesses | None:
        return self._task_process.runner

    def turn(self, most: int, stale: bool = False) -> None:
        """One turn that reads at most `most` messages, of an old connection if `stale`."""
        net = self._world.net
        queue = net.stale if stale else net.pipe
        frames = [queue.popleft() for _ in range(min(most, len(queue)))]
        subscribed, net.worker_sees_subscription = net.worker_sees_subscription, False
        for frame in self._turn.take(Inputs(frames, subscribed), self._world.now):
            net.publish(frame)
        self._see_whether_it_exits()

    def stop(self) -> None:
        """A signal."""
        self._turn.stop("SIGTERM", self._world.now)
        self._see_whether_it_exits()

    def _see_whether_it_exits(self) -> None:
        self.exited = self._turn.done
        if self.exited and self.core.state is State.EXITED and not self._turn.lost:
            self._world.oracle.exits(self.core.incarnation)

    def deadline_ms(self) -> int:
        return self._turn.deadline_ms()

    @property
    def delivers(self) -> bool:
        """Whether it still tells what the worker before could not."""
        return self._turn.spool_delivery is not None

    @property
    def eager(self) -> bool:
        runner_waits = self.runner is not None and self.runner.eager
        return runner_waits or self._world.net.worker_sees_subscription or self.deadline_ms() <= self._world.now


class Spools:
    """Where the worker keeps its spool: in the world. It may die before or after each step, if the world wants that."""

    path = Path("spool")

    def __init__(self, world: World) -> None:
        self._world = world

    def load(self) -> Spool | None:
        return None if self._world.spool is None else unpack(self._world.spool)

    def save(self, spool: Spool) -> None:
        self._world.crash_at("before SaveSpool")
        if self._world.worker_disk_full:
            raise OSError("the disk is full")
        self._world.oracle.counts["spooled"] += 1
        self._world.spool = pack(spool)
        self._world.crash_at("after SaveSpool")

    def remove(self) -> None:
        self._goes("RemoveSpool")

    def set_aside(self, mark: str) -> Path:
        self._goes("SetAsideSpool")
        self._world.oracle.sets_aside()
        return self.path

    def _goes(self, step: str) -> None:
        self._world.crash_at(f"before {step}")
        self._world.spool = None
        self._world.crash_at(f"after {step}")
        self._world.oracle.counts["delivered"] += 1


class NoRunLogs:
    def write(self, run: RunName, data: bytes) -> str | None:
        return None

    def close(self) -> None:
        pass
