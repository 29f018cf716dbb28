"""The spool: the reports that a stopping worker could not deliver, kept in a file for the next worker to deliver. Pure.

The file lies beside the worker's lock. It holds messages as the broker would have received them: a heartbeat, which
names session, journal and broker, and the reports that were not acknowledged. Before them come a line that names the
format, and a digest, so that a damaged file is set aside instead of believed. This module has its content and its
delivery; `files/spool_file.py` has the file.
"""

from __future__ import annotations

from hashlib import sha256

from zjobs.messages import codec
from zjobs.messages.dispatch import REPORTS, Ack, Heartbeat, Invalid, PipeMessage, Rejected, Reports, TakeOver
from zjobs.messages.units import Ms
from zjobs.worker.core.core import HEARTBEAT_MS
from zjobs.worker.core.effects import Effect, Publish, RemoveSpool, Say, SetAsideSpool
from zjobs.worker.core.interfaces import Damaged, Spool
from zjobs.worker.core.outbox import Outbox

MAGIC = b"zjobs spool 1\n"
DIGEST_BYTES = 32
LENGTH_BYTES = 8
RETRY_MS = 1000


def pack(spool: Spool) -> bytes:
    """Return the content of the file."""
    assert spool.heartbeat.session is not None and spool.reports
    messages = (spool.heartbeat, Reports(spool.heartbeat.session, spool.heartbeat.acked + 1, spool.reports))
    frames = map(codec.encode, messages)
    body = b"".join(len(frame).to_bytes(LENGTH_BYTES, "big") + frame for frame in frames)
    return MAGIC + sha256(body).digest() + body


def unpack(content: bytes) -> Spool:
    """Return the spool in the content of a file. Raises Damaged."""
    if not content.startswith(MAGIC):
        raise Damaged("it does not begin as a spool of this version does")
    digest, body = content[len(MAGIC) : len(MAGIC) + DIGEST_BYTES], content[len(MAGIC) + DIGEST_BYTES :]
    if sha256(body).digest() != digest:
        raise Damaged("its digest does not fit its content")
    try:
        messages = [codec.decode(frame, REPORTS) for frame in _frames(body)]
    except codec.DecodeError as error:
        raise Damaged(str(error)) from None
    if len(messages) != 2 or not isinstance(messages[0], Heartbeat) or not isinstance(messages[1], Reports):
        raise Damaged("it does not hold a heartbeat and reports")
    heartbeat, reports = messages
    whole = (
        heartbeat.session == reports.session and heartbeat.broker is not None and reports.first == heartbeat.acked + 1
    )
    kept = tuple(report for report in reports.reports if not isinstance(report, Invalid))
    if not whole or not kept or len(kept) < len(reports.reports):
        raise Damaged("its heartbeat and its reports do not belong together")
    return Spool(heartbeat, kept)


def _frames(body: bytes) -> list[bytes]:
    frames, at = [], 0
    while at < len(body):
        begin = at + LENGTH_BYTES
        at = begin + int.from_bytes(body[at:begin], "big")
        frames.append(body[begin:at])
    return frames


class SpoolDelivery:
    """The delivery of one spool by the worker `pid` on `host`.

    It speaks as the worker that wrote the spool, under that worker's incarnation and session, and accepts no jobs. When
    every report is acknowledged, it wants the file removed (`RemoveSpool`), again and again until that is on disk. Then
    the delivery is over, and the worker begins as a new incarnation. A crash anywhere in between leaves the file, and
    the next worker delivers it again: the broker recognises the reports by their numbers.

    A broker that does not know the session answers with `take_over`. Nobody will ever accept these reports then, so the
    file is set aside (`SetAsideSpool`).
    """

    def __init__(self, spool: Spool, host: str, pid: int) -> None:
        self._last_heartbeat = spool.heartbeat._replace(
            stopping=True, running=None, spooled=True, warning=None, host=host, pid=pid
        )
        self._outbox = Outbox(spool.heartbeat.acked)
        for report in spool.reports:
            self._outbox.add(report)
        self._rejections: list[Effect] = []
        self._refused = False
        self._heartbeat_at_ms = Ms(0)
        self._settle_at_ms = Ms(0)  # when to try to remove the file, or to set it aside

    def on_pipe(self, message: PipeMessage, now_ms: Ms) -> None:
        """Process a message of the broker."""
        outbox = self._outbox
        if isinstance(message, Ack):
            if message.session == self._last_heartbeat.session and outbox.acked <= message.reports <= outbox.reported:
                outbox.hears(message, now_ms)
        elif isinstance(message, Rejected):
            if message.session == self._last_heartbeat.session:
                self._rejections.append(Say(f"the broker rejected report {message.report}: {message.message}"))
        elif isinstance(message, TakeOver):
            self._refused |= message.incarnation == self._last_heartbeat.incarnation

    def on_subscription(self, now_ms: Ms) -> None:
        """Introduce itself again: a broker that begins to listen may have missed everything."""
        self._heartbeat_at_ms = now_ms
        self._outbox.start_over()

    def turn(self, now_ms: Ms) -> tuple[Effect, ...]:
        """Return what is to be done now, in this order."""
        if self._rejections:
            rejections, self._rejections = self._rejections, []
            return tuple(rejections)
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
        """Return when `turn` has something to do even if nothing happens."""
        return self._settle_at_ms if self._settled else self._heartbeat_at_ms

    @property
    def _settled(self) -> bool:
        """True if nothing is left to deliver."""
        return self._refused or not self._outbox

    @property
    def _heartbeat(self) -> Heartbeat:
        outbox = self._outbox
        return self._last_heartbeat._replace(acked=outbox.acked, round=outbox.flow.round, sent=outbox.flow.count)
