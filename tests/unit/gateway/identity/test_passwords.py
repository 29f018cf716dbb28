"""Passwords: right or wrong, at what cost, and how many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from argon2 import extract_parameters

from tests.unit.gateway.identity.conftest import CHEAP
from zjobs.gateway.config import PasswordCost
from zjobs.gateway.identity.passwords import Busy, Passwords, random_password

Make = Callable[[PasswordCost], Passwords]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes what checks passwords, at a cost."""
    made: list[Passwords] = []

    def one(cost: PasswordCost) -> Passwords:
        made.append(Passwords(cost))
        return made[-1]

    yield one
    for each in made:
        each.close()


async def test_right_and_wrong(make: Make) -> None:
    """Of the same password, every hash is another one."""
    passwords = make(CHEAP)
    kept, again = await passwords.hash("päßword"), await passwords.hash("päßword")
    assert kept != again and kept.startswith("$argon2id$")
    assert (await passwords.check("päßword", kept)).right
    assert not (await passwords.check("päßwort", kept)).right


async def test_each_keyboard_means_the_same(make: Make) -> None:
    """An ä in one piece or in two."""
    passwords = make(CHEAP)
    assert (await passwords.check("pa\u0308ssword", await passwords.hash("p\u00e4ssword"))).right


async def test_somebody_unknown_has_no_password(make: Make) -> None:
    """Not even the one that was made up for them."""
    passwords = make(CHEAP)
    assert await passwords.check("", None) == (False, None)
    for cost in (CHEAP, PasswordCost(2, 16, 1)):
        other = make(cost)
        assert extract_parameters(other._nobodys) == extract_parameters(await other.hash("password"))


async def test_a_hash_is_made_anew_when_the_cost_rises(make: Make) -> None:
    """By whoever knows the password; not when the cost falls, so that gateways with other settings do not quarrel."""
    cheap, dear = make(CHEAP), make(PasswordCost(2, 16, 1))
    old = await cheap.hash("password")
    assert (await cheap.check("password", old)).new_hash is None
    new = (await dear.check("password", old)).new_hash
    assert new is not None and "m=16,t=2,p=1" in new
    assert (await cheap.check("password", new)) == (True, None)
    assert (await dear.check("wrong", old)) == (False, None)
    assert (await make(PasswordCost(4, 8, 1)).check("password", new)).new_hash is None


async def test_few_at_once(make: Make) -> None:
    """Beyond a bound, nothing waits: it would only make everybody slow. The loop goes on meanwhile."""
    passwords = make(PasswordCost(1, 8192, 1))
    asked = await asyncio.gather(*(passwords.hash("password") for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(one, Busy) for one in asked) == 50 - 18
    assert (await passwords.hash("password")).startswith("$argon2id$")


async def test_the_loop_goes_on(make: Make) -> None:
    """While a hash is made, other requests are served."""
    passwords = make(PasswordCost(1, 16_384, 1))
    hashing = asyncio.create_task(passwords.hash("password"))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


def test_random_passwords() -> None:
    """Long enough, and never the same."""
    assert len({random_password() for _ in range(100)}) == 100 and len(random_password()) == 20
