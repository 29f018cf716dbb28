"""More connections than there are descriptors."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CONNECTIONS = 3_000
FEW = 100


@pytest.fixture
def many_descriptors() -> Iterator[int]:
    """As many as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_broker_takes_as_many_descriptors_as_it_may_have(new_service: Callable[..., Any]) -> None:
    """Whatever the shell it was started from gives to programs that do not ask."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, hard), hard))
    try:
        broker = new_service().start_broker()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(broker.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_3000_idle_connections(stage: Any, many_descriptors: int) -> None:
    """They cost memory by the kilobyte, and nobody's time."""
    before = stage.rss_mib()
    count = min(CONNECTIONS, many_descriptors - 200)
    peers = [stage.peer() for _ in range(count)]
    took = stage.latencies_ms()
    after = stage.rss_mib()
    for peer in peers:
        peer.close()
    stage.honest()
    stage.tried(f"{count} idle connections: {after - before} MiB more; {stage.told(took)}")
    assert after - before < 200


def test_without_descriptors_those_connected_are_served(stage: Any) -> None:
    """And others again as soon as some have gone."""
    known = stage.service.client()
    known.info()
    resource.prlimit(stage.service.broker.pid, resource.RLIMIT_NOFILE, (FEW, FEW))
    peers = [stage.peer() for _ in range(2 * FEW)]
    begun = time.perf_counter()
    job = known.submit("x")
    assert job.status().state == "queued"
    took_ms = (time.perf_counter() - begun) * 1000
    for peer in peers:
        peer.close()
    stage.honest()
    stage.tried(f"{len(peers)} connections where {FEW} descriptors are; a known client waited {took_ms:.0f} ms")
