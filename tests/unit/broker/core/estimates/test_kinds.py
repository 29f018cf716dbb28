"""The numbers of kinds: one byte for each job, whatever types and limits there are."""

from __future__ import annotations

from zjobs.broker.core.estimates.kinds import OTHER, Kind, Kinds, Numbers
from zjobs.messages.units import Ms


def limited(limit_ms: int) -> Kind:
    return Kind("a", Ms(limit_ms))


def test_jobs_of_a_kind_share_a_number() -> None:
    """Type and time limit make a kind; only those are told of which there are jobs."""
    kinds = Kinds((Kind("a"),), {1: 2})
    assert [kinds.add(kind) for kind in (Kind("a"), Kind("b"), limited(5), Kind("b"))] == [1, 2, 3, 2]
    assert dict(kinds) == {1: Kind("a"), 2: Kind("b"), 3: limited(5)}
    for _ in range(3):
        kinds.remove(1)
    assert dict(kinds) == {2: Kind("b"), 3: limited(5)}


def test_more_kinds_than_numbers() -> None:
    """The last number stands for all the rest, until another has no job left."""
    kinds = Kinds((), {})
    numbers = [kinds.add(limited(ms)) for ms in range(1, 400)]
    assert numbers == [min(number, OTHER) for number in range(1, 400)]
    assert dict(kinds)[OTHER] is None
    kinds.remove(7)
    assert kinds.add(limited(999)) == 7 and dict(kinds)[7] == limited(999)
    assert kinds.add(limited(7)) == OTHER, "its number was given to another"
    assert kinds.add(limited(8)) == 8


def test_a_journal_numbers_kinds_in_the_same_way() -> None:
    """As they come; what has no number of its own is not named."""
    numbers = Numbers()
    assert [numbers[limited(ms)] for ms in (5, 6, 5)] == [1, 2, 1]
    assert [numbers[limited(ms)] for ms in range(10, 400)][-1] == OTHER
    kinds = Kinds(numbers.kinds(), {1: 2, OTHER: 1})
    assert len(numbers.kinds()) == OTHER - 1 and kinds.add(limited(6)) == 2
    assert kinds.add(limited(399)) == 3, "of which there is no job"
