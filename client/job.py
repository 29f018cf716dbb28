"""What a `Client` hands out: a job that was queued, and a watch of jobs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from zjobs.client.net.connection import Feed, FlowRunner, run
from zjobs.client.protocol import operations, submission, waiting
from zjobs.client.protocol.actions import Action, Flow, Follow, Heard, Listen, Topics
from zjobs.client.protocol.job import JobHandle
from zjobs.client.protocol.waiting import Ends
from zjobs.client.settings import Settings
from zjobs.messages.records import JobStatus
from zjobs.messages.states import WorkerState
from zjobs.program import clock

if TYPE_CHECKING:
    from zjobs.client.protocol.watch import WatchEvent, Watching
    from zjobs.messages.events import ServiceEvent

T = TypeVar("T")


_own = ""  # 12 random digits of this process
_keys = itertools.count()


def _forget_own() -> None:
    global _own
    _own = ""


os.register_at_fork(after_in_child=_forget_own)


def new_request_key() -> str:
    """A request key for a submit: 32 characters, the time first, so that the journal's index grows at its end."""
    global _own
    own = _own = _own or os.urandom(6).hex()
    return f"{clock.wall_ms():012x}{own}{next(_keys) & 0xFFFFFFFF:08x}"


def request_key_or_new(given: str | None) -> str:
    """Return `given`, or a new request key if there is none."""
    return new_request_key() if given is None else given


class Job(JobHandle):
    """A job by its id. `journal` is the journal that the id belongs to, None when a program was told the id alone.

    Two are equal when journal and id are. A pickle has the broker's address, the path of the key file (not the key),
    the id and the journal; where it is loaded, the jobs of one broker share a client of their own.
    """

    def __init__(self, client: FlowRunner, id: int, journal: str | None) -> None:
        super().__init__(client, id, journal)
        self._client = client

    def __reduce__(self) -> tuple[Any, ...]:
        client, key = self._client, self._client.key
        return _unpickled, (type(client), client.address, "" if key is None else key.file, self.id, self.journal)

    def status(self) -> JobStatus:
        """The job's status at present. Raises NotFound, Expired, BrokerChanged."""
        return self._client._run(operations.status_of(self._client, self))

    def cancel(self) -> JobStatus:
        """Cancels the job and returns what it is now; see Client.cancel. Raises NotFound, Expired, BrokerChanged."""
        return self._client._run(operations.cancel_job(self._client, self))

    def retry(self, request_key: str | None = None) -> Job:
        """A new job, a copy of this one, which must have ended; see Client.retry."""
        reply = self._client._run(submission.retry_job(self._client, self, request_key_or_new(request_key)))
        return Job(self._client, reply.first_id, reply.journal)

    def log(self) -> bytes:
        """What the job's last run has printed so far; of long output the end (zbroker --max-output)."""
        return self._client._run(operations.whole_log(self._client, self))

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Waits until the job has ended, at most `timeout` seconds, and returns its final status.

        Raises WaitTimeout; NotFound, Expired, BrokerChanged; BrokerUnreachable when the broker is lost for
        longer than the client's patience; WouldDeadlock inside a task of the same service.
        """
        ends = Ends(self._client, [self.id], self.journal, timeout)
        return self._client._run(ends.all())[self.id]

    def result(self, timeout: float | None = None) -> Any:
        """The job's result, waited for as `wait` does. Raises JobFailed or JobCancelled when there is none."""
        return self._client._run(waiting.result(self._client, self, timeout))


@lru_cache
def _client_of(kind: Callable[..., FlowRunner], address: str, key_file: str) -> FlowRunner:
    return kind(address, key=key_file)


def _unpickled(kind: Callable[..., FlowRunner], address: str, key_file: str, id: int, journal: str | None) -> Job:
    return Job(_client_of(kind, address, key_file), id, journal)


def watching(to: Settings, ids: Iterable[int] | None, journal: str | None) -> Watching:
    """The state of a watch of these jobs; without ids of all."""
    if ids is not None:
        from zjobs.client.protocol.watch import Watching  # a start of zclient that only submits does without it

        return Watching(to, iter(ids), journal)
    from zjobs.client.protocol.watch_all import WatchingAll  # most programs never need it

    return WatchingAll(to)


class Watch:
    """The news of jobs: of some until each has ended, or of all. Belongs to the thread and process that made it.

    `known` has the newest status of each job, `unfinished` the ids of those that go on, in order; `worker` is
    the state of the worker as last heard, `paused` whether the queue was then; of a pause alone no event tells.
    Raises NotFound or Expired for an id without a job, BrokerChanged when the broker's journal is not `journal` (by
    default: whichever it is at first), BrokerUnreachable when the broker was lost for the client's patience, and
    KeyRefused or NotPermitted when our key is revoked.

    Of all jobs, it never ends by itself, and `known` has the jobs last heard of, at most 10,000. When changes were
    missed (a slow program, or a lost broker), `WatchEvent(missed=…)` comes first, then what the jobs in
    `known` and those submitted meanwhile have become. `service` is the worker's state and the pause as last heard;
    `WatchEvent(service=…)` tells when one has changed. Raises NotPermitted with a key that may not.
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

    known: dict[int, JobStatus]
    unfinished: dict[int, None]
    journal: str
    worker: WorkerState
    paused: bool
    lost: bool
    service: ServiceEvent | None

    def check_can_end(self) -> None:
        """Raises WouldDeadlock inside a task of this very service: jobs that go on would wait for it in turn."""
        self._state.check_can_end()

    def __iter__(self) -> Iterator[WatchEvent]:
        """The news as they come; ends, and closes the watch, when all jobs have ended. Raises as check_can_end."""
        with self:
            self.check_can_end()
            while self._state.has_news or self._state.goes_on:
                news = self.next(3600.0)
                if news is not None:
                    yield news

    def close(self) -> None:
        """Ends the subscription. Closing again does nothing."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None

    def refresh(self) -> None:
        """Asks for the status now: that has what events do not tell, such as a task's note."""
        self._run(self._state.refresh())

    def next(self, seconds: float) -> WatchEvent | None:
        """The next news; None after `seconds` without any (a few more while the broker is lost), or at the end."""
        return self._run(self._state.next(monotonic() + seconds))

    def wait(self, timeout: float | None = None) -> dict[int, JobStatus]:
        """Waits until all have ended, at most `timeout` seconds; their final statuses by id. Raises WaitTimeout."""
        return self._run(self._state.wait(timeout))

    def _run(self, flow: Flow[T]) -> T:
        return run(flow, self._perform)

    def _perform(self, action: Action) -> Any:
        if isinstance(action, Follow):
            self.close()
            self._feed = self._client.connection.feed(action.endpoint)
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


_FACTS = ("known", "unfinished", "journal", "worker", "paused", "lost", "service")
