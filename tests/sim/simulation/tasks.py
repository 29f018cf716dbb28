"""The task process and the worker's runner, as the worker's loop sees them: what runs when, and how it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from simulation.oracle import Oracle, printed_by, result_of
from zjobs.messages.dispatch import DispatchedJob, Ended
from zjobs.messages.records import TaskType
from zjobs.messages.states import FailReason, Outcome
from zjobs.worker.core.interfaces import Death, Printed, TaskEvent
from zjobs.worker.core.run import Seen

if TYPE_CHECKING:
    from simulation.world import World

JOBS_AHEAD = 8

# What each type promises, and how long its jobs take.
TYPES = {
    "quick": (TaskType("quick", "", max_attempts=1, max_reruns=2, grace_ms=50), 0),
    "retry": (TaskType("retry", "", max_attempts=3, max_reruns=1, grace_ms=50, retry_delay_ms=150), 0),
    "short": (TaskType("short", "", max_attempts=2, max_reruns=2, grace_ms=0, retry_delay_ms=0), 5),
    "long": (TaskType("long", "", max_attempts=2, max_reruns=1, grace_ms=50, retry_delay_ms=1_000), 120),
    "once": (TaskType("once", "", max_attempts=1, max_reruns=0, grace_ms=50), 0),
    "mail": (TaskType("mail", "", max_attempts=2, max_reruns=0, grace_ms=50, retry_delay_ms=0), 80),
    "hasty": (TaskType("hasty", "", 2, 1, time_limit_ms=60, grace_ms=50, retry_delay_ms=20), 10),
}
FEW = ("quick", "once")  # what a worker has that was started without its --tasks

SLOW_MS = 100  # more than its type leads to expect, and more than a worker lets others wait behind it

# How a run ends, by the job's data (before a # and a mark of its request); those with _once end so the first time.
# `deaf` is slow and does not hear that it shall end, `late` is slow and completes when it is told to; `large` has data,
# and a result, that travel in pieces.
BEHAVIOURS = ("ok", "slow", "fail", "fail_once", "bad", "die", "die_once", "deaf", "late", "large")
SLOW = {"slow": SLOW_MS, "late": SLOW_MS, "deaf": 3 * SLOW_MS}


class Item(NamedTuple):
    delivery: int
    job: DispatchedJob


class TaskProcesses:
    """A task process with the socket before it. It is gone once `died` has told so."""

    def __init__(self, incarnation: str, oracle: Oracle) -> None:
        self.incarnation = incarnation
        self._oracle = oracle
        self._waiting: deque[Item] = deque()
        self._unread: deque[Item] = deque()
        self._events: list[TaskEvent] = []
        self._current: Item | None = None
        self._ends_at = 0
        self._told = False
        self._dead = False
        self._killed = False
        self._forgotten = False
        self.announced = False  # whether the worker has heard which types it has

    # --- what the worker's loop does ------------------------------------------------------------------

    def offer(self, delivery: int, job: DispatchedJob) -> None:
        self._waiting.append(Item(delivery, job))

    def feed(self) -> None:
        while self._waiting and len(self._unread) + len(self._events) + (self._current is not None) < JOBS_AHEAD:
            self._unread.append(self._waiting.popleft())

    def recall(self) -> list[int]:
        numbers = [item.delivery for item in (*self._unread, *self._waiting)]
        self._unread.clear()
        self._waiting.clear()
        return [] if self._forgotten else numbers

    def events(self) -> list[TaskEvent]:
        events, self._events = self._events, []
        return [] if self._forgotten else events

    def end_task(self, delivery: int, now: int) -> None:
        """The task of number `n` is told to end."""
        if self._current is not None and self._current.delivery == delivery and not self._dead:
            self._told = True
            if _word(self._current.job) != "deaf":
                self._ends_at = now

    def kill(self) -> None:
        self._killed = True

    def forget(self) -> None:
        self._forgotten = True
        self.kill()

    def died(self) -> Death | None:
        if not (self._dead or self._killed):
            return None
        lost = [] if self._current is None or self._forgotten else [self._current.delivery]
        self.bury()
        return Death("killed by SIGKILL", self.events(), lost, self.recall(), 0)

    # --- what it does by itself ------------------------------------------------------------------------

    @property
    def eager(self) -> bool:
        """Whether the worker has something to hear from it."""
        return bool(self._events) or self._dead or self._killed or not self.announced

    def wakes_at(self, now: int) -> int | None:
        """When it makes its next step by itself."""
        if self._dead:
            return None
        if self._current is not None:
            return self._ends_at
        return now if self._unread else None

    def step(self, now: int) -> bool:
        """Begins the next job, or ends the present one. Whether there was anything to do."""
        if self._dead:
            return False
        if self._current is None:
            if not self._unread:
                return False
            self._current = self._unread.popleft()
            self._oracle.begins(*self._current, self.incarnation)
            self._told = False
            self._ends_at = now + _takes_ms(self._current.job)
            if _takes_ms(self._current.job):
                self._events.append(Printed(self._current.delivery, printed_by(self._current.job.id)))
            return True
        if now < self._ends_at:
            return False
        self._end(self._current)
        return True

    def die(self) -> None:
        """Whatever it was doing, it is dead."""
        if self._current is not None and not self._dead:
            self._oracle.ends(self._current.job.id, "told" if self._told else "died")
        self._dead = True

    def bury(self) -> None:
        """It is dead for sure: nothing of it runs any more."""
        if self._current is not None and not self._dead:
            self._oracle.ends(self._current.job.id, "told" if self._told else "killed")
        self._dead = True
        self._current = None

    def _end(self, item: Item) -> None:
        assert item.job.data is not None
        word, elapsed_us = _word(item.job), 1000 * _takes_ms(item.job) or 100
        if self._told and word not in ("late", "deaf"):
            self._current = None
            self._oracle.ends(item.job.id, "told")
            self._events.append(Ended(item.delivery, Outcome.CANCELLED, elapsed_us, message="told to end"))
            return
        if word == "die":
            self.die()
            return
        self._current = None
        word = "ok" if word in SLOW or word == "large" else word
        self._oracle.ends(item.job.id, word)
        if word == "ok":
            result = result_of(item.job.id, item.job.data)
            self._events.append(Ended(item.delivery, Outcome.COMPLETED, elapsed_us, result))
        else:
            reason = FailReason.RAISED if word == "fail" else FailReason.BAD_DATA
            self._events.append(Ended(item.delivery, Outcome.FAILED, elapsed_us, reason=reason, message="no"))


def _word(job: DispatchedJob) -> str:
    """What the run does."""
    assert job.data is not None
    word, _, once = job.data.decode().partition("#")[0].partition("_")
    return "ok" if once and job.attempt > 1 else word


def _takes_ms(job: DispatchedJob) -> int:
    return TYPES[job.type][1] + SLOW.get(_word(job), 0)


class TaskProcess:
    """One task process after the other, as the worker's turn sees them. The first has announced its types."""

    refusal = None
    schemas: ClassVar[dict[str, bytes]] = {}
    restart_at_ms = 0
    clear = True
    obstacle = None

    def __init__(self, world: World, types: tuple[TaskType, ...], incarnation: Callable[[], str]) -> None:
        self._world = world
        self._types = types
        self._incarnation = incarnation
        self.types: tuple[TaskType, ...] | None = None
        self.runner: TaskProcesses | None = None
        self.start()
        self.events()

    @property
    def alive(self) -> bool:
        return self.runner is not None

    def start(self) -> None:
        self.types = None
        self.runner = TaskProcesses(self._incarnation(), self._world.oracle)

    def postpone(self, now_ms: int) -> None:
        raise AssertionError("each start succeeds")

    def serve(self, journal: str, broker: str) -> None:
        pass

    def clear_up(self, now_ms: int) -> None:
        pass

    def offer(self, delivery: int, job: DispatchedJob, result_bytes: int) -> None:
        assert self.runner is not None
        self.runner.offer(delivery, job)

    def feed(self) -> None:
        if self.runner is not None:
            self.runner.feed()

    def recall(self) -> list[int]:
        return [] if self.runner is None else self.runner.recall()

    def events(self) -> list[TaskEvent]:
        if self.runner is None:
            return []
        self.runner.announced = True
        self.types = self._types
        return self.runner.events()

    def died(self, now_ms: int) -> Death | None:
        death = None if self.runner is None else self.runner.died()
        if death is not None:
            self.runner = None
        return death

    def seen(self, delivery: int) -> Seen:
        return Seen(self._world.now % 1000 / 1000, "note", self._world.now)

    def end_task(self, delivery: int) -> None:
        if self.runner is not None:
            self.runner.end_task(delivery, self._world.now)

    def kill(self) -> None:
        self._world.oracle.workers_ended += 1
        if self.runner is not None:
            self.runner.kill()

    def forget(self) -> None:
        self._world.oracle.takes_over()
        if self.runner is not None:
            self.runner.forget()
