"""Requests, from the frontend to their replies.

They are read into the fair queue, and those whose turn it is are served; what they change is gathered for the commit of
the turn.

How much is done in a turn is bounded by the time it takes, measured here: no request waits long for the end of a turn,
and none long for its own (see `fair_queue`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from zjobs.broker.core.jobs import EndedJob, Envelope
from zjobs.broker.credentials import Credentials
from zjobs.broker.net import frames
from zjobs.broker.net.rate_limited_log import RateLimitedLog
from zjobs.broker.net.sockets import Sockets
from zjobs.broker.requests.fair_queue import Client, ClientQueue, FairQueue
from zjobs.broker.requests.serving import Change, Pending, Server, WaitFor
from zjobs.broker.requests.waiting_requests import WaitingRequests
from zjobs.messages.ops import OPERATIONS, Changes
from zjobs.messages.records import Limits
from zjobs.messages.requests import Error, Reply
from zjobs.messages.states import ErrorCode
from zjobs.messages.units import JobId

RECEIVED = 512
RECEIVED_BYTES = 16 << 20
RECEIVING_S = 0.005
SERVING_S = 0.010
UNSEEN_S = 0.003  # while not all requests were received: among those may be one whose turn it is
CHANGES_S = 0.020  # as estimated

# What a job that is submitted or changed costs, its commit included: measured in turns with many.
CHANGE_S = 50e-6
LEAST_CHANGE_S, MOST_CHANGE_S = 10e-6, 500e-6
MANY_CHANGES = 100

# Replies of the core that do not leave: those to a part of a request.
PARTS = frozenset(operation.reply for operation in OPERATIONS if operation.changes is Changes.JOB_BY_JOB)


class Gathered(NamedTuple):
    """A change of the present turn, and the queue in which its request stands."""

    queue: ClientQueue[Pending]
    pending: Pending
    change: Change


class Waiting(NamedTuple):
    """A request that waits for a job, and whose it is."""

    client: Client[Pending]
    pending: Pending


class RequestReader:
    """The requests of all clients. `changes`: what those served in this turn change."""

    def __init__(self, sockets: Sockets, server: Server, limits: Limits, keys: bool, log: RateLimitedLog) -> None:
        """`keys`: whether clients have keys."""
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
        """Whether any request is to be served."""
        return bool(self._queue or self._woken)

    def ready_in_s(self) -> float:
        """When the next request may be served, if any is to be."""
        now_s = time.perf_counter()
        if self._woken:
            return 0.0
        return self._queue.ready_at_s(now_s) - now_s

    def serve(self, readable: bool, now_ms: int) -> int:
        """Receives what waits, if the frontend is `readable`, and serves requests. Returns in how many steps."""
        more = readable and not self._queue.full and self._receive(now_ms)
        return self._serve(UNSEEN_S if more else SERVING_S, now_ms)

    def reply(self, replies: Sequence[tuple[Envelope, Reply]], refused: bool, now_ms: int) -> None:
        """Sends the replies of the core. The part of a request that changes jobs page by page goes on with its own;
        if the changes of the turn were `refused`, the whole request ends."""
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
        """Puts what the changes of this turn took to the account of those who asked for them. `seconds`: the turn, in
        which `settled` runs of the worker were written down, too."""
        if not self.changes:
            return
        weight = sum(each.change.weight for each in self.changes)
        seconds *= weight / (weight + settled)
        now_s = time.perf_counter()
        for queue, _, change in self.changes:
            share_s = seconds * change.weight / weight
            self._queue.took(queue.client, share_s - self._change_s * change.weight)
            self._queue.rest(queue.client, share_s, now_s)
        if weight >= MANY_CHANGES:  # of few, the flush is most of what they take
            measured = min(max(seconds / weight, LEAST_CHANGE_S), MOST_CHANGE_S)
            self._change_s += (measured - self._change_s) / 4

    def restart(self) -> None:
        """The state is another one: what requests have read so far is no longer true."""
        for pending in self._queue.waiting():
            pending.restart()

    def end_turn(self) -> None:
        """What was asked for after a change of this turn may be looked at now."""
        for each in self.changes:
            each.queue.changes = False
        self.changes = []
        self._queue.release()

    def forget_all(self) -> None:
        """The connections of all clients are cut."""
        self._queue = FairQueue()
        self._waiting.select(lambda waiting: True)
        self._woken.clear()

    # --- requests that wait for a job ----------------------------------------------------------------------------

    def due_at_ms(self) -> int | None:
        """When the time of a waiting request is over (monotonic)."""
        return self._waiting.due_at_ms()

    def wake(self, ended: Mapping[JobId, EndedJob]) -> None:
        """Those who wait for a job that ended in this turn have it answered with what is at hand."""
        for job_id in ended if self._waiting else ():
            for waiting in self._waiting.job_ended(job_id):
                waiting.pending.result = ended
                self._woken.append(waiting)

    def answer_all(self) -> None:
        """The broker stops: nobody waits any more."""
        self._woken.extend(self._waiting.select(lambda waiting: True))

    def answer_revoked(self, keys: Credentials) -> None:
        """Nobody waits with a key that was revoked."""
        self._woken.extend(self._waiting.select(lambda waiting: keys.who(waiting.client.name) is None))

    def answer_waiting(self, now_ms: int) -> None:
        """Answers those whose wait is over, as many as may be in a turn."""
        self._woken.extend(self._waiting.due(now_ms))
        begun_s = at_s = time.perf_counter()
        while self._woken and at_s - begun_s < SERVING_S:
            client, pending = self._woken.popleft()
            pending.advance()
            assert pending.over and pending.frame is not None
            if not self.send(pending.envelope, pending.frame, now_ms):
                self._waiting.connection_gone(pending.envelope[0])
            before_s, at_s = at_s, time.perf_counter()
            self._queue.took(client, at_s - before_s)

    # --- parts ---------------------------------------------------------------------------------------------------

    def send(self, envelope: Envelope, frame: bytes, now_ms: int) -> bool:
        """Sends a reply. What a client has no room for, or is gone for, is dropped; nothing waits for it. Returns
        whether it is still there."""
        try:
            frames.send_to(self._sockets.frontend, *envelope, frame)
        except frames.NoRoom:
            self._log.add("replies", "one was dropped: a client leaves too many unread", now_ms)
        except frames.Gone:
            return False
        return True

    def _receive(self, now_ms: int) -> bool:
        """Lines up the requests that wait, as many as may come in a turn. Returns whether there may be more."""
        until_s = time.perf_counter() + RECEIVING_S
        size, left = 0, RECEIVED
        for received in islice(frames.waiting(self._sockets.frontend, self._most_frames, self._keys), RECEIVED):
            parts, count, key = received
            bytes_ = sum(map(len, parts)) + count
            if not self._queue.put(key or parts[0].hex(), parts[0], self._server.pending(received), bytes_):
                self._send_busy(received, now_ms)
            size += bytes_
            left -= 1
            if size >= RECEIVED_BYTES or time.perf_counter() >= until_s:
                return True
        return left == 0

    def _send_busy(self, received: frames.Received, now_ms: int) -> None:
        envelope, _ = frames.split(received[0], received[1], self._most_frames)
        self._log.add("busy", "a request was refused: too many of its client wait", now_ms)
        error = Error(ErrorCode.BUSY, "too many of your requests wait already; send the next after a reply")
        self.send(envelope, self._server.frame(error), now_ms)

    def _serve(self, most_s: float, now_ms: int) -> int:
        begun_s = at_s = time.perf_counter()
        planned_s = 0.0
        steps = 0
        while at_s - begun_s < most_s and planned_s < CHANGES_S:
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

    def _advance(self, queue: ClientQueue[Pending], now_ms: int) -> Change | None:
        """The next step of a queue's first request. Returns what it changes."""
        pending = queue.first
        fresh = not pending.begun
        change = pending.advance()
        if fresh and change is None and not pending.over:
            if queue.changes:  # what was asked for after a change is answered after its commit
                self._queue.postpone(queue)
                return None
            change = pending.advance()
        if isinstance(change, WaitFor):
            waiting = Waiting(queue.client, pending)
            until_ms = now_ms + change.wait_ms
            self._woken.extend(self._waiting.register(queue.connection, change.ids, until_ms, waiting))
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
