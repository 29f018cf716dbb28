"""The jobs and watches that a `Client` returns."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from zjobs.client.config.settings import Settings
from zjobs.client.errors import NotPermitted
from zjobs.client.net.connection import FlowRunner, run
from zjobs.client.protocol import operations, submission, waiting
from zjobs.client.protocol.actions import Action, Flow, Follow, Heard, Listen, Topics
from zjobs.client.protocol.job import JobHandle
from zjobs.client.protocol.waiting import Ends
from zjobs.messages.records import ActingFor, JobStatus
from zjobs.messages.states import WorkerState
from zjobs.program import clock

if TYPE_CHECKING:
    from zjobs.client.net.feed import Feed
    from zjobs.client.protocol.events.watch import WatchEvent, Watching
    from zjobs.messages.events import ServiceEvent

T = TypeVar("T")


_own = ""  # 12 random digits of this process
_keys = itertools.count()


def _forget_own() -> None:
    global _own
    _own = ""


os.register_at_fork(after_in_child=_forget_own)


def new_request_key() -> str:
    """Return a new request key: 32 characters, the time first, so that the journal's index grows at its end."""
    global _own
    own = _own = _own or os.urandom(6).hex()
    return f"{clock.wall_ms():012x}{own}{next(_keys) & 0xFFFFFFFF:08x}"


def request_key_or_new(given: str | None) -> str:
    """Return `given`, or a new request key if there is none."""
    return new_request_key() if given is None else given


