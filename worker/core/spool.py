"""The spool: what a worker that stops could not tell its broker, kept in a file for the next worker to tell.

The file lies beside the worker's lock. It holds messages as the broker would have had them: a heartbeat, which names
session, journal and broker, and the reports that were not acknowledged. Before them stand a line that names the format
and a digest, so that a damaged file is set aside instead of believed. This is its content; `spoolfile` has the file.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from zjobs.messages import codec
from zjobs.messages.dispatch import REPORTS, Heartbeat, Invalid, Report, Reports

MAGIC = b"zjobs spool 1\n"
DIGEST_BYTES = 32
LENGTH_BYTES = 8


class Damaged(Exception):
    """The file is no spool, or not a whole one; the text says what is wrong with it."""


class Spool(NamedTuple):
    """`heartbeat`: the last heartbeat of the worker that stopped; `reports`: those after number `heartbeat.acked`."""

    heartbeat: Heartbeat
    reports: tuple[Report, ...]


def pack(spool: Spool) -> bytes:
    """The content of the file."""
    assert spool.heartbeat.session is not None and spool.reports
    messages = (spool.heartbeat, Reports(spool.heartbeat.session, spool.heartbeat.acked + 1, spool.reports))
    frames = map(codec.encode, messages)
    body = b"".join(len(frame).to_bytes(LENGTH_BYTES, "big") + frame for frame in frames)
    return MAGIC + sha256(body).digest() + body


def unpack(content: bytes) -> Spool:
    """The spool in the content of a file. Raises Damaged."""
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
