"""Jobs over HTTP: every route once as it is meant, and each way in which a state forbids it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import httpx
import msgpack
import pytest

from zjobs.gateway.api.jobs import JobBody
from zjobs.messages.fields import MAX_TIME_MS
from zjobs.messages.requests.changes import NewJob

if TYPE_CHECKING:
    from tests.conftest import Service
    from tests.gateway.conftest import Api

Told = Callable[[httpx.Response], tuple[int, str]]


async def test_from_submit_to_result(api: Api) -> None:
    """201 with the job's address; its status there; its result behind it."""
    answered = await api.post("jobs", json={"type": "reverse", "data": "example"})
    assert answered.status_code == 201 and answered.json()["count"] == 1
    at = answered.headers["location"]
    job_id = answered.json()["first_id"]
    assert at == f"/api/v1/services/laser/jobs/{job_id}"
    result = await api.get(f"http://gateway{at}/result", params={"wait": 20})
    assert (result.status_code, result.json()) == (200, "elpmaxe")
    status = (await api.get(f"http://gateway{at}")).json()
    assert (status["id"], status["state"], status["type"]) == (job_id, "completed", "reverse")
    shown = (await api.get(f"http://gateway{at}/show")).json()
    assert shown["job"] == status and shown["attempts"] == []


async def test_several_together(api: Api, told: Told) -> None:
    """All or none, of whatever types."""
    jobs = [
        {"type": "reverse", "data": "ab"},
        {"type": "swap", "data": "cd", "priority": 5},
        {"type": "echo", "data": 1},
    ]
    answered = await api.post("jobs", json=jobs)
    first = answered.json()["first_id"]
    assert answered.json()["count"] == 3
    results = [(await api.ended(first + place)).json() for place in range(3)]
    assert results == ["ba", "dc", 1]
    before = (await api.get("info")).json()["completed"]
    assert told(await api.post("jobs", json=[jobs[0], {"type": "nope"}])) == (409, "unknown_type")
    assert (await api.get("info")).json()["completed"] == before


async def test_the_same_key_is_carried_out_once(api: Api, told: Told) -> None:
    """The same body has the same answer; another one is refused."""
    job, key = {"type": "reverse", "data": "example"}, {"Idempotency-Key": "once"}
    first = await api.post("jobs", json=job, headers=key)
    again = await api.post("jobs", json=job, headers=key)
    assert (again.status_code, again.json(), again.headers["location"]) == (
        201,
        first.json(),
        first.headers["location"],
    )
    assert told(await api.post("jobs", json=job | {"priority": 1}, headers=key)) == (422, "key_conflict")
    assert told(await api.post("jobs", json=job, headers={"Idempotency-Key": "k" * 65})) == (422, "bad_request")


