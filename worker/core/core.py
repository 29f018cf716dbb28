"""The worker's side of the hand-over (docs/protocol.md, part 2): no sockets, clocks, files or randomness in here.

Messages and events go in through the `on_…` methods, `stop` and `stop_at_once`; each only changes the state. Then
`turn(now_ms)` says what is to be done, in order; the service does it at once, answers a `TakeBack` with
`on_taken_back` and a `Look` with `on_seen`, and calls `turn` again until nothing more comes. `next_deadline_ms` is
when to call it otherwise.

What the worker does with what it hears, by state (a state that is not named behaves like running):

              | no session        | running                  | returning            | stopping
  ------------+-------------------+--------------------------+----------------------+---------------------------
  session     | -> running        | drop                     | drop                 | drop
  jobs        | drop              | take the next numbers    | drop                 | drop
  piece       | drop              | keep if it joins         | drop                 | drop
  sent        | drop              | ask again for what is missing, in each of them
  ack         | drop              | forget reports           | the same; when it    | the same; when nothing is
              |                   |                          | covers the return:   | left to run or to report:
              |                   |                          | -> running (resume)  | exit
  rejected    | drop              | say so                   | say so               | say so
  take_over   | new incarnation, everything forgotten, -> no session (stopping: exit)
  cancel_run  | drop            | it runs: end it; it has  | it runs: end it      | it runs: end it
              |                 | not begun or not come:   |                      |
              |                 | return, -> returning     |                      |
  return_jobs | drop            | with jobs behind it:     | drop                 | drop
              |                 | return, -> returning     |                      |
  time limit  |                 | end it                   | end it               | end it
  ran 50 ms   |                   | with jobs behind it:     |                      |
              |                   | return, -> returning     |                      |
  stop        | exit              | return, -> stopping      | return again,        | kill what runs; the
              |                   |                          | -> stopping          | third time: exit soon

A worker that stops exits when nothing runs any more and every report is acknowledged. When no acknowledgement has come
for its farewell time, it has the reports spooled for the next worker (`SaveSpool`) and exits then.

To end what runs: take back what is behind it (if that brings its end, there is nothing to do), tell the task, wait for
its grace time, kill the task process. Nothing is offered from the first of these to the end of the job.

Numbers: `_jobs` holds what was taken and has neither ended nor been returned, in order of its numbers. Of these, all
up to `_offered` are with the task process, and the first of them is the one that runs.
"""

from __future__ import annotations

from zjobs.messages import codec
from zjobs.messages.dispatch import (
    Ack,
    Beat,
    CancelRun,
    Ended,
    HandedJob,
    Jobs,
    Piece,
    PipeMessage,
    Received,
    Rejected,
    Returned,
    ReturnJobs,
    Running,
    Sent,
    Started,
    StartSession,
    TakeOver,
)
from zjobs.messages.flow import CONFIRM_BYTES, Arrivals
from zjobs.messages.records import BrokerName, TaskType
from zjobs.worker.core.effects import (
    Effect,
    EndTask,
    Exit,
    KillTask,
    Look,
    Offer,
    Publish,
    Renew,
    SaveSpool,
    Say,
    TakeBack,
)
from zjobs.worker.core.outbox import Outbox
from zjobs.worker.core.progress import PIECE_BYTES, Seen
from zjobs.worker.core.run import LOOK_MS, Run
from zjobs.worker.core.spool import Spool

BEAT_MS = 1000
RETURN_AFTER_MS = 50
START_AFTER_MS = 3  # most short jobs end before; then their end says all, and the broker is not woken for nothing
FAREWELL_MS = 5000
HURRY_MS = 2000  # the farewell time after a second signal, if it is longer
RETRY_SPOOL_MS = 1000
UNACKNOWLEDGED_BYTES = 4 << 20
OUTPUT_UNACKNOWLEDGED_BYTES = 1 << 20  # the rest of a running job's output waits where only its end is kept


