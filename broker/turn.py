"""One turn of the broker: what happens between receiving and sending, without sockets, clocks, files or storage.

The service receives, reads, commits, and sends what a turn returns. The simulation takes the same turns.

    needs = turn.needs(inputs, now)                name the records that it will look up
    decided = turn.decide(inputs, read, now)       decide, given those records
    said = turn.committed(decided, now)            once `decided.changes` are on disk: what to send
    said = turn.failed(error, loaded, …)           if reading or writing failed: start over from the disk

`take_turn` in `broker.journaling` does these steps with a journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from zjobs.broker.core.admission import Rules
from zjobs.broker.core.core import Core
from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.core.records.effects import Changes, Effects, JobChange
from zjobs.broker.core.records.jobs import EndedJob, Envelope, Instant, Loaded
from zjobs.broker.core.records.needs import Read, TurnNeeds
from zjobs.broker.retention import Retention
from zjobs.broker.sending import Sending
from zjobs.messages import codec
from zjobs.messages.dispatch import (
    REPORTS,
    Described,
    Heartbeat,
    Piece,
    Progress,
    Received,
    Reports,
    Started,
    WorkerMessage,
)
from zjobs.messages.events import ServiceEvent
from zjobs.messages.records import BrokerName
from zjobs.messages.requests.ops import Error, Reply, Request
from zjobs.messages.states import ErrorCode
from zjobs.messages.units import JobId

RETRY_WRITING_MS = 1_000


class Asked(NamedTuple):
    """A change that a client requests."""

    envelope: Envelope
    request: Request
    who: Who = ANYBODY


class Inputs(NamedTuple):
    """The inputs of a turn. `frames`: the worker's messages. `lost`: its connection broke before them."""

    asked: Sequence[Asked] = ()
    frames: Sequence[bytes] = ()
    lost: bool = False


class Line(NamedTuple):
    """A line for the log. `kind`: lines of one kind are rate-limited together; "" for no limit."""

    level: str
    text: str
    kind: str = ""


class Decided(NamedTuple):
    """The decisions of a turn. `changes` are committed and `free_pages` given back before `effects` are sent."""

    changes: Changes
    free_pages: int
    effects: Effects


class Said(NamedTuple):
    """The messages and log lines to send. `settled`: how many runs ended or were returned. `refused`: no requested
    change was made, and the replies say why. `anew`: the state was loaded from the disk again, so requests must read
    again. `ended`: the jobs that ended, for requests that wait for them. `edits_decided`: see `Effects`."""

    replies: Sequence[tuple[Envelope, Reply]] = ()
    job_changes: Sequence[JobChange] = ()
    service: ServiceEvent | None = None
    lines: Sequence[Line] = ()
    settled: int = 0
    ended: Mapping[JobId, EndedJob] = {}
    edits_decided: Sequence[tuple[Envelope, JobId]] = ()
    refused: bool = False
    anew: bool = False


