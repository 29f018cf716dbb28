"""zgateway as it runs, with a broker and a worker: logging in, every role at every route, and whatever dies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.conftest import Program, Service

PASSWORD = "correct horse battery"


class Gateway:
    """A zgateway before a service. It can be killed and started again at the same place."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.at = "127.0.0.1:*"
        service.env["ZGATEWAY_ADMIN_PASSWORD"] = PASSWORD
        service.env["XDG_CONFIG_HOME"] = str(service.place / "config")
        self.clients: list[httpx.Client] = []
        self.program: Program = self.start()

    def start(self, *options: str) -> Program:
        self.program = self.service.start("gateway", "--listen", self.at, *options)
        (url,) = self.program.ready()
        self.at = url.removeprefix("http://")
        return self.program

    def client(self, name: str = "admin", password: str = PASSWORD) -> httpx.Client:
        """Somebody who has logged in; paths begin behind the name of the service."""
        client = self.visitor()
        form = {"username": name, "password": password}
        told = client.post(f"http://{self.at}/api/v1/auth/token", data=form)
        assert told.status_code == 200, told.text
        client.headers["Authorization"] = f"Bearer {told.json()['access_token']}"
        return client

    def visitor(self) -> httpx.Client:
        """Somebody who has not."""
        client = httpx.Client(base_url=f"http://{self.at}/api/v1/services/default/", timeout=30)
        self.clients.append(client)
        return client

    def user(self, name: str, role: str) -> httpx.Client:
        """A new user, logged in."""
        admin = self.client()
        body = {"name": name, "role": role, "password": PASSWORD}
        made = admin.post(f"http://{self.at}/api/v1/users", json=body)
        assert made.status_code == 201, made.text
        return self.client(name)


@pytest.fixture
def gateway(service: Service) -> Iterator[Gateway]:
    """A gateway before a service of its own."""
    service.until_worker("ready")
    gateway = Gateway(service)
    yield gateway
    for client in gateway.clients:
        client.close()


def submitted(client: httpx.Client, type: str, data: Any, **more: Any) -> int:
    answered = client.post("jobs", json={"type": type, "data": data, **more})
    assert answered.status_code == 201, answered.text
    return int(answered.json()["first_id"])


def test_nothing_can_be_read_without_a_login(gateway: Gateway) -> None:
    """But with --public-read what a viewer sees."""
    visitor = gateway.visitor()
    for path in ("jobs", "jobs/1", "queue", "info", "types", "events", "../../services"):
        answered = visitor.get(path)
        assert (answered.status_code, answered.json()["code"]) == (401, "login_needed"), path
        assert answered.headers["www-authenticate"] == "Bearer"
    job_id = submitted(gateway.client(), "echo", "secret")
    gateway.program.insist()
    gateway.start("--public-read")
    assert visitor.get(f"jobs/{job_id}").status_code == 200
    assert visitor.get(f"jobs/{job_id}/result").status_code == 403
    assert visitor.post("jobs", json={"type": "echo"}).status_code == 403


# What each role may do with another's job, with its own, and with the service: by the broker's table of operations.
ANY, OWN, NOBODY = "any", "own", "nobody"
WITH_A_JOB = {
    ("GET", "jobs/{id}"): {"viewer": ANY, "submitter": OWN, "member": ANY, "operator": ANY},
    ("GET", "jobs/{id}/show"): {"viewer": ANY, "submitter": OWN, "member": ANY, "operator": ANY},
    ("GET", "jobs/{id}/result"): {"viewer": NOBODY, "submitter": OWN, "member": OWN, "operator": ANY},
    ("GET", "jobs/{id}/log"): {"viewer": NOBODY, "submitter": OWN, "member": OWN, "operator": ANY},
    ("POST", "jobs/{id}/retry"): {"viewer": NOBODY, "submitter": OWN, "member": OWN, "operator": ANY},
    ("POST", "jobs/{id}/cancel"): {"viewer": NOBODY, "submitter": OWN, "member": OWN, "operator": ANY},
    ("DELETE", "jobs/{id}"): {"viewer": NOBODY, "submitter": OWN, "member": OWN, "operator": ANY},
}
WITH_THE_SERVICE = {
    ("GET", "jobs"): {"viewer", "submitter", "member", "operator"},
    ("GET", "queue"): {"viewer", "submitter", "member", "operator"},
    ("GET", "types"): {"viewer", "submitter", "member", "operator"},
    ("GET", "types/echo"): {"viewer", "submitter", "member", "operator"},
    ("GET", "info"): {"viewer", "submitter", "member", "operator"},
    ("POST", "jobs"): {"submitter", "member", "operator"},
    ("POST", "pause"): {"operator"},
    ("POST", "resume"): {"member", "operator"},
}
BODIES: dict[tuple[str, str], Any] = {("POST", "jobs"): {"type": "echo"}, ("POST", "pause"): {"reason": "test"}}


