"""How much may be on its way, what is cut, and what has arrived."""

from __future__ import annotations

import pytest

from zjobs.messages import flow as f
from zjobs.messages.dispatch import Arrived
from zjobs.messages.flow import Arrivals, Cutter, Flow


def filled(flow: Flow, now_ms: int = 0) -> int:
    """Sends pieces until there is no room; how many."""
    count = 0
    while flow.has_room():
        flow.sends(flow.piece_bytes, now_ms)
        count += 1
    return count


def test_little_is_on_its_way() -> None:
    """A few pieces, then nothing more before some are confirmed; each that is makes room for one."""
    flow = Flow()
    assert filled(flow) == 4
    assert flow.hears(Arrived(0, 1), f.SLOW_MS) and flow.has_room()
    assert not flow.hears(Arrived(0, 1), f.SLOW_MS)
    flow.sends(flow.piece_bytes, 0)
    assert not flow.has_room()


def test_the_limit_follows_the_link() -> None:
    """On a slow one it shrinks to its least, on a quick one it grows to its most."""
    slow, quick, now = Flow(), Flow(), 0
    for _ in range(20):
        now += filled(slow, now) and f.SLOW_MS + 1
        slow.hears(Arrived(0, slow.count), now)
        filled(quick, now)
        quick.hears(Arrived(0, quick.count), now)
    assert (slow.piece_bytes, quick.piece_bytes) == (f.LEAST_BYTES // 4, f.MOST_BYTES // 4)


def test_small_messages_tell_nothing_of_a_link() -> None:
    """That they were confirmed quickly is no reason to send much."""
    flow = Flow()
    for _ in range(100):
        assert flow.has_room()
        flow.sends(10, 0)
        flow.hears(Arrived(0, flow.count), 1)
    assert flow.piece_bytes == f.FIRST_BYTES // 4


def test_a_new_round_begins_with_nothing_on_its_way() -> None:
    """And what is said of the one before means nothing."""
    flow = Flow(5)
    filled(flow)
    flow.begin_round()
    assert (flow.round, flow.count) == (6, 0) and flow.has_room()
    flow.sends(1, 0)
    assert not flow.hears(Arrived(5, 4), 0)
    assert flow.hears(Arrived(6, 1), 0)


def test_nobody_waits_for_a_confirmation_that_does_not_come() -> None:
    """The receiver confirms before the sender has no room left, however small the limit and the messages are."""
    assert f.CONFIRM_BYTES < f.LEAST_BYTES
    arrivals = Arrivals(100)
    sizes = [10_000] * 10
    confirmed = []
    for number, size in enumerate(sizes):
        arrivals.receives(0, size)
        if arrivals.confirms():
            confirmed.append(number)
    assert confirmed == [3, 7]


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 199, 200, 201, 1000])
def test_what_is_cut_is_put_together(size: int) -> None:
    """No piece and no rest is larger than said, and together they are the body."""
    cutter, arrivals, body = Cutter(), Arrivals(1000), bytes(n % 251 for n in range(size))
    while (piece := cutter.cut(7, body, 100)) is not None:
        assert len(piece) == 100
        arrivals.hold(cutter.sent_bytes(7) - 100, piece)
    begun = cutter.sent_bytes(7)
    assert len(body) - begun <= 100
    assert arrivals.joined(begun, body[begun:]) == (body,)


def test_a_body_goes_on_where_the_receiver_has_it() -> None:
    """After a new round, and only if it is the same one."""
    cutter, body = Cutter(), bytes(1000)
    for _ in range(5):
        cutter.cut(7, body, 100)
    cutter.start_over()
    cutter.cut(7, body, 100)
    cutter.skip(8, 900)
    assert cutter.sent_bytes(7) == 100
    cutter.skip(7, 400)
    assert cutter.sent_bytes(7) == 400 and cutter.sent_bytes(8) == 0
    cutter.skip(7, 300)
    assert cutter.sent_bytes(7) == 400


def test_pieces_may_overlap() -> None:
    """A body that is sent again is cut in other places; what is there already counts, and a gap is none of it."""
    arrivals, body = Arrivals(100), bytes(range(50))
    arrivals.hold(0, body[:10])
    arrivals.hold(20, body[20:30])
    assert arrivals.held_bytes == 10 and arrivals.joined(20, body[20:]) is None
    arrivals.hold(0, body[:25])
    arrivals.hold(5, body[5:15])
    assert arrivals.held_bytes == 25
    assert arrivals.joined(20, body[20:]) == (body,)


def test_what_was_lost_shows_by_counting() -> None:
    """Of this round fewer came than were sent, or of another none; never when all are there."""
    arrivals = Arrivals(100)
    assert not arrivals.lacks(0, 0) and arrivals.lacks(0, 1) and arrivals.lacks(3, 1)
    arrivals.receives(3, 0)
    arrivals.receives(3, 0)
    assert not arrivals.lacks(3, 2) and arrivals.lacks(3, 3)
    assert arrivals.lacks(2, 1) and not arrivals.lacks(4, 0)
    assert arrivals.arrived == Arrived(3, 2)
    arrivals.receives(4, 0)
    assert arrivals.arrived == Arrived(4, 1)
