"""A running gateway whose users are in PostgreSQL, reached through asyncpg."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.conftest import making_services
from tests.gateway.running import PASSWORD, Gateway
from tests.postgres import running_postgres

if TYPE_CHECKING:
    from tests.postgres import Postgres

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that the tests stop and start."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(server: Postgres) -> Iterator[Gateway]:
    """A gateway on it, before a service of its own."""
    url = server.emptied().replace("postgresql:", "postgresql+asyncpg:")
    with making_services() as make:
        service = make()
        service.start_broker()
        service.start_worker()
        service.until_worker("ready")
        gateway = Gateway(service, "--database", url)
        yield gateway
        gateway.close()


def test_people_and_jobs(gateway: Gateway) -> None:
    """A user is made, logs in, submits; nothing is written into a file of ours."""
    kim = gateway.user("kim", "submitter")
    assert kim.ended(kim.submit("echo", "data")).json() == "data"
    wrong = kim.post(f"{kim.api}/auth/token", data={"username": "kim", "password": "wrong"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "wrong_login")
    told = [(each["action"], each["subject"]) for each in gateway.admin.get(f"{kim.api}/audit").json()]
    assert told[:3] == [("login_failed", "kim"), ("login", "kim"), ("user_added", "kim")]
    assert not list(gateway.service.place.rglob("gateway.db"))


def test_another_gateway_of_the_same_database(gateway: Gateway) -> None:
    """A login at one counts at the other; what one revokes ends there, an open stream, too."""
    other = gateway.service.start("gateway", "--listen", "127.0.0.1:*", *gateway.options)
    (url,) = other.ready()
    lee = gateway.user("lee", "member")
    with lee.stream("GET", f"{url}/api/v1/services/default/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        assert gateway.admin.delete(f"{lee.api}/users/lee").status_code == 204
        for _ in lines:  # to the end
            pass
    assert lee.status("GET", f"{url}/api/v1/me") == 401
    other.signal(signal.SIGTERM)
    assert other.ended() == 0


def test_the_gateway_is_killed(gateway: Gateway) -> None:
    """Logins outlive it."""
    gateway.program.kill()
    gateway.start()
    assert gateway.admin.get(f"{gateway.admin.api}/me").json()["name"] == "admin"


def test_the_server_is_away(gateway: Gateway, server: Postgres) -> None:
    """Nobody can log in, and is told to try again; those who have go on. With its return, everything is as before."""
    form = {"username": "admin", "password": PASSWORD}
    client = gateway.admin
    assert client.status("GET", "queue") == 200
    server.stop()
    refused = client.post(f"{client.api}/auth/token", data=form)
    assert (refused.status_code, refused.json()["code"]) == (503, "database")
    assert refused.headers["retry-after"] == "1"
    assert client.status("GET", "queue") == 200
    server.start()
    assert client.post(f"{client.api}/auth/token", data=form).status_code == 200
