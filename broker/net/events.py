"""The events socket: records who watches what, and publishes events.

`XPUB_MANUAL` (zeromq.org: ZMQ_XPUB_MANUAL) passes every subscription to us, and lets us choose what the subscriber
really gets. For `job.17.` we register two topics. `job.17.e` carries the job's events to all its watchers. A topic used
once carries the present status to this subscriber alone: when that was sent on the shared topic, 1,000 watchers of one
job received 525,574 messages. The same holds for `jobs.`: registered as it is, it would match the topics used once,
too.

A subscriber may lie: subscribe to one topic ten times, or end a subscription that it never began. So there is no count
of watchers that somebody else could bring down: a job is watched from the first subscription until it ends. libzmq
keeps every topic, about 1.5 kB each, and has no bound for them. So we count subscriptions, and subtract only those that
libzmq itself reports as gone with their connection. Above MOST, the socket must be opened anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import zmq

from zjobs.broker.net import frames
from zjobs.messages import codec
from zjobs.messages.events import ALL_JOBS_TOPIC, JobEvent, Listening, ServiceEvent, job_topic, watched_job
from zjobs.messages.fields import MAX_ID
from zjobs.messages.units import JobId

MayWatch = Callable[["str", "JobId | None"], bool]
Snapshot = Callable[["JobId | None"], "JobEvent | Listening | None"]

MOST = 100_000  # subscriptions to jobs; other topics may be long, and count for more
SHORT_TOPIC_BYTES = 16


class Events:
    """A publisher of changes of jobs to their watchers, on `socket` (an XPUB with XPUB_MANUAL)."""

    def __init__(self, socket: zmq.Socket[bytes], may_watch: MayWatch) -> None:
        """Start without watchers. `may_watch(public key of the subscriber or "", job id or None for all)` decides who
        may."""
        self._socket = socket
        self._may_watch = may_watch
        self._watched: set[JobId] = set()
        self._listened = False
        self._begun = 0
        self._nonces = itertools.count()

    @property
    def crowded(self) -> bool:
        """True if there are more subscriptions than the broker keeps."""
        return self._begun > MOST

    def wanted(self, job_id: JobId) -> bool:
        """True if somebody may be watching this job."""
        return self._listened or job_id in self._watched

    def publish(self, event: JobEvent) -> None:
        """Send an event to the watchers of its job, and to those of all jobs."""
        job_id = event.job.id
        body = codec.encode(event)
        if job_id in self._watched:
            self._send(job_topic(job_id) + b"e", body)
            if event.job.state.final:
                self._watched.discard(job_id)
        if self._listened:
            self._send(ALL_JOBS_TOPIC + b"e", body)

    def publish_service(self, event: ServiceEvent) -> None:
        """Tell the watchers of all jobs about the worker and the pauses."""
        if self._listened:
            self._send(ALL_JOBS_TOPIC + b"e", codec.encode(event))

    def answer_subscriptions(self, snapshot: Snapshot, most: int) -> bool:
        """Answer at most `most` waiting subscriptions. Return False if no more wait.

        `snapshot(job_id)` returns the first event for a subscriber to a job, `snapshot(None)` for one to all jobs.
        """
        for _ in range(most):
            try:
                frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return False
            message = frame.bytes
            topic = message[1:]
            if message[:1] == b"\x01":
                self._begun += _weight(topic)
                self._begin(topic, _key(frame), snapshot)
            elif message[:1] == b"\x00":
                if not _said_by_peer(frame):
                    self._begun -= _weight(topic)
                self._end(topic)
        return True

    def _begin(self, topic: bytes, key: str, snapshot: Snapshot) -> None:
        job_id = watched_job(topic)
        if topic != ALL_JOBS_TOPIC and (job_id is None or job_id > MAX_ID):
            return
        if not self._may_watch(key, job_id):
            return
        event = snapshot(job_id)
        if event is None:  # no such job; clients learn ids only once the jobs are on disk, so nobody waits for this one
            return
        if job_id is None:
            self._listened = True
            self._set(True, topic + b"e")
        elif not (isinstance(event, JobEvent) and event.job.state.final):  # no event follows the last one
            self._watched.add(job_id)
            self._set(True, topic + b"e")
        once = topic + b"s%d" % next(self._nonces)
        self._set(True, once)
        self._send(once, codec.encode(event))
        self._set(False, once)

    def _end(self, topic: bytes) -> None:
        self._set(False, topic + b"e")

    def _set(self, begins: bool, topic: bytes) -> None:
        """Change what the subscriber of the message read last receives. It may be gone by now."""
        try:
            self._socket.setsockopt(zmq.SUBSCRIBE if begins else zmq.UNSUBSCRIBE, topic)
        except zmq.ZMQError as error:
            if error.errno != zmq.EINVAL:
                raise

    def _send(self, topic: bytes, body: bytes) -> None:
        """Send without blocking: an XPUB drops the message for a subscriber without room."""
        frames.send(self._socket, topic, body)


def _weight(topic: bytes) -> int:
    """Return how much a topic counts: libzmq keeps a node for each of its bytes."""
    return 1 + len(topic) // SHORT_TOPIC_BYTES


def _said_by_peer(frame: zmq.Frame) -> bool:
    """True for a peer's message. libzmq names the socket type there, but not in its own message about a lost
    connection."""
    try:
        return bool(frame.get("Socket-Type"))
    except zmq.ZMQError:
        return False


def _key(frame: zmq.Frame) -> str:
    """Return the sender's public key, "" if there are no keys."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
