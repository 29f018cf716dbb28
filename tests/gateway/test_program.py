"""zgateway as it runs, with a broker and a worker: streams, and whatever dies."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from tests.gateway.running import PASSWORD

if TYPE_CHECKING:
    from tests.gateway.running import Gateway


def test_a_submitter_hears_of_its_own_jobs_alone(gateway: Gateway) -> None:
    """In the stream of the service, and in that of a job."""
    kim = gateway.user("kim", "submitter")
    with kim.stream("GET", "events") as stream:
        lines = stream.iter_lines()
        assert "event: service" in (next(lines) for _ in range(6))
        another = gateway.admin.submit("echo", 1)
        own = kim.submit("echo", 2)
        told = next(line for line in lines if line.startswith('data: {"id":'))
        assert told.startswith(f'data: {{"id":{own},')
    assert kim.status("GET", f"jobs/{another}/events") == 403


def test_a_stream_ends_when_its_token_is_revoked(gateway: Gateway) -> None:
    """That one alone, and nothing more can be asked with it."""
    lee, both = gateway.user("lee", "member"), gateway.client("lee")
    with lee.stream("GET", "events") as stream, both.stream("GET", "events") as other:
        lines, others = stream.iter_lines(), other.iter_lines()
        next(lines), next(others)
        tokens = lee.get(f"{lee.api}/me/tokens").json()
        assert len(tokens) == 2
        revoked = gateway.admin.delete(f"{lee.api}/users/lee/tokens/{tokens[0]['id']}")
        assert revoked.status_code == 204
        for _ in lines:  # to the end
            pass
        gateway.admin.submit("echo", 1)
        assert any(line.startswith("event: job") for line in others)
    assert (lee.status("GET", "queue"), both.status("GET", "queue")) == (401, 200)


def test_fifty_wrong_logins(gateway: Gateway) -> None:
    """A few are checked, the rest is told to wait; whoever has logged in from here before still can."""
    form = {"username": "admin", "password": "wrong"}
    visitor = gateway.visitor()
    answers = [visitor.post(f"{visitor.api}/auth/token", data=form) for _ in range(50)]
    statuses = [answered.status_code for answered in answers]
    assert set(statuses) == {401, 429} and statuses[:5] == [401] * 5 and statuses.count(429) >= 30
    assert all(int(each.headers["retry-after"]) > 0 for each in answers if each.status_code == 429)
    assert gateway.admin.status("GET", "queue") == 200


def test_the_broker_is_killed_under_load(gateway: Gateway) -> None:
    """Requests wait for its return; each key was carried out once, and every job ends."""
    client, service = gateway.admin, gateway.service
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
        result = client.ended(job_id)
        assert (result.status_code, result.json()) == (200, key)


def test_the_broker_is_away(gateway: Gateway) -> None:
    """503 with Retry-After, and the stream tells that it cannot be reached, and that it is back."""
    client = gateway.admin
    with client.stream("GET", "events") as stream:
        lines = stream.iter_lines()
        assert any('"reachable":true' in line for line in lines)
        gateway.service.broker.kill()
        assert any('"reachable":false' in line for line in lines)
        answered = client.get("queue")
        assert (answered.status_code, answered.json()["code"]) == (503, "unreachable")
        assert answered.headers["retry-after"] == "1"
        gateway.service.start_broker()
        assert any('"reachable":true' in line for line in lines)
    assert client.status("GET", "queue") == 200


def test_the_gateway_is_killed(gateway: Gateway) -> None:
    """Jobs do not notice; logins outlive it; who heard events before is told to ask for everything."""
    client = gateway.admin
    job_id = client.submit("safe_gate", "g")
    with client.stream("GET", "events") as stream:
        last = next(line for line in stream.iter_lines() if line.startswith("id: ")).removeprefix("id: ")
    gateway.program.kill()
    gateway.service.open_gate("g")
    gateway.start()
    result = client.ended(job_id)
    assert (result.status_code, result.json()) == (200, "g")
    with client.stream("GET", "events", headers={"Last-Event-ID": last}) as stream:
        assert any(line == "event: resync" for line in stream.iter_lines())


def test_two_gateways_at_once(gateway: Gateway) -> None:
    """A login at one counts at the other, and a request key too. One of them stops in order, with a stream open."""
    client = gateway.admin
    other = gateway.service.start("gateway", "--listen", "127.0.0.1:*")
    (url,) = other.ready()
    body, headers = {"type": "echo", "data": 1}, {"Idempotency-Key": "twice"}
    first = client.post("jobs", json=body, headers=headers)
    again = client.post(f"{url}/api/v1/services/default/jobs", json=body, headers=headers)
    assert first.json() == again.json() and again.status_code == 201
    with client.stream("GET", f"{url}/api/v1/services/default/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        other.signal(signal.SIGTERM)
        for _ in lines:  # to the end
            pass
    assert other.ended() == 0
    lines = other.log.splitlines()
    assert lines[-1].endswith("INFO    zgateway: ended") and all(" INFO    zgateway: " in line for line in lines), lines


def test_everybody_may_read_where_that_is_wanted(gateway: Gateway) -> None:
    """What a viewer sees, and no more."""
    job_id = gateway.admin.submit("echo", "secret")
    gateway.program.insist()
    gateway.start("--public-read")
    visitor = gateway.visitor()
    for path, status in ((f"jobs/{job_id}", 200), ("events", 200), (f"jobs/{job_id}/result", 403), ("audit", 403)):
        assert visitor.status("GET", path) == status, path
    assert visitor.status("POST", "jobs", json={"type": "echo"}) == 403
    assert visitor.status("GET", f"{visitor.api}/users") == 401
    assert PASSWORD not in gateway.program.log
