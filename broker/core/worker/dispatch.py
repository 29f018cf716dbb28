"""The broker's end of the dispatch: sessions, delivery numbers, acknowledgements (docs/protocol.md, part 2).

This half of the core knows the ids and numbers of the jobs in flight. `core`, which has their records, decides what
becomes of a job. A job is in flight from its dispatch until the worker reports how it ended (settled),
returns it, or is lost. A number belongs to one job for ever, and is committed before it is sent.
"""

from __future__ import annotations

from typing import Any

from zjobs.broker.core.records.jobs import Instant, Job, Loaded, Session
from zjobs.broker.core.worker.decided import Decided, Heard, InDoubt
from zjobs.broker.core.worker.in_flight import InFlight
from zjobs.broker.core.worker.reports import Reported, checked_report, described_report, whole_report
from zjobs.broker.core.worker.status import WorkerStatus
from zjobs.messages import dispatch as d
from zjobs.messages.flow import Arrivals
from zjobs.messages.records import BrokerName, Limits, TaskType
from zjobs.messages.units import DeliveryNumber, JobId, Ms


class Dispatch:
    """The broker's end of the dispatch. `status`: the broker's view of the worker."""

    def __init__(self, loaded: Loaded, name: BrokerName, limits: Limits, now: Instant) -> None:
        self.status = WorkerStatus(now.mono_ms)
        self.in_flight = InFlight()
        for delivery, job in loaded.in_flight.items():
            self.in_flight.add(delivery, job, (loaded.types or {}).get(job.type) or TaskType(job.type))
        self._session = loaded.session
        self._next_delivery = loaded.session.next_delivery if loaded.session else DeliveryNumber(1)
        self._name = name
        self._limits = limits
        self._acknowledge = False
        # The last report that returned jobs, until the worker shows that it knows where to continue; then 0.
        # After a start, that may be any report.
        self._unanswered_return = loaded.session.reports_done if loaded.session else 0
        self._arrivals = Arrivals(limits.result_bytes)
        self._lost_round: int | None = None  # the round in which messages of the worker were lost
        self._told_running: DeliveryNumber | None = None
        self._decided = Decided()

    # --- the present state -----------------------------------------------------------------------------------

    @property
    def running_id(self) -> JobId | None:
        """The job that is running by what the worker last said: the one that it named, or one behind an end."""
        delivery = self.status.running
        return None if delivery is None else self.in_flight.get(delivery)

    def has_started(self, delivery: DeliveryNumber) -> bool:
        """Return whether the worker has reported the start of this run. A job behind an end may be returned instead."""
        return delivery == self._told_running

    @property
    def session_name(self) -> str:
        """The name of the present session. Nothing is dispatched without one."""
        assert self._session is not None
        return self._session.session

    def began_at(self, delivery: DeliveryNumber) -> Ms | None:
        """Return when this run began, as clients were told; None if no start was announced."""
        session = self._session
        return session.began_at if session is not None and session.began_delivery == delivery else None

    @property
    def accepts(self) -> bool:
        """True if jobs may be dispatched now, as far as the window admits them."""
        if self._session is None or not self.status.accepts:
            return False
        # jobs from before a return are settled first, so that the numbers in `jobs` have no gap
        return (self.in_flight.first or self._session.resume) >= self._session.resume

    # --- what the worker says --------------------------------------------------------------------------------

    def on_heartbeat(self, heartbeat: d.Heartbeat, new_session: str, now: Instant) -> Heard:
        """Record the worker's heartbeat. `new_session`: the name of a session, if this heartbeat begins one."""
        self.status.heard(heartbeat, now.mono_ms)
        journaled = self._session
        types = {task_type.name: task_type for task_type in heartbeat.types}
        if journaled is not None and heartbeat.incarnation == journaled.incarnation:
            if heartbeat.session is None:
                self._start_session(journaled)
                return Heard(types=types)
            if self._continues(heartbeat, journaled):
                self._go_on(heartbeat, journaled, now)
                return Heard(True, types=types)
        elif heartbeat.session is None:
            return Heard(in_doubt=self._begin(heartbeat.incarnation, new_session), types=types)
        self._refuse(heartbeat)
        return Heard()

    def on_started(self, message: d.Started, now: Instant) -> None:
        """Record that the worker began a job. Only watchers need to know."""
        if self._is_present(message.session) and self._is_next(message.delivery):
            self._began(message.delivery, now)

    def on_progress(self, message: d.Progress, now: Instant) -> None:
        """Record the progress that the running task reports."""
        if self._counts(message, now) and message.delivery == self.status.running:
            self.status.reported(message, now.mono_ms)
            self._decided.run_changed = True

    def on_piece(self, message: d.Piece, now: Instant) -> None:
        """Keep a part of the next report's result in memory until that report comes."""
        if self._counts(message, now):
            assert self._session is not None
            if message.number == self._session.reports_done + 1:
                self._arrivals.hold(message.offset, message.body)

    def on_received(self, message: d.Received, lost: bool, now: Instant) -> None:
        """Record how much the worker has received. `lost`: something of the present round is missing."""
        if self._is_present(message.session):
            self.status.lives(now.mono_ms)
            if lost:
                self._send_again(message.taken)

    def on_reports(self, message: d.Reports, now: Instant) -> list[Reported]:
        """Accept the reports that are due, each once, and return the jobs that they are about."""
        reported: list[Reported] = []
        if not self._counts(message, now):
            return reported
        assert self._session is not None
        done, ended = self._session.reports_done, DeliveryNumber(0)
        for number, received in enumerate(message.reports, message.first):
            if number != done + 1:
                continue  # a repeat, or one whose predecessor was lost on the way
            whole = whole_report(received, self._arrivals, self._limits.result_bytes)
            if whole is None:
                self._lost_round = message.round
                break
            report, why = checked_report(whole, self.in_flight.next_job, self._limits.result_bytes)
            if isinstance(report, d.Returned):
                reported += [Reported(job_id, None, None) for job_id in self._returned(number, report)]
            elif isinstance(report, d.Invalid) or not self._is_of_next(report):
                self._distrust(number, report)
                break
            elif isinstance(report, d.Output):
                reported.append(self._printed(report, now))
            else:
                if why:
                    self._reject(number, why)
                ended = report.delivery
                reported.append(self._ended(report))
            self._arrivals.drop()
            done = number
        self._change_session(reports_done=done)
        behind = DeliveryNumber(ended + 1)
        if ended and behind in self.in_flight:
            self._began(behind, now, told=False)
        return reported

    def _reject(self, number: int, why: str) -> None:
        """Tell the worker and the log that a report was not settled as it said."""
        self._decided.pipe.append(d.Rejected(self.session_name, number, why))
        self._decided.rejections.append(f"number {number} was rejected: {why}")

    def _distrust(self, number: int, report: d.Report | d.Invalid) -> None:
        """Begin a new session, because it is unknown what this report settles: the worker is broken, or means another
        journal."""
        assert self._session is not None
        self._decided.warnings.append(f"the worker sent {described_report(number, report)}: taking over")
        self._decided.pipe.append(d.TakeOver(self._session.incarnation))

    def _is_of_next(self, report: d.Output | d.Ended) -> bool:
        """True if a report is about the job that is settled next."""
        return self._is_next(report.delivery) and report.id == self.in_flight[report.delivery]

    def _counts(self, message: d.Piece | d.Progress | d.Reports, now: Instant) -> bool:
        """Count a message of the present session, to be acknowledged. Return False for one of another session.

        Like a heartbeat, it shows that the worker lives."""
        if not self._is_present(message.session):
            return False
        self._arrivals.receives(message.round, 0)
        self.status.lives(now.mono_ms)
        self._acknowledge = True
        return True

    def _is_present(self, session: str) -> bool:
        """True if `session` is the present one, and its worker was heard since this broker started."""
        return self._session is not None and session == self._session.session and self.status.in_session

    def _continues(self, heartbeat: d.Heartbeat, journaled: Session) -> bool:
        running = heartbeat.running
        expected = None if running is None else self.in_flight.get(running.delivery)
        return (
            heartbeat.session == journaled.session
            and heartbeat.taken < journaled.next_delivery
            and heartbeat.acked <= journaled.reports_done
            and (running is None or expected is None or running.id == expected)
        )

    def _start_session(self, session: Session) -> None:
        bounds = self._limits.result_bytes, self._limits.output_bytes
        self._decided.pipe.append(d.StartSession(session.incarnation, session.session, self._name, *bounds))

    def _begin(self, incarnation: str, session: str) -> tuple[InDoubt, ...]:
        """Begin a session with a new worker. The old one is gone, so the jobs it was given are in doubt."""
        self._decided.to_send.clear()  # repeats for the old worker, under its numbers; none was sent
        self._decided.resend = True
        self._arrivals.drop()
        deliveries = list(self.in_flight)
        in_doubt = tuple(InDoubt(self._remove(delivery), self.began_at(delivery)) for delivery in deliveries)
        self._session = self._decided.session = Session(incarnation, session, DeliveryNumber(1), 0, DeliveryNumber(1))
        self._next_delivery = DeliveryNumber(1)
        self._unanswered_return = 0
        self._start_session(self._session)
        return in_doubt

    def _go_on(self, heartbeat: d.Heartbeat, journaled: Session, now: Instant) -> None:
        if not self.status.in_session:
            self.status.in_session = True
            self._arrivals.start_over()  # earlier messages were dropped, and another broker may have counted this round
            self._send_again(heartbeat.taken)
        if heartbeat.sent or heartbeat.acked < journaled.reports_done:  # their acknowledgements may be lost
            self._acknowledge = True
        if heartbeat.acked >= self._unanswered_return or heartbeat.taken >= journaled.resume:
            self._unanswered_return = 0
        self._look_for_progress(heartbeat, journaled, now)
        if self._arrivals.lacks(heartbeat.round, heartbeat.sent):
            self._lost_round = heartbeat.round
        running = heartbeat.running
        if running is not None and self._is_next(running.delivery):
            self._began(running.delivery, now, running.elapsed_ms)
            self.status.looks_stuck(running.stuck_ms)

    def _send_again(self, taken: DeliveryNumber) -> None:
        """Send again, under the same numbers, the jobs that the worker does not have."""
        self._decided.resend = True
        self._decided.to_send = [delivery for delivery in self.in_flight if delivery > taken]

    def _look_for_progress(self, heartbeat: d.Heartbeat, journaled: Session, now: Instant) -> None:
        """Watch a worker that has jobs but runs none: it must soon begin, report or return one."""
        delivery, job_id = self.in_flight.next_job
        if not delivery or heartbeat.running is not None:
            self.status.moves()
        else:
            what = "taken" if heartbeat.taken < delivery else "begun or reported the end of"
            which = f"job {job_id}, number {delivery} of its session"
            sentence = f"the worker runs nothing, and for a while has not {what} {which}"
            at = (delivery, heartbeat.taken, journaled.reports_done, *heartbeat.arrived, *self._arrivals.arrived)
            self.status.stands_still(at, sentence, now.mono_ms)

    def _refuse(self, heartbeat: d.Heartbeat) -> None:
        """Refuse a worker with a session that this journal does not know."""
        self.status.in_session = False
        other = heartbeat.broker
        ours = other is not None and (other.host, other.frontend) == (self._name.host, self._name.frontend)
        if ours or heartbeat.spooled:  # nobody serves a spooled session any more
            self._decided.pipe.append(d.TakeOver(heartbeat.incarnation))
        else:
            self.status.serves(other)

    def _printed(self, output: d.Output, now: Instant) -> Reported:
        self._began(output.delivery, now)
        self.status.printed(output.progress)
        self._decided.run_changed = True
        return Reported(self.in_flight[output.delivery], output, self.began_at(output.delivery))

    def _ended(self, ended: d.Ended) -> Reported:
        job_id = self._remove(ended.delivery)
        if self._session is not None and ended.delivery >= self._session.resume:
            self._unanswered_return = 0  # dispatched after the last return, so the worker knows where to continue
        return Reported(job_id, ended, self.began_at(ended.delivery))

    def _returned(self, number: int, returned: d.Returned) -> list[JobId]:
        """Void the numbers from `returned.delivery` on. The worker continues with a number never used."""
        assert self._session is not None
        back = [delivery for delivery in self.in_flight if delivery >= returned.delivery]
        self.status.stopping = returned.stopping
        self._unanswered_return = number
        self._change_session(resume=self._session.next_delivery)
        return [self._remove(delivery) for delivery in back]

    def _began(self, delivery: DeliveryNumber, now: Instant, elapsed_ms: int = 0, told: bool = True) -> None:
        """Record that a run goes on. `told`: the worker has named it."""
        if told:
            self._told_running = delivery
        if self.status.running != delivery:
            self.status.runs(delivery, Ms(now.mono_ms - elapsed_ms))
            if self.began_at(delivery) is None:
                self._change_session(began_delivery=delivery, began_at=Ms(max(0, now.wall_ms - elapsed_ms)))
            self._decided.run_changed = True

    def _is_next(self, delivery: DeliveryNumber) -> bool:
        """True if this delivery is the one that is settled next."""
        return delivery == self.in_flight.first != 0

    # --- the core's decisions ----------------------------------------------------------------------------------

    def dispatch(self, job: Job, task_type: TaskType) -> bool:
        """Dispatch the job under the next number. Return False if the window has no room. Requires `accepts`."""
        if not self.in_flight.admits(job, task_type):
            return False
        delivery = self._next_delivery
        self._next_delivery = DeliveryNumber(delivery + 1)
        self.in_flight.add(delivery, job, task_type)
        self._decided.deliveries.append((delivery, job.id))
        self._decided.to_send.append(delivery)
        return True

    def cancel(self, delivery: DeliveryNumber) -> None:
        """Tell the worker to end this run."""
        if self.status.in_session:
            self._decided.pipe.append(d.CancelRun(self.session_name, delivery))

    def ask_for_schemas(self, incarnation: str, digests: tuple[str, ...]) -> None:
        """Ask the worker for schemas that the journal lacks."""
        self._decided.pipe.append(d.Describe(incarnation, digests))

    def recall(self) -> None:
        """Ask the worker to return everything that has not begun, if there is anything."""
        if self.status.in_session and len(self.in_flight) > (self._told_running is not None):
            self._decided.pipe.append(d.Recall(self.session_name))

    def end_turn(self, lacks: str | None, now: Instant) -> Decided:
        """Acknowledge what is committed with this turn, and return everything decided in it. `lacks`: why this worker
        cannot run the next job, None if it can."""
        self.status.end_turn(lacks, now.mono_ms)
        if self._session is not None and (self._acknowledge or self._lost_round is not None):
            self._decided.pipe.append(self._ack(self._session))
        self._acknowledge, self._lost_round = False, None
        if self._session is not None and self._next_delivery != self._session.next_delivery:
            self._change_session(next_delivery=self._next_delivery)
        decided, self._decided = self._decided, Decided()
        return decided

    def _ack(self, session: Session) -> d.Ack:
        arrived, held_bytes = self._arrivals.arrived, self._arrivals.held_bytes
        if self._lost_round is not None:
            arrived = d.Arrived(self._lost_round, 0)
        again = self._lost_round is not None
        resume = session.resume if self._unanswered_return else None
        return d.Ack(session.session, session.reports_done, resume, *arrived, held_bytes, again)

    def _remove(self, delivery: DeliveryNumber) -> JobId:
        """Remove a job from those in flight, and return its id."""
        job_id = self.in_flight.remove(delivery)
        if self.status.running == delivery:
            self.status.running = self._told_running = None
        self._decided.settled.append((delivery,))
        return job_id

    def _change_session(self, **fields: Any) -> None:
        assert self._session is not None
        self._session = self._decided.session = self._session._replace(**fields)
