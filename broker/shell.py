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
from collections.abc import Iterator
from typing import NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from zjobs.broker import frames
from zjobs.broker.access import ANYBODY, Who, refusal, sees
from zjobs.broker.core import Core
from zjobs.broker.effects import Effects, Handed, News
from zjobs.broker.events import Events
from zjobs.broker.jobs import Envelope
from zjobs.broker.journal import MEMORY, Journal, StorageError
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
    HandedJob,
    JobEvent,
    Jobs,
    Listening,
    Pause,
    Reply,
    Reports,
    Request,
    Resume,
    Retry,
    Started,
    Submit,
    WorkerMessage,
)

log = logging.getLogger("zjobs.broker")

TURN_REQUESTS = 512
TURN_BYTES = 16 << 20
TURN_REPORTS = 64
TURN_SUBSCRIPTIONS = 1_000
MESSAGE_BYTES = 1 << 20
RETRY_WRITING_MS = 1_000
IDLE_MS = 60_000
KEYS_EVERY_MS = 1_000

# The core answers these itself; what has become of the jobs that were to be cancelled is looked up after the commit.
ANSWERED_BY_CORE = (Submit, Retry, Pause, Resume, Forget)
CHANGING = (*ANSWERED_BY_CORE, Cancel)


def clock() -> Now:
    return Now(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)


class Asked(NamedTuple):
    """A request, with whom its reply goes to and who wants it."""

    envelope: Envelope
    request: Request
    who: Who


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

    def run(self) -> None:
        """Turns until told to stop; then once more for what has come in by then."""
        while not self._stopping:
            self.sockets.poller.poll(self._patience_ms())
            self._turn()
        self._turn()

    def stop(self) -> None:
        """Ends `run` after its present turn; wakes it only together with a byte to `sockets.wakeup_sender`."""
        self._stopping = True

    def close(self) -> None:
        """Sends the last replies and closes the sockets. The journal stays open."""
        self.sockets.close()

    # --- a turn --------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._drain_wakeups()
        now = clock()
        self._refresh_keys()
        if self.sockets.gate is not None:
            self.sockets.gate.answer(TURN_REQUESTS)
        requests = self._receive_requests()
        lost = self._connection_lost()
        messages = list(self._receive_reports())
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
        self._events.take_subscriptions(lambda job_id: self._snapshot(job_id, now), TURN_SUBSCRIPTIONS)
        self._log_worker()

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
        for envelope, reply in effects.replies:
            self._reply(envelope, reply)
        self._outbox.extend(map(wire.encode, effects.pipe))
        self._outbox.extend(map(wire.encode, self._jobs_messages(effects.hand_over)))
        for news in effects.news:
            if self._events.wanted(news.job.id):
                self._events.publish(self._event(news, now))
        for note in effects.notes:
            log.warning("%s", note)

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

    def _receive_requests(self) -> list[Asked]:
        """The requests that wait, bounded in number and bytes; what is none is answered at once."""
        requests: list[Asked] = []
        size = 0
        most = self._limits.frames + 1  # the ROUTER adds the sender's identity
        while len(requests) < TURN_REQUESTS and size < TURN_BYTES:
            try:
                parts, count, who = self._receive_request(most)
            except zmq.Again:
                break
            size += sum(map(len, parts)) + count
            envelope, body = frames.split(parts, count, most)
            try:
                requests.append(self._permitted(envelope, self._decode(body), who))
            except wire.DecodeError as error:
                self._reply(envelope, Error(error.code, str(error)))
        return requests

    def _receive_request(self, most: int) -> tuple[list[bytes], int, Who | None]:
        """Frames of a request, how many there were, and whose they are; None: of somebody no longer admitted."""
        if self._keys is None:
            return *frames.receive(self.sockets.frontend, most), ANYBODY
        parts, count, key = frames.receive_with_key(self.sockets.frontend, most)
        return parts, count, self._keys.who(key)

    def _permitted(self, envelope: Envelope, request: Request, who: Who | None) -> Asked:
        """Raises DecodeError when `who` may not have it."""
        if who is None:
            raise wire.DecodeError(ErrorCode.NOT_PERMITTED, "this key was revoked")
        try:
            error = refusal(request, who, self._owner_of)
        except StorageError as failure:
            error = Error(ErrorCode.STORAGE, f"the journal cannot be read: {failure}")
        if error is not None:
            raise wire.DecodeError(error.code, error.message)
        return Asked(envelope, request, who)

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
            self.sockets.reopen_events()
            self._events = Events(self.sockets.events, self._may_watch)

    def _decode(self, body: bytes | wire.DecodeError) -> Request:
        if isinstance(body, wire.DecodeError):
            raise body
        limit = self._limits.request_bytes
        if len(body) > limit:
            raise wire.DecodeError(ErrorCode.TOO_LARGE, f"the request has {len(body)} bytes; the limit is {limit}")
        return wire.decode(body, wire.REQUESTS)  # type: ignore[no-any-return]

    def _receive_reports(self) -> Iterator[WorkerMessage]:
        for _ in range(TURN_REPORTS):
            try:
                parts, _ = frames.receive(self.sockets.reports, 1)
            except zmq.Again:
                return
            try:
                yield wire.decode(parts[0], wire.REPORTS)
            except wire.DecodeError as error:
                log.warning("a message from the worker was dropped: %s", error)

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
        if self._keys is not None:
            deadlines.append(now.mono_ms + KEYS_EVERY_MS)
        if self._journal.read_only:
            deadlines.append(self._retry_writing_ms)
        return min((max(0, at - now.mono_ms) for at in deadlines if at is not None), default=IDLE_MS)

    # --- what goes out -------------------------------------------------------------------------------------

    def _reply(self, envelope: Envelope, reply: Reply) -> None:
        """A ROUTER never blocks: what a client has no room for, or is gone for, is dropped."""
        if isinstance(reply, Error):
            reply = reply._replace(journal=self._journal.journal_id)
        self.sockets.frontend.send_multipart((*envelope, wire.encode(reply)), zmq.NOBLOCK)

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

    def _jobs_messages(self, handed: list[Handed]) -> Iterator[Jobs]:
        """Messages of consecutive numbers, each of about a mebibyte at most."""
        data = self._journal.data_of([job.id for _, job in handed])
        batch: list[HandedJob] = []
        size = first = 0
        for n, job in handed:
            if batch and (n != first + len(batch) or size + job.data_bytes > MESSAGE_BYTES):
                yield Jobs(self._core.session_name, first, tuple(batch))
                batch = []
            if not batch:
                first, size = n, 0
            batch.append(
                HandedJob(job.id, job.type, data.get(job.id), job.attempts + job.reruns + 1, job.time_limit_ms)
            )
            size += job.data_bytes
        if batch:
            yield Jobs(self._core.session_name, first, tuple(batch))

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
        return JobEvent(self._core.journal, status, news.change, self._core.worker.state)

    def _snapshot(self, job_id: int | None, now: Now) -> JobEvent | Listening | None:
        """What a new subscriber to a job is told, or to all of them (None)."""
        if job_id is None:
            return Listening(self._core.journal, self._core.counters.change)
        job = self._journal.job(job_id)
        return None if job is None else self._event(News(job, None), now)

    def _log_worker(self) -> None:
        view = self._core.worker
        said = f"the worker is {view.state.value}" + (f": {view.note}" if view.note else "")
        if said != self._said_of_worker:
            log.log(logging.WARNING if view.note else logging.INFO, "%s", said)
            self._said_of_worker = said
