"""Pages that stay open: what they hear, what they do when nobody answers, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Request

    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("live")]


class Streams:
    """The event streams that the tabs of a browser have open."""

    def __init__(self, context: BrowserContext) -> None:
        self.open: list[Request] = []
        self.opened = 0
        context.on("request", self._began)
        context.on("requestfinished", self._ended)
        context.on("requestfailed", self._ended)

    def _began(self, request: Request) -> None:
        if request.url.endswith("/events"):
            self.opened += 1
            self.open.append(request)

    def _ended(self, request: Request) -> None:
        if request in self.open:
            self.open.remove(request)


def until_link(page: Page, is_so: str) -> None:
    page.locator(f"html[data-link={is_so}]").wait_for(state="attached")


def test_the_broker_dies_and_comes_back(own_site: Site) -> None:
    """Meanwhile the page keeps what it shows, says how old that is, and offers no actions; then it goes on."""
    service = own_site.service
    client = service.client()
    waiting = client.submit("once_gate", "kept", name="kept", delay=3600)
    page = own_site.visit()
    page.evaluate("window.same = true")
    service.broker.kill()
    until_link(page, "lost")
    page.locator("#freshness").get_by_text("does not answer").wait_for()
    page.locator("#freshness").get_by_text("just now").wait_for()
    assert page.get_by_text("kept").first.is_visible()
    assert page.locator("main .actions:not([inert])").count() == 0
    service.start_broker()
    until_link(page, "live")
    page.locator("#freshness").get_by_text("live").wait_for()
    assert page.locator("main .actions[inert]").count() == 0
    job = service.client().submit("once", "afterwards", name="afterwards")
    page.locator("#recent").get_by_text("afterwards").wait_for()
    assert page.evaluate("window.same")
    waiting_row = page.locator(f"#next [data-job='{waiting.id}']")
    waiting_row.wait_for()
    assert job.id > waiting.id


def test_the_gateway_dies_and_comes_back(own_site: Site) -> None:
    """So it is when the gateway is gone. The login is kept in its database."""
    page = own_site.visit()
    own_site.gateway.kill()
    until_link(page, "lost")
    page.locator("#freshness").get_by_text("gateway does not answer").wait_for()
    own_site.start_gateway(own_site.url.removeprefix("http://")).ready()
    until_link(page, "live")
    own_site.service.client().submit("once", "afterwards", name="afterwards")
    page.locator("#recent").get_by_text("afterwards").wait_for()


def test_a_page_opened_while_the_broker_is_away(own_site: Site) -> None:
    """It shows the last known queue, grey, with its age and without actions, and goes on when the broker is back."""
    own_site.service.client().submit("once", "kept", name="kept", delay=3600)
    page = own_site.visit()
    page.locator("#next .open").get_by_text("kept").wait_for()
    own_site.service.broker.kill()
    until_link(page, "lost")
    page.reload()
    until_link(page, "lost")
    page.locator("#freshness").get_by_text("does not answer").wait_for()
    assert page.locator("#next .open").get_by_text("kept").is_visible() and page.locator("main .actions a").count() == 0
    own_site.service.start_broker()
    until_link(page, "live")
    page.get_by_role("link", name="Pause…").wait_for()


def test_three_tabs_share_one_stream(site: Site) -> None:
    """All of them hear of a job; when the tab that has the stream is closed, another one takes over."""
    first = site.visitor()
    streams = Streams(first.context)
    first.goto("/services/default")
    others = [first.context.new_page() for _ in range(2)]
    for page in others:
        page.goto("/services/default")
    client = site.service.client()
    client.submit("once", "shared", name="for all tabs")
    for page in (first, *others):
        page.locator("#recent").get_by_text("for all tabs").wait_for()
    assert streams.opened == 1
    first.close()
    client.submit("once", "taken over", name="taken over")
    for page in others:
        page.locator("#recent").get_by_text("taken over").wait_for()
    assert streams.opened == 2


HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true})
    document.dispatchEvent(new Event("visibilitychange"))
}"""


def test_a_hidden_tab_closes_its_stream(site: Site) -> None:
    """And asks for nothing, until it is seen again: then it shows what has happened."""
    page = site.visitor()
    streams = Streams(page.context)
    with page.context.expect_event("request", lambda request: request.url.endswith("/events")):
        page.goto("/services/default")
    with page.context.expect_event("requestfailed", lambda request: request.url.endswith("/events")):
        page.evaluate(HIDE, True)
    job = site.service.client().submit("once", "unseen", name="unseen")
    job.wait(20)
    with page.context.expect_event("request", lambda request: request.url.endswith("/events")):
        page.evaluate(HIDE, False)
    page.locator("#recent").get_by_text("unseen").wait_for()
    assert streams.opened == 2


def test_the_log_is_followed_at_its_end_alone(own_site: Site) -> None:
    """Whoever has scrolled back stays there, and gets to the end by a button."""
    service = own_site.service
    job = service.client().submit("prints_lines", "more")
    page = own_site.visit(f"/services/default/jobs/{job.id}")
    log = page.locator(".log")
    log.get_by_text("line 200").wait_for()
    at_end = "(log) => log.scrollTop > -8"  # it is laid out from its end
    assert log.evaluate(at_end)
    log.evaluate("(log) => { log.scrollTop = -log.scrollHeight }")
    page.get_by_role("button", name="Jump to end").wait_for()
    service.open_gate("more")
    log.get_by_text("line 400").wait_for()
    assert log.evaluate("(log) => log.scrollHeight + log.scrollTop - log.clientHeight") < 8
    page.get_by_role("button", name="Jump to end").click()
    assert log.evaluate(at_end)


def test_times_are_the_viewers(site: Site) -> None:
    """In the viewer's zone, whatever the gateway's is; and by the server's clock, whatever the viewer's is set to."""
    job = site.service.client().submit("once", "a time")
    job.wait(20)
    page = site.visit(f"/services/default/jobs/{job.id}", timezone_id="Australia/Darwin")
    time = page.locator("#about time").first
    utc = time.get_attribute("datetime")
    assert utc is not None and time.inner_text() == page.evaluate("(utc) => new Date(utc).toLocaleString('sv')", utc)
    page.get_by_text("Australia/Darwin").wait_for()
    page = site.stranger(storage_state=page.context.storage_state())
    page.clock.install(time=0)
    page.goto(f"/services/default/jobs/{job.id}")
    assert page.locator("#job-job time").inner_text() == "just now"


def test_a_page_asks_for_nothing_while_nothing_happens(site: Site) -> None:
    """One stream, and no request beside it, for however long."""
    page = site.visit()
    asked: list[str] = []
    page.clock.install()
    page.reload()
    page.on("request", lambda request: asked.append(request.url))
    until_link(page, "live")
    page.clock.run_for(600_000)
    assert [url for url in asked if "/part/" in url or ("/api/" in url and not url.endswith("/events"))] == []
