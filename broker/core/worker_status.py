"""What the broker believes of its worker: nothing of it is journaled, each heartbeat tells it again."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.messages.dispatch import Heartbeat, Progress
from zjobs.messages.records import BrokerName, WorkerInfo
from zjobs.messages.states import WorkerState
from zjobs.messages.units import DeliveryNumber, JobId, Ms

SILENT_AFTER_MS = 3_000
STALLED_AFTER_MS = 5_000  # five heartbeats


class Instant(NamedTuple):
    """The time, twice: `mono_ms` for intervals, `wall_ms` (since 1970, UTC) for what people are shown."""

    mono_ms: Ms
    wall_ms: Ms


class RunReport(NamedTuple):
    """What is known of the run in progress beside its number."""

    progress: int = 1
    fraction: float | None = None
    note: str | None = None
    stuck_ms: Ms | None = None


class WorkerStatus:
    """`known`: it speaks in the journal's session, so its messages count. `running`: the delivery it runs."""

    def __init__(self, now_ms: int) -> None:
        self.known = False
        self.stopping = False
        self.running: DeliveryNumber | None = None
        self.running_since_ms = 0
        self.report = RunReport()
        self._heartbeat: Heartbeat | None = None
        self._heard_at_ms = now_ms
        self._foreign = False
        self._serves = ""
        self._silent = False
        self._lacks: str | None = None
        self._stands_at: tuple[int, ...] | None = None
        self._stands_since_ms = 0
        self._state = WorkerState.ABSENT
        self._since_ms = now_ms

    @property
    def state(self) -> WorkerState:
        return self._state

    @property
    def warning(self) -> str | None:
        """A sentence on what keeps it from being given jobs, or what it warns of."""
        if self._foreign:
            return self._serves
        if self._heartbeat is None:
            return self._lacks
        return self._heartbeat.obstacle or self._lacks or self._heartbeat.warning

    @property
    def accepts(self) -> bool:
        """Whether it may be given jobs."""
        if self._heartbeat is None or self._heartbeat.obstacle is not None:
            return False
        return self.known and not (self._foreign or self._silent or self.stopping)

    def heard(self, heartbeat: Heartbeat, now_ms: int) -> None:
        if self._heartbeat is None or heartbeat.incarnation != self._heartbeat.incarnation:
            self.known = False
            self.moves()
        self._heartbeat = heartbeat
        self._heard_at_ms = now_ms
        self._silent = False
        self._foreign = False
        self.stopping = heartbeat.stopping

    def lives(self, now_ms: int) -> None:
        """It said something other than a heartbeat."""
        self._heard_at_ms = now_ms
        self._silent = False

    def serves(self, other: BrokerName | None) -> None:
        """It belongs to another broker."""
        self._foreign = True
        whom = "a broker it does not name"
        if other is not None:
            whom = f"the broker at {other.frontend} on {other.host} (journal {other.journal})"
        self._serves = f"the worker already serves {whom}: nothing is dispatched; stop one of the two, or the worker"

    def gone(self) -> None:
        """Its connection is lost."""
        self.known = False
        self._heartbeat = None
        self.moves()

    def moves(self) -> None:
        """It runs a job, or has nothing to do."""
        self._stands_at = None

    def stands_still(self, at: tuple[int, ...], sentence: str, now_ms: int) -> None:
        """It has something to do and runs nothing. `at`: what changes with every progress; `sentence`: a warning, which
        goes before what the worker itself warns of."""
        if at != self._stands_at:
            self._stands_at, self._stands_since_ms = at, now_ms
        elif now_ms - self._stands_since_ms >= STALLED_AFTER_MS and self._heartbeat is not None:
            self._heartbeat = self._heartbeat._replace(warning=sentence)

    def runs(self, delivery: DeliveryNumber, since_ms: int) -> None:
        self.running = delivery
        self.running_since_ms = since_ms
        self.report = RunReport()

    def reported(self, told: Progress) -> None:
        """Record what the running task said of itself."""
        report = self.report
        self.report = RunReport(max(report.progress, told.progress), told.fraction, told.note, report.stuck_ms)

    def printed(self, progress: int) -> None:
        """The running task has printed something; its news are counted by `progress`."""
        self.report = self.report._replace(progress=max(self.report.progress, progress))

    def looks_stuck(self, stuck_ms: Ms | None) -> None:
        """For how long the task process has given no sign of life; None: it does."""
        self.report = self.report._replace(stuck_ms=stuck_ms)

    def silent_at_ms(self) -> int | None:
        """When it counts as silent unless a heartbeat comes before."""
        return None if self._heartbeat is None or self._silent else self._heard_at_ms + SILENT_AFTER_MS

    def notice_silence(self, now_ms: int) -> None:
        at = self.silent_at_ms()
        if at is not None and now_ms >= at:
            self._silent = True

    def end_turn(self, lacks: str | None, now_ms: int) -> None:
        """Settles its state. `lacks`: a sentence on the job that cannot be handed to it, if there is one."""
        self._lacks = lacks
        self._settle_state(now_ms)

    def info(self, running: JobId | None, now_ms: int) -> WorkerInfo:
        heartbeat = self._heartbeat
        return WorkerInfo(
            self._state,
            Ms(now_ms - self._since_ms),
            heartbeat.host if heartbeat else None,
            heartbeat.pid if heartbeat else None,
            running,
            self.warning,
        )

    def _settle_state(self, now_ms: int) -> None:
        if self._heartbeat is None:
            state = WorkerState.ABSENT
        elif self._foreign:
            state = WorkerState.FOREIGN
        elif self._silent:
            state = WorkerState.SILENT
        elif self.stopping:
            state = WorkerState.STOPPING
        elif self._heartbeat.obstacle is not None:
            state = WorkerState.BLOCKED
        elif self._lacks:
            state = WorkerState.LACKS_TYPE
        else:
            state = WorkerState.READY
        if state is not self._state:
            self._state = state
            self._since_ms = now_ms
