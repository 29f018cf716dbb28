"""Answers: messages as JSON, a job's value in the form that the client prefers, streams of events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from zjobs.gateway.problems import Problem
from zjobs.gateway.web import json_values, media
from zjobs.gateway.web.records import encode
from zjobs.messages import values

# What comes from a job must not act in a browser, whatever it is.
HARMLESS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
# Proxies must not gather a stream, and nobody must keep it.
_UNBUFFERED = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


def answer(reply: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer whose body is this message."""
    return Response(encode(reply), status, headers, media.JSON)


def answer_json(value: Any) -> Response:
    """Return the answer whose body is this, as JSON."""
    return Response(msgspec.json.encode(value), 200, None, media.JSON)


async def answer_value(value: Any, accept: str) -> Response:
    """Return the answer whose body is a job's value. Raises Problem 406 when it cannot be in that form."""
    is_bytes = isinstance(value, bytes)
    offers = [media.JSON, media.MSGPACK]
    if is_bytes:
        offers = list(dict.fromkeys((media.type_of(value), media.BYTES, *offers)))
    chosen = media.preferred(accept, offers)
    headers = {**HARMLESS, "Vary": "Accept"}
    if chosen == media.MSGPACK:
        return Response(values.pack_value(value), 200, headers, chosen)
    if is_bytes and chosen != media.JSON:
        disposition = "attachment" if chosen == media.BYTES else "inline"
        return Response(value, 200, {**headers, "Content-Disposition": disposition}, chosen)
    make = json_values.to_json
    try:
        text = make(value) if json_values.is_small(value) else await asyncio.to_thread(make, value)
    except json_values.NotJson as error:
        raise Problem(406, "not_json", f"{error}; ask for {media.MSGPACK}") from None
    return Response(text, 200, headers, chosen)


class Source(Protocol):
    """The source of an event stream's texts."""

    async def next(self) -> bytes:
        """Wait for the next text, and return it; empty at the end."""

    def end(self) -> None:
        """Send nothing more."""


class EventStream(Response):
    """An answer that goes on until its source ends, or the client goes. `lasting` is entered for that time."""

    media_type = media.EVENT_STREAM

    def __init__(self, source: Source, lasting: AbstractContextManager[None], status_code: int = 200) -> None:
        self.status_code = status_code
        self.background = None
        self._source = source
        self._lasting = lasting
        self.init_headers(_UNBUFFERED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream as ASGI wants it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        waiting = asyncio.create_task(self._until_gone(receive))
        try:
            with self._lasting:
                while text := await self._source.next():
                    await send({"type": "http.response.body", "body": text, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            waiting.cancel()

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._source.end()
