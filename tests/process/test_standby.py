"""A broker whose journal is replicated: one primary, one synchronous standby, both real."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Service, wait_until
from tests.postgres import Postgres, running_postgres

pytestmark = pytest.mark.postgres

SYNCHRONOUS = {"synchronous_standby_names": "standby"}


@pytest.fixture
def primary() -> Iterator[Postgres]:
    """A server whose commits wait for the standby from the start."""
    with running_postgres(None, **SYNCHRONOUS) as server:
        yield server


@pytest.fixture
def standby(primary: Postgres) -> Iterator[Postgres]:
    with running_postgres(primary) as server:
        wait_until(lambda: primary.sql("SELECT sync_state FROM pg_stat_replication") == "sync", "the standby follows")
        yield server


@pytest.fixture
def service(primary: Postgres, standby: Postgres, new_service: Callable[..., Service]) -> Service:
    """A service that knows both servers."""
    service = new_service()
    service.journal = f"postgresql://zjobs@/postgres?host={primary.folder},{standby.folder}"
    return service


def submitted(service: Service, key: str) -> int | None:
    """The id that was promised, if any."""
    reply = service.ask("submit", request_key=key, jobs=[{"type": "reverse", "data": b"\xa3abc"}])
    return int(reply["first_id"]) if reply["op"] == "submit" else None


def test_a_standby_takes_over_and_has_all_that_was_acknowledged(
    service: Service, primary: Postgres, standby: Postgres
) -> None:
    """The primary is killed while jobs are submitted; the broker goes on with the promoted standby by itself."""
    service.start_broker("--require-sync-standby")
    assert "flushed to the disk of a standby" in service.ask("info")["durability"]
    service.broker.kill()
    service.start_broker()  # of a single server, as the standby is soon, the option would ask too much
    service.start_worker()
    promised: dict[str, int] = {}
    enough, over = threading.Event(), threading.Event()

    def submit() -> None:
        number = 0
        while not over.is_set() or number < 20:
            if (job_id := submitted(service, f"{number}")) is not None:
                promised[f"{number}"] = job_id
                number += 1
            if number == 20:
                enough.set()

    thread = threading.Thread(target=submit)
    thread.start()
    assert enough.wait(60)
    primary.kill()
    before = len(promised)
    standby.sql("SELECT pg_promote()")
    wait_until(lambda: len(promised) > before + 5, "jobs are promised again", lambda: service.broker.log)
    over.set()
    thread.join()
    for key, job_id in promised.items():
        assert submitted(service, key) == job_id
        service.until_state(job_id, "completed")
    assert len(set(promised.values())) == len(promised) and service.broker.alive
    assert service.ask("info")["read_only"] is None


def test_commits_wait_for_a_standby_that_is_missing(service: Service, primary: Postgres, standby: Postgres) -> None:
    """Nothing is acknowledged meanwhile; the request that was not answered makes one job."""
    service.start_broker("--require-sync-standby")
    service.start_worker()
    first = submitted(service, "before")
    standby.stop()
    assert submitted(service, "meanwhile") is None
    assert service.until(lambda: service.ask("info")["read_only"], "info says so")
    assert submitted(service, "meanwhile") is None
    standby.start()
    job_id = service.until(lambda: submitted(service, "meanwhile"), "it is accepted")
    assert job_id is not None and first is not None and job_id == first + 1
    service.until_state(job_id, "completed")