class Turn:
    """A broker's state, and the steps of its turns. `outbox`: frames to send to the worker. `uncertain`: whether the
    core may be ahead of the journal, so that it must not be believed."""

    def __init__(
        self,
        loaded: Loaded,
        rules: Rules,
        name: BrokerName,
        retention: Retention,
        first_round: int,
        new_session: Callable[[], str],
        now: Instant,
    ) -> None:
        """Start from the journal. `first_round`: see `Sending`. `new_session` returns 32 random hex digits."""
        self.core = Core(loaded, rules, name, now)
        self.outbox: deque[bytes] = deque()
        self.uncertain = False
        self._rules = rules
        self._name = name
        self._retention = retention
        self._sending = Sending(first_round)
        self._new_session = new_session
        self._heartbeat_heard = False
        self._retry_writing_ms = 0
        self._failure = ""
        self._published_service = self.service_event()
        self._logged_of_worker = ""
        self._lines: list[Line] = []

    # --- the steps of a turn ---------------------------------------------------------------------------------

    def needs(self, inputs: Inputs, now: Instant) -> TurnNeeds:
        """Name the records that this turn will look up."""
        needs = self.core.needs([(asked.who.name, asked.request) for asked in inputs.asked], now)
        page, ended = self._retention.needs(now)
        if page or self._sending.lacks:
            needs = needs._replace(jobs=[*needs.jobs, *page], data=self._sending.lacks, kept_bytes=page)
        return TurnNeeds(needs, ended, self._rules.journal_bytes is not None and bool(needs.submits))

    def decide(self, inputs: Inputs, read: Read, now: Instant) -> Decided:
        """Decide, with the records that were read."""
        self.core.read(read)
        if self._sending.lacks:
            self._sending.supply(read.found.data)
        if inputs.lost:
            self.core.on_gone()
            self.outbox.clear()
        messages, lines = _decoded(inputs.frames)
        self._lines += lines
        for message in messages:
            self._hear(message, now)
        for asked in inputs.asked:
            self.core.change(asked.request, asked.envelope, now, asked.who)
        free_pages = self._retention.step(self.core, read, now)
        effects = self.core.end_turn(now)
        return Decided(effects.changes, free_pages, effects)

    def committed(self, decided: Decided, now: Instant) -> Said:
        """Return what to send, now that the changes are on disk."""
        effects = decided.effects
        self.outbox.extend(map(codec.encode, effects.pipe))
        if effects.resend:
            self._sending.start_over()
        self._sending.add(effects.dispatched, effects.changes)
        self._send_jobs(now)
        self._lines += [Line("warning", warning) for warning in effects.warnings]
        self._lines += [Line("warning", rejection, "report") for rejection in effects.rejections]
        said = self._said(effects.replies, effects.job_changes, len(effects.changes.settled))
        return said._replace(ended=_ended(effects), edits_decided=effects.edits_decided)

    def failed(self, error: Exception, loaded: Loaded | None, inputs: Inputs, now: Instant) -> Said:
        """Replace the core, which is ahead of the disk, with one loaded from the disk, and refuse the changes.

        `loaded`: None while nothing can be read. Then nothing is said of the core before `recovered`.
        """
        self._lines.append(Line("error", f"the journal cannot be written: {error}; nothing is admitted until it can"))
        self._failure = str(error)
        self._retry_writing_ms = now.mono_ms + RETRY_WRITING_MS
        self._retention.postpone(now)
        if loaded is None:
            self.uncertain = True
        else:
            self.core = Core(loaded, self._rules, self._name, now)
        return self._refused(inputs.asked, ErrorCode.STORAGE, str(error))._replace(anew=loaded is not None)

    def refuse(self, inputs: Inputs, why: str) -> Said:
        """Refuse all changes while the journal cannot be written. Reports are dropped; the worker repeats them."""
        return self._refused(inputs.asked, ErrorCode.READ_ONLY, why)

    # --- a journal that cannot be written ----------------------------------------------------------------------

    def retries_writing(self, now: Instant) -> bool:
        """True if it is time to try again."""
        return now.mono_ms >= self._retry_writing_ms

    def still_failing(self, error: Exception, now: Instant) -> None:
        """Record that an attempt to write failed."""
        level = "debug" if str(error) == self._failure else "warning"
        self._lines.append(Line(level, f"the journal still cannot be written: {error}"))
        self._failure = str(error)
        self._retry_writing_ms = now.mono_ms + RETRY_WRITING_MS

    def recovered(self, loaded: Loaded, now: Instant) -> None:
        """Continue from the disk, now that the journal can be written again."""
        self._lines.append(Line("warning", "the journal can be written again"))
        self.core = Core(loaded, self._rules, self._name, now)
        self.uncertain = False

    # --- for the service ---------------------------------------------------------------------------------------

    def deadline_ms(self, read_only: bool, now_ms: int) -> int | None:
        """Return when the next turn is due if nothing arrives (monotonic), None for never."""
        if read_only:
            return self._retry_writing_ms
        if self._sending.lacks:
            return now_ms
        deadlines = self.core.next_deadline_ms(now_ms), self._retention.due_at_ms()
        return min((at for at in deadlines if at is not None), default=None)

    def service_event(self) -> ServiceEvent:
        """Return the present state of the worker and the pauses, for watchers of all jobs."""
        return ServiceEvent(self.core.journal, self.core.worker.state, self.core.paused, self.core.pauses)

    # --- parts -------------------------------------------------------------------------------------------------

    def _hear(self, message: WorkerMessage, now: Instant) -> None:
        if isinstance(message, Reports):
            self.core.on_reports(message, now)
        elif isinstance(message, Heartbeat):
            self.core.on_heartbeat(message, self._new_session(), now)
            self._sending.hears(message, now.mono_ms)
            self._heartbeat_heard = True
        elif isinstance(message, Started):
            self.core.on_started(message, now)
        elif isinstance(message, Progress):
            self.core.on_progress(message, now)
        elif isinstance(message, Piece):
            self.core.on_piece(message, now)
        elif isinstance(message, Described):
            self.core.on_described(message)
        else:
            assert isinstance(message, Received)
            self.core.on_received(message, self._sending.hears(message, now.mono_ms), now)

    def _send_jobs(self, now: Instant) -> None:
        """Send what the link has room for. After a heartbeat, say how much was sent, so that the worker notices
        losses."""
        if not self.core.worker.in_session:
            return
        session = self.core.session_name
        self.outbox.extend(map(codec.encode, self._sending.due(session, self.core.is_with_worker, now.mono_ms)))
        if self._heartbeat_heard:
            self.outbox.append(codec.encode(self._sending.sent(session)))
            self._heartbeat_heard = False

    def _refused(self, asked: Iterable[Asked], code: ErrorCode, why: str) -> Said:
        error = Error(code, f"the journal cannot be written: {why}")
        return self._said([(each.envelope, error) for each in asked])._replace(refused=True)

    def _said(
        self, replies: Sequence[tuple[Envelope, Reply]], job_changes: Sequence[JobChange] = (), settled: int = 0
    ) -> Said:
        """Add the worker's state to the log and the events if it has changed, even if only because the core was loaded
        anew."""
        worker = self.core.worker
        sentence = worker.warning or f"the worker is {worker.state.value}"
        if sentence != self._logged_of_worker:
            self._lines.append(Line("warning" if worker.warning else "info", sentence))
            self._logged_of_worker = sentence
        event = self.service_event()
        changed = event if event != self._published_service else None
        self._published_service = event
        lines, self._lines = self._lines, []
        return Said(replies, job_changes, changed, lines, settled)


def _decoded(frames: Iterable[bytes]) -> tuple[list[WorkerMessage], list[Line]]:
    """Return the messages in these frames, and a log line for each frame that cannot be decoded."""
    messages: list[WorkerMessage] = []
    lines = []
    for frame in frames:
        try:
            messages.append(codec.decode(frame, REPORTS))
        except codec.DecodeError as error:
            lines.append(Line("warning", f"a message of the worker was dropped: {error}", "worker"))
    return messages, lines


def _ended(effects: Effects) -> dict[JobId, EndedJob]:
    results = dict(effects.changes.results)
    jobs = (change.job for change in effects.job_changes if change.job.state.final)
    return {job.id: EndedJob(job, results.get(job.id, b"")) for job in jobs}
