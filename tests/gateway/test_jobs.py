"""Jobs over HTTP: every route once as it is meant, and each way in which a state forbids it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import httpx
import msgpack

if TYPE_CHECKING:
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
    for path in ("", "/show", "/result", "/log", "/events"):
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
    for path in ("", "/show", "/result", "/log", "/events"):
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


async def test_values_survive(api: Api) -> None:
    """What JSON has comes back as it went, large integers too; msgpack has the rest."""
    values = [None, True, 2**63, -(2**63), 2**53 + 1, 0.5, "ü\x00\x1b", [1, [2]], {"a": {"b": []}}]
    job_id = await api.submit("echo", values)
    result = await api.ended(job_id)
    assert result.json() == values and str(2**53 + 1) in result.text
    packed = await api.get(f"jobs/{job_id}/result", headers={"Accept": "application/msgpack"})
    assert packed.headers["content-type"] == "application/msgpack" and msgpack.unpackb(packed.content) == values


async def test_no_such_service(api: Api, told: Told) -> None:
    """404, whatever is asked for."""
    assert told(await api.get("http://gateway/api/v1/services/lathe/jobs")) == (404, "no_such_service")
    assert told(await api.get("/api/v1/nowhere")) == (404, "not_found")
    assert told(await api.put("jobs")) == (405, "method_not_allowed")