class WorkerCore:
    """The state of one worker; it begins with a task process that has announced `types`.

    farewell_ms: how long it waits for acknowledgements when it stops. `warning`: a sentence for `info`, None: none.
    """

    def __init__(
        self,
        incarnation: str,
        types: tuple[TaskType, ...],
        host: str,
        pid: int,
        farewell_ms: int = FAREWELL_MS,
    ) -> None:
        self.stopping = False
        self.warning: str | None = None
        self._host = host
        self._pid = pid
        self._farewell_ms = farewell_ms
        self._spool_at_ms = 0  # not before, when the disk refused it
        self._giving_up = False
        self._ready = True
        self._killing = False
        self.obstacle: str | None = None
        self._exited = False
        self._effects: list[Effect] = []
        self._announce(types)
        self._renew(incarnation)

    def _renew(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.session: str | None = None
        self.taken = 0
        self.outbox = Outbox()
        self._arrivals = Arrivals(codec.MAX_DATA_BYTES)
        self._lost_round: int | None = None  # of the broker's messages in it some did not come
        self._broker: BrokerName | None = None
        self._result_bytes = 0
        self._jobs: dict[int, HandedJob] = {}
        self._offered = 0
        self._run = Run()
        self._cancels: set[int] = set()
        # The job that has begun and has nothing behind it in the task process; 0: not known of any.
        self._alone = 0
        self._return_asked = False
        self._return_coming = False
        # The number of the report that returned, until it is acknowledged, and from where it did.
        self._returning: int | None = None
        self._returned_from = 0
        self._taking_back = False
        self._keep_taken_back = False
        self._start_untold = 0
        self._asked_for: dict[bool, tuple[int, int]] = {}
        self._stop_untold = False
        self._beat_at_ms = 0
        self._quiet_since_ms = 0

    @property
    def broker(self) -> BrokerName | None:
        """Whose jobs are run; None before there is a session."""
        return self._broker

    @property
    def running_id(self) -> int | None:
        """The id of the job that runs, None when none does."""
        n = self._running()
        return None if n is None else self._jobs[n].id

    # --- what the broker sends -------------------------------------------------------------------------

    def on_pipe(self, message: PipeMessage, now_ms: int, next_incarnation: str) -> None:
        """A message of the broker. `next_incarnation` is used when it makes the worker start anew."""
        if isinstance(message, Jobs):
            self._take(message)
        elif isinstance(message, Piece):
            self._hold(message)
        elif isinstance(message, Ack):
            self._acknowledge(message, now_ms)
        elif isinstance(message, Sent):
            if message.session == self.session and self._arrivals.lacks(message.round, message.count):
                self._lost_round = message.round
        elif isinstance(message, StartSession):
            self._start_session(message, now_ms)
        elif isinstance(message, CancelRun):
            self._cancel(message)
        elif isinstance(message, ReturnJobs):
            self._return_asked |= message.session == self.session and self._behind()
        elif isinstance(message, Rejected):
            if message.session == self.session:
                self._effects.append(Say(f"the broker rejected report {message.report}: {message.message}"))
        elif message.incarnation == self.incarnation:
            assert isinstance(message, TakeOver)
            self._renew(next_incarnation)
            self._ready = False
            self._beat_at_ms = now_ms
            self._effects.append(Renew(next_incarnation))

    def on_subscription(self, now_ms: int) -> None:
        """A broker listens anew: it may have missed everything."""
        self._beat_at_ms = now_ms
        self.outbox.start_over()

    def _start_session(self, message: StartSession, now_ms: int) -> None:
        if message.incarnation != self.incarnation or self.session is not None or self.stopping:
            return
        self.session = message.session
        self._broker = message.broker
        self._result_bytes = message.result_bytes
        self._run = Run(message.output_bytes)
        self._beat_at_ms = now_ms

    def _takes(self, message: Jobs | Piece, size: int) -> bool:
        """Counts what arrives, and tells whether it is taken."""
        if message.session != self.session:
            return False
        self._arrivals.takes(message.round, size)
        return not self.stopping and self._returning is None

    def _hold(self, message: Piece) -> None:
        if self._takes(message, CONFIRM_BYTES) and message.number == self.taken + 1:
            self._arrivals.hold(message.offset, message.body)

    def _take(self, message: Jobs) -> None:
        if not self._takes(message, sum(32 + len(job.data or b"") for job in message.jobs)):
            return
        known = self.taken + 1 - message.first
        if known < 0:
            return
        for job in message.jobs[known:]:
            whole = self._arrivals.joined(job.data_from, job.data)
            if whole is None:
                self._lost_round = message.round
                return
            self._arrivals.drop()
            self.taken += 1
            self._jobs[self.taken] = job._replace(data=whole[0], data_from=0) if job.data_from else job

    def _acknowledge(self, message: Ack, now_ms: int) -> None:
        outbox = self.outbox
        if message.session != self.session or not outbox.acked <= message.reports <= outbox.reported:
            return
        returned = self._returning is not None and message.reports >= self._returning
        if returned and (message.resume is None or message.resume < self._returned_from):
            return  # nobody would say again where to go on once this is acknowledged
        if outbox.hears(message, now_ms):
            self._quiet_since_ms = now_ms  # as long as something arrives, the rest is waited for
        if returned and message.resume is not None:
            self._returning = None
            self.taken = self._offered = message.resume - 1
            self._arrivals.drop()

    def _cancel(self, message: CancelRun) -> None:
        if message.session != self.session:
            return
        if message.n > self.taken:  # on its way, maybe in pieces for a long time: it must not begin when it is here
            self._return_coming |= self._returning is None
        if message.n not in self._jobs:
            return
        self._cancels.add(message.n)
        # by what has been heard so far it has not begun; if it has, the answer to TakeBack shows that
        self._return_asked |= message.n != self._running()

    @property
    def run_name(self) -> tuple[str, int, int]:
        """The journal, the id and the attempt of the job that runs; only while one does."""
        n = self._running()
        assert n is not None and self._broker is not None
        return self._broker.journal, self._jobs[n].id, self._jobs[n].attempt

    # --- what the task process does --------------------------------------------------------------------

    def on_ready(self, types: tuple[TaskType, ...], now_ms: int) -> None:
        """A new task process has announced its types."""
        self._ready = True
        if types != self.types:
            self._announce(types)
            self._beat_at_ms = now_ms

    def _announce(self, types: tuple[TaskType, ...]) -> None:
        self.types = types
        self._type_named = {one.name: one for one in types}

    def on_output(self, n: int, data: bytes, file: str | None = None) -> None:
        """The running job has printed something. file: where all of its output is."""
        assert n == self._running(), (n, self._running())
        self._run.printed(data, file)

    def on_seen(self, seen: Seen, now_ms: int) -> None:
        """The answer to `Look`."""
        n = self._running()
        assert n is not None and self.session is not None
        id = self._jobs[n].id
        self._run.seen(seen)
        if self._run.newly_stuck(now_ms):
            self._effects.append(Say(f"job {id}: its task process gives no sign of life; it is left alone"))
        if self.outbox.flow.has_room():  # else later
            news = self._run.progress(self.session, n, id)
            if news is not None:
                self.outbox.flow.sends(len(news.note or ""), now_ms)
                self._effects.append(Publish(news._replace(round=self.outbox.flow.round)))
        room_bytes = OUTPUT_UNACKNOWLEDGED_BYTES - self.outbox.weight_bytes
        for piece in self._run.output(n, id, max(0, room_bytes // PIECE_BYTES)):
            self.outbox.add(piece)

    def on_ended(self, ended: Ended, now_ms: int) -> None:
        """The first of the jobs offered has ended."""
        assert ended.n == self._running(), (ended.n, self._running())
        job = self._jobs.pop(ended.n)
        for report in self._run.report(ended, job.id):
            self.outbox.add(report)
        self._cancels.discard(ended.n)
        self._quiet_since_ms = now_ms
        self._run.begin(now_ms)  # the next one, if there is one

    def on_task_process_died(self, lost: list[int], unbegun: list[int], how: str, now_ms: int, killed: int = 0) -> None:
        """It is dead; all its results went to `on_ended` before. `lost` had begun, `unbegun` had not. killed: how many
        processes it had left."""
        for n in lost:
            self.on_ended(self._run.lost(n, how, self._killing, now_ms)._replace(killed=killed), now_ms)
            killed = 0  # they were those of the first: the others had not come to start any
        self._rewind(unbegun)
        self._ready = False

    def on_taken_back(self, numbers: list[int], now_ms: int) -> None:
        """The answer to `TakeBack`: the jobs offered that have not begun."""
        self._taking_back = False
        self._rewind(numbers)
        self._alone = self._running() or 0
        if self._keep_taken_back:
            return
        unbegun = [n for n in self._jobs if n > self._offered]
        if unbegun or self._return_coming or self._stop_untold:
            for n in unbegun:
                del self._jobs[n]
            self._cancels.difference_update(unbegun)
            if self._returning is None:
                self._returned_from = self._offered + 1
            self.outbox.add(Returned(self._returned_from, self.stopping))
            self._returning = self.outbox.reported
            self._stop_untold = self._return_coming = False
            self._quiet_since_ms = now_ms

    def _rewind(self, numbers: list[int]) -> None:
        if numbers:
            self._offered = min(numbers) - 1

    def on_obstacle(self, sentence: str | None, now_ms: int) -> None:
        """What keeps any job from being started; None: nothing. The broker gets all jobs back meanwhile."""
        if sentence == self.obstacle:
            return
        self.obstacle = sentence
        self._beat_at_ms = now_ms
        self._effects.append(Say(sentence or "what kept jobs from being started is gone"))

    # --- what people want --------------------------------------------------------------------------------

    def stop(self, now_ms: int) -> None:
        """Finish the running job, return the rest, and exit when all is acknowledged or spooled.

        The second time: do not wait for the running job; the third time: nor for the broker.
        """
        if self.stopping:
            self.stop_at_once(now_ms)
            return
        self.stopping = True
        self._stop_untold = self.session is not None
        self._beat_at_ms = self._quiet_since_ms = now_ms

    def stop_at_once(self, now_ms: int) -> None:
        """Kill the running job; the broker puts it back. Exit when that is acknowledged, or spooled soon."""
        if not self.stopping:
            self.stop(now_ms)
        if self._killing:
            self._giving_up = True
            self._spool_at_ms = now_ms
            return
        self._killing = True
        self._farewell_ms = min(self._farewell_ms, HURRY_MS)
        self._quiet_since_ms = now_ms
        if self._running() is not None:
            self._effects.append(KillTask())

    # --- what is to be done --------------------------------------------------------------------------------

    def turn(self, now_ms: int) -> list[Effect]:
        """What is to be done now, in this order."""
        for step in (self._end_run_if_due, self._take_back_if_due, self._offer):
            if not self._taking_back:
                step(now_ms)
        n = self._running()
        if n is not None and n == self._start_untold and now_ms >= self._run.started_ms + START_AFTER_MS:
            assert self.session is not None
            self._effects.append(Publish(Started(self.session, n, self._jobs[n].id)))
            self._start_untold = 0
        if n is not None and now_ms >= self._run.look_at_ms and not self._taking_back:  # that may bring its end
            self._run.look_at_ms = now_ms + LOOK_MS
            self._effects.append(Look(n))
        if now_ms >= self._beat_at_ms:
            self._beat_at_ms = now_ms + BEAT_MS
            self._effects.append(Publish(self._beat(now_ms)))
        if self.session is not None:
            self._confirm(self.session)
            self._effects += [Publish(reports) for reports in self.outbox.due(self.session, now_ms, len(self._jobs))]
        self._end(now_ms)
        effects, self._effects = self._effects, []
        return effects

    def next_deadline_ms(self) -> int:
        """When `turn` has something to do although nothing happened."""
        times = [self._beat_at_ms]
        if (n := self._running()) is not None:
            times += self._run.times(self._limit_ms(n))
            if n == self._start_untold:
                times.append(self._run.started_ms + START_AFTER_MS)
        if self._return_wanted():
            times.append(self._run.started_ms + RETURN_AFTER_MS)
        if self.stopping and not self._jobs:
            times.append(self._due_to_spool_ms())
        return min(times)

    def _confirm(self, session: str) -> None:
        """Tells how much of what the broker sends has come, when that is much or something was lost."""
        arrived, held_bytes = self._arrivals.arrived, self._arrivals.held_bytes
        if self._lost_round is not None:
            self._effects.append(Publish(Received(session, self.taken, self._lost_round, 0, held_bytes, again=True)))
            self._lost_round = None
        elif self._arrivals.confirms():
            self._effects.append(Publish(Received(session, self.taken, *arrived, held_bytes)))

    def _running(self) -> int | None:
        """The number of the job that runs."""
        n = next(iter(self._jobs), None)
        return n if n is not None and n <= self._offered else None

    def _behind(self) -> bool:
        """Whether something has not begun, as far as is known."""
        return len(self._jobs) > (self._running() is not None)

    def _return_wanted(self) -> bool:
        """Whether something waits behind the running job that has not been asked back yet."""
        n = self._running()
        return n is not None and len(self._jobs) > 1 and self._asked_for.get(False) != (n, self.taken)

    def _limit_ms(self, n: int) -> int | None:
        job = self._jobs[n]
        kind = self._type_named.get(job.type)
        return job.time_limit_ms or (kind.time_limit_ms if kind else None)

    def _end_run_if_due(self, now_ms: int) -> None:
        """Ends the running job, step by step, if it was cancelled or has passed its time limit."""
        n, run = self._running(), self._run
        if n is None or self._killing:
            return
        if run.ending:
            if run.kill_due(now_ms):
                self._effects.append(KillTask())
            return
        limit_ms = None if n in self._cancels else self._limit_ms(n)
        if n not in self._cancels and (limit_ms is None or run.elapsed_ms(now_ms) < limit_ms):
            return
        if self._alone != n:
            self._take_back(keep=False)
            return
        grace_ms = self._type_named.get(self._jobs[n].type, TaskType("")).grace_ms
        run.tell_to_end(limit_ms, grace_ms, now_ms)
        self._effects.append(EndTask(n))

    def _take_back_if_due(self, now_ms: int) -> None:
        n = self._running()
        overdue = self._return_wanted() and now_ms >= self._run.started_ms + RETURN_AFTER_MS
        blocked = self.obstacle is not None and self._behind() and self._returning is None
        if self._return_asked or self._return_coming or self._stop_untold or overdue or blocked:
            self._take_back(keep=False)
        elif (
            self.outbox.weight_bytes > UNACKNOWLEDGED_BYTES
            and n is not None
            and self._offered > n
            and self._asked_for.get(True) != (n, self.taken)
        ):
            self._take_back(keep=True)

    def _take_back(self, keep: bool) -> None:
        """Asks for the jobs that have not begun, to return them or to keep them for later.

        Once for each running job and what is behind it: it may be that all had begun and only their ends are
        still to be read.
        """
        self._taking_back = True
        self._keep_taken_back = keep
        self._return_asked &= keep
        self._asked_for[keep] = (self._running() or 0, self.taken)
        self._effects.append(TakeBack())

    def _offer(self, now_ms: int) -> None:
        if not self._ready or self.obstacle is not None or self._returning is not None or self._run.ending:
            return
        if self.outbox.weight_bytes > UNACKNOWLEDGED_BYTES:
            return
        while self._offered < self.taken:
            idle = self._running() is None
            self._offered += 1
            n, job = self._offered, self._jobs[self._offered]
            self._alone = 0
            self._effects.append(Offer(n, job, self._result_bytes))
            if idle:  # nothing ended before it, so the broker cannot know
                self._run.begin(now_ms)
                self._start_untold = n

    def _beat(self, now_ms: int) -> Beat:
        n = self._running()
        running = None
        if n is not None:
            run = self._run
            running = Running(n, self._jobs[n].id, run.elapsed_ms(now_ms), run.stuck_ms(now_ms))
        return Beat(
            self.incarnation,
            self.session,
            self.taken,
            self.outbox.acked,
            self.stopping,
            running,
            self.types,
            self._broker,
            self._host,
            self._pid,
            warning=self.warning,
            obstacle=self.obstacle,
            round=self.outbox.flow.round,
            sent=self.outbox.flow.count,
            arrived=self._arrivals.arrived,
        )

    # --- the end -------------------------------------------------------------------------------------------

    def _end(self, now_ms: int) -> None:
        if not self.stopping or self._jobs or self._stop_untold or self._exited:
            return
        if not self.outbox:
            self._exit()
        elif now_ms >= self._due_to_spool_ms():
            self._spool_at_ms = now_ms + RETRY_SPOOL_MS
            self._effects.append(SaveSpool(Spool(self._beat(now_ms), self.outbox.unacknowledged())))

    def _due_to_spool_ms(self) -> int:
        """When the reports are spooled that nobody has acknowledged by then."""
        return max(self._spool_at_ms, 0 if self._giving_up else self._quiet_since_ms + self._farewell_ms)

    def on_spooled(self) -> None:
        """The next worker will tell what is left to tell."""
        self._exit()

    def on_spool_failed(self) -> None:
        """The disk does not take it. Go on waiting for the broker, and try again, until somebody gives it up."""
        if self._giving_up:
            self._exit(len(self.outbox))

    def _exit(self, lost: int = 0) -> None:
        self._exited = True
        self._effects.append(Exit(lost))
