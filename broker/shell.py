"""The broker's loop. It decides nothing: see `core` for that, and for the shape of a turn.

    receive what is ready (bounded) → decode → core → one commit → replies, pipe, events → wait

Nothing leaves a socket before the turn it belongs to is committed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket as os_sockets
import time
from collections import deque
from collections.abc import Container, Iterator

import zmq
from zmq.utils.monitor import recv_monitor_message

from zjobs.broker import frames, parcels
from zjobs.broker.access import Who, sees
from zjobs.broker.core import Core
from zjobs.broker.effects import Effects, Handed, News
from zjobs.broker.events import Events
from zjobs.broker.intake import Asked, Intake
from zjobs.broker.jobs import Envelope
from zjobs.broker.journal import MEMORY, Journal, StorageError
from zjobs.broker.memory import MemoryWatch
from zjobs.broker.notices import Notices
from zjobs.broker.queries import Service, answer, job_status
from zjobs.broker.retention import Retention
from zjobs.broker.sockets import Config, Sockets
from zjobs.broker.workerview import Now
from zjobs.messages import wire
from zjobs.messages.types import (
    Backup,
    BackupReply,
    Beat,
    BrokerName,
    Cancel,
    Error,
    ErrorCode,
    Forget,
    JobEvent,
    Jobs,
    Listening,
    Pause,
    Reply,
    Reports,
    Request,
    Resume,
    Retry,
    ServiceEvent,
    Started,
    Submit,
    WorkerMessage,
)

log = logging.getLogger("zjobs.broker")

TURN_QUESTIONS = 512
TURN_MESSAGES = 8  # so long does a request wait at the most
REQUESTS_A_MESSAGE = 32  # a message of the worker has as many ends of jobs at the most
TURN_SUBSCRIPTIONS = 500
RETRY_WRITING_MS = 1_000
IDLE_MS = 60_000
KEYS_EVERY_MS = 1_000

# The core answers these itself; what has become of the jobs that were to be cancelled is looked up after the commit.
ANSWERED_BY_CORE = (Submit, Retry, Pause, Resume, Forget)
CHANGING = (*ANSWERED_BY_CORE, Cancel)


def clock() -> Now:
    return Now(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)


class Broker:
    """A broker with its sockets open. `run` returns after `stop`; `close` ends it."""

    def __init__(self, config: Config, journal: Journal) -> None:
        """Raises CannotBind, JournalError, and ValueError for an endpoint that cannot be used."""
        now = clock()
        self.sockets = Sockets(config)
        self._limits = config.rules.limits
        self._rules = config.rules
        self._journal = journal
        self._keys = config.keys
        self._events = Events(self.sockets.events, self._may_watch)
        self._service = Service(self._limits, self.sockets.events_at, zmq.zmq_version(), now.mono_ms)
        self._name = BrokerName(os_sockets.gethostname(), self.sockets.frontend_at, journal.journal_id)
        self._core = self._load_core(now)
        journal.take_up()
        self._retention = Retention(config.keep)
        self._outbox: deque[bytes] = deque()
        self._stopping = False
        self._retry_writing_ms = 0
        self._held_until_ms: int | None = None
        self._said_of_worker = ""
        self._told_of_service = self._service_event()
        self._notices = Notices()
        self._intake = Intake(self._limits, config.keys, self._owner_of)
        self._memory = MemoryWatch(clock().mono_ms)

    def run(self) -> None:
        """Turns until told to stop; then once more for what has come in by then."""
        while not self._stopping:
            self._turn(dict(self.sockets.poller.poll(self._patience_ms())))
        self._turn(self.sockets.all())

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
        requests = self._receive_requests() if at.frontend in ready else []
        now = clock()  # not before they are here: a delay must not begin before it was asked for
        asked = len(requests)
        if not any(isinstance(request, CHANGING) for _, request, _ in requests):
            self._answer_queries(requests, now)  # by what the last turn left: what has ended since may take a while
            requests = []
        lost = at.worker_monitor in ready and self._connection_lost()
        messages = list(self._receive_reports(asked)) if at.reports in ready else []
        if self._journal.read_only and now.mono_ms >= self._retry_writing_ms:
            self._try_writing(now)
        if self._journal.read_only:
            self._refuse_changes(requests, ErrorCode.READ_ONLY, self._journal.read_only)
        else:
            try:
                self._decide(requests, messages, lost, now)
            except StorageError as error:
                self._start_anew(error, now)
                self._refuse_changes(requests, ErrorCode.STORAGE, str(error))
        self._answer_queries(requests, now)
        if self._held_until_ms is not None and now.mono_ms >= self._held_until_ms:
            self._hold(0, now)
        self._flush_outbox()
        if at.events in ready:
            self._events.take_subscriptions(lambda job_id: self._snapshot(job_id, now), TURN_SUBSCRIPTIONS)
        self._keep_bounds(now)
        self._tell_of_service()  # a core that was loaded anew knows no worker
        self._log_worker()

    def _keep_bounds(self, now: Now) -> None:
        """Cuts the connections of clients when more is held for them than is bearable."""
        grown = self._memory.grown(now.mono_ms)
        if grown:
            self._notices.note("memory", f"grown by {grown >> 20} MiB: all clients are cut off", now.mono_ms)
            self.sockets.reopen_frontend()
            self._reopen_events()
            self._memory.cut(now.mono_ms)
        elif self._events.crowded:
            self._notices.note("subscriptions", "too many: event streams begin anew", now.mono_ms)
            self._reopen_events()
        self._notices.tell(now.mono_ms)

    def _decide(self, requests: list[Asked], messages: list[WorkerMessage], lost: bool, now: Now) -> None:
        """The core's part of the turn, its commit, and then what the core wants said."""
        if lost:
            self._core.on_gone()
            self._outbox.clear()
        for message in messages:
            self._hear(message, now)
        for envelope, request, who in requests:
            self._change(request, envelope, who, now)
        self._retention.step(self._core, self._journal, now)
        effects = self._core.end_turn(now)
        if effects.changes:
            self._journal.commit(effects.changes)
        self._speak(effects, now)

    def _hear(self, message: WorkerMessage, now: Now) -> None:
        if isinstance(message, Reports):
            self._core.on_reports(message, now)
        elif isinstance(message, Beat):
            self._core.on_beat(message, os.urandom(16).hex(), now)
        elif isinstance(message, Started):
            self._core.on_started(message, now)
        else:
            self._core.on_progress(message)

    def _change(self, request: Request, envelope: Envelope, who: Who, now: Now) -> None:
        """What a request changes; those that change nothing are answered after the commit."""
        core = self._core
        if isinstance(request, Submit):
            core.submit(request, envelope, now, who.name)
        elif isinstance(request, Cancel):
            core.cancel(request, now)
        elif isinstance(request, Retry):
            core.retry(request, envelope, now, who.name)
        elif isinstance(request, Pause):
            core.pause(request, envelope, now)
        elif isinstance(request, Resume):
            core.resume(envelope)
        elif isinstance(request, Forget):
            core.forget(request, envelope)

    def _speak(self, effects: Effects, now: Now) -> None:
        # Read first: a disk that fails in this must not leave some with one answer and then another.
        jobs = [wire.encode(message) for message in self._jobs_messages(effects.hand_over)] if effects.hand_over else []
        for envelope, reply in effects.replies:
            self._reply(envelope, reply)
        self._outbox.extend(map(wire.encode, effects.pipe))
        self._outbox.extend(jobs)
        self._tell_of_service()
        for news in effects.news:
            if self._events.wanted(news.job.id):
                self._events.publish(self._event(news, now))
        for note in effects.notes:
            log.warning("%s", note)

    def _jobs_messages(self, handed: list[Handed]) -> Iterator[Jobs]:
        data = self._journal.data_of([job.id for _, job in handed])
        return parcels.of(handed, data, self._core.session_name)

    # --- when the disk does not take it --------------------------------------------------------------------

    def _start_anew(self, error: StorageError, now: Now) -> None:
        """The core is ahead of the disk now, so it goes; the committed records are what is true."""
        log.error("the journal cannot be written: %s; nothing is taken until it can", error)
        self._retry_writing_ms = now.mono_ms + RETRY_WRITING_MS
        self._core = self._load_core(now)

    def _try_writing(self, now: Now) -> None:
        try:
            self._journal.recover()
            log.warning("the journal can be written again")
        except StorageError as error:
            log.debug("the journal still cannot be written: %s", error)
            self._retry_writing_ms = now.mono_ms + RETRY_WRITING_MS

    def _refuse_changes(self, requests: list[Asked], code: ErrorCode, why: str) -> None:
        """Answers the requests that would change something, and leaves the others in the list."""
        for envelope, request, _ in requests:
            if isinstance(request, CHANGING):
                self._reply(envelope, Error(code, f"the journal cannot be written: {why}"))
        requests[:] = [asked for asked in requests if not isinstance(asked.request, CHANGING)]

    def _load_core(self, now: Now) -> Core:
        return Core(self._journal.load(), self._journal, self._rules, self._name, now)

    # --- what comes in -------------------------------------------------------------------------------------

    def _owner_of(self, job_id: int) -> str | None:
        job = self._journal.job(job_id)
        return None if job is None else job.owner

    def _may_watch(self, key: str, job_id: int | None) -> bool:
        """Whether the holder of a key is told of a job, or of all of them (None)."""
        if self._keys is None:
            return True
        who = self._keys.who(key)
        if who is None:
            return False
        return sees(who, "" if job_id is None else self._owner_of(job_id) or "")

    def _refresh_keys(self) -> None:
        """Takes up changes of the keys. Whoever is refused now has no stream left; the others come back."""
        if self._keys is not None and self._keys.take_revoked():
            log.info("a key was revoked: event streams begin anew")
            self._reopen_events()

    def _reopen_events(self) -> None:
        self.sockets.reopen_events()
        self._events = Events(self.sockets.events, self._may_watch)

    def _receive_requests(self) -> list[Asked]:
        """The requests that wait; what is none is answered at once."""
        most = self._limits.frames + 1  # the ROUTER adds the sender's identity
        waiting = frames.waiting(self.sockets.frontend, most, self._keys is not None)
        requests, refused = self._intake.take(waiting, most)
        for envelope, error in refused:
            self._notices.note("requests", f"one was refused: {error.message}", clock().mono_ms)
            self._reply(envelope, error)
        return requests

    def _receive_reports(self, requests: int) -> Iterator[WorkerMessage]:
        """What the worker sends; when there are `requests`, as much as takes about as long as they do."""
        for _ in range(1 + requests // REQUESTS_A_MESSAGE if requests else TURN_MESSAGES):
            try:
                parts, _ = frames.receive(self.sockets.reports, 1)
            except zmq.Again:
                return
            try:
                yield wire.decode(parts[0], wire.REPORTS)
            except wire.DecodeError as error:
                self._notices.note("worker", f"a message of the worker was dropped: {error}", clock().mono_ms)

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
        deadlines = [self._core.next_deadline_ms(now), self._held_until_ms, self._retention.due_at_ms()]
        deadlines.append(self._memory.due_at_ms())
        if self._keys is not None:
            deadlines.append(now.mono_ms + KEYS_EVERY_MS)
        if self._journal.read_only:
            deadlines.append(self._retry_writing_ms)
        return min((max(0, at - now.mono_ms) for at in deadlines if at is not None), default=IDLE_MS)

    # --- what goes out -------------------------------------------------------------------------------------

    def _reply(self, envelope: Envelope, reply: Reply) -> None:
        """What a client has no room for, or is gone for, is dropped; nothing waits for it."""
        if isinstance(reply, Error):
            reply = reply._replace(journal=self._journal.journal_id)
        try:
            frames.send(self.sockets.frontend, *envelope, wire.encode(reply))
        except zmq.Again:
            self._notices.note("replies", "one was dropped: a client leaves too many unread", clock().mono_ms)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise

    def _answer_queries(self, requests: list[Asked], now: Now) -> None:
        for envelope, request, who in requests:
            if not isinstance(request, ANSWERED_BY_CORE):
                reply: Reply
                try:
                    if isinstance(request, Backup):
                        reply = self._hold(request.hold_ms, now)
                    else:
                        reply = answer(request, self._core, self._journal, self._service, who, now)
                except StorageError as error:
                    reply = Error(ErrorCode.STORAGE, f"the journal cannot be read: {error}")
                self._reply(envelope, reply)

    def _hold(self, hold_ms: int, now: Now) -> Reply:
        """Keeps the journal's file as it is for a while, for somebody who copies it."""
        if self._journal.file == MEMORY:
            return Error(ErrorCode.STORAGE, "the journal is in memory; there is nothing to copy")
        undisturbed = self._journal.release_checkpoints()
        self._held_until_ms = None
        if hold_ms:
            self._journal.hold_checkpoints()
            self._held_until_ms = now.mono_ms + hold_ms
        return BackupReply(self._core.journal, os.path.abspath(self._journal.file), undisturbed)

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

    def _event(self, news: News, now: Now) -> JobEvent:
        status = job_status(self._core, news.job, now)._replace(note=None)
        core = self._core
        return JobEvent(core.journal, status, news.change, core.worker.state, core.paused is not None)

    def _service_event(self) -> ServiceEvent:
        return ServiceEvent(self._core.journal, self._core.worker.state, self._core.paused)

    def _tell_of_service(self) -> None:
        """Tells who listens to all jobs when the worker's state or the pause is another than they were told."""
        event = self._service_event()
        if event != self._told_of_service:
            self._told_of_service = event
            self._events.publish_service(event)

    def _snapshot(self, job_id: int | None, now: Now) -> JobEvent | Listening | None:
        """What a new subscriber to a job is told, or to all of them (None)."""
        if job_id is None:
            service = self._service_event()
            return Listening(service.journal, self._core.counters.change, service.worker, service.paused)
        job = self._journal.job(job_id)
        return None if job is None else self._event(News(job, None), now)

    def _log_worker(self) -> None:
        view = self._core.worker
        said = view.note or f"the worker is {view.state.value}"
        if said != self._said_of_worker:
            log.log(logging.WARNING if view.note else logging.INFO, "%s", said)
            self._said_of_worker = said
