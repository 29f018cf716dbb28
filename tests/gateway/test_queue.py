"""The queue, types and state of a service over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from tests.gateway.conftest import Api

Told = Callable[[httpx.Response], tuple[int, str]]


async def test_the_queue(api: Api) -> None:
    """While it is paused nothing starts; the next jobs come by priority."""
    assert (await api.post("pause", json={"reason": "the lens"})).json()["paused"]["reason"] == "the lens"
    low = await api.submit("echo", 1)
    high = await api.submit("echo", 2, priority=1)
    queue = (await api.get("queue", params={"limit": 5})).json()
    assert [job["id"] for job in queue["jobs"]] == [high, low] and queue["paused"]
    resumed = (await api.post("resume")).json()
    assert resumed["was"]["reason"] == "the lens"
    assert (await api.ended(low)).json() == 1
    assert (await api.post("resume")).json()["was"] is None


async def test_delayed_jobs(api: Api) -> None:
    """Beside the queue, when asked for: the soonest first."""
    later, soon = [await api.submit("echo", delay_ms=hours * 3_600_000) for hours in (2, 1)]
    queue = (await api.get("queue", params={"delayed_limit": 5})).json()
    assert [job["id"] for job in queue["delayed"]] == [soon, later] and queue["jobs"] == []
    assert (await api.get("queue")).json()["delayed"] == []
    await api.post("cancel", json={"ids": [later, soon]})


async def test_pauses_add_up(api: Api, told: Told) -> None:
    """Each has an owner and maybe an end; one lifts one's own, an operator all of them."""
    at = int(time.time() * 1000)
    mine = (await api.post("pause", json={"reason": "mine", "for_ms": 3_600_000})).json()["pauses"]
    assert mine[0]["owner"] == "boss" and at + 3_500_000 < mine[0]["until_at"] < at + 3_700_000
    kims = {"test-person": "kim member"}
    both = await api.post("pause", json={"until_at": at + 7_200_000}, headers=kims)
    assert [(each["owner"], each["reason"]) for each in both.json()["pauses"]] == [("boss", "mine"), ("kim", "")]
    assert both.json()["pauses"][1]["until_at"] == at + 7_200_000
    assert told(await api.post("pause", json={}, headers=kims)) == (403, "not_permitted")
    assert told(await api.post("resume", json={"all": True}, headers=kims)) == (403, "not_permitted")
    own = (await api.post("resume", headers=kims)).json()
    assert [[each["owner"] for each in own[which]] for which in ("lifted", "pauses")] == [["kim"], ["boss"]]
    await api.post("pause", json={"for_ms": 3_600_000}, headers=kims)
    everything = (await api.post("resume", json={"all": True})).json()
    assert len(everything["lifted"]) == 2 and everything["pauses"] == []


async def test_pauses_that_cannot_be(api: Api, told: Told) -> None:
    """Two ends are a mistake; a time that is over is none in itself."""
    at = int(time.time() * 1000) + 3_600_000
    for body in ({"for_ms": 1000, "until_at": at}, {"for_ms": 0}, {"for": 1}, {"reason": "x" * 1_001}):
        assert told(await api.post("pause", json=body)) == (422, "bad_request"), body
    assert told(await api.post("pause", json={"until_at": 1})) == (409, "bad_request")
    assert (await api.get("info")).json()["pauses"] == []


async def test_the_audit_trail(api: Api) -> None:
    """Who did what, the newest first, in pages; a submitter sees what it did itself."""
    job_id = await api.submit("echo", delay_ms=3_600_000)
    await api.post(f"jobs/{job_id}/cancel")
    kims = {"test-person": "kim submitter"}
    own = (await api.post("jobs", json={"type": "echo", "delay_ms": 3_600_000}, headers=kims)).json()["first_id"]
    await api.post(f"jobs/{own}/cancel", headers=kims)
    entries = (await api.get("audit")).json()["entries"]
    told = [(each["op"], each["who"], each["proven"], each["jobs"]) for each in entries[:2]]
    assert told == [("cancel", "kim", True, str(own)), ("cancel", "boss", True, str(job_id))]
    first = (await api.get("audit", params={"limit": 1})).json()
    second = (await api.get("audit", params={"limit": 1, "before": first["before"]})).json()
    assert first["entries"] + second["entries"] == entries[:2]
    for since_ms, found in ((0, []), (3_600_000, entries)):
        assert (await api.get("audit", params={"since_ms": since_ms})).json()["entries"] == found
    assert {each["who"] for each in (await api.get("audit", headers=kims)).json()["entries"]} == {"kim"}


async def test_types(api: Api, told: Told) -> None:
    """Each with the JSON Schema of what it takes."""
    types = {each["name"]: each for each in (await api.get("types")).json()["types"]}
    assert types["reverse"]["max_reruns"] == 2
    one = (await api.get("types/reverse")).json()
    assert one["schema"]["properties"]["text"] == {"type": "string"} and one["name"] == "reverse"
    assert told(await api.get("types/nope")) == (404, "unknown_type")


async def test_services(api: Api) -> None:
    """Their names, and whether each is there."""
    services = (await api.get("http://gateway/api/v1/services")).json()["services"]
    assert [each["name"] for each in services] == ["laser"]
    assert services[0]["state"].keys() == {"reachable", "worker", "pauses"}
    info = (await api.get("info")).json()
    assert info["worker"]["state"] == "ready" and info["limits"]["data_bytes"] == 1 << 20


async def test_output(api: Api) -> None:
    """In pieces of JSON by offset, or all of it as text; nothing in it acts in a browser."""
    job_id = await api.submit("prints", 1)
    await api.ended(job_id)
    whole = await api.get(f"jobs/{job_id}/log", headers={"Accept": "text/plain"})
    assert whole.headers["content-type"].startswith("text/plain")
    assert whole.headers["x-content-type-options"] == "nosniff"
    offset = size = (await api.get(f"jobs/{job_id}/log")).json()["offset"]
    text = ""
    while True:
        piece = (await api.get(f"jobs/{job_id}/log", params={"offset": offset})).json()
        text, offset, size = text + piece["text"], piece["next_offset"], piece["size_bytes"]
        if offset == size:
            break
    assert text == whole.text and len(whole.content) <= size


async def test_the_page_and_the_description(api: Api) -> None:
    """Swagger UI comes from packaged files alone, and shows the description."""
    page = (await api.get("http://gateway/docs")).text
    for file in ("/docs/files/swagger-ui-bundle.js", "/docs/files/swagger-ui.css"):
        assert f'"{file}"' in page
        assert (await api.get(f"http://gateway{file}")).status_code == 200
    assert "http://" not in page and "https://" not in page
    assert (await api.get("http://gateway/openapi.json")).json()["openapi"].startswith("3.1")
