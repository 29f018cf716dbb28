"""A broker whose journal is in PostgreSQL, while the server, the connection or the broker itself goes."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Service
from tests.postgres import Postgres, running_postgres
from zjobs import AsyncClient

pytestmark = pytest.mark.postgres

SETUP = Path(__file__).parents[2] / "docs/postgresql.md"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that the tests stop and start again."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def service(server: Postgres, new_service: Callable[..., Service]) -> Service:
    """A service whose journal is in an empty database."""
    service = new_service()
    service.journal = server.emptied()
    service.start_broker()
    service.start_worker()
    service.until_worker("ready")
    return service


def submitted(service: Service, key: str, count: int = 1) -> dict[str, object]:
    return service.ask("submit", request_key=key, jobs=[{"type": "reverse", "data": b"\xa3abc"}] * count)


def insisted(service: Service, key: str, count: int = 1) -> int:
    """The id of the first job, asked for until it is promised."""
    reply = service.until(lambda: (said := submitted(service, key, count))["op"] == "submit" and said, "it is accepted")
    return int(reply["first_id"])


def test_jobs_run_and_are_kept(service: Service, server: Postgres) -> None:
    """Over kill -9 of the broker; info says what keeps them, and nobody sees a password."""
    first = insisted(service, "a", 20)
    service.until_state(first + 19, "completed")
    service.broker.kill()
    service.journal = service.journal.replace("zjobs@", "zjobs:secret@")
    service.start_broker()
    assert service.client().job(first).result() == "cba"
    info = service.ask("info")
    assert info["completed"] == 20 and info["sqlite"].startswith("PostgreSQL ")
    assert info["durability"] == "handed to the operating system of the server, and perhaps on no standby yet"
    assert any("fsync" in warning for warning in info["warnings"])
    assert "secret" not in str(info) + service.broker.log and str(server.folder) in info["journal_file"]


def test_the_set_up_of_the_page(server: Postgres, new_service: Callable[..., Service]) -> None:
    """Its statements are all that a role needs which is no superuser; it can also end a session of its own."""
    (script,) = re.findall(r"```sql\n(.*?)```", SETUP.read_text(), re.DOTALL)
    server.sql(*script.replace("zjobs", "lab").strip().splitlines())  # zjobs is the superuser of this server
    service = new_service()
    service.journal = f"postgresql://lab@/lab?host={server.folder}"
    service.start_broker()
    service.start_worker()
    service.until_state(insisted(service, "a"), "completed")
    assert server.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'lab'") == "f"


def test_a_journal_moves_under_a_working_worker(server: Postgres, new_service: Callable[..., Service]) -> None:
    """`zbroker copy` while a job runs: the worker goes on with the same job, and the file's broker refuses to start."""
    service = new_service()
    file, database = service.journal, server.emptied()
    service.start_broker()
    service.start_worker()
    done = insisted(service, "a")
    service.until_state(done, "completed")
    running = service.ask("submit", request_key="gate", jobs=[{"type": "once_gate", "data": b"\xa1m"}])["first_id"]
    service.until_state(running, "in_progress")
    assert service.start("broker", "copy", file, database).ended() == 75  # it has a broker
    service.broker.signal(signal.SIGTERM)
    service.broker.ended()
    copy = service.start("broker", "copy", file, database)
    assert copy.ended() == 0, copy.log
    refused = service.start("broker", "--listen", service.listen, "--journal", file)
    assert refused.ended() == 78 and "was moved to postgresql://" in refused.log
    service.journal = database
    service.start_broker()
    service.open_gate("m")
    service.until_state(running, "completed")
    assert service.runs("start").count("m") == 1
    assert service.client().job(done).result() == "cba" and insisted(service, "a") == done


def test_a_second_broker_is_refused(service: Service) -> None:
    """With exit code 75 and the name of the first."""
    second = service.start("broker", "--listen", f"ipc://{service.place}/g", "--journal", service.journal)
    assert second.ended() == 75
    assert f"pid {service.broker.pid}, listening at {service.endpoint}" in second.log


def test_without_a_standby_it_refuses_if_told_to(service: Service) -> None:
    """With exit code 78, also where the journal is a file."""
    service.broker.signal(signal.SIGTERM)
    service.broker.ended()
    for journal in (service.journal, str(service.place / "j.db")):
        broker = service.start("broker", "--listen", service.listen, "--journal", journal, "--require-sync-standby")
        assert broker.ended() == 78 and "standby" in broker.log


