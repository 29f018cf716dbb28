"""Watches of jobs, without I/O: by the broker's events, and by occasional requests in case an event was lost.

Events go in, WatchEvents come out. Work on the sockets is yielded as actions (see `actions`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Union

from zjobs.client.config.settings import Settings
from zjobs.client.errors import BrokerChanged, BrokerUnreachable, StorageFailed, WaitTimeout, WouldDeadlock
from zjobs.client.protocol import operations
from zjobs.client.protocol.actions import Ask, Flow, Follow, Heard, Listen, Sleep, Topics
from zjobs.client.protocol.job import gone
from zjobs.messages import codec
from zjobs.messages.events import EVENTS, JobEvent, Listening, ServiceEvent, job_topic
from zjobs.messages.named import NamedTuple
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import Hello, HelloReply
from zjobs.messages.states import JobState, WorkerState
from zjobs.program import inside
from zjobs.program.endpoints import seen_from

# Events are dropped if a watcher does not keep up; a request every few seconds finds what was missed.
CHECK_EVERY_S = 5.0
CHECK_TIMEOUT_S = 2.0
# Once the broker is lost, it is asked more often, so that its return is noticed soon.
LOST_CHECK_EVERY_S = 0.5

# Jobs end in the order of their ids, so watching the first of many is enough; the broker keeps 1.5 kB a topic.
MOST_TOPICS = 500


Event = Union[JobEvent, Listening, ServiceEvent]


class WatchEvent(NamedTuple):
    """A job's new status, or a sign that the broker was lost (`link` False) or answers again (`link` True).

    A watch of all jobs also reports how many changes were `missed` (it requests them next), and a change of the worker
    or the pauses: `service`, which was `before`.
    """

    job: JobStatus | None = None
    link: bool | None = None
    missed: int | None = None
    service: ServiceEvent | None = None
    before: ServiceEvent | None = None


def is_newer(known: JobStatus | None, heard: JobStatus) -> bool:
    """Return True if `heard` differs from `known` and is not older.

    With the same (version, progress), `ahead` and `elapsed_ms` can differ. They change without a change of the job
    itself, so the last one counts. Of an ended job, only the texts can: events have none.
    """
    if known is None:
        return True
    of_heard, of_known = (heard.version, heard.progress), (known.version, known.progress)
    return of_heard > of_known or (of_heard == of_known and heard != known and not heard.state.final)


class Statuses:
    """The newest status of each job, and those of the `ids` that have not ended."""

    def __init__(self, ids: Iterator[int]) -> None:
        self.jobs: dict[int, JobStatus] = {}
        # A dict for its order: the jobs run in it, so the first ones are those worth watching.
        self.unfinished = dict.fromkeys(ids)

    def merge(self, heard: JobStatus) -> bool:
        """Keep `heard` if it is newer. Return False if it is not."""
        if not is_newer(self.jobs.get(heard.id), heard):
            return False
        self.jobs[heard.id] = heard
        if heard.state.final:
            self.unfinished.pop(heard.id, None)
        return True


class Watching:
    """The state of a watch of some jobs. `Watch` documents the attributes.

    A flow may be abandoned at any of its actions; the next one continues from there.
    """

    shared = True  # other watches may use the same connection for their events

    def __init__(self, to: Settings, ids: Iterator[int], journal: str | None) -> None:
        self._to = to
        self._statuses = Statuses(ids)
        self._topics: set[int] = set()
        self._events: deque[WatchEvent] = deque()
        self._unexplained: set[int] = set()
        self._lost_at: float | None = None
        self._failing_since: float | None = None  # since then the broker cannot read its journal
        self._changed: BrokerChanged | None = None  # raised once the events before it were returned
        self._endpoint = ""
        self._followed = ""  # the broker's address whose events these are
        self._next_check = 0.0
        self.others = 0  # watches of the same client: with many, each asks less often
        self.worker = WorkerState.READY
        self.paused = False
        self.journal = journal or ""
        self.jobs: dict[int, JobStatus] = self._statuses.jobs
        self.unfinished: dict[int, None] = self._statuses.unfinished

    @property
    def goes_on(self) -> bool:
        """True if more changes can come."""
        return bool(self.unfinished)

    @property
    def lost(self) -> bool:
        """True if the broker does not answer at present."""
        return self._lost_at is not None

    @property
    def has_events(self) -> bool:
        """True if `next` returns an event at once."""
        return bool(self._events)

    def check_can_end(self) -> None:
        """Raise WouldDeadlock inside a task of the same service: its queued jobs cannot start before the task ends."""
        if self.unfinished and inside.runs_task_of(self.journal):
            raise WouldDeadlock(next(iter(self.unfinished)))

    # --- flows -----------------------------------------------------------------------------------------------

    def begin(self) -> Flow[None]:
        """Subscribe, then request the status of the jobs."""
        welcome: HelloReply = yield Ask(Hello(), HelloReply)
        self.journal = self.journal or welcome.journal
        yield from self._follow(welcome.events)
        yield from self._begin()
        self._next_check = (yield Sleep(0)) + self._check_every_s

    def next(self, deadline: float) -> Flow[WatchEvent | None]:
        """Return the next event, None without one until `deadline` (later while the broker is lost) or at the end."""
        while not self._events and self.goes_on:
            if self._changed is not None:
                raise self._changed
            now = yield Sleep(0)
            if now >= self._next_check:
                yield from self._check(now)
            elif now >= deadline:
                break
            else:
                heard: Heard = yield Listen(min(deadline, self._next_check))
                yield from self._hear_all(heard)
        return self._events.popleft() if self._events else None

    def refresh(self) -> Flow[None]:
        """Request the status now. It includes what events do not, such as a task's note."""
        yield from self._check((yield Sleep(0)))

    def wait(self, timeout: float | None) -> Flow[dict[int, JobStatus]]:
        """Wait at most `timeout` seconds until all have ended; see `Client.wait`."""
        self.check_can_end()
        now = yield Sleep(0)
        deadline = float("inf") if timeout is None else now + timeout
        while self.unfinished:
            if timeout is not None and now >= deadline:
                raise WaitTimeout(self.jobs[next(iter(self.unfinished))], timeout)
            yield from self.next(deadline)
            now = yield Sleep(0)
        return self.jobs

    def _begin(self) -> Flow[None]:
        if self.unfinished:
            yield from self._subscribe()
            yield from self._ask(self._to.timeout)

    def _follow(self, events: str) -> Flow[None]:
        self._followed = self._to.address
        endpoint = seen_from(events, self._followed)
        if endpoint != self._endpoint:
            yield Follow(endpoint, self.shared)
            self._endpoint = endpoint
            self._topics.clear()

    def _subscribe(self) -> Flow[None]:
        """Keep the first unfinished jobs subscribed, in large steps, so that each job costs little."""
        ended = self._topics - self.unfinished.keys()
        if self._topics and len(self._topics) - len(ended) > MOST_TOPICS // 2:
            return
        begun = [job_id for job_id in self._first() if job_id not in self._topics]
        if ended or begun:
            yield Topics(tuple(map(job_topic, begun)), tuple(map(job_topic, ended)))
            self._topics = (self._topics - ended) | set(begun)

    def _first(self) -> list[int]:
        return list(islice(self.unfinished, MOST_TOPICS))

    def _hear_all(self, heard: Heard) -> Flow[None]:
        for body in heard.bodies:
            try:
                event: Event = codec.decode(body, EVENTS)
            except codec.DecodeError:
                continue  # the next request finds what it reported, or what is wrong
            if event.journal != self.journal:
                self._changed = BrokerChanged(self._to.address)
                return
            self._hear(event)
        if heard.lost or self._unexplained:
            self._next_check = heard.now
        yield from self._subscribe()

    def _hear(self, event: Event) -> None:
        if isinstance(event, JobEvent):
            self.worker, self.paused = event.worker, event.paused
            if event.job.state in (JobState.FAILED, JobState.CANCELLED) and event.job.message is None:
                self._unexplained.add(event.job.id)  # events carry no text, so the reason is requested
            else:
                self._merge(event.job)

    def _merge(self, job: JobStatus) -> None:
        if self._statuses.merge(job):
            self._events.append(WatchEvent(job=job))

    @property
    def _check_every_s(self) -> float:
        return max(CHECK_EVERY_S, self.others / 50)  # together at most 50 requests a second

    def _check(self, now: float) -> Flow[None]:
        """Request the status of the jobs, which makes up for lost events and shows whether the broker is there."""
        try:
            yield from self._ask(CHECK_TIMEOUT_S)
            if self._lost_at is not None or self._to.address != self._followed:
                yield from self._back()
        except BrokerUnreachable:
            self._lost(now)
        except StorageFailed as error:  # a database may come back
            self._fails(error, now)
        else:
            self._failing_since = None
            self._next_check = now + self._check_every_s

    def _ask(self, timeout: float) -> Flow[None]:
        asked = list(dict.fromkeys([*self._unexplained, *self._first()]))
        reply = yield from operations.status(self._to, asked, timeout)
        self._to.check_journal(reply.journal, self.journal)
        self.worker, self.paused = reply.worker, reply.paused
        for missing in reply.missing:
            raise gone(missing)
        self._unexplained.clear()
        for job in reply.jobs:
            self._merge(job)
        yield from self._subscribe()

    def _lost(self, now: float) -> None:
        if self._lost_at is None:
            self._lost_at = now
            self._events.append(WatchEvent(link=False))
        elif now - self._lost_at > self._to.patience:
            raise BrokerUnreachable(self._to.addresses.named, self._to.patience)
        self._next_check = now + LOST_CHECK_EVERY_S

    def _fails(self, error: StorageFailed, now: float) -> None:
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > self._to.patience:
            raise error
        self._next_check = now + LOST_CHECK_EVERY_S

    def _back(self) -> Flow[None]:
        """Subscribe again. The SUB socket reconnects by itself, unless the events have another address now."""
        welcome: HelloReply = yield Ask(Hello(), HelloReply)
        yield from self._follow(welcome.events)
        yield from self._subscribe()
        if self._lost_at is not None:
            self._lost_at = None
            self._events.append(WatchEvent(link=True))
