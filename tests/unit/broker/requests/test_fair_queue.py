"""Whose request is served next."""

from __future__ import annotations

from zjobs.broker.requests import fair_queue
from zjobs.broker.requests.fair_queue import FairQueue


def put(queue: FairQueue[str], client: str, *requests: str, connection: str = "", size: int = 1) -> list[bool]:
    return [queue.put(client, (connection or client).encode(), request, size) for request in requests]


def served(queue: FairQueue[str], turns: int, cost_s: float = 1.0, now_s: float = 0.0) -> list[str]:
    """The requests that are served in so many turns, each in one step that takes `cost_s`."""
    told = []
    for _ in range(turns):
        line = queue.next(now_s)
        if line is None:
            break
        told.append(line.first)
        queue.done(line)
        queue.took(line.client, cost_s)
    return told


def test_requests_of_one_connection_keep_their_order() -> None:
    """First come, first served."""
    queue: FairQueue[str] = FairQueue()
    put(queue, "a", "1", "2", "3")
    assert served(queue, 9) == ["1", "2", "3"] and len(queue) == 0


def test_who_asks_seldom_does_not_wait_for_who_asks_much() -> None:
    """However many requests the other one has waiting, at most one of them is served before."""
    queue: FairQueue[str] = FairQueue()
    put(queue, "flood", *["f"] * 100)
    assert served(queue, 10) == ["f"] * 10
    for _ in range(3):
        put(queue, "honest", "h")
        assert "h" in served(queue, 2)
        assert served(queue, 1) == ["f"]


def test_time_counts_and_not_requests() -> None:
    """A client with expensive requests gets as much time as one with cheap ones, so fewer of them."""
    queue: FairQueue[str] = FairQueue()
    put(queue, "dear", *["d"] * 100)
    put(queue, "cheap", *["c"] * 100)
    count = {"d": 0, "c": 0}
    for _ in range(44):
        line = queue.next(0)
        assert line is not None
        request = line.first
        count[request] += 1
        queue.done(line)
        queue.took(line.client, 10 if request == "d" else 1)
    assert count == {"d": 4, "c": 40}


def test_silence_earns_no_credit() -> None:
    """Who was silent for long starts level with the others, and does not shut them out."""
    queue: FairQueue[str] = FairQueue()
    put(queue, "busy", *["b"] * 100)
    served(queue, 50)
    put(queue, "late", *["l"] * 50)
    told = served(queue, 20)
    assert 9 <= told.count("l") <= 11


def test_what_was_served_is_not_forgotten_between_two_requests() -> None:
    """Or who sends one expensive request after another would always start level."""
    queue: FairQueue[str] = FairQueue()
    put(queue, "dear", "d")
    put(queue, "cheap", *["c"] * 20)
    assert served(queue, 1, 10) == ["d"]
    put(queue, "dear", "d")
    assert served(queue, 10) == ["c"] * 10


def test_connections_of_one_client_share_its_turn() -> None:
    """More connections under one key are not more time, and each of them comes in turn."""
    queue: FairQueue[str] = FairQueue()
    for number in range(20):
        put(queue, "many", f"m{number}", f"m{number}", connection=f"m{number}")
    put(queue, "one", *["o"] * 20)
    told = served(queue, 20)
    assert told.count("o") == 10
    assert len({request for request in told if request != "o"}) == 10


def test_a_request_in_steps_stays_first_in_its_line() -> None:
    """Others are served between its steps; what is behind it on its connection waits for its end."""
    queue: FairQueue[str] = FairQueue()
    put(queue, "a", "long", "behind")
    put(queue, "b", "b1", "b2")
    told = []
    for step in range(4):
        line = queue.next(0)
        assert line is not None
        told.append(line.first)
        queue.took(line.client, 1)
        if line.first != "long" or step > 1:
            queue.done(line)
    assert told == ["long", "b1", "long", "b2"]
    assert served(queue, 1) == ["behind"]


def test_a_line_that_is_held_waits_for_its_release() -> None:
    """Whatever else its client has on other connections goes on."""
    queue: FairQueue[str] = FairQueue()
    put(queue, "a", "1", "2")
    put(queue, "a", "other", connection="second")
    line = queue.next(0)
    assert line is not None and line.first == "1"
    queue.postpone(line)
    assert served(queue, 9) == ["other"] and len(queue) == 2
    queue.release()
    assert served(queue, 9) == ["1", "2"]


def test_a_line_may_end_while_it_is_held() -> None:
    """It is forgotten with its release."""
    queue: FairQueue[str] = FairQueue()
    put(queue, "a", "1")
    line = queue.next(0)
    assert line is not None
    queue.postpone(line)
    queue.done(line)
    queue.release()
    assert queue.next(0) is None and len(queue) == 0
    assert put(queue, "a", "2") == [True] and served(queue, 9) == ["2"]


def test_who_held_up_everybody_rests_while_others_ask() -> None:
    """For as long as it took; alone it goes on at once."""
    queue: FairQueue[str] = FairQueue()
    put(queue, "long", *["l"] * 9)
    line = queue.next(10.0)
    assert line is not None
    queue.rest(line.client, 0.4, 10.4)
    put(queue, "other", "o")
    assert served(queue, 2, now_s=10.5) == ["o"]
    assert 10.5 < queue.ready_at_s(10.5) == 10.8
    assert served(queue, 1, now_s=10.9) == ["l"]
    queue.rest(line.client, 9.0, 11.0)
    assert served(queue, 1, now_s=10.95 + fair_queue.OTHERS_ASKED_S) == ["l"]


def test_what_waits_is_bounded() -> None:
    """For each connection, for each client in number and bytes, and for all together."""
    queue: FairQueue[str] = FairQueue()
    taken = put(queue, "a", *["x"] * (fair_queue.QUEUE_REQUESTS + 9))
    assert sum(taken) == fair_queue.QUEUE_REQUESTS
    for number in range(20):
        put(queue, "a", *["x"] * fair_queue.QUEUE_REQUESTS, connection=f"a{number}")
    assert len(queue) == fair_queue.CLIENT_REQUESTS
    assert put(queue, "b", "x") == [True]
    assert put(queue, "c", "large", "large", size=fair_queue.CLIENT_BYTES) == [True, False]
    assert not queue.full
    for number in range(3):
        put(queue, f"d{number}", "large", size=fair_queue.CLIENT_BYTES)
    assert queue.full


def test_clients_that_make_no_difference_are_forgotten() -> None:
    """A client for each connection that ever was would fill the memory."""
    queue: FairQueue[str] = FairQueue()
    for number in range(3 * fair_queue.REMEMBERED):
        put(queue, f"{number}", "x")
        assert served(queue, 1) == ["x"]
    assert queue.clients() <= fair_queue.REMEMBERED + 1