async def test_a_job_that_has_not_ended(api: Api, told: Told) -> None:
    """202 with its status; it cannot be retried or dropped; a cancel of it succeeds."""
    job_id = await api.submit("reverse", "x", delay_ms=3_600_000)
    for wait in (0, 0.05):
        waiting = await api.get(f"jobs/{job_id}/result", params={"wait": wait})
        assert (waiting.status_code, waiting.json()["state"]) == (202, "queued")
    assert told(await api.post(f"jobs/{job_id}/retry")) == (409, "not_finished")
    assert told(await api.delete(f"jobs/{job_id}")) == (409, "not_finished")
    for _ in range(2):
        cancelled = await api.post(f"jobs/{job_id}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert told(await api.get(f"jobs/{job_id}/result")) == (409, "cancelled")


async def test_a_job_that_has_ended(api: Api, told: Told) -> None:
    """It cannot be cancelled, but retried and dropped; then it is gone."""
    job_id = await api.submit("reverse", "x")
    await api.ended(job_id)
    refused = await api.post(f"jobs/{job_id}/cancel")
    assert told(refused) == (409, "ended") and refused.json()["job"]["state"] == "completed"
    copy = await api.post(f"jobs/{job_id}/retry")
    assert copy.status_code == 201 and copy.headers["location"].endswith(f"/jobs/{copy.json()['first_id']}")
    assert (await api.delete(f"jobs/{job_id}")).status_code == 204
    for path in ("", "/show", "/data", "/result", "/log", "/events"):
        assert told(await api.get(f"jobs/{job_id}{path}")) == (410, "expired"), path
    assert told(await api.post(f"jobs/{job_id}/cancel")) == (410, "expired")
    assert told(await api.delete(f"jobs/{job_id}")) == (410, "expired")


async def test_a_job_that_failed(api: Api, told: Told) -> None:
    """The problem has the job, with the reason."""
    job_id = await api.submit("raises", "broken")
    failed = await api.ended(job_id)
    assert told(failed) == (409, "failed")
    assert failed.json()["job"]["reason"] == "raised" and "broken" in failed.json()["detail"]
    shown = (await api.get(f"jobs/{job_id}/show")).json()
    assert "Traceback" in shown["attempts"][0]["detail"]


async def test_an_id_without_a_job(api: Api, told: Told) -> None:
    """404 everywhere; an id that can be none is refused."""
    for path in ("", "/show", "/data", "/result", "/log", "/events"):
        assert told(await api.get(f"jobs/999999{path}")) == (404, "not_found"), path
    for path in ("/cancel", "/retry"):
        assert told(await api.post(f"jobs/999999{path}")) == (404, "not_found"), path
    assert told(await api.get("jobs/0")) == (422, "bad_request")
    assert told(await api.get(f"jobs/{2**63}")) == (422, "bad_request")


async def test_data_that_the_type_does_not_take(api: Api, told: Told) -> None:
    """It is refused before it is queued, by the sentence that zclient has."""
    refused = await api.post("jobs", json={"type": "reverse", "data": 5})
    assert told(refused) == (422, "bad_data") and "text" in refused.json()["detail"]
    for body in ({"type": ""}, {"type": "reverse", "priority": "1"}, {"type": "reverse", "colour": 1}, [], 5, None):
        assert told(await api.post("jobs", json=body)) == (422, "bad_request"), body
    assert told(await api.post("jobs", content=b"{")) == (422, "bad_request")


async def test_too_much(api: Api, told: Told) -> None:
    """413 for data, for jobs and for bytes beyond a limit."""
    assert told(await api.post("jobs", json={"type": "echo", "data": "x" * (1 << 20)})) == (413, "too_large")
    many = [{"type": "echo"}] * 2_001
    assert told(await api.post("jobs", json=many)) == (413, "too_large")
    assert told(await api.post("jobs", content=b"x" * (9 << 20))) == (413, "too_large")

    async def without_length() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b"x" * (1 << 20)

    assert told(await api.post("jobs", content=without_length())) == (413, "too_large")


async def test_lists_in_pages(api: Api) -> None:
    """Newest first, and each page goes on where the last one ended."""
    ids = [await api.submit("echo", place, delay_ms=3_600_000) for place in range(5)]
    wanted = {"state": "queued", "type": "echo", "limit": 2}
    seen: list[int] = []
    before = None
    while len(seen) < 5:
        page = (await api.get("jobs", params=wanted | ({} if before is None else {"before": before}))).json()
        seen += [job["id"] for job in page["jobs"]]
        before = page["before"]
    assert seen[:5] == ids[::-1]
    for job_id in ids:
        await api.post(f"jobs/{job_id}/cancel")


@pytest.mark.parametrize("field", ["state", "type", "name", "comment", "owner", "submitter", "mine", "since_ms"])
async def test_a_list_of_what_fits(api: Api, field: str, shared_service: Service) -> None:
    """Each filter leaves out what does not fit, and they add up."""
    kims = {"test-person": "kim member"}
    body = {"type": "echo", "name": f"by {field} (1)", "comment": f"{field}!", "delay_ms": 3_600_000}
    wanted = (await api.post("jobs", json=body, headers=kims)).json()["first_id"]
    others = [await api.submit("reverse", "x", name="another")]
    await api.ended(others[0])
    client = shared_service.client()
    others.append(client.submit("echo", 1, name=f"by {field}", delay=3600).id)
    filters = {"state": "queued", "type": "echo", "name": f"by {field} (*", "owner": "k*m", "mine": "true"}
    filters["comment"] = f"*{field}!"
    if field == "submitter":
        wanted, filters["submitter"] = others.pop(), client.submitter
    if field == "since_ms":
        filters["since_ms"] = "0"
        others.append(wanted)
    params = {name: filters[name] for name in (field, "type")}
    found = {job["id"] for job in (await api.get("jobs", params=params, headers=kims)).json()["jobs"]}
    if field in ("state", "type"):
        assert {wanted, others[1]} <= found and others[0] not in found
    else:
        assert (wanted in found) == (field != "since_ms") and not found & set(others)
    await api.post("cancel", json={"ids": [wanted, *others]})


async def test_what_one_list_may_ask(api: Api, told: Told) -> None:
    """A filter that can be none is refused and named."""
    for params in ({"state": "lost"}, {"limit": 0}, {"since_ms": -1}, {"before": 0}, {"mine": "perhaps"}):
        refused = await api.get("jobs", params=params)
        assert told(refused) == (422, "bad_request") and next(iter(params)) in refused.json()["detail"]


async def test_many_at_once(api: Api, told: Told) -> None:
    """Cancelled, copied and dropped in one request, which tells of each."""
    ids = [await api.submit("echo", place, delay_ms=3_600_000) for place in range(3)]
    assert told(await api.post("retry", json={"ids": ids})) == (409, "not_finished")
    cancelled = (await api.post("cancel", json={"ids": [*ids, 999_999]})).json()
    assert [(job["id"], job["state"]) for job in cancelled["jobs"]] == [(id, "cancelled") for id in ids]
    assert cancelled["missing"] == [{"id": 999_999, "code": "not_found"}]
    key = {"Idempotency-Key": "many"}
    copies = await api.post("retry", json={"ids": ids}, headers=key)
    first = copies.json()["first_id"]
    assert (copies.status_code, copies.json()["count"]) == (201, 3)
    assert copies.headers["location"].endswith(f"/jobs/{first}")
    assert (await api.post("retry", json={"ids": ids}, headers=key)).json() == copies.json()
    assert told(await api.post("retry", json={"ids": ids[:2]}, headers=key)) == (422, "key_conflict")
    waiting = await api.submit("echo", delay_ms=3_600_000)
    forgotten = (await api.post("forget", json={"ids": [*ids, waiting]})).json()
    assert (forgotten["forgotten"], forgotten["kept"]) == (ids, [waiting])
    assert told(await api.post("retry", json={"ids": ids})) == (410, "expired")
    for what in ("cancel", "retry", "forget"):
        for body in ({"ids": []}, {"ids": [0]}, {"ids": ["1"]}, {"ids": list(range(1, 10_002))}, {}):
            assert told(await api.post(what, json=body)) == (422, "bad_request")
    await api.post("cancel", json={"ids": [waiting]})


VALUES = [None, True, 2**63, -(2**63), 2**53 + 1, 0.5, "ü\x00\x1b", [1, [2]], {"a": {"b": []}}]


async def test_values_survive(api: Api) -> None:
    """What JSON has comes back as it went, large integers too; msgpack has the rest."""
    job_id = await api.submit("echo", VALUES)
    result = await api.ended(job_id)
    for answered in (result, await api.get(f"jobs/{job_id}/data")):
        assert answered.json() == VALUES and str(2**53 + 1) in answered.text
    for what in ("result", "data"):
        packed = await api.get(f"jobs/{job_id}/{what}", headers={"Accept": "application/msgpack"})
        assert packed.headers["content-type"] == "application/msgpack" and msgpack.unpackb(packed.content) == VALUES


async def test_bytes_are_answered_as_they_are(api: Api, shared_service: Service, told: Told) -> None:
    """With the media type of an image, and JSON if you insist; nothing of it acts in a browser."""
    image = b"\x89PNG\r\n\x1a\n..."
    job = shared_service.client().submit("echo", image)
    await api.ended(job.id)
    for what in ("result", "data"):
        answered = await api.get(f"jobs/{job.id}/{what}")
        assert (answered.content, answered.headers["content-type"]) == (image, "image/png")
        assert answered.headers["content-security-policy"].startswith("sandbox")
        text = await api.get(f"jobs/{job.id}/{what}", headers={"Accept": "application/json"})
        assert base64.b64decode(text.json()) == image
    odd = shared_service.client().submit("echo", [{1: "a", "1": "b"}])
    assert told(await api.get(f"jobs/{odd.id}/data")) == (406, "not_json")


async def test_no_data_is_not_null(api: Api, shared_service: Service, told: Told) -> None:
    """204, and 409 where a client in another language has sent what is no value."""
    without, null = await api.submit("echo"), await api.submit("echo", None)
    assert (await api.get(f"jobs/{without}/data")).status_code == 204
    assert (await api.get(f"jobs/{null}/data")).text == "null"
    job = {"type": "echo", "data": b"\xc1", "delay_ms": 3_600_000}
    damaged = shared_service.ask("submit", request_key="damaged", jobs=[job])["first_id"]
    assert told(await api.get(f"jobs/{damaged}/data")) == (409, "bad_data")
    await api.post("cancel", json={"ids": [damaged]})


@pytest.mark.parametrize("data", ["1" + "0" * 20, '"\\ud800"', "[" * 600 + "]" * 600, "[" * 5_000 + "]" * 5_000])
async def test_what_no_job_can_have(api: Api, told: Told, data: str) -> None:
    """An integer beyond 64 bits, half a character, lists too deep: refused, and not by a mistake of ours."""
    refused = await api.post("jobs", content=f'{{"type": "echo", "data": {data}}}')
    assert told(refused)[0] == 422


async def test_each_field_of_a_job_can_be_given(api: Api) -> None:
    """Whatever a job can have, so none is forgotten when it gets another."""
    assert JobBody.model_fields.keys() == set(NewJob._fields)
    fields = {"priority": -7, "name": "a name", "comment": "a comment"}
    job_id = await api.submit("echo", 1, delay_ms=3_600_000, time_limit_ms=5_000, **fields)
    shown = (await api.get(f"jobs/{job_id}/show")).json()
    assert fields.items() <= shown["job"].items()
    assert shown["time_limit_ms"] == 5_000 and shown["job"]["ready_at"] > shown["job"]["submitted_at"]
    await api.post(f"jobs/{job_id}/cancel")
    times = {"start_at": MAX_TIME_MS - 60_000, "start_by": MAX_TIME_MS}
    job_id = await api.submit("echo", 1, **times)
    shown = (await api.get(f"jobs/{job_id}")).json()
    assert times.items() <= shown.items() and shown["ready_at"] == times["start_at"]
    changed = await api.patch(f"jobs/{job_id}", json={"start_by": 0})
    assert changed.json().get("start_by") is None and changed.json()["start_at"] == times["start_at"]
    await api.post(f"jobs/{job_id}/cancel")


async def test_no_such_service(api: Api, told: Told) -> None:
    """404, whatever is asked for."""
    assert told(await api.get("http://gateway/api/v1/services/lathe/jobs")) == (404, "no_such_service")
    assert told(await api.get("/api/v1/nowhere")) == (404, "not_found")
    assert told(await api.get("http://gateway/nowhere")) == (404, "not_found")
    refused = await api.put("jobs")
    assert told(refused) == (405, "method_not_allowed") and refused.headers["allow"] == "GET, POST"


async def test_an_address_without_a_page(api: Api, told: Told) -> None:
    """A browser is shown a sentence and the way on; a program gets a problem, at any address of the API anyway."""
    accept = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    answered = await api.get("http://gateway/nowhere", headers=accept)
    assert answered.status_code == 404 and answered.headers["content-type"].startswith("text/html")
    assert 'href="/"' in answered.text and answered.headers["content-security-policy"] == "default-src 'none'"
    assert told(await api.get("http://gateway/api/v1/nowhere", headers=accept)) == (404, "not_found")
