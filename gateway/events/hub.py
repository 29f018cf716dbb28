"""One watch of each service, and the streams that pass on its events: however many they are, the broker has one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from zjobs.client.aio import AsyncClient
from zjobs.client.aio_job import AsyncWatch
from zjobs.client.errors import NotPermitted, ZjobsError
from zjobs.client.protocol.events.watch import WatchEvent
from zjobs.gateway.events.pauses import past_pauses
from zjobs.gateway.events.stream import Kept, Subject, heartbeat, written
from zjobs.messages.fields import MAX_PAGE
from zjobs.messages.records import JobStatus, QueuePause
from zjobs.messages.requests.queries import Audit, AuditReply
from zjobs.messages.states import WorkerState
from zjobs.messages.units import Ms
from zjobs.program import clock

HEARTBEAT_S = 15.0
RETRY_MS = 2_000  # how soon a client comes back
# After the watch failed for good: the broker has been away for long, or has another journal.
BEGIN_AGAIN_S = 1.0
# Streams are woken together, and not more often than this for each of them: waking one costs about a tenth of this.
WAKE_S = 0.0005
# How many pauses that have ended are remembered, for the strip.
MOST_LIFTED = 200
LOOKS_BACK_MS = Ms(7 * 86_400_000)

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
        self._heartbeat_timer: asyncio.TimerHandle | None = None
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
                    await self._look_back()
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

    async def _look_back(self) -> None:
        """Ask for the pauses that ended while nobody here listened."""
        with contextlib.suppress(NotPermitted):
            trail: AuditReply = await self._client.ask(Audit(MAX_PAGE, since_ms=LOOKS_BACK_MS))
            self._lifted = deque(past_pauses(trail.entries, clock.wall_ms()), MOST_LIFTED)

    def _hear(self, event: WatchEvent) -> None:
        if event.job is not None:
            self._tell(event.job)
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
            self._tell(state)

    def _tell(self, value: JobStatus | ServiceState) -> None:
        self._kept.add(value)
        if self._streams and not self._wake_due:
            self._wake_due = True
            asyncio.get_running_loop().call_later(WAKE_S * len(self._streams), self._wake)

    def _wake(self) -> None:
        self._wake_due = False
        for stream in self._streams:
            stream.wake()

    def _heartbeats(self) -> None:
        """Let each stream show that it lives: one timer for all of them."""
        for stream in self._streams:
            stream.heartbeat()
        self._heartbeat_soon()

    def _heartbeat_soon(self) -> None:
        self._heartbeat_timer = (
            asyncio.get_running_loop().call_later(HEARTBEAT_S, self._heartbeats) if self._streams else None
        )

    # --- for the streams -----------------------------------------------------------------------------------------

    @property
    def kept(self) -> Kept:
        """The last events."""
        return self._kept

    @contextlib.contextmanager
    def waking(self, stream: Stream) -> Iterator[None]:
        """While it lasts, the stream is woken when there may be something to send."""
        self._streams.add(stream)
        if self._heartbeat_timer is None:
            self._heartbeat_soon()
        if self._closed:
            stream.end()
        try:
            yield
        finally:
            self._streams.discard(stream)


class Stream:
    """The texts that one client is sent. It goes on after the event `last_id`, or begins now if that is empty."""

    def __init__(self, hub: Hub, subject: Subject, last_id: str) -> None:
        self._hub = hub
        self._subject = subject
        number = hub.kept.number_of(last_id)
        self.goes_on = number is not None
        self._kept = hub.kept
        self._number = hub.kept.last if number is None else number
        self._lost = bool(last_id) and number is None
        self._opening = b"retry: %d\n\n" % RETRY_MS
        self._present: tuple[str, Any] | None = None
        self._told = (-1, -1)  # version and progress of the job, in a stream about one
        self._heartbeat_due = self._ended = False
        self._waiter: asyncio.Future[bytes] | None = None

    def begin_with(self, kind: str, value: ServiceState | JobStatus) -> None:
        """Send this event first: the present state. Of a job, only what is newer follows."""
        self._present = kind, value
        if isinstance(value, JobStatus):
            self._told = value.version, value.progress

    def wake(self) -> None:
        """Let what waits for the next text go on, if there is one."""
        if self._waiter is not None and not self._waiter.done():
            text = self._due()
            if text or self._ended:
                self._waiter.set_result(text)

    def heartbeat(self) -> None:
        """Send a heartbeat, unless there is something else to send."""
        self._heartbeat_due = True
        self.wake()

    def end(self) -> None:
        """Send nothing more."""
        self._ended = True
        self.wake()

    async def next(self) -> bytes:
        """Wait until there is something to send, and return it; empty when the stream has ended."""
        text = self._due()
        if not text and not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            text = await self._waiter
        return text

    def _due(self) -> bytes:
        if self._opening:
            text, self._opening = self._opening, b""
            return text
        text = b"" if self._ended else self.text()
        if self._heartbeat_due and not text and not self._ended:
            text = heartbeat(self._kept.epoch, self._number)
        self._heartbeat_due = False
        return text

    def text(self) -> bytes:
        """Return what there is to send, empty for nothing."""
        text = b""
        if self._lost or self._hub.kept is not self._kept:
            text = self._resync()
        if self._present is not None:
            (kind, value), self._present = self._present, None
            text += written(kind, value, self._kept.epoch, self._number)
            self._ended = self._ended or _is_last(value)
        while not text and self._number < self._kept.last:
            text = self._next_events()
        return text

    def _resync(self) -> bytes:
        """Go on with what comes from now on."""
        self._lost, self._kept = False, self._hub.kept
        self._number = self._kept.last
        return written("resync", {}, self._kept.epoch, self._number)

    def _next_events(self) -> bytes:
        if self._subject.job_id is not None:
            return self._events_of_job()
        passage = self._kept.passage(self._subject, self._number)
        if passage is None:
            return self._resync()
        self._number = passage.last
        return passage.text

    def _events_of_job(self) -> bytes:
        entries = self._kept.after(self._number)
        if entries is None:
            return self._resync()
        self._number = entries[-1].number
        newer = [entry for entry in entries if self._subject.sees(entry) and _moment(entry.value) > self._told]
        self._ended = self._ended or any(_is_last(entry.value) for entry in newer)
        return b"".join(entry.text(self._kept.epoch) for entry in newer)


def _moment(job: JobStatus) -> tuple[int, int]:
    return job.version, job.progress


def _is_last(value: Any) -> bool:
    return isinstance(value, JobStatus) and value.state.final
