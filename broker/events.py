"""The events socket: who watches what, and telling them.

`XPUB_MANUAL` (zeromq.org: ZMQ_XPUB_MANUAL) hands every subscription to us, and lets us choose what the subscriber
really gets. To `job.17.` we answer with `job.17.e`, where the news of the job goes, and with a topic used once, on
which the present status goes to this subscriber alone: answered on the shared topic, 1,000 watchers of one job
received 525,574 messages.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import zmq

from zjobs.messages import wire
from zjobs.messages.types import JobEvent, Listening

MayWatch = Callable[["str", "int | None"], bool]
Snapshot = Callable[["int | None"], "JobEvent | Listening | None"]


class Events:
    """Publishes what becomes of jobs, on `socket` (an XPUB with XPUB_MANUAL), to those who asked."""

    def __init__(self, socket: zmq.Socket[bytes], may_watch: MayWatch) -> None:
        """`may_watch(public key of the subscriber or "", job id or None for all)`."""
        self._socket = socket
        self._may_watch = may_watch
        self._watchers: Counter[int] = Counter()
        self._listeners = 0
        self._nonces = itertools.count()

    def wanted(self, job_id: int) -> bool:
        """Whether anybody would get news of this job."""
        return self._listeners > 0 or job_id in self._watchers

    def publish(self, event: JobEvent) -> None:
        """Sends an event to the watchers of its job, and to those of all."""
        job_id = event.job.id
        body = wire.encode(event)
        if job_id in self._watchers:
            self._send(wire.job_topic(job_id) + b"e", body)
        if self._listeners:
            self._send(wire.ALL_JOBS_TOPIC, body)

    def take_subscriptions(self, snapshot: Snapshot, most: int) -> bool:
        """Answers waiting subscriptions, `most` at the most. Returns whether there may be more.

        `snapshot(job_id)` gives what the subscriber to a job is told first, `snapshot(None)` one to all jobs; or None.
        """
        for _ in range(most):
            try:
                frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return False
            message = frame.bytes
            self._subscription(message[:1] == b"\x01", message[1:], _key(frame), snapshot)
        return True

    def _subscription(self, begins: bool, topic: bytes, key: str, snapshot: Snapshot) -> None:
        job_id = wire.watched_job(topic)
        if topic == wire.ALL_JOBS_TOPIC:
            self._listeners += 1 if begins else -1
        elif job_id is not None:
            self._watchers[job_id] += 1 if begins else -1
            if self._watchers[job_id] <= 0:
                del self._watchers[job_id]
        else:
            return
        # Counted in any case, since the end of a connection is counted too, when its key is no longer known.
        if begins and not self._may_watch(key, job_id):
            return
        self._set(begins, topic if job_id is None else topic + b"e")
        event = snapshot(job_id) if begins else None
        if event is not None:
            once = topic + b"s%d" % next(self._nonces)
            self._set(True, once)
            self._send(once, wire.encode(event))
            self._set(False, once)

    def _set(self, begins: bool, topic: bytes) -> None:
        """Changes what the subscriber whose message was read last gets; it may be gone by now."""
        try:
            self._socket.setsockopt(zmq.SUBSCRIBE if begins else zmq.UNSUBSCRIBE, topic)
        except zmq.ZMQError as error:
            if error.errno != zmq.EINVAL:
                raise

    def _send(self, topic: bytes, body: bytes) -> None:
        """An XPUB never blocks: what a subscriber has no room for, it loses."""
        self._socket.send_multipart((topic, body), zmq.NOBLOCK)


def _key(frame: zmq.Frame) -> str:
    """The public key of who sent it; empty where there are no keys."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
