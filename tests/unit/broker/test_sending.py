"""Jobs on their way to the worker."""

from __future__ import annotations

from collections.abc import Callable

from zjobs.broker.core.records.effects import Changes, Dispatched
from zjobs.broker.core.records.jobs import Job
from zjobs.broker.sending import Sending
from zjobs.messages.dispatch import DispatchedJob, Heartbeat, Jobs, Piece, Received, Sent
from zjobs.messages.flow import FIRST_BYTES
from zjobs.messages.states import JobState

SMALL = b"small"
LARGE = bytes(range(251)) * (10 * FIRST_BYTES // 251)
Wanted = Callable[[int], bool]


def handed(*numbers: int) -> list[Dispatched]:
    return [Dispatched(delivery, Job(100 + delivery, "t", JobState.QUEUED, 0, 0, 0, 5, 0)) for delivery in numbers]


def made(data: dict[int, bytes], *numbers: int) -> Sending:
    sending = Sending(5)
    sending.add(handed(*numbers), Changes())
    sending.supply({100 + delivery: one for delivery, one in data.items()})
    return sending


def due(sending: Sending, wanted: Wanted = lambda delivery: True, now_ms: int = 0) -> list[Jobs | Piece]:
    return list(sending.due("s", wanted, now_ms))


def confirmed(sending: Sending, taken: int = 0, held_bytes: int = 0, again: bool = False) -> bool:
    """The worker says that everything has come."""
    _, round, count = sending.sent("s")
    return sending.hears(Received("s", taken, round, count, held_bytes, again), 0)


def job(delivery: int, data: bytes | None, data_from: int = 0) -> DispatchedJob:
    return DispatchedJob(100 + delivery, "t", data, 1, None, data_from)


def test_small_jobs_go_together() -> None:
    """In one message as long as their numbers follow each other."""
    sending = made({1: SMALL}, 1, 2, 4)
    assert due(sending) == [Jobs("s", 1, (job(1, SMALL), job(2, None)), 5), Jobs("s", 4, (job(4, None),), 5)]
    assert due(sending) == [] and sending.sent("s") == Sent("s", 5, 2)


def test_large_data_goes_in_pieces_and_no_faster_than_they_arrive() -> None:
    """The job itself comes last, with the rest; what is behind it waits for it."""
    sending = made({1: LARGE}, 1, 2)
    messages = due(sending)
    assert len(messages) == 4 and due(sending) == []
    while not confirmed(sending) and (more := due(sending)):
        messages += more
    pieces = [message for message in messages if isinstance(message, Piece)]
    body = b""
    for piece in pieces:
        assert (piece.number, piece.offset) == (1, len(body))
        body += piece.body
    (last,) = messages[len(pieces) :]
    assert last == Jobs("s", 1, (job(1, LARGE[len(body) :], len(body)), job(2, None)), 5)


def test_what_is_no_longer_wanted_is_left_out() -> None:
    """A job that was returned, in the middle of its data as well, is sent no further."""
    sending = made({1: LARGE}, 1, 2, 3)
    assert len(due(sending)) == 4
    confirmed(sending)
    assert due(sending, lambda delivery: delivery == 3) == [Jobs("s", 3, (job(3, None),), 5)]


def test_after_a_loss_everything_goes_again() -> None:
    """In a new round, from where the worker has it; and only once for each loss."""
    sending = made({1: LARGE}, 1)
    due(sending)
    assert confirmed(sending, again=True)
    sending.start_over()
    sending.add(handed(1), Changes())
    sending.supply({101: LARGE})
    first, *_ = due(sending)
    assert isinstance(first, Piece) and (first.round, first.offset) == (6, 0)
    assert not sending.hears(Received("s", 0, 5, 0, 0, True), 0), "of the round before"
    held = 5 * FIRST_BYTES
    sending.hears(Received("s", 0, 6, 4, held), 0)
    piece = due(sending)[0]
    assert isinstance(piece, Piece) and piece.offset == held


def test_a_beat_confirms_as_well() -> None:
    """What is small is not confirmed at once."""
    sending = made({1: LARGE}, 1)
    due(sending)
    heartbeat = Heartbeat("a", "s", 0, 0, False, None, (), None, "here", 1)
    assert not sending.hears(heartbeat, 0) and due(sending) == []
    _, round, count = sending.sent("s")
    sending.hears(heartbeat._replace(arrived=heartbeat.arrived._replace(round=round, count=count)), 0)
    assert len(due(sending)) >= 4
