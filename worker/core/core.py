"""The worker's side of the dispatch (docs/protocol.md, part 2): no sockets, clocks, files or randomness in here.

Messages and events go in through the `on_…` methods and `stop`; each only changes the state. Then `turn(now_ms)` says
what is to be done, in order. The worker's turn does it at once, answers a `RecallUnbegun` with `on_recalled` and a
`Look` with `on_seen`, and calls `turn` again until nothing more comes. `next_deadline_ms` is when to call it otherwise.

What becomes of each message in each state stands in `states`. The rest:

- A worker that stops exits when nothing runs any more and every report is acknowledged. When no acknowledgement has
  come for its farewell time, it has the reports spooled for the next worker (`SaveSpool`) and exits then.
- A job that has run for 50 ms returns what is behind it.
- To end what runs: recall what is behind it (if that brings its end, there is nothing to do), tell the task, wait
  for its grace time, kill the task process. Nothing is offered from the first of these to the end of the job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zjobs.messages import dispatch as d
from zjobs.messages.records import BrokerName, TaskType
from zjobs.messages.units import DeliveryNumber, JobId, Ms
from zjobs.worker.core import effects as e
from zjobs.worker.core.inbox import Inbox
from zjobs.worker.core.interfaces import RunName
from zjobs.worker.core.outbox import Outbox
from zjobs.worker.core.returning import Farewell, Purpose, Return, Returning
from zjobs.worker.core.run import LOOK_MS, PIECE_BYTES, Run, Seen
from zjobs.worker.core.spool import Spool
from zjobs.worker.core.states import RESUMED, RETURNED, TABLE, Action, Heard, Signal, State

HEARTBEAT_MS = 1000
RETURN_AFTER_MS = 50
START_AFTER_MS = 3  # most short jobs end before; then their end says all, and the broker is not woken for nothing
FAREWELL_MS = Ms(5000)
DESCRIBED_BYTES = 256 << 10
UNACKNOWLEDGED_BYTES = 4 << 20
OUTPUT_UNACKNOWLEDGED_BYTES = 1 << 20  # the rest of a running job's output waits where only its end is kept


class WorkerCore:
    """The state of one worker; it begins with a task process that has announced `types`.

    farewell_ms: how long it waits for acknowledgements when it stops. schemas: of what the types take, by digest.
    `warning`: a sentence for `info`, None: none.
    """

    def __init__(
        self,
        incarnation: str,
        types: tuple[TaskType, ...],
        host: str,
        pid: int,
        farewell_ms: Ms = FAREWELL_MS,
        schemas: Mapping[str, bytes] | None = None,
    ) -> None:
        self.state = State.NO_SESSION
        self.warning: str | None = None
        self.obstacle: str | None = None
        self._host = host
        self._pid = pid
        self._farewell = Farewell(farewell_ms)
        self._ready = True
        self._schemas = schemas or {}
        self._effects: list[e.Effect] = []
        self._announce(types)
        self._begin(incarnation)

    def _begin(self, incarnation: str) -> None:
        """Without a session."""
        self.incarnation = incarnation
        self.session: str | None = None
        self.inbox = Inbox()
        self.outbox = Outbox()
        self._broker: BrokerName | None = None
        self._result_bytes = 0
        self._run = Run()
        self._cancels: set[DeliveryNumber] = set()
        self._returning = Returning()
        self._start_untold = 0
        self._heartbeat_at_ms = Ms(0)

    @property
    def whereabouts(self) -> tuple[str, int]:
        """Host and pid."""
        return self._host, self._pid

    @property
    def running_id(self) -> JobId | None:
        """The id of the job that runs, None when none does."""
        delivery = self.inbox.running
        return None if delivery is None else self.inbox[delivery].id

    @property
    def run_name(self) -> RunName:
        """Of the job that runs; only while one does."""
        delivery = self.inbox.running
        assert delivery is not None and self._broker is not None
        return RunName(self._broker.journal, self.inbox[delivery].id, self.inbox[delivery].attempt)

    # --- what the broker sends -------------------------------------------------------------------------

    def on_pipe(self, message: d.PipeMessage, now_ms: Ms, next_incarnation: str) -> None:
        """A message of the broker. `next_incarnation` is used when it makes the worker start anew."""
        if isinstance(message, d.TakeOver):
            if message.incarnation == self.incarnation:
                self._act(d.TakeOver, next_incarnation, now_ms)
        elif isinstance(message, (d.StartSession, d.Describe)):
            if message.incarnation == self.incarnation:
                self._act(type(message), message, now_ms)
        elif message.session == self.session:
            self._act(type(message), message, now_ms)

    def on_subscription(self, now_ms: Ms) -> None:
        """A broker listens anew: it may have missed everything."""
        self._act(Signal.SUBSCRIPTION, None, now_ms)

    def stop(self, now_ms: Ms) -> None:
        """Finish the running job, return the rest, and exit when all is acknowledged or spooled.

        The second time: do not wait for the running job; the third time: nor for the broker.
        """
        self._act(Signal.STOP, None, now_ms)

    def _act(self, heard: Heard, what: object, now_ms: Ms) -> None:
        """What the table says."""
        found = TABLE.get((self.state, heard))
        if found is not None:
            action, self.state = found
            _METHODS[action](self, what, now_ms)

    def _begin_session(self, message: d.StartSession, now_ms: Ms) -> None:
        self.session = message.session
        self._broker = message.broker
        self._result_bytes = message.result_bytes
        self._run = Run(message.output_bytes)
        self._heartbeat_at_ms = now_ms

    def _take_jobs(self, message: d.Jobs, now_ms: Ms) -> None:
        self.inbox.count(message)
        self.inbox.take(message)

    def _keep_piece(self, message: d.Piece, now_ms: Ms) -> None:
        self.inbox.count(message)
        self.inbox.keep(message)

    def _count(self, message: d.Jobs | d.Piece, now_ms: Ms) -> None:
        self.inbox.count(message)

    def _ask_again(self, message: d.Sent, now_ms: Ms) -> None:
        self.inbox.compare(message)

    def _forget_reports(self, message: d.Ack, now_ms: Ms) -> None:
        outbox, returned = self.outbox, self._returning.returned
        if not outbox.acked <= message.reports <= outbox.reported:
            return
        covered = returned is not None and message.reports >= returned.report
        if returned is not None and covered and (message.resume is None or message.resume < returned.delivery):
            return  # nobody would say again where to go on once this is acknowledged
        if outbox.hears(message, now_ms):
            self._farewell.begin(now_ms)
        if covered and message.resume is not None:
            self._returning.returned = None
            self.state = RESUMED.get(self.state, self.state)
            self.inbox.resume(message.resume)

    def _log(self, message: d.Rejected, now_ms: Ms) -> None:
        self._effects.append(e.Say(f"the broker rejected report {message.report}: {message.message}"))

    def _cancel(self, message: d.CancelRun, now_ms: Ms) -> None:
        if (
            message.delivery > self.inbox.taken
        ):  # on its way, maybe in pieces for a long time: it must not begin when it is here
            self._returning.owed |= self._returning.returned is None
        if message.delivery in self.inbox:
            self._cancels.add(message.delivery)
            # by what has been heard so far it has not begun; if it has, the answer to RecallUnbegun shows that
            self._returning.wanted |= message.delivery != self.inbox.running

    def _return(self, message: d.Recall, now_ms: Ms) -> None:
        self._returning.wanted |= self.inbox.unbegun

    def _describe(self, message: d.Describe, now_ms: Ms) -> None:
        room_bytes = DESCRIBED_BYTES  # heartbeats must not wait behind them; what is missing is asked for again
        for digest in message.digests:
            schema = self._schemas.get(digest)
            if schema is not None and room_bytes > 0:
                room_bytes -= len(schema)
                self._effects.append(e.Publish(d.Described(self.incarnation, digest, schema)))

    def _renew(self, incarnation: str, now_ms: Ms) -> None:
        self._begin(incarnation)
        self._ready = False
        self._heartbeat_at_ms = now_ms
        self._effects.append(e.Renew(incarnation))

    def _introduce(self, _: None, now_ms: Ms) -> None:
        self._heartbeat_at_ms = now_ms
        self.outbox.start_over()

    def _stop(self, _: None, now_ms: Ms) -> None:
        self._returning.owed = self.session is not None
        self._heartbeat_at_ms = now_ms
        self._farewell.begin(now_ms)

    def _kill(self, _: None, now_ms: Ms) -> None:
        self._farewell.hurry(now_ms)
        if self.inbox.running is not None:
            self._effects.append(e.KillTask())

    def _give_up(self, _: None, now_ms: Ms) -> None:
        self._farewell.end(now_ms)

    # --- what the task process does --------------------------------------------------------------------

    def on_ready(self, types: tuple[TaskType, ...], now_ms: Ms, schemas: Mapping[str, bytes] | None = None) -> None:
        """A new task process has announced its types. schemas: of their parameters, by digest."""
        self._ready = True
        self._schemas = schemas or {}
        if types != self.types:
            self._announce(types)
            self._heartbeat_at_ms = now_ms

    def _announce(self, types: tuple[TaskType, ...]) -> None:
        self.types = types
        self._type_named = {one.name: one for one in types}

    def on_output(self, delivery: DeliveryNumber, data: bytes, file: str | None = None) -> None:
        """The running job has printed something. file: where all of its output is."""
        assert delivery == self.inbox.running, (delivery, self.inbox.running)
        self._run.printed(data, file)

    def on_seen(self, seen: Seen, now_ms: Ms) -> None:
        """The answer to `Look`."""
        delivery = self.inbox.running
        assert delivery is not None and self.session is not None
        id = self.inbox[delivery].id
        self._run.seen(seen)
        if self._run.newly_stuck(now_ms):
            self._effects.append(e.Say(f"job {id}: its task process shows no liveness; it is left alone"))
        if self.outbox.flow.has_room():  # else later
            progress = self._run.progress(self.session, delivery, id)
            if progress is not None:
                self.outbox.flow.sends(len(progress.note or ""), now_ms)
                self._effects.append(e.Publish(progress._replace(round=self.outbox.flow.round)))
        room_bytes = OUTPUT_UNACKNOWLEDGED_BYTES - self.outbox.weight_bytes
        for piece in self._run.output(delivery, id, max(0, room_bytes // PIECE_BYTES)):
            self.outbox.add(piece)

    def on_ended(self, ended: d.Ended, now_ms: Ms) -> None:
        """The first of the jobs offered has ended."""
        assert ended.delivery == self.inbox.running, (ended.delivery, self.inbox.running)
        job = self.inbox.end(ended.delivery)
        for report in self._run.report(ended, job.id):
            self.outbox.add(report)
        self._cancels.discard(ended.delivery)
        self._farewell.begin(now_ms)
        self._run.begin(now_ms)  # the next one, if there is one

    def on_task_process_died(
        self, lost: list[DeliveryNumber], unbegun: list[DeliveryNumber], how: str, now_ms: Ms, killed: int = 0
    ) -> None:
        """It is dead; all its results went to `on_ended` before. `lost` had begun, `unbegun` had not. killed: how many
        processes it had left."""
        for delivery in lost:
            self.on_ended(self._run.lost(delivery, how, self._interrupts, now_ms)._replace(killed=killed), now_ms)
            killed = 0  # they were those of the first: the others had not come to start any
        self.inbox.recall(unbegun)
        self._ready = False

    def on_recalled(self, numbers: list[DeliveryNumber], now_ms: Ms) -> None:
        """The answer to `RecallUnbegun`: the jobs offered that have not begun."""
        returning = self._returning
        purpose, returning.asked = returning.asked, None
        self.inbox.recall(numbers)
        returning.alone = self.inbox.running or 0
        if purpose is Purpose.KEEP:
            return
        unbegun = self.inbox.give_back()
        if unbegun or returning.owed:
            self._cancels.difference_update(unbegun)
            delivery = returning.returned.delivery if returning.returned else DeliveryNumber(self.inbox.offered + 1)
            self.outbox.add(d.Returned(delivery, self.state.stopping))
            returning.returned = Return(self.outbox.reported, delivery)
            returning.owed = False
            self.state = RETURNED.get(self.state, self.state)
            self._farewell.begin(now_ms)

    def on_obstacle(self, sentence: str | None, now_ms: Ms) -> None:
        """What keeps any job from being started; None: nothing. The broker gets all jobs back meanwhile."""
        if sentence == self.obstacle:
            return
        self.obstacle = sentence
        self._heartbeat_at_ms = now_ms
        self._effects.append(e.Say(sentence or "what kept jobs from being started is gone"))

    # --- what is to be done --------------------------------------------------------------------------------

    def turn(self, now_ms: Ms) -> tuple[e.Effect, ...]:
        """What is to be done now, in this order."""
        for step in (self._end_run_if_due, self._recall_if_due, self._offer):
            if self._returning.asked is None:
                step(now_ms)
        delivery = self.inbox.running
        if delivery is not None:
            self._watch(delivery, now_ms)
        if now_ms >= self._heartbeat_at_ms:
            self._heartbeat_at_ms = Ms(now_ms + HEARTBEAT_MS)
            self._effects.append(e.Publish(self._heartbeat(now_ms)))
        if self.session is not None:
            confirmation = self.inbox.confirmation(self.session)
            if confirmation is not None:
                self._effects.append(e.Publish(confirmation))
            self._effects += map(e.Publish, self.outbox.due(self.session, now_ms, len(self.inbox)))
        if self.state.stopping and not self.inbox and not self._returning.owed:
            self._exit_if_due(now_ms)
        effects, self._effects = self._effects, []
        return tuple(effects)

    def next_deadline_ms(self) -> Ms:
        """When `turn` has something to do although nothing happened."""
        times = [self._heartbeat_at_ms]
        if (delivery := self.inbox.running) is not None:
            times += self._run.times(self._limit_ms(delivery))
            if delivery == self._start_untold:
                times.append(Ms(self._run.started_ms + START_AFTER_MS))
            if self._return_wanted(delivery):
                times.append(Ms(self._run.started_ms + RETURN_AFTER_MS))
        if self.state.stopping and not self.inbox:
            times.append(self._farewell.due_ms)
        return min(times)

    def _watch(self, delivery: DeliveryNumber, now_ms: Ms) -> None:
        """Tells that it has begun, and looks at what it does."""
        run = self._run
        if delivery == self._start_untold and now_ms >= run.started_ms + START_AFTER_MS:
            assert self.session is not None
            self._effects.append(e.Publish(d.Started(self.session, delivery, self.inbox[delivery].id)))
            self._start_untold = 0
        if now_ms >= run.look_at_ms and self._returning.asked is None:  # the answer may bring its end
            run.look_at_ms = Ms(now_ms + LOOK_MS)
            self._effects.append(e.Look(delivery))

    def _return_wanted(self, delivery: DeliveryNumber) -> bool:
        """Whether something waits behind the running job that has not been asked back yet."""
        return len(self.inbox) > 1 and self._returning.is_new(Purpose.RETURN, delivery, self.inbox.taken)

    def _limit_ms(self, delivery: DeliveryNumber) -> Ms | None:
        job = self.inbox[delivery]
        kind = self._type_named.get(job.type)
        return job.time_limit_ms or (kind.time_limit_ms if kind else None)

    @property
    def _interrupts(self) -> bool:
        """Whether the running job is killed, or was, because the worker stops at once."""
        return self.state in (State.KILLING, State.GIVING_UP)

    def _end_run_if_due(self, now_ms: Ms) -> None:
        """Ends the running job, step by step, if it was cancelled or has passed its time limit."""
        delivery, run = self.inbox.running, self._run
        if delivery is None or self._interrupts:
            return
        if run.ending:
            if run.kill_due(now_ms):
                self._effects.append(e.KillTask())
            return
        limit_ms = None if delivery in self._cancels else self._limit_ms(delivery)
        if delivery not in self._cancels and (limit_ms is None or run.elapsed_ms(now_ms) < limit_ms):
            return
        if self._returning.alone != delivery:
            self._recall(Purpose.RETURN)
            return
        grace_ms = self._type_named.get(self.inbox[delivery].type, TaskType("")).grace_ms
        run.tell_to_end(limit_ms, grace_ms, now_ms)
        self._effects.append(e.EndTask(delivery))

    def _recall_if_due(self, now_ms: Ms) -> None:
        delivery, returning = self.inbox.running, self._returning
        overdue = (
            delivery is not None and now_ms >= self._run.started_ms + RETURN_AFTER_MS and self._return_wanted(delivery)
        )
        blocked = self.obstacle is not None and self.inbox.unbegun and returning.returned is None
        if returning.wanted or returning.owed or overdue or blocked:
            self._recall(Purpose.RETURN)
        elif (
            self.outbox.weight_bytes > UNACKNOWLEDGED_BYTES
            and delivery is not None
            and self.inbox.offered > delivery
            and returning.is_new(Purpose.KEEP, delivery, self.inbox.taken)
        ):
            self._recall(Purpose.KEEP)

    def _recall(self, purpose: Purpose) -> None:
        """Asks for the jobs that have not begun."""
        self._returning.ask(purpose, self.inbox.running, self.inbox.taken)
        self._effects.append(e.RecallUnbegun())

    def _offer(self, now_ms: Ms) -> None:
        blocked = not self._ready or self.obstacle is not None or self._run.ending
        if blocked or self._returning.returned is not None or self.outbox.weight_bytes > UNACKNOWLEDGED_BYTES:
            return
        idle = self.inbox.running is None
        while (delivery := self.inbox.offer()) is not None:
            assert self._broker is not None  # jobs belong to a session
            self._returning.alone = 0
            self._effects.append(e.Offer(delivery, self.inbox[delivery], self._result_bytes, self._broker))
            if idle:  # nothing ended before it, so the broker cannot know
                self._run.begin(now_ms)
                self._start_untold = delivery
            idle = False

    def _heartbeat(self, now_ms: Ms) -> d.Heartbeat:
        delivery, run = self.inbox.running, self._run
        running = None
        if delivery is not None:
            running = d.Running(delivery, self.inbox[delivery].id, run.elapsed_ms(now_ms), run.stuck_ms(now_ms))
        return d.Heartbeat(
            self.incarnation,
            self.session,
            self.inbox.taken,
            self.outbox.acked,
            self.state.stopping,
            running,
            self.types,
            self._broker,
            self._host,
            self._pid,
            warning=self.warning,
            obstacle=self.obstacle,
            round=self.outbox.flow.round,
            sent=self.outbox.flow.count,
            arrived=self.inbox.arrived,
        )

    # --- the end -------------------------------------------------------------------------------------------

    def _exit_if_due(self, now_ms: Ms) -> None:
        if self.state is State.EXITED:
            return
        if not self.outbox:
            self._exit()
        elif now_ms >= self._farewell.due_ms:
            self._farewell.postpone(now_ms)
            self._effects.append(e.SaveSpool(Spool(self._heartbeat(now_ms), self.outbox.unacknowledged())))

    def on_spooled(self) -> None:
        """The next worker will tell what is left to tell."""
        self._exit()

    def on_spool_failed(self) -> None:
        """The disk does not take it. Go on waiting for the broker, and try again, until somebody gives it up."""
        if self.state is State.GIVING_UP:
            self._exit(len(self.outbox))

    def _exit(self, lost: int = 0) -> None:
        self.state = State.EXITED
        self._effects.append(e.Exit(lost))


_METHODS: dict[Action, Callable[..., None]] = {
    action: getattr(WorkerCore, f"_{action.name.lower()}") for action in Action
}
