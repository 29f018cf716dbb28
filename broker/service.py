"""The broker's loop: it receives, reads, commits and sends. `turn` decides.

    receive what is ready → serve the requests that are next → turn → one commit → replies, pipe, events → wait

Nothing leaves a socket before the turn it belongs to is committed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket as os_sockets
import time
from collections.abc import Container, Iterable, Iterator
from itertools import islice

import zmq
from zmq.utils.monitor import recv_monitor_message

from zjobs.broker.checkpoint_pauses import CheckpointPauses
from zjobs.broker.core.core import Core
from zjobs.broker.core.records.jobs import Instant
from zjobs.broker.core.records.needs import Needs
from zjobs.broker.journaling import take_turn, try_writing
from zjobs.broker.net import frames
from zjobs.broker.net.events import Events
from zjobs.broker.net.memory import MemoryWatch
from zjobs.broker.net.rate_limited_log import RateLimitedLog
from zjobs.broker.net.sockets import Config, Sockets
from zjobs.broker.requests.access import sees
from zjobs.broker.requests.contents import Service
from zjobs.broker.requests.job_status import job_event
from zjobs.broker.requests.request_reader import RequestReader
from zjobs.broker.requests.serving import Server
from zjobs.broker.retention import Retention
from zjobs.broker.storage.api import Journal, MaintenanceError, StorageError
from zjobs.broker.turn import Asked, Inputs, Line, Said, Turn
from zjobs.messages.events import JobEvent, Listening
from zjobs.messages.records import BrokerName
from zjobs.messages.requests.ops import Error, Reply, Request
from zjobs.messages.requests.queries import Backup, BackupReply, Hello, Info
from zjobs.messages.states import ErrorCode
from zjobs.messages.units import JobId
from zjobs.program.clock import mono_ms, wall_ms
from zjobs.program.notify import Notifier

log = logging.getLogger("zjobs.broker")

TURN_QUESTIONS = 32  # handshakes answered before requests are served, about 3 ms
TURN_MESSAGES = 8  # upper bound on how long a request waits
REQUESTS_A_MESSAGE = 32  # one message of the worker reports at most this many finished jobs
TURN_SUBSCRIPTIONS = 20  # at a time
SUBSCRIBING_S = 0.005
IDLE_MS = 60_000
KEYS_EVERY_MS = 1_000
FAREWELL_S = 2.0


def clock() -> Instant:
    """Return the present time by both clocks."""
    return Instant(mono_ms(), wall_ms())


class Broker:
    """A broker with open sockets on a locked journal. `run` returns after `stop`; then call `close`."""

    def __init__(self, config: Config, journal: Journal, notifier: Notifier | None = None) -> None:
        """Bind the sockets and load the journal. `notifier`: tells the service manager how the broker is.

        Raises CannotBind, JournalError, and ValueError for an invalid endpoint.
        """
        now = clock()
        self.sockets = Sockets(config)
        self._journal = journal
        self._keys = config.keys
        self._events = Events(self.sockets.events, self._may_watch)
        self._turn = Turn(
            journal.load(),
            config.rules,
            BrokerName(os_sockets.gethostname(), self.sockets.frontend_at, journal.journal_id),
            Retention(config.keep),
            now.wall_ms,
            lambda: os.urandom(16).hex(),
            now,
        )
        self._notifier = notifier or Notifier({})
        self._checkpoint_pauses = CheckpointPauses()
        self._limited_log = RateLimitedLog()
        limits, at = config.rules.limits, self.sockets.events_at
        service = Service(
            limits, at, zmq.zmq_version(), now.mono_ms, config.rules.journal_bytes, config.rules.commands_for
        )
        self._server = Server(service, config.keys, journal, self._core_for, clock, self._pause_checkpoints)
        self._requests = RequestReader(self.sockets, self._server, limits, config.keys is not None, self._limited_log)
        self._memory = MemoryWatch(clock().mono_ms)
        self._due_ms: int | None = None  # when the next turn is due without inputs
        self._stopping = False

    def run(self) -> None:
        """Take turns until `stop`, then answer the requests that have already arrived."""
        while not self._stopping:
            self._take_turn(dict(self.sockets.poller.poll(self._patience_ms())))
        self._requests.answer_all()
        self._take_turn(self.sockets.all())
        until_s = time.perf_counter() + FAREWELL_S
        while self._requests and time.perf_counter() < until_s:
            self._take_turn(())

    def stop(self) -> None:
        """Make `run` return after this turn. To interrupt its wait, write a byte to `sockets.wakeup_sender` as well."""
        self._stopping = True

    def close(self) -> None:
        """Send the last replies and close the sockets. The journal stays open."""
        self.sockets.close()
        self._memory.close()

    # --- a turn --------------------------------------------------------------------------------------------

    def _take_turn(self, ready: Container[object]) -> None:
        """Take one turn. Only `ready` sockets are read: finding an empty one costs as much as a small request."""
        at = self.sockets
        if at.wakeup.fileno() in ready:
            self._drain_wakeups()
        self._refresh_keys()
        if at.gate is not None and at.gate.socket in ready:
            at.gate.answer(TURN_QUESTIONS)
        served = self._requests.serve(at.frontend in ready, mono_ms())
        now = clock()  # read after the requests arrived: a delay must not begin before its request came
        lost = at.worker_monitor in ready and self._connection_lost()
        reports = list(self._receive_reports(served)) if at.reports in ready else []
        inputs = Inputs(self._asked(), reports, lost)
        if any(inputs) or (self._due_ms is not None and now.mono_ms >= self._due_ms):
            self._settle(inputs, now)
        self._requests.end_turn()
        self._requests.answer_waiting(now.mono_ms)
        self._expire_checkpoint_pauses(now)
        self._flush_outbox()
        if at.events in ready:
            self._answer_subscriptions(now)
        self._keep_bounds(now)
        self._notifier.turned(self._status, now.mono_ms)

    def _asked(self) -> list[Asked]:
        """Return the changes that this turn's requests ask for."""
        changes = [gathered.change for gathered in self._requests.changes]
        return [Asked(change.envelope, change.request, change.who) for change in changes]

    def _settle(self, inputs: Inputs, now: Instant) -> None:
        """Decide, commit, and send the outcome."""
        begun_s = time.perf_counter()
        if self._journal.read_only and self._turn.retries_writing(now):
            self._checkpoint_pauses.disturb()
            if try_writing(self._turn, self._journal, now):
                self._requests.restart()
                self._reopen_events()  # a turn of unknown outcome may be on disk, with ends that nobody was told
        said = take_turn(self._turn, self._journal, inputs, now)
        if not said.refused:
            self._requests.charge(time.perf_counter() - begun_s, said.settled)
        if said.anew:
            self._requests.restart()
        self._requests.reply(said.replies, said.refused, now.mono_ms)
        self._requests.wake(said.ended)
        self._requests.wake_edits(said.edits_decided)
        self._publish(said, now)
        self._log(said.lines, now)

    def _publish(self, said: Said, now: Instant) -> None:
        core = self._turn.core
        for job, change in said.job_changes:
            if self._events.wanted(job.id):
                self._events.publish(job_event(core, job, change, now))
        if said.service is not None:
            self._events.publish_service(said.service)

    def _log(self, lines: Iterable[Line], now: Instant) -> None:
        for line in lines:
            if line.kind:
                self._limited_log.add(line.kind, line.text, now.mono_ms)
            else:
                getattr(log, line.level)("%s", line.text)

    def _keep_bounds(self, now: Instant) -> None:
        """Disconnect all clients if libzmq buffers too much for them."""
        grown = self._memory.grown(now.mono_ms)
        if grown:
            self._limited_log.add("memory", f"grown by {grown >> 20} MiB: all clients are cut off", now.mono_ms)
            self.sockets.reopen_frontend()
            self._requests.forget_all()
            self._reopen_events()
            self._memory.cut(now.mono_ms)
        elif self._events.crowded:
            self._limited_log.add("subscriptions", "too many: event streams begin anew", now.mono_ms)
            self._reopen_events()
        self._limited_log.tell(now.mono_ms)

    def _patience_ms(self) -> int:
        now_ms = mono_ms()
        self._due_ms = self._turn.deadline_ms(bool(self._journal.read_only), now_ms)
        deadlines = [self._due_ms, self._checkpoint_pauses.due_at_ms()]
        deadlines += [self._memory.due_at_ms(), self._requests.due_at_ms(), self._notifier.due_at_ms()]
        if self._keys is not None:
            deadlines.append(now_ms + KEYS_EVERY_MS)
        if self._requests:
            deadlines.append(now_ms + int(1000 * self._requests.ready_in_s()))
        return max(0, min([now_ms + IDLE_MS, *(at for at in deadlines if at is not None)]) - now_ms)

    def _status(self) -> str:
        """Return a sentence for the service manager."""
        core = self._turn.core
        running = 0 if core.running is None else 1
        more = f"{', paused' if core.paused else ''}{', read-only' if self._journal.read_only else ''}"
        return f"{running} running, {core.queued} queued, worker {core.worker.state.value}{more}"

    def _core_for(self, request: Request) -> Core:
        """Return the core to answer a request from. Raises StorageError while that may be ahead of the journal."""
        if self._turn.uncertain and not isinstance(request, Hello | Info):
            raise StorageError(f"it is not known yet whether the last changes are on disk: {self._journal.read_only}")
        return self._turn.core

    # --- the worker ----------------------------------------------------------------------------------------

    def _receive_reports(self, requests: int) -> Iterator[bytes]:
        """Receive from the worker. If `requests` were served, spend about as much time on reports."""
        most = 1 + requests // REQUESTS_A_MESSAGE if requests else TURN_MESSAGES
        return (parts[0] for parts, _, _ in islice(frames.waiting(self.sockets.reports, 1, False), most))

    def _connection_lost(self) -> bool:
        """Return True if the connection to the worker broke; a kill -9 shows here within a millisecond."""
        lost = False
        with contextlib.suppress(zmq.Again):
            while True:
                recv_monitor_message(self.sockets.worker_monitor, zmq.NOBLOCK)
                lost = True
        return lost

    def _flush_outbox(self) -> None:
        """Send what the pipe has room for. While something is left, the poller waits for room."""
        pipe, outbox = self.sockets.pipe, self._turn.outbox
        with contextlib.suppress(zmq.Again):
            while outbox:
                pipe.send(outbox[0], zmq.NOBLOCK)
                outbox.popleft()
        if outbox:
            self.sockets.poller.register(pipe, zmq.POLLOUT)
        elif pipe in self.sockets.poller:
            self.sockets.poller.unregister(pipe)

    def _drain_wakeups(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.sockets.wakeup.recv(4096):
                pass

    # --- watchers ------------------------------------------------------------------------------------------

    def _answer_subscriptions(self, now: Instant) -> None:
        """Answer new subscriptions, as many as fit in SUBSCRIBING_S."""
        until_s = time.perf_counter() + SUBSCRIBING_S
        while self._events.answer_subscriptions(lambda job_id: self._snapshot(job_id, now), TURN_SUBSCRIPTIONS):
            if time.perf_counter() >= until_s:
                break

    def _snapshot(self, job_id: JobId | None, now: Instant) -> JobEvent | Listening | None:
        """Return the first event for a new subscriber to a job, or to all jobs (None)."""
        core = self._turn.core
        if self._turn.uncertain:
            return None  # whoever subscribes now does so again after the recovery
        if job_id is None:
            return Listening(core.journal, core.counters.change, core.worker.state, core.paused, core.pauses)
        try:
            job = core.record(job_id) or self._journal.read(Needs(jobs=[job_id])).jobs.get(job_id)
        except StorageError:
            return None
        return None if job is None else job_event(core, job, None, now)

    def _may_watch(self, key: str, job_id: JobId | None) -> bool:
        """True if the holder of a key may watch a job, or all jobs (None)."""
        if self._keys is None:
            return True
        who = self._keys.who(key)
        if who is None:
            return False
        try:
            return sees(who, "" if job_id is None else self._server.owner_of(job_id) or "")
        except StorageError:
            return False

    def _refresh_keys(self) -> None:
        """Read changed keys. If one was revoked or has another role, end all event streams; clients reconnect."""
        if self._keys is not None and self._keys.pop_changed():
            log.info("a key was revoked or has another role: event streams begin anew")
            self._reopen_events()
            self._requests.answer_revoked(self._keys)

    def _reopen_events(self) -> None:
        self.sockets.reopen_events()
        self._events = Events(self.sockets.events, self._may_watch)

    # --- backups -------------------------------------------------------------------------------------------

    def _pause_checkpoints(self, request: Backup) -> Reply:
        """Keep the journal's file unchanged for a while, so that a backup can copy it."""
        files = self._journal.files
        if files is None:
            return Error(ErrorCode.STORAGE, "the journal has no file that could be copied")
        try:
            files.pause_checkpoints()
            if request.pause_ms:
                undisturbed = self._checkpoint_pauses.begin(request.name, clock().mono_ms + request.pause_ms)
            else:
                undisturbed = self._checkpoint_pauses.end(request.name)
        except (MaintenanceError, ValueError) as error:
            return Error(ErrorCode.STORAGE, str(error))
        if not self._checkpoint_pauses:
            files.resume_checkpoints()
        return BackupReply(self._turn.core.journal, os.path.abspath(self._journal.name), undisturbed)

    def _expire_checkpoint_pauses(self, now: Instant) -> None:
        if self._checkpoint_pauses:
            self._checkpoint_pauses.expire(now.mono_ms)
            if not self._checkpoint_pauses and self._journal.files is not None:
                self._journal.files.resume_checkpoints()