def test_every_role_at_every_route(gateway: Gateway) -> None:
    """The broker refuses what a role may not do, whoever built the request."""
    boss = gateway.client()
    others = submitted(boss, "echo", 1)
    boss.get(f"jobs/{others}/result", params={"wait": 20})
    for role in ("viewer", "submitter", "member", "operator"):
        person = gateway.user(f"the-{role}", role)
        own = submitted(person, "echo", 2) if role != "viewer" else others
        boss.get(f"jobs/{own}/result", params={"wait": 20})
        for (method, path), may in WITH_A_JOB.items():
            for job_id, wanted in ((own, (ANY, OWN)), (others, (ANY,))):
                if method == "DELETE" and role == "operator" and job_id == others:
                    continue  # the next role needs it
                status = person.request(method, path.format(id=job_id)).status_code
                assert (status != 403) == (may[role] in wanted and (role != "viewer" or may[role] == ANY)), (role, path)
                assert status in (200, 201, 202, 204, 403, 409), (role, path, status)
        for route, roles in WITH_THE_SERVICE.items():
            status = person.request(*route, json=BODIES.get(route)).status_code
            assert status == (403 if role not in roles else 201 if route == ("POST", "jobs") else 200), (role, route)


def test_a_submitter_hears_of_its_own_jobs_alone(gateway: Gateway) -> None:
    """In the stream of the service, and in that of a job."""
    boss, kim = gateway.client(), gateway.user("kim", "submitter")
    with kim.stream("GET", "events") as stream:
        lines = stream.iter_lines()
        assert "event: service" in (next(lines) for _ in range(6))
        submitted(boss, "echo", 1)
        own = submitted(kim, "echo", 2)
        told = next(line for line in lines if line.startswith('data: {"id":'))
        assert told.startswith(f'data: {{"id":{own},')
    assert kim.get("jobs/1/events").status_code == 403


def test_a_stream_ends_when_its_token_is_revoked(gateway: Gateway) -> None:
    """And nothing more can be asked with it."""
    kim = gateway.user("kim", "member")
    with kim.stream("GET", "events") as stream:
        lines = stream.iter_lines()
        next(lines)
        assert gateway.client().delete(f"http://{gateway.at}/api/v1/users/kim").status_code == 204
        for _ in lines:  # to the end
            pass
    assert kim.get("queue").status_code == 401


def test_the_broker_is_killed_under_load(gateway: Gateway, service: Service) -> None:
    """Requests wait for its return; each key was carried out once, and every job ends."""
    client = gateway.client()
    ids: dict[str, int] = {}
    wrong: list[str] = []

    def submit(part: int) -> None:
        for place in range(20):
            key = f"load-{part}-{place}"
            while key not in ids:
                answered = client.post("jobs", json={"type": "echo", "data": key}, headers={"Idempotency-Key": key})
                if answered.status_code == 201:
                    ids[key] = answered.json()["first_id"]
                elif answered.status_code != 503 or answered.headers.get("retry-after") != "1":
                    wrong.append(answered.text)
                    return

    threads = [threading.Thread(target=submit, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        before = len(ids)
        service.until(lambda before=before: len(ids) > min(before + 5, 79), "jobs are accepted")
        service.broker.kill()
        service.start_broker()
    for thread in threads:
        thread.join(60)
    assert not wrong and len(set(ids.values())) == len(ids) == 80
    for key, job_id in ids.items():
        result = client.get(f"jobs/{job_id}/result", params={"wait": 30})
        assert (result.status_code, result.json()) == (200, key)


def test_the_broker_is_away(gateway: Gateway, service: Service) -> None:
    """503 with Retry-After, and the stream tells that it cannot be reached, and that it is back."""
    client = gateway.client()
    with client.stream("GET", "events") as stream:
        lines = stream.iter_lines()
        assert any('"reachable":true' in line for line in lines)
        service.broker.kill()
        assert any('"reachable":false' in line for line in lines)
        answered = client.get("queue")
        assert (answered.status_code, answered.json()["code"]) == (503, "unreachable")
        assert answered.headers["retry-after"] == "1"
        service.start_broker()
        assert any('"reachable":true' in line for line in lines)
    assert client.get("queue").status_code == 200


def test_the_gateway_is_killed(gateway: Gateway, service: Service) -> None:
    """Jobs do not notice; logins outlive it; who heard events before is told to ask for everything."""
    client = gateway.client()
    job_id = submitted(client, "safe_gate", "g")
    with client.stream("GET", "events") as stream:
        last = next(line for line in stream.iter_lines() if line.startswith("id: ")).removeprefix("id: ")
    gateway.program.kill()
    service.open_gate("g")
    gateway.start()
    result = client.get(f"jobs/{job_id}/result", params={"wait": 30})
    assert (result.status_code, result.json()) == (200, "g")
    with client.stream("GET", "events", headers={"Last-Event-ID": last}) as stream:
        assert any(line == "event: resync" for line in stream.iter_lines())


def test_two_gateways_at_once(gateway: Gateway, service: Service) -> None:
    """A login at one counts at the other, and a request key too."""
    client = gateway.client()
    other = service.start("gateway", "--listen", "127.0.0.1:*")
    (url,) = other.ready()
    body, headers = {"type": "echo", "data": 1}, {"Idempotency-Key": "twice"}
    first = client.post("jobs", json=body, headers=headers)
    again = client.post(f"{url}/api/v1/services/default/jobs", json=body, headers=headers)
    assert first.json() == again.json() and again.status_code == 201


def test_it_stops_in_order_with_streams_open(gateway: Gateway) -> None:
    """They end; the exit code is 0; nothing is in the log that should not be."""
    client = gateway.client()
    with client.stream("GET", "events") as stream:
        lines = stream.iter_lines()
        next(lines)
        gateway.program.signal(15)
        for _ in lines:
            pass
    assert gateway.program.ended() == 0
    assert "ERROR" not in gateway.program.log
