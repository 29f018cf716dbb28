"""Fixtures for pytest. Put `pytest_plugins = ["zjobs.testing.plugin"]` into your top conftest.py.

`zjobs_service` is a running service (see `zjobs.testing.Service`), one for each test. Define the fixture `zjobs_tasks`
to name its modules of tasks:

    @pytest.fixture
    def zjobs_tasks():
        return ["package.module"]
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zjobs.testing import Service, running_service


@pytest.fixture
def zjobs_tasks() -> list[str]:
    """Return the modules whose tasks `zjobs_service` runs; by default only the predefined tasks."""
    return []


@pytest.fixture
def zjobs_service(zjobs_tasks: list[str], request: pytest.FixtureRequest) -> Iterator[Service]:
    """Run a broker and a worker for one test. If the test fails, pytest shows their logs."""
    with running_service(zjobs_tasks) as service:
        yield service
        request.node.add_report_section("teardown", "zjobs", service.log())
