"""The delivery of a spool: tells the broker what the worker before could not. Pure, like `core`.

It speaks as the worker that wrote the spool, under that worker's incarnation and session, and takes no jobs. When
every report is acknowledged it wants the file removed (`RemoveSpool`), again and again until that is on the disk; then
the delivery is over, and the worker begins as a new incarnation. A crash anywhere in between leaves the file, and the
next worker delivers it again: the broker knows the reports by their numbers.

A broker that does not know the session answers with `take_over`. Then nobody will ever take these reports, so the file
is set aside (`SetAsideSpool`).
"""

from __future__ import annotations

from zjobs.messages.dispatch import Ack, Heartbeat, PipeMessage, Rejected, TakeOver
from zjobs.messages.units import Ms
from zjobs.worker.core.core import HEARTBEAT_MS
from zjobs.worker.core.effects import Effect, Publish, RemoveSpool, Say, SetAsideSpool
from zjobs.worker.core.outbox import Outbox
from zjobs.worker.core.spool import Spool

RETRY_MS = 1000


class SpoolDelivery:
    """The delivery of one spool by the worker `pid` on `host`."""

    def __init__(self, spool: Spool, host: str, pid: int) -> None:
        self._last_heartbeat = spool.heartbeat._replace(
            stopping=True, running=None, spooled=True, warning=None, host=host, pid=pid
        )
        self._outbox = Outbox(spool.heartbeat.acked)
        for report in spool.reports:
            self._outbox.add(report)
        self._said: list[Effect] = []
        self._refused = False
        self._heartbeat_at_ms = Ms(0)
        self._settle_at_ms = Ms(0)  # when to try to remove the file, or to set it aside

    def on_pipe(self, message: PipeMessage, now_ms: Ms) -> None:
        """A message of the broker."""
        outbox = self._outbox
        if isinstance(message, Ack):
            if message.session == self._last_heartbeat.session and outbox.acked <= message.reports <= outbox.reported:
                outbox.hears(message, now_ms)
        elif isinstance(message, Rejected):
            if message.session == self._last_heartbeat.session:
                self._said.append(Say(f"the broker rejected report {message.report}: {message.message}"))
        elif isinstance(message, TakeOver):
            self._refused |= message.incarnation == self._last_heartbeat.incarnation

    def on_subscription(self, now_ms: Ms) -> None:
        """A broker listens anew: it may have missed everything."""
        self._heartbeat_at_ms = now_ms
        self._outbox.start_over()

    def turn(self, now_ms: Ms) -> tuple[Effect, ...]:
        """What is to be done now, in this order."""
        if self._said:
            said, self._said = self._said, []
            return tuple(said)
        if self._settled:
            if now_ms < self._settle_at_ms:
                return ()
            self._settle_at_ms = Ms(now_ms + RETRY_MS)  # the disk may refuse it now
            return (SetAsideSpool() if self._refused else RemoveSpool(),)
        heartbeats: tuple[Effect, ...] = ()
        if now_ms >= self._heartbeat_at_ms:
            self._heartbeat_at_ms = Ms(now_ms + HEARTBEAT_MS)
            heartbeats = (Publish(self._heartbeat),)
        session = self._last_heartbeat.session
        assert session is not None
        return (*heartbeats, *map(Publish, self._outbox.due(session, now_ms, 0)))

    def next_deadline_ms(self) -> Ms:
        """When `turn` has something to do although nothing happened."""
        return self._settle_at_ms if self._settled else self._heartbeat_at_ms

    @property
    def _settled(self) -> bool:
        """Whether nothing is left to tell."""
        return self._refused or not self._outbox

    @property
    def _heartbeat(self) -> Heartbeat:
        outbox = self._outbox
        return self._last_heartbeat._replace(acked=outbox.acked, round=outbox.flow.round, sent=outbox.flow.count)
