"""The reader of requests: moves them from the frontend into the fair queue, serves the next ones, and sends the
replies.

Changes are gathered for the turn's commit. The time spent in a turn is measured and bounded, so no request waits long
for the end of a turn; `fair_queue` sees to it that none waits long to be next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from zjobs.broker.core.records.jobs import EndedJob, Envelope
from zjobs.broker.credentials import Credentials
from zjobs.broker.net import frames
from zjobs.broker.net.rate_limited_log import RateLimitedLog
from zjobs.broker.net.sockets import Sockets
from zjobs.broker.requests.fair_queue import Client, ClientQueue, FairQueue
from zjobs.broker.requests.serving import Change, Pending, Server, WaitFor
from zjobs.broker.requests.waiting_requests import WaitingRequests
from zjobs.messages.records import Limits
from zjobs.messages.requests.ops import OPERATIONS, Changes, Error, Reply
from zjobs.messages.states import ErrorCode
from zjobs.messages.units import JobId, Ms

RECEIVED = 512
RECEIVED_BYTES = 16 << 20
RECEIVING_S = 0.005  # of processor time: while other programs have the processor, more arrives than would be read
SERVING_S = 0.010
UNSEEN_S = 0.003  # while requests are unread: one of them may be next
CHANGES_S = 0.020  # estimated time of the changes gathered in a turn

# Estimated cost of submitting or changing one job, commit included; measured in turns with many.
CHANGE_S = 50e-6
LEAST_CHANGE_S, MOST_CHANGE_S = 10e-6, 500e-6
MANY_CHANGES = 100

# Replies of the core to a part of a request; they are joined, not sent.
PARTS = frozenset(operation.reply for operation in OPERATIONS if operation.changes is Changes.JOB_BY_JOB)


class Gathered(NamedTuple):
    """A change of this turn, and the queue of its request."""

    queue: ClientQueue[Pending]
    pending: Pending
    change: Change


class Waiting(NamedTuple):
    """A request that waits for a job, and its client."""

    client: Client[Pending]
    pending: Pending


class RequestReader:
    """The requests of all clients. `changes`: those gathered in this turn."""

    def __init__(self, sockets: Sockets, server: Server, limits: Limits, keys: bool, log: RateLimitedLog) -> None:
        """Start without requests. `keys`: True if clients have keys."""
        self.changes: list[Gathered] = []
        self._sockets = sockets
        self._server = server
        self._keys = keys
        self._log = log
        self._most_frames = limits.frames + 1  # the ROUTER adds the sender's identity
        self._queue: FairQueue[Pending] = FairQueue()
        self._waiting: WaitingRequests[Waiting] = WaitingRequests(limits.waiting_requests, limits.waiting_jobs)
        self._woken: deque[Waiting] = deque()  # their wait is over
        self._change_s = CHANGE_S

    def __bool__(self) -> bool:
        """Return True if any request can be served."""
        return bool(self._queue or self._woken)

    def ready_in_s(self) -> float:
        """Return in how many seconds the next request may be served; 0 or less means now."""
        now_s = time.perf_counter()
        if self._woken:
            return 0.0
        return self._queue.ready_at_s(now_s) - now_s

    def serve(self, readable: bool, now_ms: Ms) -> int:
        """Receive requests if the frontend is `readable`, and serve the next ones. Return the number of steps."""
        more = readable and not self._queue.full and self._receive(now_ms)
        return self._serve(UNSEEN_S if more else SERVING_S, now_ms) if self._queue else 0

    def reply(self, replies: Sequence[tuple[Envelope, Reply]], refused: bool, now_ms: Ms) -> None:
        """Send the core's replies. The reply to a part goes to its request, which continues with the next part; if the
        turn's changes were `refused`, the whole request ends."""
        parts = {each.change.envelope: each.pending for each in self.changes if not each.change.last}
        for envelope, reply in replies:
            if type(reply) in PARTS:
                parts[envelope].result = reply
            else:
                self.send(envelope, self._server.frame(reply), now_ms)
        if refused:
            for queue, _, change in self.changes:
                if not change.last:
                    self._queue.done(queue)

    def charge(self, seconds: float, settled: int) -> None:
        """Charge clients for their changes of this turn, which took `seconds` and recorded `settled` runs besides."""
        if not self.changes:
            return
        weight = sum(each.change.weight for each in self.changes)
        seconds *= weight / (weight + settled)
        now_s = time.perf_counter()
        for queue, _, change in self.changes:
            share_s = seconds * change.weight / weight
            self._queue.took(queue.client, share_s - self._change_s * change.weight)
            self._queue.rest(queue.client, share_s, now_s)
        if weight >= MANY_CHANGES:  # with few, the cost is mostly the flush
            measured = min(max(seconds / weight, LEAST_CHANGE_S), MOST_CHANGE_S)
            self._change_s += (measured - self._change_s) / 4

    def restart(self) -> None:
        """Restart all requests, because the state was loaded anew and what they have read may be wrong.

        Wake those that wait, too: a commit that failed may still be on disk, and with it the end of their job.
        """
        for pending in self._queue.waiting():
            pending.restart()
        self.answer_all()

    def end_turn(self) -> None:
        """Resume the requests that waited for this turn's commit."""
        for each in self.changes:
            each.queue.changes = False
        self.changes = []
        self._queue.release()

    def forget_all(self) -> None:
        """Drop all requests, because the connections of all clients are cut."""
        self._queue = FairQueue()
        self._waiting.select(lambda waiting: True)
        self._woken.clear()

    # --- requests that wait for a job ----------------------------------------------------------------------------

    def due_at_ms(self) -> Ms | None:
        """Return when the next waiting request must be answered (monotonic), None without any."""
        return self._waiting.due_at_ms()

    def wake(self, ended: Mapping[JobId, EndedJob]) -> None:
        """Wake the requests that wait for jobs which ended in this turn."""
        for job_id in ended if self._waiting else ():
            for waiting in self._waiting.came(job_id):
                waiting.pending.result = ended
                self._woken.append(waiting)

    def wake_edits(self, decided: Iterable[tuple[Envelope, JobId]]) -> None:
        """Wake the requests that wait for edits which were decided in this turn."""
        for edit in decided:
            self._woken.extend(self._waiting.came(edit))

    def answer_all(self) -> None:
        """Wake all waiting requests, to answer each with what is on disk."""
        self._woken.extend(self._waiting.select(lambda waiting: True))

    def answer_revoked(self, keys: Credentials) -> None:
        """Wake the waiting requests whose key was revoked."""
        self._woken.extend(self._waiting.select(lambda waiting: keys.who(waiting.client.name) is None))

    def answer_waiting(self, now_ms: Ms) -> None:
        """Answer requests whose wait is over, as many as fit in a turn."""
        self._woken.extend(self._waiting.due(now_ms))
        begun_s = at_s = time.perf_counter()
        while self._woken and at_s - begun_s < SERVING_S:
            client, pending = self._woken.popleft()
            wait = pending.advance()
            if isinstance(wait, WaitFor):
                self._wait(Waiting(client, pending), pending.envelope[0], wait, now_ms)
            else:
                assert pending.over and pending.frame is not None
                if not self.send(pending.envelope, pending.frame, now_ms):
                    self._waiting.connection_gone(pending.envelope[0])
            before_s, at_s = at_s, time.perf_counter()
            self._queue.took(client, at_s - before_s)

    # --- parts ---------------------------------------------------------------------------------------------------

    def _wait(self, waiting: Waiting, connection: bytes, wait: WaitFor, now_ms: Ms) -> None:
        """Register a request, and wake those that are answered early because of it."""
        self._woken.extend(self._waiting.register(connection, wait.awaited, Ms(now_ms + wait.wait_ms), waiting))

    def send(self, envelope: Envelope, frame: bytes, now_ms: Ms) -> bool:
        """Send a reply, or drop it if the client leaves too many unread. Return False if the client is gone."""
        try:
            frames.send_to(self._sockets.frontend, *envelope, frame)
        except frames.NoRoom:
            self._log.add("replies", "one was dropped: a client leaves too many unread", now_ms)
        except frames.Gone:
            return False
        return True

    def _receive(self, now_ms: Ms) -> bool:
        """Queue as many requests as a turn may receive. Return True if there may be more."""
        until_s = time.thread_time() + RECEIVING_S
        size, left = 0, RECEIVED
        for received in islice(frames.waiting(self._sockets.frontend, self._most_frames, self._keys), RECEIVED):
            parts, count, key = received
            bytes_ = sum(map(len, parts)) + count
            if not self._queue.put(key or parts[0].hex(), parts[0], self._server.pending(received), bytes_):
                self._send_busy(received, now_ms)
            size += bytes_
            left -= 1
            if size >= RECEIVED_BYTES or time.thread_time() >= until_s:
                return True
        return left == 0

    def _send_busy(self, received: frames.Received, now_ms: Ms) -> None:
        envelope, _ = frames.split(received[0], received[1], self._most_frames)
        self._log.add("busy", "a request was refused: its client has too many waiting", now_ms)
        error = Error(ErrorCode.BUSY, "too many of your requests wait already; send the next after a reply")
        self.send(envelope, self._server.frame(error), now_ms)

    def _serve(self, most_s: float, now_ms: Ms) -> int:
        begun_s = at_s = time.perf_counter()
        planned_s = 0.0
        steps = 0
        while self._queue and at_s - begun_s < most_s and planned_s < CHANGES_S:
            queue = self._queue.next(at_s)
            if queue is None:
                break
            client = queue.client
            change = self._advance(queue, now_ms)
            served_s, at_s = at_s, time.perf_counter()
            took_s = at_s - served_s
            if change is not None:
                planned_s += change.weight * self._change_s
                took_s += change.weight * self._change_s
            self._queue.took(client, took_s)
            self._queue.rest(client, at_s - served_s, at_s)
            steps += 1
        return steps

    def _advance(self, queue: ClientQueue[Pending], now_ms: Ms) -> Change | None:
        """Take the next step of a queue's first request. Return the change that it makes, if any."""
        pending = queue.first
        fresh = not pending.begun
        change = pending.advance()
        if fresh and change is None and not pending.over:
            if queue.changes:  # its reply must show the earlier change, so it waits for the commit
                self._queue.postpone(queue)
                return None
            change = pending.advance()
        if isinstance(change, WaitFor):
            self._wait(Waiting(queue.client, pending), queue.connection, change, now_ms)
            self._queue.done(queue)
            return None
        if change is not None:
            self.changes.append(Gathered(queue, pending, change))
            queue.changes = True
        if pending.over and pending.frame is not None:
            if pending.refused:
                self._log.add("requests", f"one was refused: {pending.refused}", now_ms)
            self.send(pending.envelope, pending.frame, now_ms)
        if pending.over or (change is not None and change.last):
            self._queue.done(queue)
        elif change is not None:
            self._queue.postpone(queue)
        return change
