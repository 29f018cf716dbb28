"""The two programs: each has the real core, and turns like those of its `shell` module."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from simulation.oracle import Broken
from simulation.tasks import TYPES, Runner
from zjobs.broker.core.core import Core
from zjobs.broker.core.effects import Effects
from zjobs.broker.core.jobs import Loaded
from zjobs.broker.core.sending import Sending
from zjobs.broker.core.worker_status import Now
from zjobs.broker.retention import Retention
from zjobs.broker.storage.sqlite import Journal, StorageError
from zjobs.messages import codec
from zjobs.messages.dispatch import PIPE, REPORTS, Beat, Ended, Jobs, Piece, Progress, Received, Reports, Started
from zjobs.messages.records import BrokerName
from zjobs.messages.requests import Cancel, Forget, Pause, Request, Resume, Retry, Submit
from zjobs.worker.core import effects as w
from zjobs.worker.core.core import WorkerCore
from zjobs.worker.core.delivery import Delivery
from zjobs.worker.core.progress import Seen
from zjobs.worker.core.spool import pack, unpack
from zjobs.worker.task.process import Event

if TYPE_CHECKING:
    from simulation.world import World

NAME = BrokerName("host", "tcp://127.0.0.1:5570", "journal-1")
MOST_TURNS = 2_000


class Broker:
    """A broker process."""

    def __init__(self, world: World, journal: Journal) -> None:
        self._world = world
        self.journal = journal
        self.requests: deque[tuple[int, Request]] = deque()
        self.retention = Retention(world.keep)
        self._outbox: deque[bytes] = deque()
        self._sending = Sending(world.new_round())
        self._beat_heard = False
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
            if isinstance(message, Beat):
                self.core.on_beat(message, self._world.new_name("session"), now)
                self._sending.hears(message, now.mono_ms)
                self._beat_heard = True
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
            self._change(request, (b"%d" % number, b""), now)
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

    def _change(self, request: Request, envelope: tuple[bytes, ...], now: Now) -> None:
        if isinstance(request, Submit):
            self.core.submit(request, envelope, now)
        elif isinstance(request, Retry):
            self.core.retry(request, envelope, now)
        elif isinstance(request, Cancel):
            self.core.cancel(request, now)
        elif isinstance(request, Pause):
            self.core.pause(request, envelope, now)
        elif isinstance(request, Resume):
            self.core.resume(envelope)
        else:
            assert isinstance(request, Forget)
            self.core.forget(request, envelope)

    def _speak(self, effects: Effects) -> None:
        for (number, _), reply in effects.replies:
            self._world.answered(int(number), reply)
        self._outbox.extend(map(codec.encode, effects.pipe))
        if effects.again:
            self._sending.start_over()
        self._sending.add(effects.hand_over, self.journal.data_of([job.id for _, job in effects.hand_over]))
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
        if self._beat_heard:
            self._outbox.append(codec.encode(self._sending.sent(session)))
            self._beat_heard = False

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
        jobs = [job for job in map(self.journal.job, self.core.next_ids(8)) if job is not None]
        same("numbers ahead", [self.core.ahead(job) for job in jobs], list(range(len(jobs))))


class Crash(Exception):
    """The worker dies here."""


class Worker:
    """A worker process with its task process. It begins with what the world has of the worker before: `world.spool`."""

    def __init__(self, world: World, types: Iterable[str]) -> None:
        self._world = world
        self.types = tuple(TYPES[name][0] for name in types)
        incarnation = world.new_name("worker")
        self.core = WorkerCore(incarnation, self.types, "host", 1)
        self.runner: Runner | None = Runner(incarnation, world.oracle)
        self.runner.announced = True
        self.exited = False
        self.delivery = None if world.spool is None else Delivery(unpack(world.spool), "host", 1)

    @property
    def speaker(self) -> Delivery | WorkerCore:
        """Who speaks with the broker."""
        return self.delivery or self.core

    def turn(self, most: int, stale: bool = False) -> None:
        """One turn that reads at most `most` messages, of an old connection if `stale`."""
        now = self._world.now
        self._hear_task_process(now)
        net = self._world.net
        queue = net.stale if stale else net.pipe
        for _ in range(min(most, len(queue))):
            message = codec.decode(queue.popleft(), PIPE)
            if self.delivery is not None:
                self.delivery.on_pipe(message, now)
            else:
                self.core.on_pipe(message, now, self._world.new_name("worker"))
        if net.worker_sees_subscription:
            net.worker_sees_subscription = False
            self.speaker.on_subscription(now)
        for _ in range(MOST_TURNS):
            effects = self.speaker.turn(now)
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
        self._hear(self.runner.events(), now)
        if not self.runner.announced:
            self.runner.announced = True
            self.core.on_ready(self.types, now)
        death = self.runner.died()
        if death is not None:
            self.runner = None
            self._hear(death.events, now)
            self.core.on_task_process_died(death.lost, death.unbegun, "killed by SIGKILL", now)

    def _hear(self, events: list[Event], now: int) -> None:
        for event in events:
            if isinstance(event, Ended):
                self.core.on_ended(event, now)
            else:
                self.core.on_output(event.n, event.data)

    def _do(self, effect: w.Effect, now: int) -> None:
        if isinstance(effect, w.Publish):
            self._world.net.publish(codec.encode(effect.message))
        elif isinstance(effect, w.Offer):
            assert self.runner is not None
            self.runner.offer(effect.n, effect.job)
        elif isinstance(effect, w.TakeBack):
            numbers = [] if self.runner is None else self.runner.take_back()
            if self.runner is not None:
                self._hear(self.runner.events(), now)
            self.core.on_taken_back(numbers, now)
        elif isinstance(effect, w.Look):
            self.core.on_seen(Seen(now % 1000 / 1000, "note", now), now)
        elif isinstance(effect, w.EndTask):
            if self.runner is not None:
                self.runner.end_task(effect.n, now)
        elif isinstance(effect, w.KillTask):
            self._world.oracle.workers_ended += 1
            if self.runner is not None:
                self.runner.kill()
        elif isinstance(effect, w.Renew):
            self._world.oracle.takes_over()
            if self.runner is not None:
                self.runner.forget()
        elif isinstance(effect, w.Exit):
            if not effect.lost:
                self._world.oracle.exits(self.core.incarnation)
            self.exited = True
        elif not isinstance(effect, w.Say):
            self._keep(effect)

    def _keep(self, effect: w.SaveSpool | w.RemoveSpool | w.SetAsideSpool) -> None:
        """The spool is written or goes. Raises Crash before or after that, if the world wants it."""
        world, name = self._world, type(effect).__name__
        world.crash_at(f"before {name}")
        if isinstance(effect, w.SaveSpool):
            if world.worker_disk_full:
                self.core.on_spool_failed()
                return
            world.oracle.counts["spooled"] += 1
            world.spool = pack(effect.spool)
        else:
            world.spool = None
        world.crash_at(f"after {name}")
        if isinstance(effect, w.SaveSpool):
            self.core.on_spooled()
            return
        if isinstance(effect, w.SetAsideSpool):
            world.oracle.sets_aside()
        world.oracle.counts["delivered"] += 1
        self.delivery = None

    @property
    def eager(self) -> bool:
        runner_waits = self.core.stopping is False if self.runner is None else self.runner.eager
        due = self.speaker.next_deadline_ms() <= self._world.now
        return runner_waits or self._world.net.worker_sees_subscription or due
