"""Puts `journal_sample` on the path, and ends what refused journals leave open."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Postgres, running_postgres
from zjobs.broker.storage.sqlite import opening

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _close_what_was_refused() -> Iterator[None]:
    """A program that refuses a journal ends; a test does not, so it closes what was left open."""
    yield
    while opening.unclosed:
        opening.unclosed.pop().close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests that do not stop it."""
    with running_postgres() as server:
        yield server
