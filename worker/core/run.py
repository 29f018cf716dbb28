"""The run of the present job: when it began, what it reports and prints, whether it was told to end. Pure."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.messages.dispatch import Ended, Output, Progress, Report
from zjobs.messages.states import FailReason, Outcome
from zjobs.messages.units import DeliveryNumber, JobId, Ms, Us

LOOK_MS = 250
STUCK_MS = 2500  # five times the interval of liveness
PIECE_BYTES = 16 << 10  # no more than one message has over a slow link (see `flow`)


class Seen(NamedTuple):
    """A look at the task process: what its task reports, and when it last showed liveness (0: never)."""

    fraction: float | None
    note: str | None
    sign_ms: Ms


class OutputBuffer:
    """The output of one run. `output_bytes` counts everything printed. Of what is not sent yet, the last `most_bytes`
    are kept: the broker would drop the rest, too."""

    def __init__(self, most_bytes: int) -> None:
        self.output_bytes = 0
        self._most_bytes = most_bytes
        self._untold = bytearray()
        self._progress = 1  # the start
        self._fraction: float | None = None
        self._note: str | None = None
        self._changed = False

    def printed(self, data: bytes) -> None:
        """Record output."""
        self.output_bytes += len(data)
        self._untold += data
        if len(self._untold) > 2 * self._most_bytes:  # not each time: moving the rest costs as much as reading it
            self._forget_the_rest()

    def _forget_the_rest(self) -> None:
        if len(self._untold) > self._most_bytes:
            del self._untold[: -self._most_bytes]

    def reported(self, fraction: float | None, note: str | None) -> None:
        """Record progress."""
        if (fraction, note) != (self._fraction, self._note):
            self._fraction, self._note, self._changed = fraction, note, True

    def pieces(self, delivery: DeliveryNumber, id: JobId, most: int) -> list[Output]:
        """Return the beginning of the output that is not sent yet, in at most `most` pieces."""
        self._forget_the_rest()
        pieces: list[Output] = []
        while self._untold and len(pieces) < most:
            offset = self.output_bytes - len(self._untold)
            body = bytes(self._untold[:PIECE_BYTES])
            del self._untold[:PIECE_BYTES]
            self._progress += 1
            pieces.append(Output(delivery, id, self._progress, offset, body))
        return pieces

    def last(self, delivery: DeliveryNumber, id: JobId) -> tuple[list[Output], bytes | None]:
        """Return all output that is not sent yet: pieces, and a rest of at most PIECE_BYTES, None if there is none."""
        self._forget_the_rest()
        pieces = self.pieces(delivery, id, max(0, len(self._untold) - 1) // PIECE_BYTES)
        return pieces, bytes(self._untold) or None

    def progress(self, session: str, delivery: DeliveryNumber, id: JobId) -> Progress | None:
        """Return what the task reports, None if that has not changed."""
        if not self._changed:
            return None
        self._changed = False
        self._progress += 1
        return Progress(session, delivery, id, self._progress, self._fraction, self._note)


class _Ending(NamedTuple):
    """The order to end that a run got: by its time limit or, if that is None, because somebody wants it."""

    limit_ms: Ms | None
    grace_ms: Ms
    kill_at_ms: Ms


class Run:
    """The present run. One object serves all runs, one after another: a stream of short jobs makes 50,000 of them a
    second."""

    def __init__(self, output_bytes: int = 0) -> None:
        """Prepare for runs. output_bytes: how much output that is not sent yet is kept of a run."""
        self._output_bytes = output_bytes
        self.begin(Ms(0))

    def begin(self, now_ms: Ms) -> None:
        """Begin a run."""
        self.started_ms = now_ms
        self.look_at_ms = Ms(now_ms + LOOK_MS)
        self.sign_ms = Ms(0)
        self.killed = False
        self._ending: _Ending | None = None
        self._output: OutputBuffer | None = None
        self._said_stuck = False
        self._output_file: str | None = None

    def elapsed_ms(self, now_ms: Ms) -> Ms:
        """Return how long the run has taken."""
        return Ms(max(0, now_ms - self.started_ms))

    # --- output ------------------------------------------------------------------------------------------------

    def printed(self, data: bytes, file: str | None) -> None:
        """Record output."""
        self._output_file = file
        self._output = self._output or OutputBuffer(self._output_bytes)
        self._output.printed(data)

    def seen(self, seen: Seen) -> None:
        """Record liveness and progress."""
        self.sign_ms = seen.sign_ms
        self._output = self._output or OutputBuffer(self._output_bytes)
        self._output.reported(seen.fraction, seen.note)

    def progress(self, session: str, delivery: DeliveryNumber, id: JobId) -> Progress | None:
        """Return what the task reports, None if that has not changed."""
        return self._output.progress(session, delivery, id) if self._output is not None else None

    def output(self, delivery: DeliveryNumber, id: JobId, most: int) -> list[Output]:
        """Return the output that is not sent yet, from its beginning on, in at most `most` pieces."""
        return self._output.pieces(delivery, id, most) if self._output is not None else []

    def stuck_ms(self, now_ms: Ms) -> Ms | None:
        """Return how long the task process has shown no liveness, None if no longer than usual."""
        silent_ms = Ms(now_ms - self.sign_ms)
        return silent_ms if self.sign_ms and silent_ms > STUCK_MS else None

    def newly_stuck(self, now_ms: Ms) -> bool:
        """Return True if the task process looks stuck, and did not at the last call."""
        before, self._said_stuck = self._said_stuck, self.stuck_ms(now_ms) is not None
        return self._said_stuck and not before

    # --- its end ---------------------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """True if the task was told to end."""
        return self._ending is not None

    def tell_to_end(self, limit_ms: Ms | None, grace_ms: Ms, now_ms: Ms) -> None:
        """Record that the task is told to end now. limit_ms: the time limit that it has exceeded, if that is why."""
        self._ending = _Ending(limit_ms, grace_ms, Ms(now_ms + grace_ms))

    def kill_due(self, now_ms: Ms) -> bool:
        """Return True, once, if the task was told to end and its grace time is over."""
        if self._ending is None or self.killed or now_ms < self._ending.kill_at_ms:
            return False
        self.killed = True
        return True

    def times(self, limit_ms: Ms | None) -> list[Ms]:
        """Return when something is to be done about the run: looking, telling it to end, killing."""
        if self._ending is None:
            return [self.look_at_ms] if limit_ms is None else [self.look_at_ms, Ms(self.started_ms + limit_ms)]
        return [self.look_at_ms] if self.killed else [self.look_at_ms, self._ending.kill_at_ms]

    def report(self, ended: Ended, id: JobId) -> list[Report]:
        """Return the reports of the end of job `id`: first its output, then its end."""
        if ended.id != id:  # those from the task process have it already
            ended = ended._replace(id=id)
        ended = self._explained(ended)
        if self._output is None:
            return [ended]
        pieces, rest = self._output.last(ended.delivery, id)
        return [*pieces, self._with_output(ended, rest, self._output.output_bytes)]

    def _with_output(self, ended: Ended, rest: bytes | None, output_bytes: int) -> Ended:
        return ended._replace(output=rest, output_bytes=output_bytes, output_file=self._output_file)

    def _explained(self, ended: Ended) -> Ended:
        """Add the reason why the task was told to end."""
        if self._ending is None or self._ending.limit_ms is None or ended.outcome is not Outcome.CANCELLED:
            return ended
        sentence = f"it ran longer than its time limit of {self._ending.limit_ms / 1000:g} s"
        detail = ended.detail or ended.message
        return ended._replace(outcome=Outcome.FAILED, reason=FailReason.TIMED_OUT, message=sentence, detail=detail)

    def lost(self, delivery: DeliveryNumber, how: str, interrupted: bool, now_ms: Ms) -> Ended:
        """Return the end of a run whose task process has died, `how` says of what. interrupted: we killed it, to stop
        at once."""
        elapsed_us = Us(self.elapsed_ms(now_ms) * 1000)
        if self._ending is not None:
            killed = f"its process was killed {self._ending.grace_ms / 1000:g} s after it was told to end"
            return Ended(delivery, Outcome.CANCELLED, elapsed_us, message=killed if self.killed else how)
        if interrupted:
            message = "the worker was told to stop at once while running it"
            return Ended(delivery, Outcome.INTERRUPTED, elapsed_us, message=message)
        return Ended(delivery, Outcome.FAILED, elapsed_us, reason=FailReason.TASK_DIED, message=how)
