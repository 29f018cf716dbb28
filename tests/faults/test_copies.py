"""`zbroker copy` interrupted: one of the places at the start and all at the end, where the three commits are.

`python -m tests.faults.copies` goes through all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faulting.copies import Copies

from tests.copied import DIRECTIONS, Place
from tests.faults.copies import filled
from tests.postgres import Postgres, running_postgres
from tests.postgres_link import broken_link

pytestmark = pytest.mark.postgres

LAST = 6


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def place(postgres: Postgres, tmp_path: Path) -> Iterator[Place]:
    place = Place(postgres, tmp_path)
    yield place
    place.close()


@pytest.mark.parametrize("how", ["before", "during", "after"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_session_cut_in_the_middle(place: Place, postgres: Postgres, direction: str, how: str) -> None:
    """The source can be used, or the target, or the same command does the rest."""
    filled(place.ends(direction)[0])
    copies = Copies(place, direction)
    with broken_link(postgres) as link:
        messages = copies.messages(link)
        copies.cut(link, how, [7, *range(messages - LAST, messages + 2)])
    assert copies.found >= {"source", "target"}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_killed_in_the_middle(place: Place, direction: str) -> None:
    """The same."""
    filled(place.ends(direction)[0])
    copies = Copies(place, direction)
    steps = copies.steps()
    copies.kill([3, *range(steps - LAST, steps + 1)])
    assert copies.found >= {"source", "neither"} and copies.fired == LAST + 2
