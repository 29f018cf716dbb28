"""What clients ask for: taken in bounded portions, decoded, and refused where it may not be.

The ROUTER takes a message from each connection in turn, so whoever asks for much waits longest for it; what bounds a
portion is how long others wait for its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from zjobs.broker import frames
from zjobs.broker.access import ANYBODY, Who, refusal
from zjobs.broker.jobs import Envelope
from zjobs.broker.journal import StorageError
from zjobs.broker.keys import KeyRing
from zjobs.messages import wire
from zjobs.messages.types import (
    Cancel,
    Error,
    ErrorCode,
    Forget,
    Limits,
    List,
    Log,
    Queue,
    Request,
    Result,
    Retry,
    Show,
    Status,
    Submit,
)

REQUESTS = 512
BYTES = 16 << 20
WORK = 5_000  # jobs that are looked at or made; about 50 ms
PIECE_WORK = 50  # a piece of a result, or a page of a list, takes about as long as so many


class Asked(NamedTuple):
    """A request, with whom its reply goes to and who wants it."""

    envelope: Envelope
    request: Request
    who: Who


Refused = tuple[Envelope, Error]


class Intake:
    """`keys`: None where everybody may do everything. `owner_of(id)`: whose job it is, None when there is none."""

    def __init__(self, limits: Limits, keys: KeyRing | None, owner_of: Callable[[int], str | None]) -> None:
        self._limits = limits
        self._keys = keys
        self._owner_of = owner_of

    def take(self, messages: Iterator[frames.Received], most: int) -> tuple[list[Asked], list[Refused]]:
        """The requests among the messages that wait, bounded in number, bytes and work; and the answers to the rest.

        most: frames of a message, the sender's identity included.
        """
        asked: list[Asked] = []
        refused: list[Refused] = []
        size = work = 0
        for parts, count, key in islice(messages, REQUESTS):
            size += sum(map(len, parts)) + count
            envelope, body = frames.split(parts, count, most)
            try:
                request = self._decode(body)
                asked.append(self._permitted(envelope, request, key))
                work += _work(request)
            except wire.DecodeError as error:
                refused.append((envelope, Error(error.code, str(error))))
            if size >= BYTES or work >= WORK:
                break
        return asked, refused

    def _decode(self, body: bytes | wire.DecodeError) -> Request:
        if isinstance(body, wire.DecodeError):
            raise body
        limit = self._limits.request_bytes
        if len(body) > limit:
            raise wire.DecodeError(ErrorCode.TOO_LARGE, f"the request has {len(body)} bytes; the limit is {limit}")
        try:
            return wire.decode(body, wire.REQUESTS)  # type: ignore[no-any-return]
        except RecursionError:  # msgpack goes deeper than Python does to show what it found
            raise wire.DecodeError(ErrorCode.BAD_REQUEST, "the body is nested too deeply") from None

    def _permitted(self, envelope: Envelope, request: Request, key: str) -> Asked:
        """Raises DecodeError when the holder of `key` may not have it."""
        if self._keys is None:
            return Asked(envelope, request, ANYBODY)
        who = self._keys.who(key)
        if who is None:
            raise wire.DecodeError(ErrorCode.NOT_PERMITTED, "this key was revoked")
        try:
            error = refusal(request, who, self._owner_of)
        except StorageError as failure:
            error = Error(ErrorCode.STORAGE, f"the journal cannot be read: {failure}")
        if error is not None:
            raise wire.DecodeError(error.code, error.message)
        return Asked(envelope, request, who)


def _work(request: Request) -> int:
    """About how long a request takes, in jobs."""
    if isinstance(request, Submit):
        return len(request.jobs)
    if isinstance(request, (Status, Cancel, Retry, Forget)):
        return len(request.ids)
    if isinstance(request, Queue):
        return request.limit
    return PIECE_WORK if isinstance(request, (Result, List, Show, Log)) else 0
