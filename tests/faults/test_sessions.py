"""A broker whose session with PostgreSQL is cut at exact messages: some of them; `python -m tests.faults` has all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faulting.forge import Forge
from faulting.sessions import HOW, SessionCampaign

from tests.postgres import Postgres, running_postgres
from tests.postgres_link import broken_link

pytestmark = pytest.mark.postgres

POINTS = 3


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.mark.parametrize("how", HOW)
def test_a_session_cut_under_load(how: str, forge: Forge, postgres: Postgres) -> None:
    """The same broker goes on; no job is lost, run twice or out of turn, and nothing was promised that is not kept."""
    with broken_link(postgres) as link:
        outcome = SessionCampaign(forge, postgres, link, how).run(first=9, step=40, most=POINTS)
    assert outcome.troubles == [] and outcome.verdict.breaches == []
    assert outcome.fired == POINTS and outcome.verdict.trials["lost"] >= 1
