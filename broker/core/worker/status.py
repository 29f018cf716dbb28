"""The broker's view of its worker. None of it is journaled: each heartbeat repeats it."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.messages.dispatch import Heartbeat, Progress
from zjobs.messages.records import BrokerName, WorkerInfo
from zjobs.messages.states import WorkerState
from zjobs.messages.units import DeliveryNumber, JobId, Ms

SILENT_AFTER_MS = 3_000
STALLED_AFTER_MS = 5_000  # five heartbeats


class RunReport(NamedTuple):
    """The last reports of the running task and its process. `fraction_at_ms`: when the fraction came (monotonic)."""

    progress: int = 1
    fraction: float | None = None
    note: str | None = None
    stuck_ms: Ms | None = None
    fraction_at_ms: int = 0


class WorkerStatus:
    """The worker's state. `in_session`: it continues the journal's session, so its messages count. `running`: the
    delivery that it runs, None if idle."""

    def __init__(self, now_ms: Ms) -> None:
        self.in_session = False
        self.stopping = False
        self.running: DeliveryNumber | None = None
        self.running_since_ms = Ms(0)
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
        """The state as of the end of the last turn."""
        return self._state

    @property
    def warning(self) -> str | None:
        """A sentence that says what keeps it from running jobs, or what it warns of; None if all is well."""
        if self._foreign:
            return self._serves
        if self._heartbeat is None:
            return self._lacks
        return self._heartbeat.obstacle or self._lacks or self._heartbeat.warning

    @property
    def accepts(self) -> bool:
        """True if jobs may be dispatched to it."""
        if self._heartbeat is None or self._heartbeat.obstacle is not None:
            return False
        return self.in_session and not (self._foreign or self._silent or self.stopping)

    def heard(self, heartbeat: Heartbeat, now_ms: Ms) -> None:
        """Record a heartbeat. One of another incarnation means that the worker was restarted."""
        if self._heartbeat is None or heartbeat.incarnation != self._heartbeat.incarnation:
            self.in_session = False
            self.moves()
        self._heartbeat = heartbeat
        self._heard_at_ms = now_ms
        self._silent = False
        self._foreign = False
        self.stopping = heartbeat.stopping

    def lives(self, now_ms: Ms) -> None:
        """Record a message other than a heartbeat: the worker is not silent."""
        self._heard_at_ms = now_ms
        self._silent = False

    def serves(self, other: BrokerName | None) -> None:
        """Record that the worker serves another broker."""
        self._foreign = True
        whom = "a broker it does not name"
        if other is not None:
            whom = f"the broker at {other.frontend} on {other.host} (journal {other.journal})"
        self._serves = f"the worker already serves {whom}: nothing is dispatched; stop one of the two, or the worker"

    def gone(self) -> None:
        """Record that the connection was lost."""
        self.in_session = False
        self._heartbeat = None
        self.moves()

    def moves(self) -> None:
        """Record that it runs a job, or has nothing to run."""
        self._stands_at = None

    def stands_still(self, at: tuple[int, ...], sentence: str, now_ms: Ms) -> None:
        """Record that it has jobs and runs none, and warn if that lasts. `at` changes whenever the worker makes
        progress. `sentence`: the warning, shown instead of the worker's own."""
        if at != self._stands_at:
            self._stands_at, self._stands_since_ms = at, now_ms
        elif now_ms - self._stands_since_ms >= STALLED_AFTER_MS and self._heartbeat is not None:
            self._heartbeat = self._heartbeat._replace(warning=sentence)

    def runs(self, delivery: DeliveryNumber, since_ms: Ms) -> None:
        """Record that a run began at `since_ms` (monotonic)."""
        self.running = delivery
        self.running_since_ms = since_ms
        self.report = RunReport()

    def reported(self, told: Progress, now_ms: int) -> None:
        """Record the progress that the running task reported."""
        report = self.report
        self.report = RunReport(max(report.progress, told.progress), told.fraction, told.note, report.stuck_ms, now_ms)

    def printed(self, progress: int) -> None:
        """Record that the running task has printed something. `progress` numbers its reports."""
        self.report = self.report._replace(progress=max(self.report.progress, progress))

    def looks_stuck(self, stuck_ms: Ms | None) -> None:
        """Record how long the task process has shown no liveness; None if it shows it."""
        self.report = self.report._replace(stuck_ms=stuck_ms)

    def silent_at_ms(self) -> Ms | None:
        """Return when it will count as silent (monotonic), None if it already is silent or absent."""
        return None if self._heartbeat is None or self._silent else Ms(self._heard_at_ms + SILENT_AFTER_MS)

    def notice_silence(self, now_ms: Ms) -> None:
        """Mark the worker as silent if nothing was heard for SILENT_AFTER_MS."""
        at = self.silent_at_ms()
        if at is not None and now_ms >= at:
            self._silent = True

    def end_turn(self, lacks: str | None, now_ms: Ms) -> None:
        """Determine its state. `lacks`: a sentence on the next job, if the worker lacks its type."""
        self._lacks = lacks
        self._settle_state(now_ms)

    def info(self, running: JobId | None, now_ms: Ms) -> WorkerInfo:
        """Return what `info` reports about the worker."""
        heartbeat = self._heartbeat
        return WorkerInfo(
            self._state,
            Ms(now_ms - self._since_ms),
            heartbeat.host if heartbeat else None,
            heartbeat.pid if heartbeat else None,
            running,
            self.warning,
        )

    def _settle_state(self, now_ms: Ms) -> None:
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
