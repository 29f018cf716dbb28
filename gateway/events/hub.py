"""One watch of each service, and the streams that pass on its events: however many they are, the broker has one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

from zjobs.client.aio import AsyncClient
from zjobs.client.aio_job import AsyncWatch
from zjobs.client.errors import ZjobsError
from zjobs.client.protocol.events.watch import WatchEvent
from zjobs.gateway.events.stream import Entry, Kept, Subject
from zjobs.gateway.web.records import plain
from zjobs.messages.records import JobStatus, QueuePause
from zjobs.messages.states import WorkerState
from zjobs.program import clock

HEARTBEAT_S = 15.0
RETRY_MS = 2_000  # how soon a client comes back
# After the watch failed for good: the broker has been away for long, or has another journal.
BEGIN_AGAIN_S = 1.0
# Streams are woken together, and not more often than this for each of them: each wake-up costs about as much.
WAKE_S = 0.0002
# What one stream is sent at once; a reader that is slower than the events misses some, and is told to resync.
MOST_AT_ONCE = 500
# How many pauses that have ended are remembered, for the strip.
MOST_LIFTED = 200

log = logging.getLogger("zjobs.gateway")


class ServiceState(NamedTuple):
    """The state of a service: whether its broker can be reached, and what was last known of its worker and its
    pauses."""

    reachable: bool = False
    worker: WorkerState | None = None
    pauses: tuple[QueuePause, ...] = ()


class Hub:
    """The events of one service, from `run` until `close`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._kept = Kept(secrets.token_hex(4))
        self._streams: set[Stream] = set()
        self._state = ServiceState()
        self._heard_at: int | None = None
        self._lifted: deque[tuple[int, int]] = deque(maxlen=MOST_LIFTED)
        self._wake_due = False
        self._closed = False

    @property
    def state(self) -> ServiceState:
        """The last known state of the service."""
        return self._state

    @property
    def heard_at(self) -> int | None:
        """The last time when the broker was there, by the wall clock; None if it never was."""
        return clock.wall_ms() if self._state.reachable else self._heard_at

    @property
    def pauses(self) -> list[tuple[int, int | None]]:
        """Beginnings and ends of pauses, as far as they were heard; the end of one in force is None."""
        return [*self._lifted, *((pause.since_at, None) for pause in self._state.pauses)]

    async def run(self) -> None:
        """Watch the service until cancelled, whatever becomes of it."""
        while True:
            try:
                async with self._client.watch() as watch:
                    self._begin(watch)
                    while True:
                        event = await watch.next()
                        if event is not None:
                            self._hear(event)
            except ZjobsError as error:
                if self._state.reachable:
                    log.warning("the events of %s are lost: %s", self._client.address, error)
                self._tell_service(reachable=False)
            await asyncio.sleep(BEGIN_AGAIN_S)

    def close(self) -> None:
        """End all streams, and those that come later at once."""
        self._closed = True
        for stream in self._streams:
            stream.end()

    # --- what the watch hears ---------------------------------------------------------------------------------

    def _begin(self, watch: AsyncWatch) -> None:
        """Begin anew: what came before is unknown, so no stream can continue from there."""
        self._kept = Kept(secrets.token_hex(4))
        self._wake()
        self._tell_service(reachable=True, worker=watch.worker, pauses=watch.service.pauses if watch.service else ())

    def _hear(self, event: WatchEvent) -> None:
        if event.job is not None:
            self._tell("job", plain(event.job), event.job)
        elif event.link is not None:
            self._tell_service(reachable=event.link)
        elif event.service is not None:
            self._tell_service(worker=event.service.worker, pauses=event.service.pauses)

    def _tell_service(self, **changed: Any) -> None:
        self._heard_at = self.heard_at
        state = self._state._replace(**changed)
        if state != self._state:
            now = clock.wall_ms()
            self._lifted.extend((pause.since_at, now) for pause in self._state.pauses if pause not in state.pauses)
            self._state = state
            self._tell("service", plain(state))

    def _tell(self, kind: str, value: Any, job: JobStatus | None = None) -> None:
        self._kept.add(kind, value, job)
        if self._streams and not self._wake_due:
            self._wake_due = True
            asyncio.get_running_loop().call_later(WAKE_S * len(self._streams), self._wake)

    def _wake(self) -> None:
        self._wake_due = False
        for stream in self._streams:
            stream.wake()

    # --- for the streams -----------------------------------------------------------------------------------------

    @property
    def kept(self) -> Kept:
        """The last events."""
        return self._kept

    @contextlib.contextmanager
    def waking(self, stream: Stream) -> Iterator[None]:
        """While it lasts, the stream is woken when there may be something to send."""
        self._streams.add(stream)
        if self._closed:
            stream.end()
        try:
            yield
        finally:
            self._streams.discard(stream)


class Stream:
    """The pieces of text that one client is sent, by `async for`.

    It goes on after the event `last_id`, or begins now if that is empty.
    """

    def __init__(self, hub: Hub, subject: Subject, last_id: str) -> None:
        self._hub = hub
        self._subject = subject
        number = hub.kept.number_of(last_id)
        self.goes_on = number is not None
        self._kept = hub.kept
        self._number = hub.kept.last if number is None else number
        self._lost = bool(last_id) and number is None
        self._present: tuple[str, Any] | None = None
        self._is_last = False
        self._told = (-1, -1)  # version and progress of the job, in a stream about one
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def begin_with(self, kind: str, value: ServiceState | JobStatus) -> None:
        """Send this event first: how things are at present. Of a job, only what is newer follows."""
        self._present = kind, plain(value)
        if isinstance(value, JobStatus):
            self._told = value.version, value.progress
            self._is_last = value.state.final

    def wake(self) -> None:
        """Wake the stream, because there may be something to send."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self) -> None:
        """Send nothing more."""
        self._ended = True
        self.wake()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent, until the stream ends. Heartbeats show proxies and clients that it lives."""
        clock = asyncio.get_running_loop().time
        with self._hub.waking(self):
            yield b"retry: %d\n\n" % RETRY_MS
            heartbeat_at = clock() + HEARTBEAT_S
            while not self._ended:
                if text := self.next() or (self._kept.heartbeat(self._number) if clock() >= heartbeat_at else b""):
                    yield text
                    heartbeat_at = clock() + HEARTBEAT_S
                elif not self._ended:
                    await self._woken(heartbeat_at)

    def next(self) -> bytes:
        """Return the next text to send, empty for none."""
        entries = None if self._lost or self._hub.kept is not self._kept else self._kept.after(self._number)
        if entries is None:
            self._lost, self._kept, entries = False, self._hub.kept, []
            self._number = self._kept.last
            text = self._kept.written("resync", {}, self._number)
        else:
            text = b""
        if self._present is not None:
            text += self._kept.written(*self._present, self._number)
            self._present = None
            self._ended = self._ended or self._is_last
        entries = entries[:MOST_AT_ONCE]
        if entries:
            self._number = entries[-1].number
        seen = [entry for entry in entries if self._subject.sees(entry) and self._is_newer(entry)]
        self._ended = self._ended or (self._subject.job_id is not None and any(map(_is_last, seen)))
        return text + b"".join(entry.text for entry in seen)

    def _is_newer(self, entry: Entry) -> bool:
        return entry.job is None or (entry.job.version, entry.job.progress) > self._told

    async def _woken(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_at(until, self.wake)
        try:
            await self._waiter
        finally:
            timer.cancel()


def _is_last(entry: Entry) -> bool:
    return entry.job is not None and entry.job.state.final
