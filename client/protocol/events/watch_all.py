"""Watches of all jobs. They count changes to notice missed ones."""

from __future__ import annotations

from itertools import takewhile

from zjobs.client.config.settings import Settings
from zjobs.client.errors import BrokerUnreachable, NotPermitted, ZjobsError
from zjobs.client.protocol import operations
from zjobs.client.protocol.actions import Ask, Flow, Heard, Listen, Sleep, Topics
from zjobs.client.protocol.events.watch import Event, WatchEvent, Watching
from zjobs.client.protocol.pages import Pages, first_jobs
from zjobs.messages.events import ALL_JOBS_TOPIC, JobEvent, ServiceEvent
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.queries import Info, InfoReply, List, Queue, QueueReply

# Remember this many jobs, those last heard of, to skip repetitions and to request what was missed.
MOST_JOBS = 10_000
# An event that has not arrived this long after the reply to a request is lost.
ON_ITS_WAY_S = 2.0


class WatchingAll(Watching):
    """The state of a watch of all jobs; see `Watch`."""

    shared = False  # the answer to the subscription comes once for each connection

    def __init__(self, to: Settings) -> None:
        super().__init__(to, iter(()), None)
        self._change: int | None = None
        self._newest = 0
        self.service: ServiceEvent | None = None
        self._checked: tuple[float, int, int] | None = (
            None  # the time of the last request, the changes heard by then, and those there were
        )
        self._repair_above: int | None = None  # after a gap: the newest id known before it

    @property
    def goes_on(self) -> bool:
        """True: jobs may be submitted at any time."""
        return True

    def _begin(self) -> Flow[None]:
        """Subscribe, and wait until the subscription is in force."""
        for job in (yield from first_jobs(self._to, 1)):
            self._newest = job.id  # requested first, because a later reply could include a job whose change was missed
        yield from self._subscribe()
        now = yield Sleep(0)
        deadline = now + self._to.timeout
        while self._change is None:
            if now >= deadline:
                raise self._why_no_event()
            heard: Heard = yield Listen(deadline)
            yield from self._hear_all(heard)
            if self._changed is not None and self._change is None:
                raise self._changed  # otherwise `next` raises it, after what came before it
            now = heard.now

    def _why_no_event(self) -> ZjobsError:
        """Return why no event came. A broker with keys has just replied, so it does not permit the subscription."""
        if self._to.key is None:
            return BrokerUnreachable(self._endpoint, self._to.timeout)
        return NotPermitted("this key may not watch all jobs; this needs a key of the role viewer, member or operator")

    def _subscribe(self) -> Flow[None]:
        if not self._topics:
            yield Topics((ALL_JOBS_TOPIC,))
            self._topics.add(0)

    def _hear(self, event: Event) -> None:
        if isinstance(event, ServiceEvent):
            self._change_service(event)
        elif isinstance(event, JobEvent):
            if event.change is not None:
                self._count_missed(event.change - 1)
                self._change = max(event.change, self._change or 0)
        else:
            self._count_missed(event.change)
            if event.change < (self._change or 0):  # the journal was restored from a backup, so nothing known is valid
                self.jobs.clear()
                self._checked = None
            self._change = event.change
            self._change_service(ServiceEvent(event.journal, event.worker, event.paused, event.pauses))
        super()._hear(event)

    def _change_service(self, heard: ServiceEvent) -> None:
        before, self.service = self.service, heard
        self.worker, self.paused = heard.worker, heard.paused is not None
        if before not in (None, heard):
            self._events.append(WatchEvent(service=heard, before=before))

    def _count_missed(self, change: int) -> None:
        """Notice a gap: all changes up to `change` should have been heard by now."""
        missed = 0 if self._change is None else change - self._change
        if missed > 0:
            self._events.append(WatchEvent(missed=missed))
            if self._repair_above is None:
                self._repair_above = self._newest
            self._next_check = 0.0  # at once

    def _merge(self, job: JobStatus) -> None:
        known = self.jobs.pop(job.id, None)
        if known is not None and (job.version, job.progress) <= (known.version, known.progress):
            self.jobs[job.id] = known
            return  # only its place in the queue or its age differs: no change
        self.jobs[job.id] = job
        if len(self.jobs) > MOST_JOBS:
            del self.jobs[next(iter(self.jobs))]
        self._newest = max(self._newest, job.id)
        self._events.append(WatchEvent(job=job))

    def _ask(self, timeout: float) -> Flow[None]:
        """Check that the broker is there; after a gap, request what was missed."""
        gap = self._repair_above is not None
        newer = (yield from self._submitted_above(self._repair_above)) if self._repair_above is not None else []
        unfinished = [job_id for job_id, job in self.jobs.items() if gap and not job.state.final]
        wanted = self.jobs.keys() | self._unexplained
        asked = list(dict.fromkeys([*self._unexplained, *unfinished]))
        if asked:
            reply = yield from operations.status(self._to, asked, timeout)
        else:
            reply = yield Ask(Queue(), QueueReply, timeout)
        self._to.check_journal(reply.journal, self.journal)
        if isinstance(reply, QueueReply) and not gap and (yield from self._lost_the_last(reply.change)):
            yield from self._ask(timeout)
            return
        service = self.service
        heard = service and (service.worker, service.paused is not None, service.pauses)
        if heard and heard != (reply.worker, reply.paused, reply.pauses):
            info: InfoReply = yield Ask(Info(), InfoReply, timeout)
            self._change_service(ServiceEvent(reply.journal, reply.worker, info.paused, info.pauses))
        self._repair_above = None
        self._unexplained.clear()
        for job in [*(job for job in reply.jobs if job.id in wanted), *newer]:
            self._merge(job)

    def _lost_the_last(self, change: int) -> Flow[bool]:
        """Return True if the last changes were lost: those of the previous reply have not arrived since.

        A gap usually shows at the next event. If none comes, the count in the broker's replies shows it; changes that
        only the latest reply counts may still be on their way.
        """
        heard, now = self._change or 0, (yield Sleep(0))
        if self._checked is None:
            self._checked = (now, heard, change)
        asked_at, heard_then, change_then = self._checked
        if now - asked_at < ON_ITS_WAY_S:
            return False
        lost = heard == heard_then < change_then
        if lost:  # a program that was busy finds the events here
            yield from self._hear_all((yield Listen(now)))
            lost = self._change == heard
        if lost:
            self._count_missed(change_then)
            self._change = change_then
        self._checked = (now, self._change or 0, change)
        return lost

    def _submitted_above(self, newest: int) -> Flow[list[JobStatus]]:
        """Return the jobs with greater ids, in order."""
        pages = Pages(self._to, List(), MOST_JOBS)
        jobs: list[JobStatus] = []
        while pages.more and not (jobs and jobs[-1].id <= newest):
            jobs += yield from pages.next()
        return list(takewhile(lambda job: job.id > newest, jobs))[::-1]
