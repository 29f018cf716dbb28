"""The worker's messages: about itself, and about the jobs dispatched to it."""

from __future__ import annotations

from zjobs.broker.core import lifecycle
from zjobs.broker.core.admission import Rules
from zjobs.broker.core.estimates.history import tells_duration
from zjobs.broker.core.records.jobs import Instant, Job, Loaded, Step, next_state
from zjobs.broker.core.waits import Waits
from zjobs.broker.core.worker.schemas import Schemas
from zjobs.messages.dispatch import Described, Ended, Heartbeat, Output, Piece, Progress, Received, Reports, Started
from zjobs.messages.records import BrokerName
from zjobs.messages.units import Ms

NIL = b"\xc0"  # msgpack: nothing


class Runs(Waits):
    """The queue, and what becomes of dispatched jobs."""

    def __init__(self, loaded: Loaded, rules: Rules, name: BrokerName, now: Instant) -> None:
        super().__init__(loaded, rules, name, now)
        self._schemas = Schemas(loaded.schemas, loaded.types)

    def on_heartbeat(self, heartbeat: Heartbeat, new_session: str, now: Instant) -> None:
        """Record the worker's heartbeat. `new_session`: 32 hex digits never used before, the name of a session if one
        begins."""
        heard = self._dispatch.on_heartbeat(heartbeat, new_session, now)
        for job_id, began_at in heard.in_doubt:  # judged by the types of the worker that was lost
            job = self._jobs[job_id]
            self._settle(lifecycle.after_loss(job, began_at, self.type_of(job), self.moment(now)), now)
        if heard.types is not None and heard.types != self.types:
            self.types = self._effects.changes.types = heard.types
            self._effects.changes.schemas |= dict.fromkeys(self._schemas.announced(heard.types))
        if heard.in_session:
            for delivery in self._dispatch.in_flight:
                if self._jobs[self._dispatch.in_flight[delivery]].cancelling:
                    self._dispatch.cancel(delivery)
        if heard.in_session and self._schemas.missing:
            self._dispatch.ask_for_schemas(heartbeat.incarnation, self._schemas.missing)
        if self.paused is not None or self._pending_edits or self._recalled:
            self._dispatch.recall()

    def on_described(self, message: Described) -> None:
        """Keep a schema that the worker was asked for."""
        if self._schemas.accepts(message.digest, message.schema):
            self._effects.changes.schemas[message.digest] = message.schema

    def on_gone(self) -> None:
        """Record that the connection to the worker is lost. Its jobs stay in doubt until a worker is heard again."""
        self.worker.gone()

    def on_started(self, message: Started, now: Instant) -> None:
        """Record that a job has begun."""
        self._dispatch.on_started(message, now)

    def on_progress(self, message: Progress, now: Instant) -> None:
        """Record the progress that the running task reports."""
        self._dispatch.on_progress(message, now)

    def on_piece(self, message: Piece, now: Instant) -> None:
        """Keep a piece of a large result until its report comes."""
        self._dispatch.on_piece(message, now)

    def on_received(self, message: Received, lost: bool, now: Instant) -> None:
        """Send again what the worker lacks if something was lost."""
        self._dispatch.on_received(message, lost, now)

    def on_reports(self, message: Reports, now: Instant) -> None:
        """Settle the jobs whose end the worker reports, and put back those that it returns."""
        for job_id, report, began_at in self._dispatch.on_reports(message, now):
            job = self._jobs[job_id]
            if isinstance(report, Output):
                self._keep_output(job, report.offset, report.body)
                # announced without a new version: its state is the same
                self._jobs.write(job._replace(output_bytes=report.offset + len(report.body)))
            elif report is not None:
                self._end(job, report, began_at, now)
            elif job.cancelling:
                self._settle(lifecycle.cancelled_unbegun(job, self.moment(now)), now)
            else:
                next_state(job, Step.RETURN)
                self._put_in_place(job, Ms(0), now)

    def _end(self, job: Job, ended: Ended, began_at: Ms | None, now: Instant) -> None:
        if ended.output is not None:
            self._keep_output(job, max(0, ended.output_bytes - len(ended.output)), ended.output)
        self._dispatch.in_flight.ended(job.type, ended.elapsed_us)
        self._history.ended(job.type, ended.elapsed_us, tells_duration(ended))
        fate = lifecycle.after_end(job, ended, began_at, self.type_of(job), self.moment(now))
        if fate.step is Step.COMPLETE:
            self._effects.changes.results.append((job.id, NIL if ended.result is None else ended.result))
        self._settle(fate, now)
