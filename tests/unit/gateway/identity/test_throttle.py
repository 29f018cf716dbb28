"""How often somebody may try to log in."""

from __future__ import annotations

import pytest

from zjobs.gateway.identity.throttle import Rate, Throttle

OFTEN = Rate(1_000_000, 1)
RATE = Rate(3, 1000)


def test_a_burst_and_then_one_at_a_time() -> None:
    """The rate holds for one name, from wherever the attempts come; what was refused costs nothing."""
    throttle = Throttle(RATE, OFTEN)
    waits = [throttle.attempt("alice", f"192.0.2.{i}", 0) for i in range(5)]
    assert waits == [0, 0, 0, 1000, 1000]
    assert [throttle.attempt("alice", "192.0.2.9", now) for now in (999, 1000, 1001)] == [1, 0, 999]
    assert throttle.attempt("bob", "192.0.2.1", 0) == 0


def test_the_burst_comes_back() -> None:
    """After a while without attempts, and no more than once."""
    throttle = Throttle(RATE, OFTEN)
    for now in (0, 1_000_000):
        assert [throttle.attempt("alice", "", now) > 0 for _ in range(4)] == [False, False, False, True]


def test_an_address_may_not_try_many_names() -> None:
    """The rate of an address holds for all names together."""
    throttle = Throttle(OFTEN, RATE)
    assert [throttle.attempt(f"user{i}", "192.0.2.1", 0) for i in range(4)] == [0, 0, 0, 1000]
    assert throttle.attempt("user9", "192.0.2.2", 0) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "192.0.2.1", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    """Whoever has an IPv6 address has its whole /64."""
    throttle = Throttle(OFTEN, Rate(1, 1000))
    throttle.attempt("alice", one, 0)
    assert (throttle.attempt("bob", other, 0) > 0) is same


def test_right_passwords_do_not_count() -> None:
    """Somebody who logs in all day is never refused."""
    throttle = Throttle(RATE, RATE)
    for _ in range(100):
        assert throttle.attempt("alice", "192.0.2.1", 0) == 0
        throttle.welcome("alice", "192.0.2.1")


def test_nobody_is_locked_out_by_others() -> None:
    """From where somebody logged in before, only attempts from there count; those are bounded, too."""
    throttle = Throttle(RATE, OFTEN)
    throttle.attempt("alice", "192.0.2.1", 0)
    throttle.welcome("alice", "192.0.2.1")
    attacks = [throttle.attempt("alice", f"198.51.100.{i}", 0) for i in range(10)]
    assert attacks[:3] == [0, 0, 0] and all(attacks[3:])
    assert [throttle.attempt("alice", "192.0.2.1", 0) > 0 for _ in range(4)] == [False, False, False, True]


def test_memory_is_bounded() -> None:
    """However many names are tried from however many places; those in use stay."""
    throttle = Throttle(RATE, RATE, most=100)
    for i in range(1000):
        throttle.attempt(f"user{i}", f"198.51.{i // 250}.{i % 250}", 0)
        throttle.welcome(f"user{i}", f"198.51.{i // 250}.{i % 250}")
        if i % 50 == 0:
            throttle.attempt("alice", "192.0.2.1", 0)
    assert throttle.size == 300
    assert throttle.attempt("alice", "192.0.2.1", 0) > 0
