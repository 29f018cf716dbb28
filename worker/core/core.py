"""The worker's side of the dispatch (docs/protocol.md, part 2), without sockets, clocks, files or randomness.

Messages and events go in through the `on_…` methods and `stop`; each only changes the state. Then `turn(now_ms)`
returns what is to be done, in order. The worker's turn does it at once, answers a `RecallUnbegun` with `on_recalled`
and a `Look` with `on_seen`, and calls `turn` again until nothing more comes. `next_deadline_ms` is when to call it
otherwise.

`states` has a table of what becomes of each message in each state. The rest:

- A worker that stops exits when nothing runs any more and every report is acknowledged. If no acknowledgement comes
  during its farewell time, it has the reports spooled for the next worker (`SaveSpool`), and then exits.
- `session` decides about the jobs of a session, and about the one that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zjobs.messages import dispatch as d
from zjobs.messages.records import TaskType
from zjobs.messages.units import DeliveryNumber, Ms
from zjobs.worker.core import effects as e
from zjobs.worker.core.interfaces import Spool
from zjobs.worker.core.run import Seen
from zjobs.worker.core.session import Session
from zjobs.worker.core.states import RESUMED, RETURNED, TABLE, Action, Heard, Signal, State

HEARTBEAT_MS = 1000
FAREWELL_MS = Ms(5000)
DESCRIBED_BYTES = 256 << 10
HURRY_MS = Ms(2000)  # the farewell time after a second signal, if it is longer
RETRY_SPOOL_MS = 1000


class Farewell:
    """The deadline after which unacknowledged reports are spooled."""

    def __init__(self, patience_ms: Ms) -> None:
        self._patience_ms = patience_ms
        self._quiet_since_ms = Ms(0)
        self._not_before_ms = Ms(0)

    @property
    def due_ms(self) -> Ms:
        """The time at which to give up waiting for acknowledgements."""
        return max(self._not_before_ms, Ms(self._quiet_since_ms + self._patience_ms))

    def begin(self, now_ms: Ms) -> None:
        """Begin anew, after every report and every arrival: the broker has the whole time for the rest."""
        self._quiet_since_ms = now_ms

    def hurry(self, now_ms: Ms) -> None:
        """Shorten the wait."""
        self._patience_ms = min(self._patience_ms, HURRY_MS)
        self.begin(now_ms)

    def end(self, now_ms: Ms) -> None:
        """End the wait at once."""
        self._patience_ms = Ms(0)
        self._quiet_since_ms = self._not_before_ms = now_ms

    def postpone(self, now_ms: Ms) -> None:
        """Put off the next attempt, because one is made now."""
        self._not_before_ms = Ms(now_ms + RETRY_SPOOL_MS)


class WorkerCore:
    """The state of one worker. It begins with a task process that has announced `types`.

    farewell_ms: how long it waits for acknowledgements when it stops. schemas: those of the types' parameters, by
    digest. `warning`: a sentence for `info`, or None.
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
        """Begin without a session."""
        self.incarnation = incarnation
        self.session = Session()
        self._heartbeat_at_ms = Ms(0)

    @property
    def whereabouts(self) -> tuple[str, int]:
        """The host and the pid."""
        return self._host, self._pid

    # --- what the broker sends -------------------------------------------------------------------------

    def on_pipe(self, message: d.PipeMessage, now_ms: Ms, next_incarnation: str) -> None:
        """Process a message of the broker. `next_incarnation` is used if the message makes the worker start anew."""
        if isinstance(message, d.TakeOver):
            if message.incarnation == self.incarnation:
                self._act(d.TakeOver, next_incarnation, now_ms)
        elif isinstance(message, (d.StartSession, d.Describe)):
            if message.incarnation == self.incarnation:
                self._act(type(message), message, now_ms)
        elif message.session == self.session.id:
            self._act(type(message), message, now_ms)

    def on_subscription(self, now_ms: Ms) -> None:
        """Introduce itself again: a broker that begins to listen may have missed everything."""
        self._act(Signal.SUBSCRIPTION, None, now_ms)

    def stop(self, now_ms: Ms) -> None:
        """Finish the running job, return the rest, and exit when everything is acknowledged or spooled.

        On the second call, do not wait for the running job; on the third, nor for the broker.
        """
        self._act(Signal.STOP, None, now_ms)

    def _act(self, heard: Heard, what: object, now_ms: Ms) -> None:
        """Do what the table says."""
        found = TABLE.get((self.state, heard))
        if found is not None:
            action, self.state = found
            _METHODS[action](self, what, now_ms)

    def _begin_session(self, message: d.StartSession, now_ms: Ms) -> None:
        self.session.begin(message)
        self._heartbeat_at_ms = now_ms

    def _take_jobs(self, message: d.Jobs, now_ms: Ms) -> None:
        self.session.inbox.count(message)
        self.session.inbox.accept(message)

    def _keep_piece(self, message: d.Piece, now_ms: Ms) -> None:
        self.session.inbox.count(message)
        self.session.inbox.keep(message)

    def _count(self, message: d.Jobs | d.Piece, now_ms: Ms) -> None:
        self.session.inbox.count(message)

    def _ask_again(self, message: d.Sent, now_ms: Ms) -> None:
        self.session.inbox.compare(message)

    def _forget_reports(self, message: d.Ack, now_ms: Ms) -> None:
        outbox, returned = self.session.outbox, self.session.returning.returned
        if not outbox.acked <= message.reports <= outbox.reported:
            return
        covered = returned is not None and message.reports >= returned.report
        if returned is not None and covered and (message.resume is None or message.resume < returned.delivery):
            return  # once this is acknowledged, nothing would repeat where to continue
        if outbox.hears(message, now_ms):
            self._farewell.begin(now_ms)
        if covered and message.resume is not None:
            self.session.returning.returned = None
            self.state = RESUMED.get(self.state, self.state)
            self.session.inbox.resume(message.resume)

    def _log(self, message: d.Rejected, now_ms: Ms) -> None:
        self._effects.append(e.Say(f"the broker rejected report {message.report}: {message.message}"))

    def _cancel(self, message: d.CancelRun, now_ms: Ms) -> None:
        self.session.cancel(message.delivery)

    def _return(self, message: d.Recall, now_ms: Ms) -> None:
        self.session.returning.wanted |= self.session.inbox.unbegun

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
        self.session.outbox.start_over()

    def _stop(self, _: None, now_ms: Ms) -> None:
        self.session.returning.owed = self.session.id is not None
        self._heartbeat_at_ms = now_ms
        self._farewell.begin(now_ms)

    def _kill(self, _: None, now_ms: Ms) -> None:
        self._farewell.hurry(now_ms)
        if self.session.inbox.running is not None:
            self._effects.append(e.KillTask())

    def _give_up(self, _: None, now_ms: Ms) -> None:
        self._farewell.end(now_ms)

    # --- what the task process does --------------------------------------------------------------------

    def on_ready(self, types: tuple[TaskType, ...], now_ms: Ms, schemas: Mapping[str, bytes] | None = None) -> None:
        """Record that a new task process has announced its types. schemas: those of their parameters, by digest."""
        self._ready = True
        self._schemas = schemas or {}
        if types != self.types:
            self._announce(types)
            self._heartbeat_at_ms = now_ms

    def _announce(self, types: tuple[TaskType, ...]) -> None:
        self.types = types
        self._type_named = {one.name: one for one in types}

    def on_output(self, delivery: DeliveryNumber, data: bytes, file: str | None = None) -> None:
        """Record output of the running job. file: where all of its output is."""
        assert delivery == self.session.inbox.running, (delivery, self.session.inbox.running)
        self.session.run.printed(data, file)

    def on_seen(self, seen: Seen, now_ms: Ms) -> None:
        """Process the answer to `Look`."""
        self._effects += self.session.seen(seen, now_ms)

    def on_ended(self, ended: d.Ended, now_ms: Ms) -> None:
        """Record that the first of the jobs offered has ended."""
        self.session.ended(ended, now_ms)
        self._farewell.begin(now_ms)

    def on_task_process_died(
        self, lost: list[DeliveryNumber], unbegun: list[DeliveryNumber], how: str, now_ms: Ms, killed: int = 0
    ) -> None:
        """Record that the task process is dead; its results went to `on_ended` before. `lost` had begun, `unbegun` had
        not. killed: how many processes it had left."""
        for delivery in lost:
            self.on_ended(
                self.session.run.lost(delivery, how, self._interrupts, now_ms)._replace(killed=killed), now_ms
            )
            killed = 0  # these were the first job's: the others had not started any
        self.session.inbox.recall(unbegun)
        self._ready = False

    def on_recalled(self, numbers: list[DeliveryNumber], now_ms: Ms) -> None:
        """Process the answer to `RecallUnbegun`: the jobs offered that have not begun."""
        if self.session.recalled(numbers, self.state.stopping):
            self.state = RETURNED.get(self.state, self.state)
            self._farewell.begin(now_ms)

    def on_obstacle(self, sentence: str | None, now_ms: Ms) -> None:
        """Record what keeps any job from starting, or None. Meanwhile the broker gets all jobs back."""
        if sentence == self.obstacle:
            return
        self.obstacle = sentence
        self._heartbeat_at_ms = now_ms
        self._effects.append(e.Say(sentence or "jobs can start again"))

    # --- what is to be done --------------------------------------------------------------------------------

    def turn(self, now_ms: Ms) -> tuple[e.Effect, ...]:
        """Return what is to be done now, in this order."""
        session = self.session
        self._effects += session.due(now_ms, self._type_named, self._ready, self.obstacle is not None, self._interrupts)
        if now_ms >= self._heartbeat_at_ms:
            self._heartbeat_at_ms = Ms(now_ms + HEARTBEAT_MS)
            self._effects.append(e.Publish(self._heartbeat(now_ms)))
        if session.id is not None:
            confirmation = session.inbox.confirmation(session.id)
            if confirmation is not None:
                self._effects.append(e.Publish(confirmation))
            self._effects += map(e.Publish, session.outbox.due(session.id, now_ms, len(session.inbox)))
        if self.state.stopping and not session.inbox and not session.returning.owed:
            self._exit_if_due(now_ms)
        effects, self._effects = self._effects, []
        return tuple(effects)

    def next_deadline_ms(self) -> Ms:
        """Return when `turn` has something to do even if nothing happens."""
        times = [self._heartbeat_at_ms, *self.session.times(self._type_named)]
        if self.state.stopping and not self.session.inbox:
            times.append(self._farewell.due_ms)
        return min(times)

    @property
    def _interrupts(self) -> bool:
        """True if the running job is or was killed because the worker stops at once."""
        return self.state in (State.KILLING, State.GIVING_UP)

    def _heartbeat(self, now_ms: Ms) -> d.Heartbeat:
        session = self.session
        return d.Heartbeat(
            self.incarnation,
            session.id,
            session.inbox.taken,
            session.outbox.acked,
            self.state.stopping,
            session.running(now_ms),
            self.types,
            session.broker,
            self._host,
            self._pid,
            warning=self.warning,
            obstacle=self.obstacle,
            round=session.outbox.flow.round,
            sent=session.outbox.flow.count,
            arrived=session.inbox.arrived,
        )

    # --- the end -------------------------------------------------------------------------------------------

    def _exit_if_due(self, now_ms: Ms) -> None:
        if self.state is State.EXITED:
            return
        if not self.session.outbox:
            self._exit()
        elif now_ms >= self._farewell.due_ms:
            self._farewell.postpone(now_ms)
            self._effects.append(e.SaveSpool(Spool(self._heartbeat(now_ms), self.session.outbox.unacknowledged())))

    def on_spooled(self) -> None:
        """Exit: the next worker will deliver the reports that are left."""
        self._exit()

    def on_spool_failed(self) -> None:
        """Go on waiting for the broker, and try again, until the user gives up: the disk refuses the spool."""
        if self.state is State.GIVING_UP:
            self._exit(len(self.session.outbox))

    def _exit(self, lost: int = 0) -> None:
        self.state = State.EXITED
        self._effects.append(e.Exit(lost))


_METHODS: dict[Action, Callable[..., None]] = {
    action: getattr(WorkerCore, f"_{action.name.lower()}") for action in Action
}
