"""Waits for the ends of jobs, by requests that the broker keeps until a job ends, without I/O.

If the broker is lost, the wait goes on for the client's patience, since it may be restarting; then it is asked again.
No end is missed that way: for a job that has ended meanwhile, the reply comes at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from zjobs.client.config.settings import Settings
from zjobs.client.errors import (
    BrokerUnreachable,
    Expired,
    NotFinished,
    NotFound,
    StorageFailed,
    WaitTimeout,
    WouldDeadlock,
)
from zjobs.client.protocol import operations
from zjobs.client.protocol.actions import Await, Flow, Sleep
from zjobs.client.protocol.job import JobHandle, gone
from zjobs.messages.fields import MAX_WAIT_IDS
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import Result, ResultReply, Wait, WaitReply
from zjobs.messages.states import JobState
from zjobs.messages.units import JobId
from zjobs.program import inside

# While the broker is lost, ask often, so that its return is noticed soon.
LOST_TIMEOUT_S = 2.0
LOST_PAUSE_S = 0.1
# Inside a task, the first request hardly waits: its reply names the journal, which shows if it is the same service's.
GLANCE_S = 0.001


class Waiting:
    """A wait that goes on until its time is over, whatever happens to the broker meanwhile."""

    def __init__(self, to: Settings, journal: str | None, timeout: float | None) -> None:
        self.journal = journal
        self._to = to
        self._timeout = timeout
        self._deadline: float | None = None  # not known before the first action
        self._lost_at: float | None = None
        self._heard = False

    def ask(self, request: Any, kind: type) -> Flow[Any]:
        """Return the reply to one waiting request, None if the broker, or its journal, is lost at present.

        Raises BrokerChanged.
        """
        now = yield Sleep(0)
        if self._deadline is None:
            self._deadline = float("inf") if self._timeout is None else now + self._timeout
        seconds = max(0.0, self._deadline - now) if self._heard or not inside.runs_a_task() else GLANCE_S
        timeout = self._to.timeout if not self._heard else min(self._to.timeout, LOST_TIMEOUT_S)
        try:
            reply = yield Await(request, kind, seconds, timeout)
        except BrokerUnreachable as error:
            if not (self._heard or error.connected):
                raise
            yield from self._lost(BrokerUnreachable(self._to.addresses.named, self._to.patience))
            return None
        except StorageFailed as error:  # a database may come back
            yield from self._lost(error)
            return None
        self._lost_at, self._heard = None, True
        self._to.check_journal(reply.journal, self.journal)
        self.journal = reply.journal
        return reply

    def goes_on(self, unfinished: int) -> Flow[bool]:
        """Return True if there is time left to wait for this job and others. Raises WouldDeadlock."""
        if inside.runs_task_of(self.journal or ""):
            raise WouldDeadlock(unfinished)
        now = yield Sleep(0)
        return self._deadline is None or now < self._deadline

    def over(self, status: JobStatus) -> WaitTimeout:
        """Return the exception for a wait whose time is over."""
        assert self._timeout is not None
        return WaitTimeout(status, self._timeout)

    def _lost(self, error: Exception) -> Flow[None]:
        self._heard = True
        now = yield Sleep(0)
        if self._lost_at is None:
            self._lost_at = now
        elif now - self._lost_at > self._to.patience:
            raise error
        yield Sleep(LOST_PAUSE_S)


def result(to: Settings, job: JobHandle, timeout: float | None) -> Flow[Any]:
    """Return the result of a job once it has ended. Raises what `Job.result` raises."""
    wait = Waiting(to, job.journal, timeout)
    status: JobStatus | None = None
    while True:
        try:
            reply: ResultReply | None = yield from wait.ask(Result(JobId(job.id)), ResultReply)
        except (NotFound, Expired, NotFinished):
            to.check_journal((yield from operations.status(to, [job.id])).journal, job.journal)
            raise
        if reply is not None and reply.state is JobState.COMPLETED:
            return (yield from operations.rest_of_result(to, reply))
        if reply is not None and reply.job is not None:
            status = reply.job
            if status.state.final:
                raise (yield from operations.failure(status))
        if not (yield from wait.goes_on(job.id)):
            raise wait.over(status or (yield from operations.status_of(to, job)))


class Ends:
    """The ends of some jobs, as they come. `ended`: those that have. `unfinished`: the others, in order."""

    def __init__(self, to: Settings, ids: Iterable[int], journal: str | None, timeout: float | None) -> None:
        self.ended: dict[int, JobStatus] = {}
        self.unfinished = dict.fromkeys(map(JobId, ids))
        self._to = to
        self._wait = Waiting(to, journal, timeout)

    @property
    def journal(self) -> str:
        """The journal of the jobs, once a reply came."""
        return self._wait.journal or ""

    def next(self) -> Flow[list[JobStatus]]:
        """Return the next jobs that end, none when all have. Raises what `Client.wait` raises."""
        while self.unfinished:
            asked = tuple(islice(self.unfinished, MAX_WAIT_IDS))
            reply: WaitReply | None = yield from self._wait.ask(Wait(asked), WaitReply)
            if reply is not None:
                for missing in reply.missing:
                    raise gone(missing)
                ended = [job for job in reply.jobs if job.id in self.unfinished]
                for job in ended:
                    self.ended[job.id] = job
                    del self.unfinished[job.id]
                if ended:
                    return ended
            if not (yield from self._wait.goes_on(asked[0])):
                raise self._wait.over((yield from operations.status_of(self._to, self._first())))
        return []

    def all(self) -> Flow[dict[int, JobStatus]]:
        """Return the final statuses of all, by id."""
        while self.unfinished:
            yield from self.next()
        return self.ended

    def _first(self) -> JobHandle:
        return JobHandle(self._to, next(iter(self.unfinished)), self._wait.journal)
