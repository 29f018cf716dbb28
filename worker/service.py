"""The worker's sockets and its loop; it decides nothing, `core` does.

One thread. A turn reads what is waiting (bounded), lets the core decide, does what it says, and sleeps until the
core's next deadline or the next news. Reading comes before any look at the clock, and when the poller slept up to a
deadline everything is read: after a pause of the whole process a timer that has run out means nothing while news is
unread.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import zmq

from zjobs.messages import codec
from zjobs.messages.dispatch import PIPE, Ended
from zjobs.messages.records import BrokerName, TaskType
from zjobs.program import endpoints, zap
from zjobs.program.keyfiles import Identity
from zjobs.program.links import watch_link
from zjobs.worker.core import effects as e
from zjobs.worker.core import spool
from zjobs.worker.core.core import BEAT_MS, FAREWELL_MS, WorkerCore
from zjobs.worker.core.delivery import Delivery
from zjobs.worker.files import worker_lock
from zjobs.worker.files.log_files import LogFiles, RunName
from zjobs.worker.files.spool_file import SpoolFile
from zjobs.worker.task.process import Death, Event, Runner
from zjobs.worker.task.shared_memory import MAX_ADDRESS_CHARS

log = logging.getLogger("zworker")

MESSAGES_A_TURN = 256
TOPIC_BYTES = 1024
LINGER_MS = 500
SLOW_START_MS = 10_000
CLEAR_UP_MS = 500
CHATTER_MS, CHATTER_BYTES = 60_000, 16 << 10
LINE_BYTES = 64  # what the log adds to each line
# To be woken by the end of each of many short jobs costs as much as running it; so their ends gather for this long.
GATHER_S = 0.0002


class Config(NamedTuple):
    """What a worker is told by its command line."""

    pipe: str
    reports: str
    time_scale: float
    tasks: tuple[str, ...]
    key: Identity | None = None
    farewell_ms: int = FAREWELL_MS
    logs: Path | None = None


class Unbindable(Exception):
    """A socket cannot be bound; the text is a sentence. `in_use`: because somebody else has the address."""

    def __init__(self, message: str, in_use: bool) -> None:
        super().__init__(message)
        self.in_use = in_use


class Unstartable(Exception):
    """The task process does not come up; the text is a sentence."""


class Lost(Exception):
    """The worker had to end with reports that nobody has; the text is a sentence."""


class _Stopped(Exception):
    """A signal came before the worker was ready."""


def serve(config: Config) -> None:
    """Runs a worker until it is told to stop. Raises guard.Taken, Unbindable, Unstartable, Lost, OSError."""
    incarnation = secrets.token_hex(16)
    log_files = LogFiles(config.logs)
    held, marks = worker_lock.acquire(config.pipe)
    with contextlib.ExitStack() as stack:
        runner = Runner(
            config.tasks,
            config.time_scale,
            held.fd,
            lambda marks: held.write(worker_lock.holder_line(marks, config.pipe)),
            marks,
        )
        stack.callback(lambda: held.release() if runner.clear else held.leave())
        stack.callback(log_files.close)
        signals = stack.enter_context(_Signals())
        context = zmq.Context()
        stack.callback(context.term)
        gate = _gate(context, config.key)
        if gate is not None:
            stack.callback(gate.socket.close)
        pipe = stack.enter_context(_bound(context, zmq.PULL, config.pipe, config.key))
        reports = stack.enter_context(_bound(context, zmq.XPUB, config.reports, config.key))
        stack.callback(runner.close)
        runner.start()
        try:
            _Loop(config, signals, pipe, reports, runner, gate, log_files).run(incarnation)
        except _Stopped:
            log.info("stopped before it was ready")


def _gate(context: zmq.Context[zmq.Socket[bytes]], key: Identity | None) -> zap.Gate | None:
    """Lets in the broker that `key` names, and nobody else."""
    return None if key is None else zap.Gate(context, lambda public: public == key.server)


def _bound(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, endpoint: str, key: Identity | None = None
) -> zmq.Socket[bytes]:
    """A socket bound to `endpoint`. Raises Unbindable."""
    sock = context.socket(kind)
    if key is not None:
        zap.serve_with(sock, key.public, key.secret)
    sock.linger = 0
    sock.sndhwm = sock.rcvhwm = 0  # the window bounds these channels
    watch_link(sock)
    sock.maxmsgsize = codec.MAX_PIPE_BYTES if kind == zmq.PULL else TOPIC_BYTES
    sock.ipv6 = endpoints.is_ipv6(endpoint)
    if kind == zmq.XPUB:
        sock.xpub_verbose = 1  # a broker that comes back subscribes to what its old connection still has
    try:
        sock.bind(endpoint)
    except zmq.ZMQError as error:
        sock.close()
        in_use = error.errno == errno.EADDRINUSE
        why = "it is in use by another program" if in_use else zmq.strerror(error.errno or 0)
        raise Unbindable(f"cannot bind {endpoint}: {why}", in_use) from None
    return sock


class _Signals:
    """SIGTERM and SIGINT, readable from a descriptor: a handler alone does not wake a poll."""

    def __enter__(self) -> _Signals:
        self._reader, writer = socket.socketpair()
        self._reader.setblocking(False)
        writer.setblocking(False)
        self._writer = writer
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, _noted) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        return self._reader.fileno()

    def received(self) -> list[str]:
        """The names of the signals that came since."""
        try:
            numbers = self._reader.recv(64)
        except BlockingIOError:
            return []
        return [signal.Signals(number).name for number in numbers if number in self._previous]


def _noted(number: int, frame: object) -> None:
    """Python needs a handler for the wakeup descriptor to be written to."""


class _Loop:
    def __init__(
        self,
        config: Config,
        signals: _Signals,
        pipe: zmq.Socket[bytes],
        reports: zmq.Socket[bytes],
        runner: Runner,
        gate: zap.Gate | None,
        log_files: LogFiles,
    ) -> None:
        self._config = config
        self._signals = signals
        self._pipe = pipe
        self._reports = reports
        self._runner = runner
        self._gate = gate
        self._spool = SpoolFile(worker_lock.spool_path(config.pipe))
        self._core: WorkerCore
        self._delivery: Delivery | None = None
        self._lost = 0
        self._log_files = log_files
        self._told_of_garbage = False
        self._done = False
        self._clear_up_at_ms = 0
        self._chatter = _Chatter()
        self._poller = zmq.Poller()
        self._registered: list[int] = []
        for source in (signals.fileno(), *((gate.socket,) if gate else ())):
            self._poller.register(source, zmq.POLLIN)

    def run(self, incarnation: str) -> None:
        """Raises Unstartable, Lost, _Stopped, OSError."""
        self._incarnation = incarnation
        self._core = WorkerCore(incarnation, self._announced_types(), *_self(), self._config.farewell_ms)
        left = self._left_behind()
        if left is not None:
            self._delivery = Delivery(left, *_self())
            log.info("delivering %d reports that the worker before could not deliver", len(left.reports))
        _print_ready(self._config)
        log.info("ready, pipe %s, reports %s", self._config.pipe, self._config.reports)
        for source in (self._pipe, self._reports):
            self._poller.register(source, zmq.POLLIN)
        ready = self._all()
        self._see_to_leftovers(_now_ms())
        while not self._done:
            self._turn(ready)
            if not self._done:
                ready = self._poll(self._deadline_ms())
        self._reports.linger = LINGER_MS
        if self._lost:
            raise Lost(f"{self._lost} reports are lost: {self._spool.path} cannot be written")
        log.info("stopped")

    def _left_behind(self) -> spool.Spool | None:
        """What the worker before could not deliver, if there is something that can be used. Raises OSError."""
        try:
            return self._spool.load()
        except spool.Damaged as damaged:
            self._set_aside(f"damaged ({damaged})")
            return None

    def _set_aside(self, what: str) -> None:
        """Sets the spool aside, and says so. Raises OSError."""
        aside = self._spool.set_aside(self._incarnation[:8])
        self._core.warning = f"the spool of the worker before is {what}: it was set aside as {aside}"
        log.error("%s", self._core.warning)

    def _announced_types(self) -> tuple[TaskType, ...]:
        """What the first task process announces. Raises Unstartable, _Stopped."""
        begun_ms, said = _now_ms(), False
        while True:
            self._let_in()
            self._hear(self._runner.events(), _now_ms())
            if self._runner.types is not None:
                return self._runner.types
            if self._signals.received():
                raise _Stopped
            death = self._runner.died(_now_ms())
            if death is not None:
                self._hear(death.events, _now_ms())
                raise Unstartable(self._runner.refusal or f"{death.how} before it was ready")
            if not said and _now_ms() - begun_ms >= SLOW_START_MS:
                said = True
                log.warning("the task process is still importing %s; waiting", ", ".join(self._config.tasks) or "zjobs")
            self._poll(_now_ms() + BEAT_MS)

    # --- one turn ----------------------------------------------------------------------------------------

    def _turn(self, ready: set[object]) -> None:
        """`ready`: what can be read. The others are left alone: to find one empty costs as much as a small message."""
        # The task process first: after a take_over, what it did before is no longer known to the core.
        if not self._runner.alive or not ready.isdisjoint(self._registered):
            self._hear_task_process()
        self._let_in()
        self._hear_broker(ready)
        now_ms = _now_ms()
        for name in self._signals.received():
            self._stop(name, now_ms)
        if not self._runner.clear and now_ms >= self._clear_up_at_ms:
            self._see_to_leftovers(now_ms)
        while effects := self._speaker.turn(now_ms):
            for effect in effects:
                self._do(effect, now_ms)
        self._runner.feed()

    @property
    def _speaker(self) -> Delivery | WorkerCore:
        """Who speaks with the broker."""
        return self._delivery or self._core

    def _stop(self, name: str, now_ms: int) -> None:
        if self._delivery is not None:
            log.info("%s: stopping; the spool stays for the next worker", name)
            self._done = True
            return
        log.info("%s: stopping %s", name, self._how_to_stop())
        self._core.stop(now_ms)

    def _how_to_stop(self) -> str:
        job_id = self._core.running_id
        if self._core.stopping:
            return "at once" if job_id is None else f"at once: job {job_id} is killed"
        return "now: no job runs" if job_id is None else f"after job {job_id}"

    def _hear_task_process(self) -> None:
        now_ms = _now_ms()
        if not self._runner.alive:
            if now_ms >= self._runner.restart_at_ms and not self._core.stopping:
                self._start_task_process()
            return
        self._hear_events(now_ms)
        death = self._runner.died(now_ms)
        if death is not None:
            self._bury(death, now_ms)

    def _hear_events(self, now_ms: int) -> None:
        announced = self._runner.types is not None
        self._hear(self._runner.events(), now_ms)
        if self._runner.types is not None and not announced:
            self._core.on_ready(self._runner.types, now_ms)

    def _hear(self, events: list[Event], now_ms: int) -> None:
        for event in events:
            if isinstance(event, Ended):
                self._log_files.close()
                self._core.on_ended(event, now_ms)
            elif event.n:
                file = self._log_files.write(RunName(*self._core.run_name), event.data)
                self._core.on_output(event.n, event.data, file)
            else:
                self._chatter.heard(event.data, now_ms)

    def _bury(self, death: Death, now_ms: int) -> None:
        self._hear(death.events, now_ms)
        job_id = self._core.running_id
        job = "" if job_id is None else f"job {job_id}: "
        self._core.on_task_process_died(death.lost, death.unbegun, death.how, now_ms, death.killed)
        self._tell_of_leftovers(now_ms)
        log.warning("%s", self._runner.refusal or job + death.how)
        if self._runner.restart_at_ms <= now_ms and not self._core.stopping:
            self._start_task_process()

    def _see_to_leftovers(self, now_ms: int) -> None:
        self._runner.clear_up()
        self._tell_of_leftovers(now_ms)

    def _tell_of_leftovers(self, now_ms: int) -> None:
        self._core.on_obstacle(self._runner.obstacle, now_ms)
        self._clear_up_at_ms = now_ms + CLEAR_UP_MS

    def _start_task_process(self) -> None:
        try:
            self._runner.start()
        except OSError as error:  # such as no processes, descriptors or memory left at present
            self._runner.postpone(_now_ms())
            log.warning("cannot start a task process: %s", error)

    def _let_in(self) -> None:
        if self._gate is not None:
            self._gate.answer(MESSAGES_A_TURN)
            refused = self._gate.news(time.monotonic())
            if refused is not None:
                log.warning("%s", refused)

    def _hear_broker(self, ready: set[object]) -> None:
        now_ms = _now_ms()
        if self._pipe in ready:
            for frame in _waiting(self._pipe):
                self._hear_message(frame, now_ms)
        if self._reports in ready:
            for frame in _waiting(self._reports):
                if frame.startswith(b"\x01"):
                    self._speaker.on_subscription(now_ms)

    def _hear_message(self, frame: bytes, now_ms: int) -> None:
        try:
            message = codec.decode(frame, PIPE)
        except codec.DecodeError as error:
            if not self._told_of_garbage:  # once: somebody who sends one sends many
                self._told_of_garbage = True
                log.warning("dropped a message on %s: %s", self._config.pipe, error)
            return
        if self._delivery is not None:
            self._delivery.on_pipe(message, now_ms)
        else:
            self._core.on_pipe(message, now_ms, secrets.token_hex(16))

    def _do(self, effect: e.Effect, now_ms: int) -> None:
        if isinstance(effect, e.Publish):
            self._reports.send(codec.encode(effect.message), zmq.NOBLOCK)
        elif isinstance(effect, e.Offer):
            broker = self._core.broker
            assert broker is not None  # jobs belong to a session
            self._runner.serve(broker.journal, _reachable(broker))
            self._runner.offer(effect.n, effect.job, effect.result_bytes)
        elif isinstance(effect, e.TakeBack):
            numbers = self._runner.take_back()
            self._hear_events(now_ms)
            self._core.on_taken_back(numbers, now_ms)
        elif isinstance(effect, e.Look):
            self._core.on_seen(self._runner.seen(effect.n), now_ms)
        elif isinstance(effect, e.EndTask):
            log.info("job %s: telling its task to end", self._core.running_id)
            self._runner.end_task(effect.n)
        elif isinstance(effect, e.KillTask):
            log.warning("job %s: killing its process", self._core.running_id)
            self._runner.kill()
        elif isinstance(effect, e.Renew):
            log.warning("the broker takes over: everything is forgotten, new incarnation %s", effect.incarnation)
            self._runner.forget()
        elif isinstance(effect, e.Say):
            log.warning("%s", effect.sentence)
        elif isinstance(effect, e.Exit):
            self._lost = effect.lost
            self._done = True
        else:
            self._keep(effect)

    def _keep(self, effect: e.SaveSpool | e.RemoveSpool | e.SetAsideSpool) -> None:
        """What is to be done to the spool. A disk that refuses is asked again."""
        try:
            if isinstance(effect, e.SaveSpool):
                self._spool.save(effect.spool)
                left = len(effect.spool.reports)
                log.warning("the broker did not take %d reports; %s keeps them", left, self._spool.path)
                self._core.on_spooled()
                return
            if isinstance(effect, e.RemoveSpool):
                self._spool.remove()
                log.info("the spool is delivered")
            else:
                self._set_aside("of a session that the broker does not know")
            self._delivery = None
        except OSError as error:
            log.error("the spool: %s", error)
            if isinstance(effect, e.SaveSpool):
                self._core.on_spool_failed()

    # --- waiting -------------------------------------------------------------------------------------------

    def _deadline_ms(self) -> int:
        deadline_ms = self._speaker.next_deadline_ms()
        if not self._runner.alive and not self._core.stopping:
            deadline_ms = min(deadline_ms, self._runner.restart_at_ms)
        if not self._runner.clear:
            deadline_ms = min(deadline_ms, self._clear_up_at_ms)
        return deadline_ms

    def _poll(self, deadline_ms: int) -> set[object]:
        """Sleeps until something can be read, or the deadline; returns what can be, or may be by now."""
        descriptors = self._runner.descriptors()
        if descriptors != self._registered:
            for descriptor in self._registered:
                self._poller.unregister(descriptor)
            for descriptor in descriptors:
                self._poller.register(descriptor, zmq.POLLIN)
            self._registered = descriptors
        if self._runner.far_ahead:
            time.sleep(GATHER_S)
        timeout_ms = max(0, deadline_ms - _now_ms())
        return {source for source, _ in self._poller.poll(timeout_ms)} or self._all()

    def _all(self) -> set[object]:
        return {self._pipe, self._reports, *self._registered}


class _Chatter:
    """What is printed outside of any job, into the log: of much only the beginning of each minute's."""

    def __init__(self) -> None:
        self._until_ms = 0
        self._room = 0

    def heard(self, data: bytes, now_ms: int) -> None:
        if now_ms >= self._until_ms:
            self._until_ms, self._room = now_ms + CHATTER_MS, CHATTER_BYTES
        if self._room <= 0:
            return
        for line in data[: self._room].decode(errors="replace").splitlines():
            log.info("outside of any job: %s", line)
            self._room -= len(line) + LINE_BYTES
            if self._room <= 0:
                log.info("outside of any job: … and more, which is not shown for a minute")
                return


def _waiting(sock: zmq.Socket[bytes]) -> Iterator[bytes]:
    """The messages that wait, so many at most."""
    with contextlib.suppress(zmq.Again):
        for _ in range(MESSAGES_A_TURN):
            yield sock.recv(zmq.NOBLOCK)


def _self() -> tuple[str, int]:
    """Host and pid of this worker."""
    return socket.gethostname()[:256], os.getpid()


def _reachable(broker: BrokerName) -> str:
    """Where tasks reach the broker; empty when it is not known: a broker elsewhere says how it is called over there."""
    if broker.host != _self()[0] or len(broker.frontend) > MAX_ADDRESS_CHARS:
        return ""
    relative = broker.frontend.startswith("ipc://") and broker.frontend[len("ipc://")] not in "/@"
    return "" if relative else endpoints.from_here(broker.frontend)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _print_ready(config: Config) -> None:
    """The one line on stdout. A launcher that does not listen is no reason to fail."""
    try:
        print(f"zworker ready {config.pipe} {config.reports}", flush=True)
    except OSError:
        _silence_stdout()


def _silence_stdout() -> None:
    # what is left in Python's buffer would fail again, loudly, at exit
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
