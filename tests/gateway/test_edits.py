"""Changes to jobs that have not started, and jobs that wait for others, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.gateway.conftest import Api

Told = Callable[[httpx.Response], tuple[int, str]]
DELAYED = {"delay_ms": 3_600_000}


async def test_what_can_be_changed(api: Api) -> None:
    """Each field by itself; what is not named stays; 0 is the type's time limit again."""
    job_id = await api.submit("echo", 1, **DELAYED)
    changes = {"priority": 7, "name": "n", "comment": "c", "held": True}
    for field, value in changes.items():
        answered = await api.patch(f"jobs/{job_id}", json={field: value})
        assert answered.status_code == 200 and answered.json()[field] == value, answered.text
    job = (await api.get(f"jobs/{job_id}/show")).json()["job"]
    assert {field: job[field] for field in changes} == changes
    for given, shown in ((60_000, 60_000), (0, None)):
        await api.patch(f"jobs/{job_id}", json={"time_limit_ms": given})
        assert (await api.get(f"jobs/{job_id}/show")).json()["time_limit_ms"] == shown
    await api.post(f"jobs/{job_id}/cancel")


async def test_hold_and_release(api: Api, told: Told) -> None:
    """A held job does not start, and a released one does."""
    job_id = await api.submit("echo", 1, **DELAYED)
    assert (await api.post(f"jobs/{job_id}/hold")).json()["held"] is True
    assert (await api.post(f"jobs/{job_id}/release")).json()["held"] is False
    await api.post(f"jobs/{job_id}/cancel")
    late = await api.post(f"jobs/{job_id}/hold")
    assert told(late) == (409, "late") and late.json()["job"]["state"] == "cancelled"
    assert told(await api.post("jobs/999999/hold")) == (404, "not_found")


@pytest.mark.parametrize("how", ["edit", "hold", "release"])
async def test_a_job_that_was_changed_meanwhile(api: Api, told: Told, how: str) -> None:
    """Whoever tells which version was seen changes no other one, and is shown it."""
    job_id = await api.submit("echo", 1, **DELAYED)
    seen = (await api.get(f"jobs/{job_id}")).json()["version"]

    async def ask(version: int) -> httpx.Response:
        if how == "edit":
            return await api.patch(f"jobs/{job_id}", json={"version": version, "priority": 9})
        return await api.post(f"jobs/{job_id}/{how}", json={"version": version})

    now = (await api.patch(f"jobs/{job_id}", json={"name": "another", "held": how == "release"})).json()
    refused = await ask(seen)
    assert told(refused) == (409, "changed") and refused.json()["job"]["version"] == now["version"]
    assert (await api.get(f"jobs/{job_id}")).json()["version"] == now["version"]
    assert (await ask(now["version"])).status_code == 200
    await api.post(f"jobs/{job_id}/cancel")


async def test_many(api: Api) -> None:
    """The reply tells of each."""
    first, second = [await api.submit("echo", place, **DELAYED) for place in range(2)]
    await api.post(f"jobs/{second}/cancel")
    ids = {"ids": [first, second, 999_999]}
    for path, change in (("edit", {"priority": 3}), ("hold", {}), ("release", {})):
        told = (await api.post(path, json=ids | change)).json()
        assert (told["changed"], told["late"], told["pending"]) == ([first], [second], [])
        assert told["missing"] == [{"id": 999_999, "code": "not_found"}]
        job = (await api.get(f"jobs/{first}")).json()
        assert (job["priority"], job["held"]) == (3, path == "hold")
    await api.post(f"jobs/{first}/cancel")


async def test_a_job_waits_for_others(api: Api) -> None:
    """After what completes, or however it ends; copies of it and of its dependents are one request."""
    blocker = await api.submit("echo", 1, **DELAYED)
    dependent = await api.submit("echo", 2, after=[blocker])
    anyway = await api.submit("echo", 3, after_any=[blocker])
    await api.post(f"jobs/{blocker}/cancel")
    assert (await api.ended(anyway)).json() == 3
    assert (await api.get(f"jobs/{dependent}")).json()["state"] == "cancelled"
    assert (await api.post(f"jobs/{blocker}/retry")).json()["count"] == 1
    assert (await api.post(f"jobs/{blocker}/retry", json={"with_dependents": True})).json()["count"] == 2
    assert (await api.post("retry", json={"ids": [blocker], "with_dependents": True})).json()["count"] == 2


async def test_what_cannot_be_changed(api: Api, told: Told) -> None:
    """Bounds and unknown fields are refused by name."""
    job_id = await api.submit("echo", 1, **DELAYED)
    for body in ({"priority": 10**6}, {"state": "held"}, {"name": "n" * 10_000}, {"time_limit_ms": -1}):
        refused = await api.patch(f"jobs/{job_id}", json=body)
        assert told(refused) == (422, "bad_request") and next(iter(body)) in refused.json()["detail"]
    await api.post(f"jobs/{job_id}/cancel")
