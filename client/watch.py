"""Waiting for jobs: their news as the broker pushes them, with a request now and then in case a push was lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Union

from zjobs.client.connection import Feed
from zjobs.client.errors import BY_CODE, BrokerChanged, BrokerUnreachable, WouldDeadlock
from zjobs.client.view import View
from zjobs.messages import codec
from zjobs.messages.events import EVENTS, JobEvent, Listening, ServiceEvent, job_topic
from zjobs.messages.records import JobStatus, Missing
from zjobs.messages.states import ErrorCode, JobState, WorkerState
from zjobs.program import inside
from zjobs.program.endpoints import seen_from

if TYPE_CHECKING:
    from zjobs.client.client import Client

# Events are dropped when a watcher does not keep up; a request every few seconds finds what they would have told.
CHECK_EVERY_S = 5.0
CHECK_TIMEOUT_S = 2.0
# Once the broker is lost, it is asked more often, so that its return is noticed soon.
LOST_CHECK_EVERY_S = 0.5

# Jobs end in the order of their ids, so watching the first of many is enough; the broker keeps 1.5 kB a topic.
MOST_TOPICS = 500


Event = Union[JobEvent, Listening, ServiceEvent]


class News(NamedTuple):
    """A job's new status, or that the broker was lost (`link` False) or answers again (`link` True).

    Only of all jobs: that so many changes were `missed` (what they were is asked for next), or that the worker or the
    pause is another than `before`: `service`.
    """

    job: JobStatus | None = None
    link: bool | None = None
    missed: int | None = None
    service: ServiceEvent | None = None
    before: ServiceEvent | None = None


class Watch:
    """The news of some jobs until each has ended. Belongs to the thread and process that made it.

    `known` has the newest status of each job, `unfinished` the ids of those that go on, in order; `worker` is
    the state of the worker as last heard, `paused` whether the queue was then; of a pause alone no event tells.
    Raises NotFound or Expired for an id without a job, BrokerChanged when the broker's journal is not `journal` (None:
    whichever it is at first), BrokerUnreachable when the broker was lost for `patience` seconds, and KeyRefused or
    NotPermitted when our key is revoked.
    """

    def __init__(self, client: Client, ids: Iterator[int], journal: str | None, patience: float) -> None:
        self._client = client
        self._patience = patience
        self._view = View(ids)
        self._topics: set[int] = set()
        self._news: deque[News] = deque()
        self._untold: set[int] = set()
        self._lost_at: float | None = None
        self._changed: BrokerChanged | None = None  # raised when the news before it were given out
        self.worker = WorkerState.READY
        self.paused = False
        welcome = client.hello()
        self.journal = journal or welcome.journal
        self._feed = self._open(welcome.events)
        self._closed = False
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        self._next_check = monotonic() + CHECK_EVERY_S

    @property
    def goes_on(self) -> bool:
        """Whether more news can come."""
        return bool(self._view.unfinished)

    @property
    def lost(self) -> bool:
        """Whether the broker does not answer at present."""
        return self._lost_at is not None

    @property
    def known(self) -> dict[int, JobStatus]:
        return self._view.known

    @property
    def unfinished(self) -> dict[int, None]:
        return self._view.unfinished

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_can_end(self) -> None:
        """Raises WouldDeadlock inside a task of this very service: jobs that go on would wait for it in turn."""
        if self.unfinished and inside.runs_task_of(self.journal):
            raise WouldDeadlock(next(iter(self.unfinished)))

    def __iter__(self) -> Iterator[News]:
        """The news as they come; ends, and closes the watch, when all jobs have ended. Raises as check_can_end."""
        with self:
            self.check_can_end()
            while self._news or self.goes_on:
                news = self.next(3600.0)
                if news is not None:
                    yield news

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._feed.close()

    def refresh(self) -> None:
        """Asks for the status now: that has what events do not tell, such as a task's note."""
        self._check(monotonic())

    def next(self, seconds: float) -> News | None:
        """The next news; None after `seconds` without any (a few more while the broker is lost), or at the end."""
        deadline = monotonic() + seconds
        while not self._news and self.goes_on:
            if self._changed is not None:
                raise self._changed
            now = monotonic()
            if now >= self._next_check:
                self._check(now)
            elif now >= deadline:
                break
            else:
                self._read(min(deadline, self._next_check) - now)
        return self._news.popleft() if self._news else None

    def _begin(self) -> None:
        if self._view.unfinished:
            self._subscribe()
            self._ask(self._client.timeout)

    def _open(self, events: str) -> Feed:
        return self._client.connection.feed(seen_from(events, self._client.address))

    def _subscribe(self) -> None:
        """Keeps the first unfinished jobs subscribed; in large steps, so that each job costs little."""
        ended = self._topics - self._view.unfinished.keys()
        if self._topics and len(self._topics) - len(ended) > MOST_TOPICS // 2:
            return
        for job_id in ended:
            self._feed.unsubscribe(job_topic(job_id))
        self._topics -= ended
        for job_id in self._first():
            if job_id not in self._topics:
                self._feed.subscribe(job_topic(job_id))
                self._topics.add(job_id)

    def _first(self) -> list[int]:
        return list(islice(self._view.unfinished, MOST_TOPICS))

    def _read(self, seconds: float) -> None:
        bodies, disconnected = self._feed.read(seconds)
        for body in bodies:
            try:
                event: Event = codec.decode(body, EVENTS)
            except codec.DecodeError:
                continue  # the next request tells what it was, or what is wrong
            if event.journal != self.journal:
                self._changed = BrokerChanged(self._client.address)
                return
            self._hear(event)
        self._subscribe()
        if disconnected or self._untold:
            self._next_check = monotonic()

    def _hear(self, event: Event) -> None:
        if isinstance(event, JobEvent):
            self.worker, self.paused = event.worker, event.paused
            if event.job.state in (JobState.FAILED, JobState.CANCELLED) and event.job.message is None:
                self._untold.add(event.job.id)  # events carry no text: why it ended so is asked for
            else:
                self._take(event.job)

    def _take(self, job: JobStatus) -> None:
        if self._view.take(job):
            self._news.append(News(job=job))

    def _check(self, now: float) -> None:
        """Asks for the jobs' status: the backstop for lost events, and the test whether the broker is there."""
        try:
            self._ask(CHECK_TIMEOUT_S)
        except BrokerUnreachable:
            self._lost(now)
            return
        self._next_check = monotonic() + CHECK_EVERY_S
        if self._lost_at is not None:
            self._back()

    def _ask(self, timeout: float) -> None:
        reply = self._client.status(list(dict.fromkeys([*self._untold, *self._first()])), timeout=timeout)
        self._check_journal(reply.journal)
        self.worker, self.paused = reply.worker, reply.paused
        for missing in reply.missing:
            raise gone(missing)
        self._untold.clear()
        for job in reply.jobs:
            self._take(job)
        self._subscribe()

    def _check_journal(self, journal: str) -> None:
        if journal != self.journal:
            raise BrokerChanged(self._client.address)

    def _lost(self, now: float) -> None:
        if self._lost_at is None:
            self._lost_at = now
            self._news.append(News(link=False))
        elif now - self._lost_at > self._patience:
            raise BrokerUnreachable(self._client.address, self._patience)
        self._next_check = monotonic() + LOST_CHECK_EVERY_S

    def _back(self) -> None:
        """The SUB socket finds its way back by itself, unless the broker has moved its events elsewhere."""
        self._lost_at = None
        self._news.append(News(link=True))
        events = self._client.hello().events
        if seen_from(events, self._client.address) != self._feed.endpoint:
            self._feed.close()
            self._feed = self._open(events)
            self._topics.clear()
            self._subscribe()


def gone(missing: Missing) -> Exception:
    """The exception for an id without a job."""
    expired = missing.code is ErrorCode.EXPIRED
    sentence = f"job {missing.id} was dropped since" if expired else f"there is no job {missing.id}"
    return BY_CODE[missing.code.value](sentence)
