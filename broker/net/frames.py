"""Messages as frames: the envelope of a request, which must come back unchanged, and the body."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import zmq

from zjobs.broker.core.records.jobs import Envelope
from zjobs.messages.codec import DecodeError
from zjobs.messages.states import ErrorCode

Received = tuple[list[bytes], int, str]

# As plain numbers: pyzmq's send_multipart joins members of an enumeration, for as long as sending takes.
_LAST = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_POLLIN = int(zmq.POLLIN)


def waiting(socket: zmq.Socket[bytes], most: int, with_key: bool) -> Iterator[Received]:
    """Yield the messages that wait: their frames, the number of frames, and the sender's public key ("" if not
    requested)."""
    with contextlib.suppress(zmq.Again):
        yield receive(socket, most, with_key)
        # Most often that was all. Asking costs half as much as the exception, but more than reading the next message.
        if int(socket.getsockopt(zmq.EVENTS)) & _POLLIN:
            while True:
                yield receive(socket, most, with_key)


def receive(socket: zmq.Socket[bytes], most: int, with_key: bool = False) -> Received:
    """Return the frames of the next message, their number (those past `most` are read and dropped), and the public key
    of its sender in Z85, if requested.

    It reads frame by frame, because recv_multipart would gather a message of any size. Raises zmq.Again if none waits.
    """
    frame = first = socket.recv(zmq.NOBLOCK, copy=False)
    frames, count = [frame.bytes], 1
    while frame.more:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
        count += 1
        if count <= most:
            frames.append(frame.bytes)
    return frames, count, str(first.get("User-Id")) if with_key else ""


def send(socket: zmq.Socket[bytes], *frames: bytes) -> None:
    """Send one message. If it raises ZMQError, none of it was sent."""
    for frame in frames[:-1]:
        socket.send(frame, _MORE)
    socket.send(frames[-1], _LAST)


class NoRoom(Exception):
    """The receiver leaves too many messages unread."""


class Gone(Exception):
    """The receiver is no longer connected."""


def send_to(socket: zmq.Socket[bytes], *frames: bytes) -> None:
    """Send one message to the peer that its first frame names. Raises NoRoom and Gone, and then drops the message."""
    try:
        send(socket, *frames)
    except zmq.Again:
        raise NoRoom from None
    except zmq.ZMQError as error:
        if error.errno != zmq.EHOSTUNREACH:
            raise
        raise Gone from None


def split(frames: list[bytes], count: int, most: int) -> tuple[Envelope, bytes | DecodeError]:
    """Return the envelope of a request, and its body or what is wrong with its frames.

    `frames` begins with the identity that the ROUTER put there; `most` counts it as well.
    """
    if count > most:
        return (frames[0], b""), _bad(f"the request has {count - 1} frames; the limit is {most - 1}")
    try:
        empty = frames.index(b"", 1)
    except ValueError:
        return (frames[0], b""), _bad("an empty frame must stand before the body")
    envelope = tuple(frames[: empty + 1])
    if count != empty + 2:
        return envelope, _bad(f"exactly one body frame must follow the empty frame, not {count - empty - 1}")
    return envelope, frames[-1]


def _bad(message: str) -> DecodeError:
    return DecodeError(ErrorCode.BAD_REQUEST, message)
