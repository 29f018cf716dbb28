"""The page of a service: what is seen at first sight, as text that needs no script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import wait_until
from zjobs.client import AsyncClient, Client
from zjobs.gateway.events.hub import ServiceState
from zjobs.gateway.pages.shared.replies import Replies

if TYPE_CHECKING:
    from tests.conftest import Service
    from tests.gateway.pages.conftest import Visit

PARTS = ("freshness", "pauses", "now", "yours", "next", "recent")


@pytest.fixture
def client(shared_service: Service) -> Iterator[Client]:
    """Whoever else uses the service."""
    with Client(shared_service.endpoint, key="") as client:
        yield client


@pytest.fixture
def gate(shared_service: Service, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Opens the gate that a job `prints_gate` or `safe_gate` of that name waits at."""
    path = shared_service.place / "work" / f"gate-{tmp_path.name}"
    yield path.touch
    path.touch()


async def test_who_is_not_logged_in_is_sent_to_the_login(visit: Visit) -> None:
    """And from there to where they wanted to go; a script is told 401."""
    browser = await visit("")
    page = await browser.open("/services/laser/jobs?state=failed")
    assert (
        page.answered.url.path == "/login" and page.form("/login").fields["next"] == "/services/laser/jobs?state=failed"
    )
    page = await browser.fill(page, "/login", username="otto", password="a-long-password-of-otto")
    assert str(page.answered.url) == "http://gateway/services/laser/jobs?state=failed"
    stranger = await visit("")
    asked = await stranger.get("/services/laser/part/all", headers={"Sec-Fetch-Dest": "empty"})
    assert (asked.status_code, asked.history) == (401, [])


async def test_an_empty_queue(visit: Visit) -> None:
    """Everything is said, also that there is nothing."""
    page = await (await visit("otto")).open("/")
    assert page.answered.url.path == "/services/laser" and page.status == 200
    for said in ("live", "Nothing runs.", "The queue is empty."):
        assert said in page.text


async def test_what_runs_what_is_next_and_what_has_ended(
    visit: Visit, client: Client, shared_service: Service, tmp_path: Path, gate: Callable[[], None]
) -> None:
    """With names, data, owners and places; the last line of the output; failures with their reason."""
    failed = client.submit("raises", "lamp not stable", name="lamp check")
    failed.wait(20)
    running = client.submit("prints_gate", tmp_path.name, name="Au film")
    wait_until(lambda: client.status([running.id]).jobs[0].output_bytes > 0, "it has printed")
    with Client(shared_service.endpoint, key="") as gateway:
        own = gateway.acting_for("sue", "submitter").submit("pair", {"left": 3, "right": 4}, name="mine")
        late = gateway.submit("echo", 1, delay=3600)
    page = await (await visit("otto")).open("/services/laser")
    assert f"#{running.id} Au film" in page.text and page.element("now")["data-job"] == str(running.id)
    assert f"#{failed.id} lamp check failed after" in page.text and "lamp not stable" in page.text
    assert f"1 #{own.id} mine pair(left=3, right=4) sue" in page.text
    assert f"#{late.id} echo" in page.text and "not before" in page.text
    mine = await (await visit("sue")).open("/services/laser")
    assert f"Yours #{own.id} mine is number 1 in line" in mine.text
    assert f"Job #{running.id} of somebody else runs." in mine.text and "lamp check" not in mine.text
    gate()
    client.cancel([late.id])
    client.wait([own.id], 20)


@pytest.mark.parametrize("part", PARTS)
async def test_each_part_can_be_had_alone(visit: Visit, part: str) -> None:
    """The script replaces an element by the one of the same id; `all` has every part."""
    browser = await visit("otto")
    alone = (await browser.open(f"/services/laser/part/{part}")).elements[0][1]
    assert (alone["id"], alone["data-part"]) == (part, part)
    together = (await browser.open("/services/laser/part/all")).html
    assert all(f'id="{each}"' in together for each in PARTS)


async def test_pauses_are_seen_with_owner_reason_and_end(visit: Visit, client: Client) -> None:
    """Each of them, and who may lift which sees a button."""
    client.pause("changing the sample", duration="2h")
    try:
        page = await (await visit("otto")).open("/services/laser")
        assert "Paused by" in page.text and "changing the sample" in page.text and ", until " in page.text
        assert "/services/laser/resume" in page.links
        assert "/services/laser/resume" not in (await (await visit("vera")).open("/services/laser")).links
    finally:
        client.resume()


async def test_a_broker_that_is_away(visit: Visit, app: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is shown as it was, with its age, and nothing can be done; so for whoever could see it then."""
    job = client.submit("echo", 1, delay=3600, name="kept")
    browser, vera = await visit("otto"), await visit("vera")
    assert "kept" in (await browser.open("/services/laser")).text
    async with AsyncClient("tcp://127.0.0.1:9", timeout=0.1, patience=0.1) as nobody:
        monkeypatch.setitem(app.state.services._clients, "laser", nobody)
        hub = app.state.services.hub("laser")
        monkeypatch.setattr(hub, "_state", ServiceState())
        monkeypatch.setattr(hub, "_heard_at", 1_000_000)
        page, parts = await browser.open("/services/laser"), await browser.open("/services/laser/part/all")
        app.state.replies = Replies()
        nothing = await vera.open("/services/laser")
    assert page.status == 503 and "kept" in page.text and "This is the queue as it was at" in page.text
    assert page.elements[0][1]["data-link"] == "lost"
    for each in (page, nothing):
        assert not [link for link in each.links if link.endswith(("/pause", "/cancel", "/submit"))]
    assert parts.status == 503  # the script keeps what it has
    assert nothing.status == 503 and "does not answer" in nothing.text and "The broker was there until" in nothing.text
    client.cancel([job.id])


async def test_no_such_page(visit: Visit) -> None:
    """As a page, with a way back."""
    browser = await visit("otto")
    for path in ("/services/lathe", "/services/laser/jobs/0", "/services/laser/jobs/999999"):
        page = await browser.open(path)
        assert page.status == 404 and "<main" in page.html, path


async def test_files_have_what_there_is(visit: Visit, client: Client) -> None:
    """Text and bytes as they are, the rest as JSON; what JSON cannot say is refused, and never shown in the page."""
    values = {"text": "ü\n", "map": {"a": [2**63]}, "odd": {1: "a", "1": "b"}}
    jobs = {name: client.submit("echo", {"value": value}) for name, value in values.items()}
    client.wait([job.id for job in jobs.values()], 20)
    browser = await visit("otto")
    files = {name: await browser.get(f"/services/laser/jobs/{job.id}/result") for name, job in jobs.items()}
    assert files["text"].text == "ü\n" and files["map"].json() == {"a": [2**63]} and files["odd"].status_code == 406
    for name, ending in (("text", "txt"), ("map", "json")):
        assert files[name].headers["Content-Disposition"].endswith(f'-result.{ending}"')
        assert "sandbox" in files[name].headers["Content-Security-Policy"]
    assert (await browser.open(f"/services/laser/jobs/{jobs['odd'].id}")).status == 200
