"""The output of a job's last run, piece by piece, for replies that have all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from zjobs.client.aio import AsyncClient
from zjobs.messages.requests.queries import Log, LogReply


async def output_from(client: AsyncClient, piece: LogReply) -> AsyncIterator[bytes]:
    """Yield the output from this piece on, up to what there is now or until another run begins."""
    run, end = piece.run, piece.size_bytes
    while piece.run == run and piece.body:
        yield piece.body
        offset = piece.offset + len(piece.body)
        if offset >= end:
            return
        piece = await client.ask(Log(piece.id, offset))
