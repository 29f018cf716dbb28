"""A bound on what a client may send: bodies are read before anybody knows whose they are."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zjobs.gateway.problems import Problem, answer

# Room for the largest request that a broker takes by default, 4 MiB, in base64 and with JSON around it.
MOST_BYTES = 8 << 20


class BodyLimit:
    """Answers 413 to a larger body: at once if its length is stated, otherwise when it has grown too large."""

    def __init__(self, app: ASGIApp, most_bytes: int = MOST_BYTES) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection as ASGI wants it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if told.isdigit() and int(told) > self._most_bytes:
            await answer(self._too_large())(scope, receive, send)
            return
        left = self._most_bytes

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise self._too_large()
            return message

        await self._app(scope, bounded, send)

    def _too_large(self) -> Problem:
        return Problem(413, "too_large", f"a request has at most {self._most_bytes} bytes")
