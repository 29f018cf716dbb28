"""The broker's end of the hand-over: sessions, numbers, acknowledgements (docs/protocol.md, part 2).

Here is known which jobs are with the worker and under which numbers; what becomes of a job is decided in `core`.
A job that is handed over stands in `jobs` under its number until the worker reports how it ended (settled), returns it,
or is lost. A number belongs to one job for ever, and is committed before it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zjobs.broker.core.effects import Dispatched, Effects, JobChange
from zjobs.broker.core.jobs import Job, Loaded, Session
from zjobs.broker.core.window import Averages, Weight, Window
from zjobs.broker.core.worker_status import Instant, WorkerStatus
from zjobs.messages.dispatch import (
    Ack,
    Arrived,
    CancelRun,
    Ended,
    Heartbeat,
    Invalid,
    Output,
    Piece,
    Progress,
    Recall,
    Received,
    Rejected,
    Report,
    Reports,
    Returned,
    Started,
    StartSession,
    TakeOver,
)
from zjobs.messages.flow import Arrivals
from zjobs.messages.records import BrokerName, Limits, TaskType
from zjobs.messages.states import FailReason, Outcome
from zjobs.messages.units import DeliveryNumber, JobId, Ms, Us


class Dispatch:
    """The jobs with the worker. `types`: as last announced, None: never. `effects`: those of the present turn."""

    def __init__(self, loaded: Loaded, name: BrokerName, limits: Limits, now: Instant) -> None:
        self.effects = Effects()
        self.view = WorkerStatus(now.mono_ms)
        self.types = loaded.types
        self.jobs = dict(loaded.handed)
        self._numbers = {job.id: delivery for delivery, job in self.jobs.items()}
        self._session = loaded.session
        self._next_n = loaded.session.next_n if loaded.session else 1
        self._name = name
        self._limits = limits
        self._averages = Averages()
        self._window = Window()
        for delivery, job in self.jobs.items():
            self._window.add(delivery, self._weight(job))
        self._lacks: str | None = None
        self._acknowledge = False
        # The last report that returned jobs, until the worker shows that it has heard where to go on; 0: it has.
        # After a start that may be any report.
        self._unanswered_return = loaded.session.reports_done if loaded.session else 0
        self._arrivals = Arrivals(limits.result_bytes)
        self._lost_round: int | None = None  # of the worker's messages in it some did not come

    # --- what is there ---------------------------------------------------------------------------------------

    @property
    def running(self) -> Job | None:
        """The job that the worker last said it is running."""
        delivery = self.view.running_n
        return None if delivery is None else self.jobs.get(delivery)

    @property
    def session_name(self) -> str:
        """The session that hand-overs belong to; there are none without one."""
        assert self._session is not None
        return self._session.session

    def number_of(self, job_id: int) -> int | None:
        """The number under which the job is with the worker, None when it is not."""
        return self._numbers.get(JobId(job_id))

    def began_at(self, delivery: int) -> Ms | None:
        """When the run of number `n` began, as it was told; None when nobody was told that it has."""
        session = self._session
        return Ms(session.began_at) if session is not None and session.began_n == delivery else None

    def ahead(self, delivery: int) -> int:
        """How many jobs with the worker must end before number `n` starts."""
        return delivery - next(iter(self.jobs))

    def type_of(self, job: Job) -> TaskType:
        return (self.types or {}).get(job.type) or TaskType(job.type)

    # --- what the worker says --------------------------------------------------------------------------------

    def on_heartbeat(self, heartbeat: Heartbeat, new_session: str, now: Instant) -> Iterator[Job]:
        """The worker as it is now. `new_session`: the name for a session, if this heartbeat leads to one.

        Gives out the jobs that are in doubt, because this worker is not the one they were given to. They are judged by
        the types of the old one: the new one is learned of after that.
        """
        self.view.heard(heartbeat, now.mono_ms)
        journaled = self._session
        if journaled is not None and heartbeat.incarnation == journaled.incarnation:
            if heartbeat.session is None:
                self._learn_types(heartbeat)
                self._start_session()
            elif self._is_known(heartbeat, journaled):
                self._learn_types(heartbeat)
                self._go_on(heartbeat, journaled, now)
            else:
                self._refuse(heartbeat, now)
        elif heartbeat.session is None:
            yield from self._begin(heartbeat.incarnation, new_session, now)
            self._learn_types(heartbeat)
        else:
            self._refuse(heartbeat, now)

    def on_started(self, message: Started, now: Instant) -> None:
        """The worker began a job; of use only to those who look on."""
        if self._speaks(message.session) and self._is_next(message.delivery):
            self._began(message.delivery, now)

    def on_progress(self, message: Progress, now: Instant) -> None:
        """The running task told of itself."""
        if self._takes(message, now) and message.delivery == self.view.running_n:
            self.view.reported(message)
            self.effects.job_changes.append(JobChange(self.jobs[message.delivery], None))

    def on_piece(self, message: Piece, now: Instant) -> None:
        """A part of the next report's result. It is in memory alone until that report comes."""
        if self._takes(message, now):
            assert self._session is not None
            if message.number == self._session.reports_done + 1:
                self._arrivals.hold(message.offset, message.body)

    def on_received(self, message: Received, lost: bool, now: Instant) -> None:
        """How much of what was sent the worker has. `lost`: not all, of the present round."""
        if self._speaks(message.session):
            self.view.lives(now.mono_ms)
            if lost:
                self._send_again(message.taken)

    def on_reports(self, message: Reports, now: Instant) -> Iterator[tuple[Job, Ended | Output | None]]:
        """Takes the reports that come next, each of them once; gives out the jobs that they are about.

        With each comes how it ended, what it printed, or None when it was returned, certainly not begun.
        """
        if not self._takes(message, now):
            return
        assert self._session is not None
        done, ended = self._session.reports_done, 0
        for number, said in enumerate(message.reports, message.first):
            if number != done + 1:
                continue  # a repeat, or one whose predecessor was lost on the way
            whole = self._whole(said)
            if whole is None:
                self._lost_round = message.round
                break
            report, why = self._checked(whole)
            if isinstance(report, Returned):
                yield from [(job, None) for job in self._returned(number, report)]
            elif isinstance(report, Invalid) or not self._is_of_next(report):
                self._distrust(number, report)
                break
            elif isinstance(report, Output):
                yield self._printed(report, now), report
            else:
                if why:
                    self._reject(number, why)
                ended = report.delivery
                yield self._ended(report), report
            self._arrivals.drop()
            done = number
        self._change_session(reports_done=done)
        if ended and ended + 1 in self.jobs:
            self._began(ended + 1, now)

    def _whole(self, said: Report | Invalid) -> Report | Invalid | None:
        """The report with its whole result, None when the beginning is missing. What is too large is not waited for."""
        if not isinstance(said, Ended) or not said.result_from or _size(said) > self._limits.result_bytes:
            return said
        whole = self._arrivals.joined(said.result_from, said.result)
        return None if whole is None else said._replace(result=whole[0], result_from=0)

    def _checked(self, report: Report | Invalid) -> tuple[Report | Invalid, str]:
        """The report; or, in the place of an end that cannot be kept, that the job has failed, and why.

        The end of a job that cannot be read still says that the job has ended; which it was follows from the order.
        """
        if isinstance(report, Ended):
            size = _size(report)
            if size <= self._limits.result_bytes or report.outcome is not Outcome.COMPLETED:
                return report, ""
            failed = report
            why = f"the packed result has {size:,} bytes, more than the limit of {self._limits.result_bytes:,}"
        elif isinstance(report, Invalid) and report.ended and self.jobs:
            delivery, job = next(iter(self.jobs.items()))
            failed = Ended(report.delivery or DeliveryNumber(delivery), Outcome.FAILED, Us(0), id=report.id or job.id)
            why = f"the worker's report of its end is invalid: {report.why}"
        else:
            return report, ""
        failed = failed._replace(result=None, result_from=0, reason=FailReason.BAD_RESULT, message=why)
        return failed._replace(outcome=Outcome.FAILED), why

    def _reject(self, number: int, why: str) -> None:
        """Tells the worker, and people, that a report was settled in another way than it said."""
        self.effects.pipe.append(Rejected(self.session_name, number, why))
        self.effects.rejections.append(f"number {number} was rejected: {why}")

    def _distrust(self, number: int, report: Report | Invalid) -> None:
        """Nobody knows what this report settles: the worker has another journal in mind, or is broken."""
        assert self._session is not None
        if isinstance(report, Invalid):
            what = f"report number {number}, which is invalid ({report.why})"
        else:
            of_job = getattr(report, "id", 0)
            what = f"a report of number {report.delivery}, job {of_job}, which this journal does not expect"
        self.effects.warnings.append(f"the worker sent {what}: taking over")
        self.effects.pipe.append(TakeOver(self._session.incarnation))

    def _is_of_next(self, report: Output | Ended) -> bool:
        """Whether a report is about the job that is settled next."""
        return self._is_next(report.delivery) and report.id == self.jobs[report.delivery].id

    def _takes(self, message: Piece | Progress | Reports, now: Instant) -> bool:
        """Counts what arrives, which is a sign of life as well as a heartbeat is, and has it acknowledged."""
        if not self._speaks(message.session):
            return False
        self._arrivals.takes(message.round, 0)
        self.view.lives(now.mono_ms)
        self._acknowledge = True
        return True

    def _speaks(self, session: str) -> bool:
        """Whether `session` is the present one, and its worker was heard since this broker started."""
        return self._session is not None and session == self._session.session and self.view.known

    def _is_known(self, heartbeat: Heartbeat, journaled: Session) -> bool:
        running = heartbeat.running
        expected = None if running is None else self.jobs.get(running.delivery)
        return (
            heartbeat.session == journaled.session
            and heartbeat.taken < journaled.next_n
            and heartbeat.acked <= journaled.reports_done
            and (running is None or expected is None or running.id == expected.id)
        )

    def _learn_types(self, heartbeat: Heartbeat) -> None:
        types = {task_type.name: task_type for task_type in heartbeat.types}
        if types != self.types:
            self.types = types
            self.effects.changes.types = types

    def _start_session(self) -> None:
        assert self._session is not None
        incarnation, session = self._session.incarnation, self._session.session
        bounds = self._limits.result_bytes, self._limits.output_bytes
        self.effects.pipe.append(StartSession(incarnation, session, self._name, *bounds))

    def _begin(self, incarnation: str, session: str, now: Instant) -> list[Job]:
        """A new worker: the old one is gone, and with it the certainty about what it was given."""
        self.effects.dispatched.clear()  # repeats for the old worker, by its numbers; none of them was sent
        self.effects.again = True
        self._arrivals.drop()
        in_doubt = []
        for delivery, job in list(self.jobs.items()):
            in_doubt.append(self._interrupted(delivery, job))
            self._remove(delivery, job)
        self._session = self.effects.changes.session = Session(incarnation, session, 1, 0, 1)
        self._next_n = 1
        self._unanswered_return = 0
        self._start_session()
        return in_doubt

    def _interrupted(self, delivery: int, job: Job) -> Job:
        """The job as its lost run leaves it."""
        return job._replace(started_at=self.began_at(delivery), elapsed_ms=None)

    def _go_on(self, heartbeat: Heartbeat, journaled: Session, now: Instant) -> None:
        if not self.view.known:
            self.view.known = True
            self._arrivals.start_over()  # what came before was dropped, and another process may count the same round
            self._send_again(heartbeat.taken)
        if heartbeat.sent or heartbeat.acked < journaled.reports_done:  # what was said of these may be lost
            self._acknowledge = True
        if heartbeat.acked >= self._unanswered_return or heartbeat.taken >= journaled.resume:
            self._unanswered_return = 0
        self._look_for_progress(heartbeat, journaled, now)
        if self._arrivals.lacks(heartbeat.round, heartbeat.sent):
            self._lost_round = heartbeat.round
        running = heartbeat.running
        if running is not None and self._is_next(running.delivery):
            self._began(running.delivery, now, running.elapsed_ms)
            self.view.looks_stuck(running.stuck_ms)
        for delivery, job in self.jobs.items():
            if job.cancelling:
                self.effects.pipe.append(CancelRun(journaled.session, DeliveryNumber(delivery)))

    def _send_again(self, taken: int) -> None:
        """Hands over once more, under the same numbers, what the worker does not have."""
        self.effects.again = True
        self.effects.dispatched = [Dispatched(delivery, job) for delivery, job in self.jobs.items() if delivery > taken]

    def _look_for_progress(self, heartbeat: Heartbeat, journaled: Session, now: Instant) -> None:
        """A worker that runs nothing although it was given something must begin it, report it or return it soon."""
        delivery, job = next(iter(self.jobs.items()), (0, None))
        if job is None or heartbeat.running is not None:
            self.view.moves()
        else:
            what = "taken" if heartbeat.taken < delivery else "begun or reported the end of"
            which = f"job {job.id}, number {delivery} of its session"
            sentence = f"the worker runs nothing and has not {what} {which}, for a while"
            at = (delivery, heartbeat.taken, journaled.reports_done, *heartbeat.arrived, *self._arrivals.arrived)
            self.view.stands_still(at, sentence, now.mono_ms)

    def _refuse(self, heartbeat: Heartbeat, now: Instant) -> None:
        """A worker with a session that this journal does not know."""
        self.view.known = False
        other = heartbeat.broker
        ours = other is not None and (other.host, other.frontend) == (self._name.host, self._name.frontend)
        if ours or heartbeat.spooled:  # a spooled session is served by nobody any more
            self.effects.pipe.append(TakeOver(heartbeat.incarnation))
        else:
            self.view.serves(other)

    def _printed(self, output: Output, now: Instant) -> Job:
        self._began(output.delivery, now)
        self.view.printed(output.progress)
        job = self.jobs[output.delivery]._replace(output_bytes=output.offset + len(output.body))
        self.jobs[output.delivery] = job
        self.effects.job_changes.append(JobChange(job, None))
        return job

    def _ended(self, ended: Ended) -> Job:
        job = self.jobs[ended.delivery]
        self._remove(ended.delivery, job)
        if self._session is not None and ended.delivery >= self._session.resume:
            self._unanswered_return = 0  # it was given after the last return, so the worker has gone on
        self._averages.took(job.type, ended.elapsed_us)
        return job

    def _returned(self, number: int, returned: Returned) -> list[Job]:
        """Voids the numbers from `returned.n` on; the worker goes on with a number never given out."""
        assert self._session is not None
        back = [(delivery, job) for delivery, job in self.jobs.items() if delivery >= returned.delivery]
        for delivery, job in back:
            self._remove(delivery, job)
        self.view.stopping = returned.stopping
        self._unanswered_return = number
        self._change_session(resume=self._session.next_n)
        return [job for _, job in back]

    def _began(self, delivery: int, now: Instant, elapsed_ms: int = 0) -> None:
        if self.view.running_n != delivery:
            self.view.runs(delivery, now.mono_ms - elapsed_ms)
            if self.began_at(delivery) is None:
                self._change_session(began_n=delivery, began_at=max(0, now.wall_ms - elapsed_ms))
            self.effects.job_changes.append(JobChange(self.jobs[delivery], None))

    def _is_next(self, delivery: int) -> bool:
        """Whether `n` is the number that is settled next."""
        return delivery == next(iter(self.jobs), None)

    # --- what the core wants -----------------------------------------------------------------------------------

    @property
    def accepts(self) -> bool:
        """Whether the worker may be given jobs now, if the window admits them."""
        if self._session is None or self.types is None or not self.view.accepts:
            return False
        # what a return has left is settled first; so the numbers of `jobs` have no gap
        return next(iter(self.jobs), self._session.resume) >= self._session.resume

    def take(self, job: Job) -> bool:
        """Gives the job the next number, if it fits into the window; only when the worker accepts jobs."""
        assert self.types is not None
        if job.type not in self.types:
            self._lacks = (
                f"job {job.id} is of the type {job.type!r}, which the worker does not have "
                "(was it started without its --tasks?): nothing is handed over until it has"
            )
            return False
        weight = self._weight(job)
        if not self._window.admits(weight):
            return False
        delivery = self._next_n
        self._next_n += 1
        self._window.add(delivery, weight)
        self.jobs[delivery] = job._replace(output_bytes=0) if job.output_bytes else job  # an earlier run's
        self._numbers[job.id] = delivery
        self.effects.changes.deliveries.append((delivery, job.id))
        self.effects.dispatched.append(Dispatched(delivery, job))
        return True

    def cancel(self, delivery: int, job: Job) -> None:
        """Number `n` shall end; `job` is its record with that wish."""
        self.jobs[delivery] = job._replace(output_bytes=self.jobs[delivery].output_bytes)
        if self.view.known:
            self.effects.pipe.append(CancelRun(self.session_name, DeliveryNumber(delivery)))

    def recall(self) -> None:
        """Asks for everything that has not begun, if there is anything."""
        if self.view.known and len(self.jobs) > (self.running is not None):
            self.effects.pipe.append(Recall(self.session_name))

    def end_turn(self, now: Instant) -> None:
        """Acknowledges what is committed with this turn, and writes down how far the numbers went."""
        self.view.end_turn(self._lacks, now.mono_ms)
        self._lacks = None
        if self._session is not None and (self._acknowledge or self._lost_round is not None):
            self.effects.pipe.append(self._ack(self._session))
        self._acknowledge, self._lost_round = False, None
        if self._session is not None and self._next_n != self._session.next_n:
            self._change_session(next_n=self._next_n)

    def _ack(self, session: Session) -> Ack:
        arrived, held_bytes = self._arrivals.arrived, self._arrivals.held_bytes
        if self._lost_round is not None:
            arrived = Arrived(self._lost_round, 0)
        again = self._lost_round is not None
        resume = DeliveryNumber(session.resume) if self._unanswered_return else None
        return Ack(session.session, session.reports_done, resume, *arrived, held_bytes, again)

    def _remove(self, delivery: int, job: Job) -> None:
        del self.jobs[delivery], self._numbers[job.id]
        self._window.remove(delivery)
        if self.view.running_n == delivery:
            self.view.running_n = None
        self.effects.changes.settled.append((delivery,))

    def _change_session(self, **fields: Any) -> None:
        assert self._session is not None
        self._session = self.effects.changes.session = self._session._replace(**fields)

    def _weight(self, job: Job) -> Weight:
        alone = job.reruns > 0 or self.type_of(job).max_reruns == 0
        return Weight(self._averages.of(job.type), job.data_bytes, alone)


def _size(ended: Ended) -> int:
    """That of the whole result."""
    return ended.result_from + len(ended.result or b"")
