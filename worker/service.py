"""The worker's sockets and its loop: it receives, takes a turn (`turn`), sends, and polls. It decides nothing.

One thread. It sleeps until the turn's next deadline or the next message. It reads the sockets before the clock, and
after sleeping up to a deadline it reads everything: when the whole process was paused, an expired timer means nothing
while messages are unread.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import secrets
import signal
import socket
import time
from pathlib import Path
from typing import NamedTuple

import zmq

from zjobs.messages import codec
from zjobs.messages.records import BrokerName, TaskType
from zjobs.messages.units import Ms
from zjobs.program import endpoints, zap
from zjobs.program.keyfiles import Credential
from zjobs.program.links import watch_link
from zjobs.program.notify import Notifier
from zjobs.worker.core.core import FAREWELL_MS, HEARTBEAT_MS, WorkerCore
from zjobs.worker.core.interfaces import Printed, TaskEvent
from zjobs.worker.files import worker_lock
from zjobs.worker.files.log_files import LogFiles
from zjobs.worker.files.spool_file import SpoolFile
from zjobs.worker.task.announcement import Unstartable
from zjobs.worker.task.process import TaskProcesses
from zjobs.worker.task.shared_memory import MAX_ADDRESS_CHARS
from zjobs.worker.turn import Inputs, StrayOutput, Turn

log = logging.getLogger("zworker")

MESSAGES_A_TURN = 256
TOPIC_BYTES = 1024
LINGER_MS = 500
_POLLIN = int(zmq.POLLIN)
SLOW_START_MS = 10_000
# Waking up for the end of each of many short jobs costs as much as running it, so their ends gather for this long.
GATHER_S = 0.0002
_NEVER_MS = Ms(2**62)


class Config(NamedTuple):
    """The configuration of a worker, from its command line."""

    pipe: str
    reports: str
    time_scale: float
    tasks: tuple[str, ...]
    key: Credential | None = None
    farewell_ms: Ms = FAREWELL_MS
    logs: Path | None = None


class Unbindable(Exception):
    """A socket that cannot be bound; the text is a sentence. `in_use`: another program has the address."""

    def __init__(self, message: str, in_use: bool) -> None:
        super().__init__(message)
        self.in_use = in_use


class Lost(Exception):
    """The end of a worker with reports that nobody has; the text is a sentence."""


class _Stopped(Exception):
    """A signal that came before the worker was ready."""


def serve(config: Config) -> None:
    """Run a worker until it is told to stop. Raises worker_lock.Taken, Unbindable, Unstartable, Lost, OSError."""
    incarnation = secrets.token_hex(16)
    notifier = Notifier()
    log_files = LogFiles(config.logs)
    held, marks = worker_lock.acquire(config.pipe)
    with contextlib.ExitStack() as stack:
        processes = TaskProcesses(
            config.tasks,
            config.time_scale,
            held.fd,
            lambda marks: held.write(worker_lock.holder_line(marks, config.pipe)),
            marks,
        )
        stack.callback(lambda: held.release() if processes.clear else held.leave())
        stack.callback(log_files.close)
        signals = stack.enter_context(_Signals())
        context = zmq.Context()
        stack.callback(context.term)
        gate = _gate(context, config.key)
        if gate is not None:
            stack.callback(gate.socket.close)
        pipe = stack.enter_context(_bound(context, zmq.PULL, config.pipe, config.key))
        reports = stack.enter_context(_bound(context, zmq.XPUB, config.reports, config.key))
        stack.callback(processes.close)
        processes.start()
        try:
            _Loop(config, signals, pipe, reports, processes, gate, notifier).run(incarnation, log_files)
        except _Stopped:
            log.info("stopped before it was ready")


def _gate(context: zmq.Context[zmq.Socket[bytes]], key: Credential | None) -> zap.Gate | None:
    """Return a gate that admits only the broker that `key` names."""
    return None if key is None else zap.Gate(context, lambda public: public == key.server)


def _bound(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, endpoint: str, key: Credential | None = None
) -> zmq.Socket[bytes]:
    """Return a socket bound to `endpoint`. Raises Unbindable."""
    sock = context.socket(kind)
    if key is not None:
        zap.serve_with(sock, key.public, key.secret)
    sock.linger = 0
    sock.sndhwm = sock.rcvhwm = 0  # the window bounds these channels
    watch_link(sock)
    sock.maxmsgsize = codec.MAX_PIPE_BYTES if kind == zmq.PULL else TOPIC_BYTES
    sock.ipv6 = endpoints.is_ipv6(endpoint)
    if kind == zmq.XPUB:
        sock.xpub_verbose = 1  # a broker that reconnects subscribes again, while its old connection still subscribes
    try:
        sock.bind(endpoint)
    except zmq.ZMQError as error:
        sock.close()
        in_use = error.errno == errno.EADDRINUSE
        why = "it is in use by another program" if in_use else zmq.strerror(error.errno or 0)
        raise Unbindable(f"cannot listen at {endpoint}: {why}", in_use) from None
    return sock


class _Signals:
    """The signals SIGTERM and SIGINT, readable from a descriptor: a handler alone does not wake a poll."""

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

    def received(self) -> tuple[str, ...]:
        """Return the names of the signals received since the last call."""
        try:
            numbers = self._reader.recv(64)
        except BlockingIOError:
            return ()
        return tuple(signal.Signals(number).name for number in numbers if number in self._previous)


def _noted(number: int, frame: object) -> None:
    """Do nothing: Python needs a handler, or it does not write to the wakeup descriptor."""


class _Loop:
    def __init__(
        self,
        config: Config,
        signals: _Signals,
        pipe: zmq.Socket[bytes],
        reports: zmq.Socket[bytes],
        processes: TaskProcesses,
        gate: zap.Gate | None,
        notifier: Notifier,
    ) -> None:
        self._config = config
        self._notifier = notifier
        self._signals = signals
        self._pipe = pipe
        self._reports = reports
        self._processes = processes
        self._gate = gate
        self._poller = zmq.Poller()
        self._registered: list[int] = []
        for source in (signals.fileno(), *((gate.socket,) if gate else ())):
            self._poller.register(source, zmq.POLLIN)

    def run(self, incarnation: str, log_files: LogFiles) -> None:
        """Serve until told to stop. Raises Unstartable, Lost, _Stopped, OSError."""
        stray_output = StrayOutput(log)
        types = self._announced_types(stray_output)
        core = WorkerCore(incarnation, types, *_self(), self._config.farewell_ms, self._processes.schemas)
        spool = SpoolFile(worker_lock.spool_path(self._config.pipe))
        turn = Turn(
            core, self._processes, spool, log_files, stray_output, log, lambda: secrets.token_hex(16), _reachable
        )
        _print_ready(self._config)
        self._notifier.ready()
        log.info("ready, pipe %s, reports %s", self._config.pipe, self._config.reports)
        for source in (self._pipe, self._reports):
            self._poller.register(source, zmq.POLLIN)
        turn.clear_up(_now_ms())
        self._serve(turn)
        self._reports.linger = LINGER_MS
        if turn.lost:
            raise Lost(f"{turn.lost} reports are lost: {spool.path} cannot be written")
        log.info("stopped")

    def _announced_types(self, stray_output: StrayOutput) -> tuple[TaskType, ...]:
        """Return the types that the first task process announces. Raises Unstartable, _Stopped."""
        begun_ms, warned = _now_ms(), False
        while True:
            self._let_in()
            self._show(stray_output, self._processes.events())
            if self._processes.types is not None:
                return self._processes.types
            if self._signals.received():
                raise _Stopped
            death = self._processes.died(_now_ms())
            if death is not None:
                self._show(stray_output, death.events)
                raise Unstartable(self._processes.refusal or f"{death.how} before it was ready")
            if not warned and _now_ms() - begun_ms >= SLOW_START_MS:
                warned = True
                log.warning("the task process is still importing %s; waiting", ", ".join(self._config.tasks) or "zjobs")
            self._poll(Ms(_now_ms() + HEARTBEAT_MS))

    def _show(self, stray_output: StrayOutput, events: list[TaskEvent]) -> None:
        """Log what is printed before there is a job."""
        for event in events:
            if isinstance(event, Printed):
                stray_output.hear(event.data, _now_ms())

    def _serve(self, turn: Turn) -> None:
        ready = self._all()
        while not turn.done:
            self._let_in()
            inputs = self._inputs(ready)
            if inputs.signals:
                self._notifier.stopping()
            for frame in turn.take(inputs, _now_ms()):
                self._reports.send(frame, zmq.NOBLOCK)
            self._notifier.turned(lambda: _status(turn.core), _now_ms())
            if not turn.done:
                ready = self._poll(min(turn.deadline_ms(), self._notifier.due_at_ms() or _NEVER_MS))

    def _inputs(self, ready: set[object]) -> Inputs:
        """Return what came. `ready`: the sources to read. The others are skipped: finding one empty costs as much as a
        small message."""
        return Inputs(
            _waiting(self._pipe) if self._pipe in ready else [],
            self._reports in ready and any(frame.startswith(b"\x01") for frame in _waiting(self._reports)),
            self._signals.received() if self._signals.fileno() in ready else (),
            not ready.isdisjoint(self._registered),
            self._processes.death_fd in ready,
        )

    def _let_in(self) -> None:
        if self._gate is not None:
            self._gate.answer(MESSAGES_A_TURN)
            refused = self._gate.refusals(time.monotonic())
            if refused is not None:
                log.warning("%s", refused)

    # --- waiting -------------------------------------------------------------------------------------------

    def _poll(self, deadline_ms: Ms) -> set[object]:
        """Sleep until something can be read, or the deadline. Return what can be read, or may be by now."""
        descriptors = self._processes.descriptors()
        if descriptors != self._registered:
            for descriptor in self._registered:
                self._poller.unregister(descriptor)
            for descriptor in descriptors:
                self._poller.register(descriptor, zmq.POLLIN)
            self._registered = descriptors
        if self._processes.far_ahead:
            time.sleep(GATHER_S)
        timeout_ms = max(0, deadline_ms - _now_ms())
        return {source for source, _ in self._poller.poll(timeout_ms)} or self._all()

    def _all(self) -> set[object]:
        return {self._pipe, self._reports, self._signals.fileno(), *self._registered}


def _status(core: WorkerCore) -> str:
    """Return a sentence for the service manager."""
    running = core.session.running_id
    if core.state.stopping:
        return "stopping" if running is None else f"stopping after job {running}"
    return "waiting for jobs" if running is None else f"running job {running}"


def _waiting(sock: zmq.Socket[bytes]) -> list[bytes]:
    """Return the messages that wait, at most MESSAGES_A_TURN."""
    frames: list[bytes] = []
    with contextlib.suppress(zmq.Again):
        frames.append(sock.recv(zmq.NOBLOCK))
        # Most often that was all. Asking costs half as much as the exception, but more than reading the next message.
        if int(sock.getsockopt(zmq.EVENTS)) & _POLLIN:
            while len(frames) < MESSAGES_A_TURN:
                frames.append(sock.recv(zmq.NOBLOCK))
    return frames


def _self() -> tuple[str, int]:
    """Return host and pid of this worker."""
    return socket.gethostname()[:256], os.getpid()


@functools.lru_cache(maxsize=1)  # called for each job
def _reachable(broker: BrokerName) -> str:
    """Return where tasks reach the broker; empty if unknown: a broker elsewhere gives an address that holds over
    there."""
    if broker.host != _self()[0] or len(broker.frontend) > MAX_ADDRESS_CHARS:
        return ""
    relative = broker.frontend.startswith("ipc://") and broker.frontend[len("ipc://")] not in "/@"
    return "" if relative else endpoints.from_here(broker.frontend)


def _now_ms() -> Ms:
    return Ms(time.monotonic_ns() // 1_000_000)


def _print_ready(config: Config) -> None:
    """Print the one line on stdout. A launcher that does not read it is no reason to fail."""
    try:
        print(f"zworker ready {config.pipe} {config.reports}", flush=True)
    except OSError:
        _silence_stdout()


def _silence_stdout() -> None:
    # what is left in Python's buffer would fail again, loudly, at exit
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
