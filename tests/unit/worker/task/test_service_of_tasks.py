"""What a task process knows of the service whose jobs it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zjobs.messages.records import BrokerName
from zjobs.messages.values import unpack_value
from zjobs.worker import service

TASKS = """
@task
def known():
    return [os.environ.get("ZJOBS_TASK_OF"), os.environ.get("ZJOBS_BROKER")]
"""


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZJOBS_BROKER", raising=False)


def test_each_job_knows_its_service(bench: Callable[..., Any]) -> None:
    """Not the first alone: it is no change by a job, which would be undone after it and told as left behind."""
    it = bench(TASKS)
    services = [("journal-1", "tcp://127.0.0.1:7"), ("journal-2", "tcp://127.0.0.1:8"), ("journal-2", "")]
    for journal, broker in services:
        it.runner.serve(journal, broker)
        for _ in range(2):
            ended = it.run("known")
            assert unpack_value(ended.result) == [journal, broker or None] and ended.left_behind == ""


def test_what_was_chosen_for_the_worker_stays(bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that shall talk to another service are told its address in the worker's environment."""
    monkeypatch.setenv("ZJOBS_BROKER", "tcp://elsewhere:1")
    it = bench(TASKS)
    for broker in ("tcp://127.0.0.1:7", "tcp://127.0.0.1:8"):
        it.runner.serve("journal-1", broker)
        assert unpack_value(it.run("known").result) == ["journal-1", "tcp://elsewhere:1"]


@pytest.mark.parametrize(
    ("frontend", "reached"),
    [
        ("tcp://127.0.0.1:7", "tcp://127.0.0.1:7"),
        ("tcp://0.0.0.0:7", "tcp://127.0.0.1:7"),
        ("tcp://[::]:7", "tcp://[::1]:7"),
        ("ipc:///run/zjobs", "ipc:///run/zjobs"),
        ("ipc://@zjobs", "ipc://@zjobs"),
        ("ipc://zjobs", ""),  # from a directory that the worker does not know
        (f"ipc:///{'x' * 300}", ""),
    ],
)
def test_where_tasks_reach_the_broker(frontend: str, reached: str) -> None:
    """Of a broker on this host; one elsewhere says how it is called over there."""
    here, _ = service._self()
    assert service._reachable(BrokerName(here, frontend, "journal-1")) == reached
    assert service._reachable(BrokerName("elsewhere", frontend, "journal-1")) == ""