class Job(JobHandle):
    """A job by its id. `journal`: the journal that the id belongs to, None if unknown.

    Jobs are equal if their journals and ids are. A pickle holds the broker's address, the path of the key file (not the
    key), the id and the journal. Unpickled jobs of one broker share a client.
    """

    def __init__(self, client: FlowRunner, id: int, journal: str | None) -> None:
        super().__init__(client, id, journal)
        self._client = client

    def __reduce__(self) -> tuple[Any, ...]:
        client, key = self._client, self._client.key
        reached_by = type(client), client.addresses.text, "" if key is None else key.file
        return _unpickled, (*reached_by, self.id, self.journal, client.person)

    def status(self) -> JobStatus:
        """Return the job's status. Raises NotFound, Expired, BrokerChanged."""
        return self._client._run(operations.status_of(self._client, self))

    def data(self) -> Any:
        """Return the data that the job was submitted with; see Client.data."""
        return self._client._run(operations.data(self._client, self.id, self.journal))

    def done(self) -> bool:
        """Return True if the job has ended, in whatever way. Asks the broker, and raises what `status` raises."""
        return self.status().state.final

    def add_done_callback(self, callback: Callable[[Job], object]) -> None:
        """Call `callback(job)` in another thread when the job has ended; at once if it already has.

        It is also called if the end cannot be learnt: then `status` raises why. Its own exceptions are logged.
        """
        _futures().add_done_callback(self, callback)

    def cancel(self) -> JobStatus:
        """Cancel the job, and return its status; see Client.cancel. Raises NotFound, Expired, BrokerChanged."""
        return self._client._run(operations.cancel_job(self._client, self))

    def retry(self, request_key: str | None = None) -> Job:
        """Submit a copy of this job, which must have ended; see Client.retry."""
        reply = self._client._run(submission.retry_job(self._client, self, request_key_or_new(request_key)))
        return Job(self._client, reply.first_id, reply.journal)

    def log(self) -> bytes:
        """Return the output of the job's last run so far, or the end of it (zbroker --max-output)."""
        return self._client._run(operations.whole_log(self._client, self))

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait until the job has ended, at most `timeout` seconds. Return its final status.

        Raises WaitTimeout; NotFound, Expired, BrokerChanged; BrokerUnreachable if the broker is lost for longer than
        the client's patience; WouldDeadlock inside a task of the same service.
        """
        ends = Ends(self._client, [self.id], self.journal, timeout)
        return self._client._run(ends.all())[self.id]

    def result(self, timeout: float | None = None) -> Any:
        """Wait as `wait` does, and return the result. Raises JobFailed or JobCancelled if there is none."""
        return self._client._run(waiting.result(self._client, self, timeout))


def _futures() -> Any:
    """Return the module that builds on this one. It needs asyncio, and most programs need neither."""
    return import_module("zjobs.client.futures")


@lru_cache
def _client_of(kind: Callable[..., FlowRunner], address: str, key_file: str) -> FlowRunner:
    return kind(address, key=key_file)


def _unpickled(
    kind: Callable[..., FlowRunner], address: str, key_file: str, id: int, journal: str | None, person: ActingFor | None
) -> Job:
    client = _client_of(kind, address, key_file)
    return Job(client if person is None else client.acting_for(*person), id, journal)


def watching(to: Settings, ids: Iterable[int] | None, journal: str | None) -> Watching:
    """Return the state of a watch of these jobs, or of all without ids. Raises NotPermitted if acting for someone."""
    if to.person is not None:
        raise NotPermitted(f"a watch has the rights of the key, not those of {to.person.name}; use the client itself")
    if ids is not None:
        from zjobs.client.protocol.events.watch import Watching  # not at the top: submits need no watch

        return Watching(to, iter(ids), journal)
    from zjobs.client.protocol.events.watch_all import WatchingAll  # most programs never need it

    return WatchingAll(to)


class Watch:
    """Yields the changes of some jobs until each has ended, or of all jobs. Use it in the thread that made it.

    `jobs`: the newest status of each job. `unfinished`: the ids of jobs that have not ended, in order. `worker` and
    `paused`: the worker's state, and whether the queue was paused, as last heard; a pause alone causes no event. Raises
    NotFound or Expired for an id without a job, BrokerChanged if the broker's journal is not `journal` (by default the
    first one heard of), BrokerUnreachable if the broker is lost for longer than the client's patience, and KeyRefused
    or NotPermitted if the key is revoked.

    A watch of all jobs never ends by itself, and `jobs` has those last heard of, at most 10,000. If changes were
    missed (by a slow program, or while the broker was lost), `WatchEvent(missed=…)` comes first, then the present
    status of the jobs in `jobs` and of those submitted meanwhile. `service`: the worker's state and the pauses as last
    heard; `WatchEvent(service=…)` reports a change. Raises NotPermitted if the key may not watch all jobs.
    """

    def __init__(self, client: FlowRunner, ids: Iterable[int] | None, journal: str | None) -> None:
        self._client = client
        self._state = state = watching(client, ids, journal)
        self._feed: Feed | None = None
        try:
            self._run(state.begin())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name in _FACTS:
            return getattr(self._state, name)
        raise AttributeError(f"a watch has no {name!r}")

    jobs: dict[int, JobStatus]
    unfinished: dict[int, None]
    journal: str
    worker: WorkerState
    paused: bool
    lost: bool
    service: ServiceEvent | None

    def check_can_end(self) -> None:
        """Raise WouldDeadlock inside a task of the same service: its queued jobs cannot start before the task ends."""
        self._state.check_can_end()

    def __iter__(self) -> Iterator[WatchEvent]:
        """Yield events until all jobs have ended, then close the watch. Raises WouldDeadlock; see check_can_end."""
        with self:
            self.check_can_end()
            while self._state.has_events or self._state.goes_on:
                event = self.next(3600.0)
                if event is not None:
                    yield event

    def close(self) -> None:
        """End the subscription. Closing again does nothing."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None

    def refresh(self) -> None:
        """Request the status now. It includes what events do not, such as a task's note."""
        self._run(self._state.refresh())

    def next(self, seconds: float) -> WatchEvent | None:
        """Return the next event, None after `seconds` without one (later while the broker is lost) or at the end."""
        return self._run(self._state.next(monotonic() + seconds))

    def wait(self, timeout: float | None = None) -> dict[int, JobStatus]:
        """Wait at most `timeout` seconds until all have ended. Return the final statuses by id. Raises WaitTimeout."""
        return self._run(self._state.wait(timeout))

    def _run(self, flow: Flow[T]) -> T:
        return run(flow, self._perform)

    def _perform(self, action: Action) -> Any:
        if isinstance(action, Follow):
            self.close()
            self._feed = self._client.connection.feed(action.endpoint, action.shared)
        elif isinstance(action, Topics):
            assert self._feed is not None
            self._feed.subscribe(action)
        elif isinstance(action, Listen):
            assert self._feed is not None
            bodies, lost = self._feed.read(min(3600.0, action.until - monotonic()))
            return Heard(bodies, lost, monotonic())
        else:
            return self._client._perform(action)
        return None


_FACTS = ("jobs", "unfinished", "journal", "worker", "paused", "lost", "service")
