"""The queue, types and state of a service over HTTP."""

from __future__ import annotations

import json
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


async def test_types(api: Api, told: Told) -> None:
    """Each with the JSON Schema of what it takes."""
    types = {each["name"]: each for each in (await api.get("types")).json()["types"]}
    assert types["reverse"]["max_reruns"] == 2
    one = (await api.get("types/reverse")).json()
    assert one["schema"]["properties"]["text"] == {"type": "string"} and one["name"] == "reverse"
    assert told(await api.get("types/nope")) == (409, "unknown_type")


async def test_services(api: Api) -> None:
    """Their names, and whether each is there."""
    services = (await api.get("http://gateway/api/v1/services")).json()["services"]
    assert [each["name"] for each in services] == ["laser"]
    assert services[0]["state"].keys() == {"reachable", "worker", "paused"}
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
    """Swagger UI comes from packaged files alone; the description names every answer."""
    page = (await api.get("http://gateway/docs")).text
    for file in ("/docs/files/swagger-ui-bundle.js", "/docs/files/swagger-ui.css"):
        assert f'"{file}"' in page
        assert (await api.get(f"http://gateway{file}")).status_code == 200
    assert "http://" not in page and "https://" not in page
    document = (await api.get("http://gateway/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                assert answer["description"], (path, status)
                problem = "application/problem+json" in answer.get("content", {})
                assert problem == (int(status) >= 400), (path, status)
    named = {part for part in json.dumps(document).split('"') if part.startswith("#/components/schemas/")}
    assert {each.rpartition("/")[2] for each in named} <= schemas.keys()
    assert "default" not in schemas["JobBody"]["properties"]["data"]
