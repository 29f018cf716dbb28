"""The broker's loop. It decides nothing: see `core` for that, and for the shape of a turn.

    receive what is ready → serve those whose turn it is → core → one commit → replies, pipe, events → wait

Nothing leaves a socket before the turn it belongs to is committed. How much is done in a turn is bounded by the time it
takes, measured here: no request waits long for the end of a turn, and none long for its own (see `fair_queue`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket as os_sockets
import time
from collections import deque
from collections.abc import Container, Iterator
from itertools import islice
from typing import NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from zjobs.broker.core.checkpoint_pauses import CheckpointPauses
from zjobs.broker.core.core import Core
from zjobs.broker.core.effects import Effects, JobChange
from zjobs.broker.core.jobs import Envelope
from zjobs.broker.core.needs import Needs
from zjobs.broker.core.sending import Sending
from zjobs.broker.core.worker_status import Instant
from zjobs.broker.net import frames
from zjobs.broker.net.events import Events
from zjobs.broker.net.memory import MemoryWatch
from zjobs.broker.net.rate_limited_log import RateLimitedLog
from zjobs.broker.net.sockets import Config, Sockets
from zjobs.broker.requests.access import sees
from zjobs.broker.requests.fair_queue import ClientQueue, FairQueue
from zjobs.broker.requests.queries import Service, job_status
from zjobs.broker.requests.serving import Change, Pending, Server
from zjobs.broker.retention import Retention
from zjobs.broker.storage.api import Journal, MaintenanceError, StorageError
from zjobs.messages import codec
from zjobs.messages.dispatch import REPORTS, Heartbeat, Piece, Progress, Received, Reports, Started, WorkerMessage
from zjobs.messages.events import JobEvent, Listening, ServiceEvent
from zjobs.messages.ops import OPERATIONS, Changes
from zjobs.messages.records import BrokerName
from zjobs.messages.requests import Backup, BackupReply, Error, Reply
from zjobs.messages.states import ErrorCode
from zjobs.program.clock import mono_ms, wall_ms

log = logging.getLogger("zjobs.broker")

TURN_QUESTIONS = 32  # handshakes admitted before requests are served, about 3 ms
TURN_MESSAGES = 8  # upper bound on how long a request waits
REQUESTS_A_MESSAGE = 32  # one message of the worker reports at most this many finished jobs
TURN_SUBSCRIPTIONS = 20  # at a time
RETRY_WRITING_MS = 1_000
IDLE_MS = 60_000
KEYS_EVERY_MS = 1_000

RECEIVED = 512
RECEIVED_BYTES = 16 << 20
RECEIVING_S = 0.005
SERVING_S = 0.010
UNSEEN_S = 0.003  # while not all requests were received: among those may be one whose turn it is
CHANGES_S = 0.020  # as estimated
SUBSCRIBING_S = 0.005
FAREWELL_S = 2.0

# What a job that is submitted or changed costs, its commit included: measured in turns with many.
CHANGE_S = 50e-6
LEAST_CHANGE_S, MOST_CHANGE_S = 10e-6, 500e-6
MANY_CHANGES = 100

# Replies of the core that do not leave: those to a part of a request.
PARTS = frozenset(operation.reply for operation in OPERATIONS if operation.changes is Changes.JOB_BY_JOB)


class Made(NamedTuple):
    """A change of the present turn, and the line in which its request stood."""

    line: ClientQueue[Pending]
    pending: Pending
    change: Change


def clock() -> Instant:
    return Instant(mono_ms(), wall_ms())


class Broker:
    """A broker with its sockets open, on a journal that was claimed. `run` returns after `stop`; `close` ends it."""

    def __init__(self, config: Config, journal: Journal) -> None:
        """Raises CannotBind, JournalError, and ValueError for an endpoint that cannot be used."""
        now = clock()
        self.sockets = Sockets(config)
        self._limits = config.rules.limits
        self._rules = config.rules
        self._journal = journal
        self._keys = config.keys
        self._events = Events(self.sockets.events, self._may_watch)
        at, most = self.sockets.events_at, config.rules.journal_bytes
        self._service = Service(self._limits, at, zmq.zmq_version(), now.mono_ms, most)
        self._name = BrokerName(os_sockets.gethostname(), self.sockets.frontend_at, journal.journal_id)
        self._core = self._load_core(now)
        self._retention = Retention(config.keep)
        self._outbox: deque[bytes] = deque()
        self._sending = Sending(now.wall_ms)
        self._heartbeat_heard = False
        self._stopping = False
        self._retry_writing_ms = 0
        self._checkpoint_pauses = CheckpointPauses()
        self._said_of_worker = ""
        self._told_of_service = self._service_event()
        self._limited_log = RateLimitedLog()
        self._server = Server(self._service, config.keys, journal, lambda: self._core, clock, self._pause_checkpoints)
        self._queue: FairQueue[Pending] = FairQueue()
        self._made: list[Made] = []
        self._change_s = CHANGE_S
        self._memory = MemoryWatch(clock().mono_ms)

    def run(self) -> None:
        """Turns until told to stop; then once more for what has come in by then."""
        while not self._stopping:
            self._turn(dict(self.sockets.poller.poll(self._patience_ms())))
        self._turn(self.sockets.all())
        until_s = time.perf_counter() + FAREWELL_S
        while self._queue and time.perf_counter() < until_s:
            self._turn(())

    def stop(self) -> None:
        """Ends `run` after its present turn; wakes it only together with a byte to `sockets.wakeup_sender`."""
        self._stopping = True

    def close(self) -> None:
        """Sends the last replies and closes the sockets. The journal stays open."""
        self.sockets.close()
        self._memory.close()

    # --- a turn --------------------------------------------------------------------------------------------

    def _turn(self, ready: Container[object]) -> None:
        """`ready`: what can be read. The others are left alone: to find one empty costs as much as a small request."""
        at = self.sockets
        if at.wakeup.fileno() in ready:
            self._drain_wakeups()
        self._refresh_keys()
        if at.gate is not None and at.gate.socket in ready:
            at.gate.answer(TURN_QUESTIONS)
        more = at.frontend in ready and not self._queue.full and self._receive_requests()
        now = clock()  # not before they are here: a delay must not begin before it was asked for
        # by what the last turn left: what has ended since may take a while
        served = self._serve_requests(UNSEEN_S if more else SERVING_S)
        lost = at.worker_monitor in ready and self._connection_lost()
        messages = list(self._receive_reports(served)) if at.reports in ready else []
        if self._journal.read_only and now.mono_ms >= self._retry_writing_ms:
            self._try_writing(now)
        if self._journal.read_only:
            self._refuse_changes(ErrorCode.READ_ONLY, self._journal.read_only)
        else:
            try:
                self._decide(messages, lost, now)
            except StorageError as error:
                self._start_anew(error, now)
                self._refuse_changes(ErrorCode.STORAGE, str(error))
        for made in self._made:
            made.line.changes = False
        self._made = []
        self._queue.release()
        if self._checkpoint_pauses:
            self._checkpoint_pauses.expire(now.mono_ms)
            if not self._checkpoint_pauses and self._journal.files:
                self._journal.files.resume_checkpoints()
        self._flush_outbox()
        if at.events in ready:
            self._take_subscriptions(now)
        self._keep_bounds(now)
        self._tell_of_service()  # a core that was loaded anew knows no worker
        self._log_worker()

    def _keep_bounds(self, now: Instant) -> None:
        """Cuts the connections of clients when more is held for them than is bearable."""
        grown = self._memory.grown(now.mono_ms)
        if grown:
            self._limited_log.add("memory", f"grown by {grown >> 20} MiB: all clients are cut off", now.mono_ms)
            self.sockets.reopen_frontend()
            self._queue = FairQueue()
            self._reopen_events()
            self._memory.cut(now.mono_ms)
        elif self._events.crowded:
            self._limited_log.add("subscriptions", "too many: event streams begin anew", now.mono_ms)
            self._reopen_events()
        self._limited_log.tell(now.mono_ms)

    def _decide(self, messages: list[WorkerMessage], lost: bool, now: Instant) -> None:
        """The core's part of the turn, its commit, and then what the core wants said."""
        if lost:
            self._core.on_gone()
            self._outbox.clear()
        for message in messages:
            self._hear(message, now)
        begun_s = time.perf_counter()
        if self._made and self._rules.journal_bytes is not None:
            self._core.room_bytes = self._rules.journal_bytes - self._journal.used_bytes()
        for made in self._made:
            change = made.change
            self._core.change(change.request, change.envelope, now, change.who.name)
        changed_s = time.perf_counter()
        self._retention.step(self._core, self._journal, now)
        effects = self._core.end_turn(now)
        commit_s = time.perf_counter()
        if effects.changes:
            self._journal.commit(effects.changes)
        if self._made:
            ends = sum(len(message.reports) for message in messages if isinstance(message, Reports))
            self._charge(changed_s - begun_s, time.perf_counter() - commit_s, ends)
        self._speak(effects, now)

    def _charge(self, change_s: float, commit_s: float, ends: int) -> None:
        """Puts what the changes of this turn took to the account of those who asked for them."""
        weight = sum(made.change.weight for made in self._made)
        seconds = change_s + commit_s * weight / (weight + ends)
        now_s = time.perf_counter()
        for made in self._made:
            share = made.change.weight / weight
            self._queue.took(made.line.client, seconds * share - self._change_s * made.change.weight)
            self._queue.rest(made.line.client, seconds * share, now_s)
        if weight >= MANY_CHANGES:  # of few, the flush is most of what they take
            measured = min(max(seconds / weight, LEAST_CHANGE_S), MOST_CHANGE_S)
            self._change_s += (measured - self._change_s) / 4

    def _hear(self, message: WorkerMessage, now: Instant) -> None:
        if isinstance(message, Reports):
            self._core.on_reports(message, now)
        elif isinstance(message, Heartbeat):
            self._core.on_heartbeat(message, os.urandom(16).hex(), now)
            self._sending.hears(message, now.mono_ms)
            self._heartbeat_heard = True
        elif isinstance(message, Started):
            self._core.on_started(message, now)
        elif isinstance(message, Progress):
            self._core.on_progress(message, now)
        elif isinstance(message, Piece):
            self._core.on_piece(message, now)
        else:
            assert isinstance(message, Received)
            self._core.on_received(message, self._sending.hears(message, now.mono_ms), now)

    def _speak(self, effects: Effects, now: Instant) -> None:
        # Read first: a disk that fails in this must not leave some with one answer and then another.
        needs = Needs(data=[job.id for _, job in effects.dispatched])
        data = self._journal.read(needs).data if effects.dispatched else {}
        parts = {made.change.envelope: made.pending for made in self._made if not made.change.last}
        for envelope, reply in effects.replies:
            if type(reply) in PARTS:  # that of a part, which the request goes on with
                parts[envelope].result = reply
            else:
                self._send(envelope, self._server.frame(reply))
        self._outbox.extend(map(codec.encode, effects.pipe))
        if effects.again:
            self._sending.start_over()
        self._sending.add(effects.dispatched, data)
        self._send_jobs(now)
        self._tell_of_service()
        for job_changes in effects.job_changes:
            if self._events.wanted(job_changes.job.id):
                self._events.publish(self._event(job_changes, now))
        for warning in effects.warnings:
            log.warning("%s", warning)
        for rejection in effects.rejections:
            self._limited_log.add("report", rejection, now.mono_ms)

    def _send_jobs(self, now: Instant) -> None:
        """Send what the link has room for; after a heartbeat, say how much, so the worker sees what is missing."""
        if not self._core.worker.known:
            return
        session = self._core.session_name
        self._outbox.extend(map(codec.encode, self._sending.due(session, self._core.is_with_worker, now.mono_ms)))
        if self._heartbeat_heard:
            self._outbox.append(codec.encode(self._sending.sent(session)))
            self._heartbeat_heard = False

    # --- when the disk does not take it --------------------------------------------------------------------

    def _start_anew(self, error: StorageError, now: Instant) -> None:
        """The core is ahead of the disk now, so it goes; the committed records are what is true."""
        log.error("the journal cannot be written: %s; nothing is taken until it can", error)
        self._retry_writing_ms = now.mono_ms + RETRY_WRITING_MS
        self._core = self._load_core(now)
        for pending in self._queue.waiting():
            pending.restart()

    def _try_writing(self, now: Instant) -> None:
        self._checkpoint_pauses.disturb()
        try:
            self._journal.recover()
            log.warning("the journal can be written again")
        except StorageError as error:
            log.debug("the journal still cannot be written: %s", error)
            self._retry_writing_ms = now.mono_ms + RETRY_WRITING_MS

    def _refuse_changes(self, code: ErrorCode, why: str) -> None:
        """Answers the requests whose changes were to be made in this turn."""
        for line, pending, change in self._made:
            self._send(pending.envelope, self._server.frame(Error(code, f"the journal cannot be written: {why}")))
            if not change.last:
                self._queue.done(line)

    def _load_core(self, now: Instant) -> Core:
        return Core(self._journal.load(), self._journal, self._rules, self._name, now)

    # --- what comes in -------------------------------------------------------------------------------------

    def _may_watch(self, key: str, job_id: int | None) -> bool:
        """Whether the holder of a key is told of a job, or of all of them (None)."""
        if self._keys is None:
            return True
        who = self._keys.who(key)
        if who is None:
            return False
        return sees(who, "" if job_id is None else self._server.owner_of(job_id) or "")

    def _refresh_keys(self) -> None:
        """Takes up changes of the keys. Whoever is refused now has no stream left; the others come back."""
        if self._keys is not None and self._keys.take_revoked():
            log.info("a key was revoked: event streams begin anew")
            self._reopen_events()

    def _reopen_events(self) -> None:
        self.sockets.reopen_events()
        self._events = Events(self.sockets.events, self._may_watch)

    def _receive_requests(self) -> bool:
        """Lines up the requests that wait, as many as may be taken in a turn. Returns whether there may be more."""
        until_s = time.perf_counter() + RECEIVING_S
        most = self._limits.frames + 1  # the ROUTER adds the sender's identity
        size, left = 0, RECEIVED
        for received in islice(frames.waiting(self.sockets.frontend, most, self._keys is not None), RECEIVED):
            parts, count, key = received
            bytes_ = sum(map(len, parts)) + count
            if not self._queue.put(key or parts[0].hex(), parts[0], self._server.pending(received), bytes_):
                self._send_busy(received, most)
            size += bytes_
            left -= 1
            if size >= RECEIVED_BYTES or time.perf_counter() >= until_s:
                return True
        return left == 0

    def _send_busy(self, received: frames.Received, most: int) -> None:
        envelope, _ = frames.split(received[0], received[1], most)
        self._limited_log.add("busy", "a request was not taken: too many of its client wait", clock().mono_ms)
        self._send(
            envelope,
            self._server.frame(
                Error(ErrorCode.BUSY, "too many of your requests wait already; send the next after a reply")
            ),
        )

    def _serve_requests(self, most_s: float) -> int:
        """Serves requests for so long, and gathers what they change. Returns in how many steps."""
        begun_s = at_s = time.perf_counter()
        planned_s = 0.0
        steps = 0
        while at_s - begun_s < most_s and planned_s < CHANGES_S:
            line = self._queue.next(at_s)
            if line is None:
                break
            client = line.client
            change = self._advance(line)
            served_s, at_s = at_s, time.perf_counter()
            took_s = at_s - served_s
            if change is not None:
                planned_s += change.weight * self._change_s
                took_s += change.weight * self._change_s
            self._queue.took(client, took_s)
            self._queue.rest(client, at_s - served_s, at_s)
            steps += 1
        return steps

    def _advance(self, line: ClientQueue[Pending]) -> Change | None:
        """The next step of a line's first request. Returns what it changes."""
        pending = line.first
        fresh = not pending.begun
        change = pending.advance()
        if fresh and change is None and not pending.over:
            if line.changes:  # what was asked for after a change is answered after its commit
                self._queue.hold(line)
                return None
            change = pending.advance()
        if change is not None:
            self._made.append(Made(line, pending, change))
            line.changes = True
        if pending.over and pending.frame is not None:
            if pending.refused:
                self._limited_log.add("requests", f"one was refused: {pending.refused}", clock().mono_ms)
            self._send(pending.envelope, pending.frame)
        if pending.over or (change is not None and change.last):
            self._queue.done(line)
        elif change is not None:
            self._queue.hold(line)
        return change

    def _take_subscriptions(self, now: Instant) -> None:
        """As many as may be taken in a turn."""
        until_s = time.perf_counter() + SUBSCRIBING_S
        while self._events.take_subscriptions(lambda job_id: self._snapshot(job_id, now), TURN_SUBSCRIPTIONS):
            if time.perf_counter() >= until_s:
                break

    def _receive_reports(self, requests: int) -> Iterator[WorkerMessage]:
        """What the worker sends; when there are `requests`, as much as takes about as long as they do."""
        for _ in range(1 + requests // REQUESTS_A_MESSAGE if requests else TURN_MESSAGES):
            try:
                parts, _ = frames.receive(self.sockets.reports, 1)
            except zmq.Again:
                return
            try:
                yield codec.decode(parts[0], REPORTS)
            except codec.DecodeError as error:
                self._limited_log.add("worker", f"a message of the worker was dropped: {error}", clock().mono_ms)

    def _connection_lost(self) -> bool:
        """Whether the connection to the worker's reports broke: a kill -9 shows here within a millisecond."""
        lost = False
        with contextlib.suppress(zmq.Again):
            while True:
                recv_monitor_message(self.sockets.worker_monitor, zmq.NOBLOCK)
                lost = True
        return lost

    def _drain_wakeups(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.sockets.wakeup.recv(4096):
                pass

    def _patience_ms(self) -> int:
        now = clock()
        deadlines = [self._core.next_deadline_ms(now), self._checkpoint_pauses.due_at_ms(), self._retention.due_at_ms()]
        deadlines.append(self._memory.due_at_ms())
        if self._keys is not None:
            deadlines.append(now.mono_ms + KEYS_EVERY_MS)
        if self._journal.read_only:
            deadlines.append(self._retry_writing_ms)
        if self._queue:
            now_s = time.perf_counter()
            deadlines.append(now.mono_ms + int(1000 * (self._queue.ready_at_s(now_s) - now_s)))
        return min([IDLE_MS, *(max(0, at - now.mono_ms) for at in deadlines if at is not None)])

    # --- what goes out -------------------------------------------------------------------------------------

    def _send(self, envelope: Envelope, frame: bytes) -> None:
        """A reply. What a client has no room for, or is gone for, is dropped; nothing waits for it."""
        try:
            frames.send(self.sockets.frontend, *envelope, frame)
        except zmq.Again:
            self._limited_log.add("replies", "one was dropped: a client leaves too many unread", clock().mono_ms)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise

    def _pause_checkpoints(self, request: Backup) -> Reply:
        """Keeps the journal's file as it is for a while, for somebody who copies it."""
        files = self._journal.files
        if files is None:
            return Error(ErrorCode.STORAGE, "the journal has no file that could be copied")
        try:
            files.pause_checkpoints()
            if request.pause_ms:
                undisturbed = self._checkpoint_pauses.take(request.name, clock().mono_ms + request.pause_ms)
            else:
                undisturbed = self._checkpoint_pauses.end(request.name)
        except (MaintenanceError, ValueError) as error:
            return Error(ErrorCode.STORAGE, str(error))
        if not self._checkpoint_pauses:
            files.resume_checkpoints()
        return BackupReply(self._core.journal, os.path.abspath(self._journal.name), undisturbed)

    def _flush_outbox(self) -> None:
        """Sends what the pipe takes; while something is left, the poller tells when it takes more."""
        pipe = self.sockets.pipe
        with contextlib.suppress(zmq.Again):
            while self._outbox:
                pipe.send(self._outbox[0], zmq.NOBLOCK)
                self._outbox.popleft()
        if self._outbox:
            self.sockets.poller.register(pipe, zmq.POLLOUT)
        elif pipe in self.sockets.poller:
            self.sockets.poller.unregister(pipe)

    def _event(self, job_changes: JobChange, now: Instant) -> JobEvent:
        status = job_status(self._core, job_changes.job, now)._replace(note=None)
        core = self._core
        return JobEvent(core.journal, status, job_changes.change, core.worker.state, core.paused is not None)

    def _service_event(self) -> ServiceEvent:
        return ServiceEvent(self._core.journal, self._core.worker.state, self._core.paused)

    def _tell_of_service(self) -> None:
        """Tells who listens to all jobs when the worker's state or the pause is another than they were told."""
        event = self._service_event()
        if event != self._told_of_service:
            self._told_of_service = event
            self._events.publish_service(event)

    def _snapshot(self, job_id: int | None, now: Instant) -> JobEvent | Listening | None:
        """What a new subscriber to a job is told, or to all of them (None)."""
        if job_id is None:
            service = self._service_event()
            return Listening(service.journal, self._core.counters.change, service.worker, service.paused)
        job = self._journal.read(Needs(jobs=[job_id])).jobs.get(job_id)
        return None if job is None else self._event(JobChange(job, None), now)

    def _log_worker(self) -> None:
        view = self._core.worker
        said = view.warning or f"the worker is {view.state.value}"
        if said != self._said_of_worker:
            log.log(logging.WARNING if view.warning else logging.INFO, "%s", said)
            self._said_of_worker = said
