"""Watches all jobs, and counts their changes, so that it notices when some were missed."""

from __future__ import annotations

from itertools import takewhile

from zjobs.client.errors import BrokerUnreachable, NotPermitted, ZjobsError
from zjobs.client.protocol import operations
from zjobs.client.protocol.actions import Ask, Flow, Heard, Listen, Sleep, Topics
from zjobs.client.protocol.watch import Event, WatchEvent, Watching
from zjobs.client.settings import Settings
from zjobs.messages.events import ALL_JOBS_TOPIC, JobEvent, ServiceEvent
from zjobs.messages.records import JobStatus
from zjobs.messages.requests import Info, InfoReply, Queue, QueueReply

# Remember this many jobs, the ones last heard of: to skip repetitions, and to ask what was missed.
MOST_KNOWN = 10_000
# An event that has not come this long after the answer to a request is lost.
ON_ITS_WAY_S = 2.0


class WatchingAll(Watching):
    """What is known of all jobs from now on, and what to do to know more; see `Watch`."""

    shared = False  # the answer to the subscription comes once for each connection

    def __init__(self, to: Settings) -> None:
        super().__init__(to, iter(()), None)
        self._change: int | None = None
        self._newest = 0
        self.service: ServiceEvent | None = None
        self._checked: tuple[float, int, int] | None = (
            None  # when it was asked last, what was heard, and what there was
        )
        self._repair_above: int | None = None  # after a gap: the newest id that was known before it

    @property
    def goes_on(self) -> bool:
        """Always true: jobs may come at any time."""
        return True

    def _begin(self) -> Flow[None]:
        """Returns when the subscription is in force."""
        for job in (yield from operations.first_jobs(self._to, 1)):
            self._newest = job.id  # asked first: a later answer could have a job whose change was missed
        yield from self._subscribe()
        now = yield Sleep(0)
        deadline = now + self._to.timeout
        while self._change is None:
            if now >= deadline:
                raise self._not_told()
            heard: Heard = yield Listen(deadline)
            yield from self._hear_all(heard)
            if self._changed is not None and self._change is None:
                raise self._changed  # otherwise `next` raises it, after what came before it
            now = heard.now

    def _not_told(self) -> ZjobsError:
        """A broker with keys has just answered a request: then it is the subscription that it does not answer."""
        if self._to.key is None:
            return BrokerUnreachable(self._endpoint, self._to.timeout)
        return NotPermitted("this key may not watch all jobs; this needs a key of the role viewer or operator")

    def _subscribe(self) -> Flow[None]:
        if not self._topics:
            yield Topics((ALL_JOBS_TOPIC,))
            self._topics.add(0)

    def _hear(self, event: Event) -> None:
        if isinstance(event, ServiceEvent):
            self._take_service(event)
        elif isinstance(event, JobEvent):
            if event.change is not None:
                self._count_missed(event.change - 1)
                self._change = max(event.change, self._change or 0)
        else:
            self._count_missed(event.change)
            if event.change < (self._change or 0):  # a journal put back from a backup: what we knew is void
                self.known.clear()
                self._checked = None
            self._change = event.change
            self._take_service(ServiceEvent(event.journal, event.worker, event.paused))
        super()._hear(event)

    def _take_service(self, heard: ServiceEvent) -> None:
        before, self.service = self.service, heard
        self.worker, self.paused = heard.worker, heard.paused is not None
        if before not in (None, heard):
            self._news.append(WatchEvent(service=heard, before=before))

    def _count_missed(self, change: int) -> None:
        """Everything up to `change` should have been heard by now."""
        missed = 0 if self._change is None else change - self._change
        if missed > 0:
            self._news.append(WatchEvent(missed=missed))
            if self._repair_above is None:
                self._repair_above = self._newest
            self._next_check = 0.0  # at once

    def _take(self, job: JobStatus) -> None:
        known = self.known.pop(job.id, None)
        if known is not None and (job.version, job.progress) <= (known.version, known.progress):
            self.known[job.id] = known
            return  # only its place in the queue or its age is another: no change
        self.known[job.id] = job
        if len(self.known) > MOST_KNOWN:
            del self.known[next(iter(self.known))]
        self._newest = max(self._newest, job.id)
        self._news.append(WatchEvent(job=job))

    def _ask(self, timeout: float) -> Flow[None]:
        """Finds out whether the broker is there, and after a gap what it was that was missed."""
        gap = self._repair_above is not None
        newer = (yield from self._submitted_above(self._repair_above)) if self._repair_above is not None else []
        unfinished = [job_id for job_id, job in self.known.items() if gap and not job.state.final]
        wanted = self.known.keys() | self._untold
        asked = list(dict.fromkeys([*self._untold, *unfinished]))
        if asked:
            reply = yield from operations.status(self._to, asked, timeout)
        else:
            reply = yield Ask(Queue(), QueueReply, timeout)
        self._to.check_journal(reply.journal, self.journal)
        if isinstance(reply, QueueReply) and not gap and (yield from self._lost_the_last(reply.change)):
            yield from self._ask(timeout)
            return
        service = self.service
        if service is not None and (reply.worker, reply.paused) != (service.worker, service.paused is not None):
            info: InfoReply = yield Ask(Info(), InfoReply, timeout)
            self._take_service(ServiceEvent(reply.journal, reply.worker, info.paused))
        self._repair_above = None
        self._untold.clear()
        for job in [*(job for job in reply.jobs if job.id in wanted), *newer]:
            self._take(job)

    def _lost_the_last(self, change: int) -> Flow[bool]:
        """Whether what was there when the broker was last asked has not come since, nor anything behind it.

        A gap shows by the next event; when none comes, the count that the broker tells shows it. What it tells now may
        still be on its way.
        """
        heard, now = self._change or 0, (yield Sleep(0))
        if self._checked is None:
            self._checked = (now, heard, change)
        asked_at, heard_then, change_then = self._checked
        if now - asked_at < ON_ITS_WAY_S:
            return False
        lost = heard == heard_then < change_then
        if lost:  # whoever was busy meanwhile finds it here
            yield from self._hear_all((yield Listen(now)))
            lost = self._change == heard
        if lost:
            self._count_missed(change_then)
            self._change = change_then
        self._checked = (now, self._change or 0, change)
        return lost

    def _submitted_above(self, newest: int) -> Flow[list[JobStatus]]:
        """The jobs with greater ids, in order."""
        pages = operations.Pages(self._to, None, None, MOST_KNOWN, None)
        jobs: list[JobStatus] = []
        while pages.more and not (jobs and jobs[-1].id <= newest):
            jobs += yield from pages.next()
        return list(takewhile(lambda job: job.id > newest, jobs))[::-1]
