"""The two programs. The broker has the real core, and turns like its service; the worker takes its own turns."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from simulation.oracle import Broken
from simulation.tasks import TYPES, TaskProcess, TaskProcesses
from zjobs.broker.core.core import Core
from zjobs.broker.core.effects import Effects
from zjobs.broker.core.jobs import Loaded
from zjobs.broker.core.needs import Needs
from zjobs.broker.core.sending import Sending
from zjobs.broker.retention import Retention
from zjobs.broker.storage.api import Journal, StorageError
from zjobs.messages import codec
from zjobs.messages.dispatch import REPORTS, Heartbeat, Jobs, Piece, Progress, Received, Reports, Started
from zjobs.messages.records import BrokerName
from zjobs.messages.requests import Cancel, Request
from zjobs.worker.core.core import WorkerCore
from zjobs.worker.core.interfaces import RunName
from zjobs.worker.core.spool import Spool, pack, unpack
from zjobs.worker.core.states import State
from zjobs.worker.turn import Chatter, Inputs, Turn

if TYPE_CHECKING:
    from simulation.world import World

NAME = BrokerName("host", "tcp://127.0.0.1:5570", "journal-1")
MOST_TURNS = 2_000
LOG = logging.getLogger("simulated worker")
LOG.setLevel(logging.CRITICAL)  # what people would be told is not looked at here


class Crash(Exception):
    """The worker dies here."""


class Broker:
    """A broker process."""

    def __init__(self, world: World, journal: Journal) -> None:
        self._world = world
        self.journal = journal
        self.requests: deque[tuple[int, Request]] = deque()
        self.retention = Retention(world.keep)
        self._outbox: deque[bytes] = deque()
        self._sending = Sending(world.new_round())
        self._heartbeat_heard = False
        self._load()

    def _load(self) -> None:
        loaded = self.journal.load()
        self.core = Core(loaded, self.journal, self._world.rules, NAME, self._world.time())
        self._world.oracle.broker_loads(loaded)

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

    def _decide(self, requests: list[tuple[int, Request]], reports: list[bytes], lost: bool, crash: str) -> bool:
        now = self._world.time()
        if lost:
            self.core.on_gone()
            self._outbox.clear()
        for frame in reports:
            message = codec.decode(frame, REPORTS)
            if isinstance(message, Heartbeat):
                self.core.on_heartbeat(message, self._world.new_name("session"), now)
                self._sending.hears(message, now.mono_ms)
                self._heartbeat_heard = True
            elif isinstance(message, Started):
                self.core.on_started(message, now)
            elif isinstance(message, Progress):
                self.core.on_progress(message, now)
            elif isinstance(message, Piece):
                self._world.oracle.counts["pieces"] += 1
                self.core.on_piece(message, now)
            elif isinstance(message, Received):
                self.core.on_received(message, self._sending.hears(message, now.mono_ms), now)
            else:
                assert isinstance(message, Reports)
                self.core.on_reports(message, now)
        known = set(self._world.oracle.committed)
        for number, request in requests:
            self.core.change(request, (b"%d" % number, b""), now)
        self.retention.step(self.core, self.journal, now)
        effects = self.core.end_turn(now)
        if crash == "before":
            return False
        if effects.changes:
            self.journal.commit(effects.changes)
            loaded = self.journal.load()
            self._world.oracle.commits(effects.changes, loaded)
            self._loads_back(loaded)
        if crash == "after":
            return False
        self._speak(effects)
        for _, request in requests:
            if isinstance(request, Cancel):
                self._world.oracle.cancel_answered(known.intersection(request.ids))
        if self.core.paused is not None and not self.core.dispatched:
            self._world.oracle.nothing_dispatched()
        return True

    def _speak(self, effects: Effects) -> None:
        for (number, _), reply in effects.replies:
            self._world.answered(int(number), reply)
        self._outbox.extend(map(codec.encode, effects.pipe))
        if effects.again:
            self._sending.start_over()
        self._sending.add(
            effects.dispatched, self.journal.read(Needs(data=[job.id for _, job in effects.dispatched])).data
        )
        if self.core.worker.known:
            self._send_jobs()
        self.flush()

    def _send_jobs(self) -> None:
        session = self.core.session_name
        for message in self._sending.due(session, self.core.is_with_worker, self._world.now):
            if isinstance(message, Jobs):
                self._world.oracle.hands_over(message)
            else:
                self._world.oracle.counts["pieces"] += 1
            self._outbox.append(codec.encode(message))
        if self._heartbeat_heard:
            self._outbox.append(codec.encode(self._sending.sent(session)))
            self._heartbeat_heard = False

    def flush(self) -> None:
        if self._world.net.pipe_up:
            self._world.net.pipe.extend(self._outbox)
            self._outbox.clear()

    def _loads_back(self, loaded: Loaded) -> None:
        """A broker that started now would know what this one knows."""
        same = self._world.oracle.same
        fresh = Core(loaded, self.journal, self._world.rules, NAME, self._world.time())
        fresh.end_turn(self._world.time())  # it hands over nothing, but sees who is ready
        for what in ("journal", "counters", "types", "paused"):
            same(what, getattr(self.core, what), getattr(fresh, what))
        if not self._world.clock_was_set:  # a delay goes by the other clock, but over a restart by this one
            same("the order of jobs", self.core.next_ids(10_000), fresh.next_ids(10_000))
            same("how many wait", self.core.waiting, fresh.waiting)
        ids = self.core.next_ids(8)
        found = self.journal.read(Needs(jobs=ids)).jobs
        jobs = [found[job_id] for job_id in ids if job_id in found]
        same("numbers ahead", [self.core.ahead(job) for job in jobs], list(range(len(jobs))))


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
            Chatter(LOG),
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