def test_the_broker_outlives_a_restart_of_the_server(service: Service, server: Postgres) -> None:
    """It promises nothing meanwhile, says why, answers, and goes on; the running job is not run again."""
    before = insisted(service, "before")
    service.until_state(before, "completed")
    waiting = service.ask("submit", request_key="gate", jobs=[{"type": "once_gate", "data": b"\xa1g"}])["first_id"]
    service.until_state(waiting, "in_progress")
    server.stop(signal.SIGQUIT)
    refused = submitted(service, "meanwhile")
    assert refused["code"] in ("storage", "read_only")
    info = service.until(lambda: (said := service.ask("info"))["read_only"] and said, "info says so")
    assert info["completed"] == 1 and service.ask("hello")["op"] == "hello"
    assert service.ask("status", ids=[before])["code"] == "storage"
    assert submitted(service, "meanwhile")["code"] == "read_only"
    server.start()
    after = insisted(service, "meanwhile")
    service.open_gate("g")
    for job_id in (waiting, after):
        service.until_state(job_id, "completed")
    assert service.ask("info")["read_only"] is None and service.broker.alive
    assert service.runs("start").count("g") == 1
    assert "the journal can be written again" in service.broker.log


def test_who_watches_misses_no_end(service: Service, server: Postgres) -> None:
    """Of a job that ends while the server is away, those hear who watch and who wait for it."""
    client = service.client(30.0)
    job = client.submit("once_gate", "h")
    service.until_state(job.id, "in_progress")
    watch = client.watch([job.id])
    assert watch.next(20).job.state == "in_progress"
    server.stop(signal.SIGQUIT)
    service.open_gate("h")
    service.until(lambda: service.ask("info")["read_only"], "the broker has noticed")
    server.start()
    assert [event.job.state for event in watch if event.job][-1] == "completed"
    assert job.result(timeout=20) == "h"


def test_who_waits_for_a_result_waits_on(service: Service, server: Postgres) -> None:
    """Asked while the database is away, too."""
    client = service.client(30.0)
    job = client.submit("once_gate", "w")
    service.until_state(job.id, "in_progress")
    server.stop(signal.SIGQUIT)
    service.open_gate("w")
    service.until(lambda: service.ask("info")["read_only"], "the broker has noticed")
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(job.result, timeout=60)
        service.until(lambda: service.ask("status", ids=[job.id])["code"] == "storage", "nothing can be read")
        server.start()
        assert result.result(60) == "w"


def test_many_who_wait_in_one_loop_wait_on(service: Service, server: Postgres) -> None:
    """The waits of an AsyncClient, which share requests; some began before the database went, some while it is away."""

    async def wait() -> list[object]:
        async with AsyncClient(service.endpoint, timeout=30.0) as client:
            jobs = [await client.submit("once_gate", "v"), await client.submit("reverse", "abc")]
            early = [asyncio.create_task(job.result(timeout=90)) for job in jobs]
            await asyncio.to_thread(service.until_state, jobs[0].id, "in_progress")
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            await asyncio.to_thread(service.until, lambda: service.ask("info")["read_only"], "the broker has noticed")
            late = [asyncio.create_task(job.result(timeout=90)) for job in jobs]
            service.open_gate("v")
            server.start()  # in this thread: it ends with the one that has started it
            return list(await asyncio.gather(*early, *late))

    assert asyncio.run(wait()) == ["v", "cba"] * 2


def test_a_session_that_is_ended_is_made_anew(service: Service, server: Postgres) -> None:
    """By an administrator, again and again, while jobs come."""
    for number in range(5):
        insisted(service, f"{number}")
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'zbroker'")
    last = insisted(service, "last")
    service.until_state(last, "completed")
    assert service.ask("info")["completed"] == 6


def test_a_broker_without_a_database_does_not_start(service: Service, server: Postgres) -> None:
    """A sentence and exit code 73; no password in it."""
    url = f"postgresql://zjobs:secret@/none?host={server.folder}"
    broker = service.start("broker", "--listen", f"ipc://{service.place}/g", "--journal", url)
    assert broker.ended() == 73
    assert "cannot be reached" in broker.log and "secret" not in broker.log and "Traceback" not in broker.log
