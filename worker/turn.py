"""One turn of the worker: what happens between receiving and sending, without sockets, clocks or files.

The service passes in what it has received, and sends what a turn returns. The simulation drives the same turns.

The task process is heard first: after a `take_over`, the core no longer knows what it did before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zjobs.messages import codec
from zjobs.messages.dispatch import PIPE, Ended
from zjobs.messages.records import BrokerName
from zjobs.messages.units import Ms
from zjobs.worker.core import effects as e
from zjobs.worker.core.core import WorkerCore
from zjobs.worker.core.interfaces import Damaged, Death, Log, RunLogs, Spool, SpoolStore, TaskEvent, TaskProcess
from zjobs.worker.core.spool import SpoolDelivery

CLEAR_UP_MS = 500
STRAY_MS, STRAY_BYTES = 60_000, 16 << 10
LINE_BYTES = 64  # what the log adds to each line
MOST_ROUNDS = 1_000  # far more than a turn has


class Inputs(NamedTuple):
    """The inputs of a turn. `frames`: the broker's messages. `subscribed`: a broker has begun to listen. `signals`:
    their names. `told`: the task process may have sent something. `ended`: it may have ended. Both save a system call
    when False."""

    frames: list[bytes]
    subscribed: bool = False
    signals: tuple[str, ...] = ()
    told: bool = True
    ended: bool = True


class Turn:
    """A worker, turn after turn. `done`: it may exit. `lost`: how many reports are lost, because the spool could not be
    written."""

    def __init__(
        self,
        core: WorkerCore,
        task_process: TaskProcess,
        spool: SpoolStore,
        run_logs: RunLogs,
        stray_output: StrayOutput,
        log: Log,
        new_incarnation: Callable[[], str],
        reachable: Callable[[BrokerName], str],
    ) -> None:
        """Load the spool, if there is one. `reachable(broker)`: where tasks reach a broker. Raises OSError if the spool
        cannot be read."""
        self.core = core
        self.done = False
        self.lost = 0
        self._task_process = task_process
        self._spool = spool
        self._run_logs = run_logs
        self._stray_output = stray_output
        self._log = log
        self._new_incarnation = new_incarnation
        self._next_incarnation = new_incarnation()
        self._reachable = reachable
        self._dropped_garbage = False
        self._clear_up_at_ms = Ms(0)
        left = self._left_behind()
        self.spool_delivery = None if left is None else SpoolDelivery(left, *core.whereabouts)

    def _left_behind(self) -> Spool | None:
        """Return what the previous worker could not deliver, if there is anything usable."""
        try:
            spool = self._spool.load()
        except Damaged as damaged:
            self._set_aside(f"damaged ({damaged})")
            return None
        if spool is not None:
            self._log.info("delivering %d reports that the previous worker could not deliver", len(spool.reports))
        return spool

    def _set_aside(self, what: str) -> None:
        """Set the spool aside, and log that. Raises OSError."""
        aside = self._spool.set_aside(self.core.incarnation[:8])
        self.core.warning = f"the spool of the previous worker is {what}: it was set aside as {aside}"
        self._log.error("%s", self.core.warning)

    @property
    def speaker(self) -> SpoolDelivery | WorkerCore:
        """The party that speaks with the broker: the delivery of a spool, or the core."""
        return self.spool_delivery or self.core

    def take(self, inputs: Inputs, now_ms: Ms) -> list[bytes]:
        """Take one turn. Return the frames to send to the broker."""
        if inputs.told or inputs.ended or not self._task_process.alive:
            self._hear_task_process(inputs.ended, now_ms)
        for frame in inputs.frames:
            self._hear_broker(frame, now_ms)
        if inputs.subscribed:
            self.speaker.on_subscription(now_ms)
        for signal in inputs.signals:
            self.stop(signal, now_ms)
        if not self._task_process.clear and now_ms >= self._clear_up_at_ms:
            self.clear_up(now_ms)
        frames = self._act(now_ms)
        self._task_process.feed()
        return frames

    def stop(self, signal: str, now_ms: Ms) -> None:
        """Stop the worker, sooner with each call. `signal`: the name of the signal, for the log."""
        if self.spool_delivery is not None:
            self._log.info("%s: stopping; the spool stays for the next worker", signal)
            self.done = True
            return
        self._log.info("%s: stopping %s", signal, self._how_to_stop())
        self.core.stop(now_ms)

    def _how_to_stop(self) -> str:
        job_id = self.core.session.running_id
        if self.core.state.stopping:
            return "at once" if job_id is None else f"at once: job {job_id} is killed"
        return "now: no job runs" if job_id is None else f"after job {job_id}"

    def deadline_ms(self) -> Ms:
        """Return when to take a turn even if nothing happens."""
        deadline_ms = self.speaker.next_deadline_ms()
        if not self._task_process.alive and not self.core.state.stopping:
            deadline_ms = min(deadline_ms, self._task_process.restart_at_ms)
        if not self._task_process.clear:
            deadline_ms = min(deadline_ms, self._clear_up_at_ms)
        return deadline_ms

    # --- the task process ------------------------------------------------------------------------------------

    def _hear_task_process(self, ended: bool, now_ms: Ms) -> None:
        if not self._task_process.alive:
            self._start_if_due(now_ms)
            return
        self._hear_events(now_ms)
        death = self._task_process.died(now_ms) if ended else None
        if death is not None:
            self._bury(death, now_ms)
            self._start_if_due(now_ms)

    def _start_if_due(self, now_ms: Ms) -> None:
        if now_ms < self._task_process.restart_at_ms or self.core.state.stopping:
            return
        try:
            self._task_process.start()
        except OSError as error:  # for example, too few processes, descriptors or memory at present
            self._task_process.postpone(now_ms)
            self._log.warning("cannot start a task process: %s", error)

    def _hear_events(self, now_ms: Ms) -> None:
        announced = self._task_process.types is not None
        self._hear(self._task_process.events(), now_ms)
        if self._task_process.types is not None and not announced:
            self.core.on_ready(self._task_process.types, now_ms, self._task_process.schemas)

    def _hear(self, events: list[TaskEvent], now_ms: Ms) -> None:
        for event in events:
            if isinstance(event, Ended):
                self._run_logs.close()
                self.core.on_ended(event, now_ms)
            elif event.delivery:
                self.core.on_output(
                    event.delivery, event.data, self._run_logs.write(self.core.session.run_name, event.data)
                )
            else:
                self._stray_output.hear(event.data, now_ms)

    def _bury(self, death: Death, now_ms: Ms) -> None:
        self._hear(death.events, now_ms)
        job_id = self.core.session.running_id
        job = "" if job_id is None else f"job {job_id}: "
        self.core.on_task_process_died(death.lost, death.unbegun, death.how, now_ms, death.killed)
        self._tell_of_obstacle(now_ms)
        self._log.warning("%s", self._task_process.refusal or job + death.how)

    def clear_up(self, now_ms: Ms) -> None:
        """End what earlier task processes left running, as far as possible."""
        self._task_process.clear_up(now_ms)
        self._tell_of_obstacle(now_ms)

    def _tell_of_obstacle(self, now_ms: Ms) -> None:
        self.core.on_obstacle(self._task_process.obstacle, now_ms)
        self._clear_up_at_ms = Ms(now_ms + CLEAR_UP_MS)

    # --- the broker --------------------------------------------------------------------------------------------

    def _hear_broker(self, frame: bytes, now_ms: Ms) -> None:
        try:
            message = codec.decode(frame, PIPE)
        except codec.DecodeError as error:
            if not self._dropped_garbage:  # logged once: who sends one sends many
                self._dropped_garbage = True
                self._log.warning("dropped a message on the pipe: %s", error)
            return
        if self.spool_delivery is not None:
            self.spool_delivery.on_pipe(message, now_ms)
        else:
            self.core.on_pipe(message, now_ms, self._next_incarnation)
            if self.core.incarnation == self._next_incarnation:
                self._next_incarnation = self._new_incarnation()

    def _act(self, now_ms: Ms) -> list[bytes]:
        """Carry out the effects until nothing more follows from them. Return the frames to send."""
        frames: list[bytes] = []
        for _ in range(MOST_ROUNDS):
            done = False
            for effect in self.speaker.turn(now_ms):
                if isinstance(effect, e.Publish):
                    frames.append(codec.encode(effect.message))
                else:
                    self._do(effect, now_ms)
                    done = True
            if not done:
                return frames
        raise AssertionError("a turn that does not end")

    def _do(self, effect: e.Deed, now_ms: Ms) -> None:
        task_process = self._task_process
        if isinstance(effect, e.Offer):
            task_process.serve(effect.broker.journal, self._reachable(effect.broker))
            task_process.offer(effect.delivery, effect.job, effect.result_bytes)
        elif isinstance(effect, e.RecallUnbegun):
            numbers = task_process.recall()
            self._hear_events(now_ms)
            self.core.on_recalled(numbers, now_ms)
        elif isinstance(effect, e.Look):
            self.core.on_seen(task_process.seen(effect.delivery), now_ms)
        elif isinstance(effect, e.EndTask):
            self._log.info("job %s: telling its task to end", self.core.session.running_id)
            task_process.end_task(effect.delivery)
        elif isinstance(effect, e.KillTask):
            self._log.warning("job %s: killing its process", self.core.session.running_id)
            task_process.kill()
        elif isinstance(effect, e.Renew):
            self._log.warning("the broker takes over: everything is forgotten, new incarnation %s", effect.incarnation)
            task_process.forget()
        elif isinstance(effect, e.Say):
            self._log.warning("%s", effect.sentence)
        elif isinstance(effect, e.Exit):
            self.lost = effect.lost
            self.done = True
        else:
            self._keep(effect)

    def _keep(self, effect: e.Spooling) -> None:
        """Carry out an effect on the spool. If the disk refuses, the effect comes again."""
        try:
            if isinstance(effect, e.SaveSpool):
                self._save(effect.spool)
                return
            if isinstance(effect, e.RemoveSpool):
                self._spool.remove()
                self._log.info("the spool is delivered")
            else:
                self._set_aside("of a session that the broker does not know")
            self.spool_delivery = None
        except OSError as error:
            self._log.error("the spool: %s", error)
            if isinstance(effect, e.SaveSpool):
                self.core.on_spool_failed()

    def _save(self, spool: Spool) -> None:
        """Save the spool. Raises OSError."""
        self._spool.save(spool)
        self._log.warning("the broker did not take %d reports; %s keeps them", len(spool.reports), self._spool.path)
        self.core.on_spooled()


class StrayOutput:
    """A log of what is printed outside of any job, limited to the beginning of each minute's output."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._until_ms = 0
        self._room = 0

    def hear(self, data: bytes, now_ms: Ms) -> None:
        """Log output from outside of jobs, within bounds."""
        if now_ms >= self._until_ms:
            self._until_ms, self._room = now_ms + STRAY_MS, STRAY_BYTES
        if self._room <= 0:
            return
        for line in data[: self._room].decode(errors="replace").splitlines():
            self._log.info("outside of any job: %s", line)
            self._room -= len(line) + LINE_BYTES
            if self._room <= 0:
                self._log.info("outside of any job: … and more, which is not shown for a minute")
                return
