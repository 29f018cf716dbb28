"""Requests as frames, on real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from zjobs.broker.net import frames
from zjobs.messages.codec import DecodeError

MOST = 6


@pytest.fixture
def pair() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    """A ROUTER and a DEALER connected to it."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    router.bind("inproc://requests")
    dealer.setsockopt(zmq.IDENTITY, b"me")
    dealer.connect("inproc://requests")
    yield router, dealer
    context.destroy(linger=0)


def received(router: zmq.Socket[bytes]) -> tuple[list[bytes], int]:
    assert router.poll(5_000)
    return frames.receive(router, MOST)[:2]


@pytest.mark.parametrize(
    ("sent", "envelope", "body"),
    [
        ([b"", b"body"], (b"me", b""), b"body"),
        ([b"7", b"", b"body"], (b"me", b"7", b""), b"body"),
        ([b"7", b"8", b"9", b"", b"body"], (b"me", b"7", b"8", b"9", b""), b"body"),
        ([b"", b""], (b"me", b""), b""),
    ],
)
def test_a_request_gives_its_envelope_and_its_body(
    pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]], sent: list[bytes], envelope: tuple[bytes, ...], body: bytes
) -> None:
    """The frames before the body come back as they were."""
    router, dealer = pair
    dealer.send_multipart(sent)
    assert frames.split(*received(router), MOST) == (envelope, body)


@pytest.mark.parametrize(
    ("sent", "envelope", "word"),
    [
        ([b"body"], (b"me", b""), "empty frame"),
        ([b"7", b"body"], (b"me", b""), "empty frame"),
        ([b""], (b"me", b""), "not 0"),
        ([b"", b"body", b"more"], (b"me", b""), "not 2"),
        ([b"7", b"", b"body", b""], (b"me", b"7", b""), "not 2"),
        ([b"", *[b"x"] * 5], (b"me", b""), "the request has 6 frames; the limit is 5"),
        ([b"x"] * 300, (b"me", b""), "300 frames"),
    ],
)
def test_wrong_frames_are_named(
    pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]], sent: list[bytes], envelope: tuple[bytes, ...], word: str
) -> None:
    """What is wrong goes back to the sender, and the next request is read as if nothing had been."""
    router, dealer = pair
    dealer.send_multipart(sent)
    dealer.send_multipart([b"", b"next"])
    back, error = frames.split(*received(router), MOST)
    assert back == envelope and isinstance(error, DecodeError) and word in str(error)
    assert frames.split(*received(router), MOST) == ((b"me", b""), b"next")


def test_frames_past_the_limit_are_not_kept(pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]]) -> None:
    """They are counted; a message of any number of frames takes bounded memory."""
    router, dealer = pair
    dealer.send_multipart([b"x"] * 1_000)
    parts, count = received(router)
    assert len(parts) == MOST and count == 1_001


def test_nothing_waiting_is_said(pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]]) -> None:
    """By zmq.Again, as everywhere."""
    with pytest.raises(zmq.Again):
        frames.receive(pair[0], MOST)


def test_all_that_waits_is_read(pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]]) -> None:
    """One message, several, or none."""
    router, dealer = pair
    for count in (1, 3, 0):
        for number in range(count):
            dealer.send_multipart([b"", b"%d" % number])
        assert not count or router.poll(5_000)
        bodies = [parts[-1] for parts, _, _ in frames.waiting(router, MOST, with_key=False)]
        assert bodies == [b"%d" % number for number in range(count)]
