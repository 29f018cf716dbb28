"""A session as the worker sees it: the jobs dispatched to it, the run in progress, and the reports. Pure.

- When a job has run for 50 ms, the jobs behind it are returned.
- To end the running job: recall the jobs behind it (if that brings its end, there is nothing left to do), tell the
  task, wait for its grace time, kill the task process. Nothing is offered from the first step until the job has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import NamedTuple

from zjobs.messages import dispatch as d
from zjobs.messages.records import BrokerName, TaskType
from zjobs.messages.units import DeliveryNumber, JobId, Ms
from zjobs.worker.core import effects as e
from zjobs.worker.core.inbox import Inbox
from zjobs.worker.core.interfaces import RunName
from zjobs.worker.core.outbox import Outbox
from zjobs.worker.core.run import LOOK_MS, PIECE_BYTES, Run, Seen

RETURN_AFTER_MS = 50
START_AFTER_MS = 3  # most short jobs end sooner; their end says it all, and the broker is not woken for nothing
UNACKNOWLEDGED_BYTES = 4 << 20
OUTPUT_UNACKNOWLEDGED_BYTES = 1 << 20  # the rest of a running job's output waits in `Run`, which keeps only its end


class Purpose(Enum):
    """The reason for which the worker recalls jobs from the task process."""

    RETURN = "return"
    KEEP = "keep"


class Return(NamedTuple):
    """A return: report number `report` has returned everything from delivery number `delivery` on."""

    report: int
    delivery: DeliveryNumber


class Returning:
    """The state of recalls and returns. `asked`: why the task process was asked for the jobs that it has not begun,
    until it answers. `wanted`: the broker wants these returned. `owed`: a return is reported even if it is empty.
    `alone`: the job that has begun and has nothing behind it in the task process; 0 if unknown. `returned`: the last
    return, until it is acknowledged."""

    def __init__(self) -> None:
        self.asked: Purpose | None = None
        self.wanted = False
        self.owed = False
        self.alone = 0
        self.returned: Return | None = None
        self._asked_for: dict[Purpose, tuple[DeliveryNumber | None, DeliveryNumber]] = {}

    def ask(self, purpose: Purpose, running: DeliveryNumber | None, taken: DeliveryNumber) -> None:
        """Record a recall from the task process."""
        self.asked = purpose
        self._asked_for[purpose] = running, taken
        if purpose is Purpose.RETURN:
            self.wanted = False

    def is_new(self, purpose: Purpose, running: DeliveryNumber, taken: DeliveryNumber) -> bool:
        """True if this was not asked yet for this running job and the jobs behind it. Once is enough: they may all have
        begun, with their ends still to be read."""
        return self._asked_for.get(purpose) != (running, taken)


class Session:
    """A session. `id`, `broker`: None before the broker has begun it; until then there are no jobs and no reports."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.broker: BrokerName | None = None
        self.inbox = Inbox()
        self.outbox = Outbox()
        self.run = Run()
        self.returning = Returning()
        self.cancels: set[DeliveryNumber] = set()
        self._result_bytes = 0
        self._start_untold = 0

    def begin(self, message: d.StartSession) -> None:
        """Begin the session, as the broker says."""
        self.id, self.broker = message.session, message.broker
        self._result_bytes = message.result_bytes
        self.run = Run(message.output_bytes)

    @property
    def running_id(self) -> JobId | None:
        """The id of the job that runs, None if none does."""
        delivery = self.inbox.running
        return None if delivery is None else self.inbox[delivery].id

    @property
    def run_name(self) -> RunName:
        """The name of the present run. There must be one."""
        delivery = self.inbox.running
        assert delivery is not None and self.broker is not None
        return RunName(self.broker.journal, self.inbox[delivery].id, self.inbox[delivery].attempt)

    def running(self, now_ms: Ms) -> d.Running | None:
        """Return what a heartbeat says about the job that runs, None if none does."""
        delivery = self.inbox.running
        if delivery is None:
            return None
        return d.Running(delivery, self.inbox[delivery].id, self.run.elapsed_ms(now_ms), self.run.stuck_ms(now_ms))

    def cancel(self, delivery: DeliveryNumber) -> None:
        """End this job, or return it if it has not begun."""
        if delivery > self.inbox.taken:  # still on its way, perhaps in many pieces: it must not begin when it arrives
            self.returning.owed |= self.returning.returned is None
        if delivery in self.inbox:
            self.cancels.add(delivery)
            # as far as is known, it has not begun; if it has, the answer to RecallUnbegun shows that
            self.returning.wanted |= delivery != self.inbox.running

    # --- what the task process does --------------------------------------------------------------------

    def seen(self, seen: Seen, now_ms: Ms) -> Iterator[e.Effect]:
        """Process the answer to `Look`."""
        delivery, id = self.inbox.running, self.running_id
        assert delivery is not None and id is not None and self.id is not None
        self.run.seen(seen)
        if self.run.newly_stuck(now_ms):
            yield e.Say(f"job {id}: its task process shows no liveness; it is left alone")
        if self.outbox.flow.has_room():  # else later
            progress = self.run.progress(self.id, delivery, id)
            if progress is not None:
                self.outbox.flow.sends(len(progress.note or ""), now_ms)
                yield e.Publish(progress._replace(round=self.outbox.flow.round))
        room_bytes = OUTPUT_UNACKNOWLEDGED_BYTES - self.outbox.weight_bytes
        for piece in self.run.output(delivery, id, max(0, room_bytes // PIECE_BYTES)):
            self.outbox.add(piece)

    def ended(self, ended: d.Ended, now_ms: Ms) -> None:
        """Record that the first of the jobs offered has ended."""
        assert ended.delivery == self.inbox.running, (ended.delivery, self.inbox.running)
        job = self.inbox.end(ended.delivery)
        for report in self.run.report(ended, job.id):
            self.outbox.add(report)
        self.cancels.discard(ended.delivery)
        self.run.begin(now_ms)  # the next one, if there is one

    def recalled(self, numbers: list[DeliveryNumber], stopping: bool) -> bool:
        """Process the answer to `RecallUnbegun`. Return True if the worker reports a return."""
        returning = self.returning
        purpose, returning.asked = returning.asked, None
        self.inbox.recall(numbers)
        returning.alone = self.inbox.running or 0
        if purpose is Purpose.KEEP:
            return False
        unbegun = self.inbox.give_back()
        if not unbegun and not returning.owed:
            return False
        self.cancels.difference_update(unbegun)
        delivery = returning.returned.delivery if returning.returned else DeliveryNumber(self.inbox.offered + 1)
        self.outbox.add(d.Returned(delivery, stopping))
        returning.returned = Return(self.outbox.reported, delivery)
        returning.owed = False
        return True

    # --- what is to be done --------------------------------------------------------------------------------

    def due(
        self, now_ms: Ms, types: Mapping[str, TaskType], ready: bool, blocked: bool, interrupted: bool
    ) -> list[e.Effect]:
        """Return what is to be done about the jobs, in this order.

        ready: there is a task process. blocked: no job may start. interrupted: the running job is being killed anyway.
        """
        effects: list[e.Effect] = []
        if self.returning.asked is None and not interrupted:
            effects += self._end_run_if_due(now_ms, types)
        if self.returning.asked is None:
            effects += self._recall_if_due(now_ms, blocked)
        if self.returning.asked is None and ready and not blocked:
            effects += self._offer(now_ms)
        delivery = self.inbox.running
        if delivery is not None:
            effects += self._watch(delivery, now_ms)
        return effects

    def times(self, types: Mapping[str, TaskType]) -> list[Ms]:
        """Return when something is to be done about the running job even if nothing happens."""
        delivery = self.inbox.running
        if delivery is None:
            return []
        times = self.run.times(self._limit_ms(delivery, types))
        if delivery == self._start_untold:
            times.append(Ms(self.run.started_ms + START_AFTER_MS))
        if self._return_wanted(delivery):
            times.append(Ms(self.run.started_ms + RETURN_AFTER_MS))
        return times

    def _limit_ms(self, delivery: DeliveryNumber, types: Mapping[str, TaskType]) -> Ms | None:
        job = self.inbox[delivery]
        kind = types.get(job.type)
        return job.time_limit_ms or (kind.time_limit_ms if kind else None)

    def _end_run_if_due(self, now_ms: Ms, types: Mapping[str, TaskType]) -> list[e.Effect]:
        """End the running job, step by step, if it was cancelled or has passed its time limit."""
        delivery, run = self.inbox.running, self.run
        if delivery is None:
            return []
        if run.ending:
            return [e.KillTask()] if run.kill_due(now_ms) else []
        limit_ms = None if delivery in self.cancels else self._limit_ms(delivery, types)
        if delivery not in self.cancels and (limit_ms is None or run.elapsed_ms(now_ms) < limit_ms):
            return []
        if self.returning.alone != delivery:
            return self._recall(Purpose.RETURN)
        grace_ms = types.get(self.inbox[delivery].type, TaskType("")).grace_ms
        run.tell_to_end(limit_ms, grace_ms, now_ms)
        return [e.EndTask(delivery)]

    def _return_wanted(self, delivery: DeliveryNumber) -> bool:
        """True if jobs wait behind the running one that were not recalled yet."""
        return len(self.inbox) > 1 and self.returning.is_new(Purpose.RETURN, delivery, self.inbox.taken)

    def _recall_if_due(self, now_ms: Ms, blocked: bool) -> list[e.Effect]:
        delivery, returning = self.inbox.running, self.returning
        overdue = (
            delivery is not None and now_ms >= self.run.started_ms + RETURN_AFTER_MS and self._return_wanted(delivery)
        )
        stranded = blocked and self.inbox.unbegun and returning.returned is None
        if returning.wanted or returning.owed or overdue or stranded:
            return self._recall(Purpose.RETURN)
        if (
            self.outbox.weight_bytes > UNACKNOWLEDGED_BYTES
            and delivery is not None
            and self.inbox.offered > delivery
            and returning.is_new(Purpose.KEEP, delivery, self.inbox.taken)
        ):
            return self._recall(Purpose.KEEP)
        return []

    def _recall(self, purpose: Purpose) -> list[e.Effect]:
        """Ask for the jobs that have not begun."""
        self.returning.ask(purpose, self.inbox.running, self.inbox.taken)
        return [e.RecallUnbegun()]

    def _offer(self, now_ms: Ms) -> list[e.Effect]:
        effects: list[e.Effect] = []
        full = self.outbox.weight_bytes > UNACKNOWLEDGED_BYTES
        if self.run.ending or self.returning.returned is not None or full:
            return effects
        idle = self.inbox.running is None
        while (delivery := self.inbox.offer()) is not None:
            assert self.broker is not None  # jobs belong to a session
            self.returning.alone = 0
            effects.append(e.Offer(delivery, self.inbox[delivery], self._result_bytes, self.broker))
            if idle:  # no earlier job ended, so the broker cannot know
                self.run.begin(now_ms)
                self._start_untold = delivery
            idle = False
        return effects

    def _watch(self, delivery: DeliveryNumber, now_ms: Ms) -> Iterator[e.Effect]:
        """Report that the job has begun, and look at what it does."""
        run = self.run
        if delivery == self._start_untold and now_ms >= run.started_ms + START_AFTER_MS:
            assert self.id is not None
            yield e.Publish(d.Started(self.id, delivery, self.inbox[delivery].id))
            self._start_untold = 0
        if now_ms >= run.look_at_ms and self.returning.asked is None:  # the answer may bring its end
            run.look_at_ms = Ms(now_ms + LOOK_MS)
            yield e.Look(delivery)
