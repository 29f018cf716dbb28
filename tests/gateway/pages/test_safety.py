"""What nobody can do by a page: act without its form, or have a job's words act in a browser."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from tests.gateway.pages.site import Browser, Page

if TYPE_CHECKING:
    from tests.conftest import Service
    from tests.gateway.pages.conftest import Visit

from zjobs.client import Client

POLICY = "Content-Security-Policy"
# Each would do something where text is not text: in an element, an attribute, a script, a terminal, a reader's eye.
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}${7}\x1b[31m\x9b5m\u202e\x07"


async def every_page(browser: Browser, *starts: str) -> list[Page]:
    """All pages that links lead to, one of each kind; nothing is sent."""
    found: dict[str, Page] = {}
    left = list(starts)
    while left:
        path = left.pop()
        kind = _kind(path)
        if kind in found or not path.startswith("/") or path.startswith(("/docs", "/static")):
            continue
        page = await browser.open(path)
        found[kind] = page
        left += [urljoin(path, link.split("#")[0]) for link in page.links]
    return list(found.values())


def _kind(path: str) -> str:
    """The same for pages that one template makes: jobs 1 and 2, say. The state of a job makes a difference."""
    parts = urlsplit(path)
    return "/".join("N" if word.isdigit() else word for word in parts.path.split("/")) + "?" * bool(parts.query)


async def _evil_jobs(service: Service) -> list[str]:
    """The pages of jobs whose every word is evil: one of each end, one that waits."""
    with Client(service.endpoint, key="") as client:
        named = {"name": EVIL, "comment": EVIL}
        done = client.submit("echo", {"value": {EVIL: [EVIL, {"a": EVIL}]}}, **named)
        failed = client.submit("raises", EVIL, **named)
        prints = client.submit("runs_a_program", {"script": f"echo {shlex.quote(EVIL)}"}, **named)
        client.wait([done.id, failed.id, prints.id], 20)
        client.pause(EVIL)
        late = client.submit("echo", EVIL, delay=3600, **named)
        waits = client.submit("echo", EVIL, priority=7, **named)
        return [f"/services/laser/jobs/{job.id}" for job in (done, failed, prints, late, waits)]


async def test_what_a_job_says_is_text_on_every_page(visit: Visit, shared_service: Service) -> None:
    """Name, comment, data, output, result, exception and a pause's reason: seen, and no more than that."""
    paths = await _evil_jobs(shared_service)
    browser = await visit("root")
    pages = [await browser.open(path) for path in paths]
    pages += await every_page(browser, "/services/laser", "/services/laser/jobs", f"{paths[0]}/retry")
    pages += [await browser.open(f"/services/laser/submit?like={path.rpartition('/')[2]}") for path in paths]
    assert sum("<script>alert(1)</script>" in page.text for page in pages) > 10
    for page in pages:
        headers = page.answered.headers
        if headers["Content-Type"].startswith("text/html"):
            _check_elements(page, str(page.answered.url))
            if "like=" not in str(page.answered.url):  # whose fields hold what there was, exactly
                assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(page.html), page.answered.url
        else:  # what a job has, as a file
            assert headers["Content-Disposition"].startswith("attachment") and "sandbox" in headers[POLICY]
    with Client(shared_service.endpoint, key="") as client:
        client.resume(all=True)
        client.cancel([int(path.rpartition("/")[2]) for path in paths])


def _check_elements(page: Page, where: str) -> None:
    """Only our script, with the nonce of the page's policy; no handler, no style, no foreign address."""
    nonces = {named.get("nonce") for tag, named in page.elements if tag in ("script", "link") and "nonce" in named}
    assert len(nonces) == 1 and f"script-src 'nonce-{nonces.pop()}'" in page.answered.headers[POLICY], where
    for tag, named in page.elements:
        assert tag not in ("iframe", "object", "embed", "base", "style"), where
        assert not [name for name in named if name.startswith("on") or name == "style"], where
        if tag == "script":
            assert (named["src"] or "").startswith(("/static/page.js?v=", "/static/live.js?v=")), where
        if tag in ("a", "form", "img", "link"):
            address = named.get("href") or named.get("action") or named.get("src") or ""
            assert not address.startswith(("http", "//", "javascript")), where
            assert not address.startswith("data:") or tag == "img", where


async def test_every_page_has_a_policy_of_its_own(visit: Visit) -> None:
    """A nonce is used once. Nothing is kept by the browser or a proxy."""
    browser = await visit("root")
    pages = await every_page(browser, "/", "/account", "/users", "/audit", "/login", "/nowhere-in/services")
    pages += [await browser.open("/services/laser/jobs/999999"), await browser.open("/services/laser/part/all")]
    shown = [page for page in pages if page.answered.headers["Content-Type"].startswith("text/html")]
    policies = [page.answered.headers[POLICY] for page in shown]
    assert len(set(policies)) == len(policies) > 15
    for page, policy in zip(shown, policies):
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert page.answered.headers["Cache-Control"] == "no-store"


async def test_every_form_is_refused_without_its_secret(visit: Visit, shared_service: Service, app: Any) -> None:
    """And with the secret of another session; nothing is done then."""
    with Client(shared_service.endpoint, key="") as client:
        job = client.submit("echo", 1)
        job.wait(20)
        late = client.submit("echo", 1, delay=3600)
    browser, stranger = await visit("root"), await visit("otto")
    theirs = (await stranger.open("/services/laser")).forms[0].fields["csrf"]
    starts = ["/", "/account", "/users", "/login", f"/services/laser/jobs/{late.id}", f"/services/laser/jobs/{job.id}"]
    starts += [f"/services/laser/bulk/{op}?state={state}" for op, state in (("cancel", "queued"), ("forget", ""))]
    pages = await every_page(browser, *starts, "/services/laser/resume", "/services/laser/submit?type=echo")
    tried = set()
    for page in pages:
        for form in page.forms:
            kind = _kind(form.action)
            if form.method != "post" or kind in tried:
                continue
            tried.add(kind)
            assert form.fields["csrf"], kind
            for secret in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": theirs}):
                fields = {name: value for name, value in form.fields.items() if name != "csrf"} | secret
                answered = await browser.post(urljoin(str(page.answered.url), form.action), data=fields)
                assert answered.status_code == 403, (kind, secret)
    assert len(tried) >= 12, tried
    assert (await browser.open("/services/laser")).status == 200
    with Client(shared_service.endpoint, key="") as client:
        assert client.status([late.id]).jobs[0].state.value == "queued"
        client.cancel([late.id])


async def test_a_link_to_the_login_leads_nowhere_else(visit: Visit) -> None:
    """Whatever it says to go to afterwards."""
    elsewhere = ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nX: y")
    for next in elsewhere:
        browser = await visit("")
        page = await browser.open("/login")
        gone = await browser.post(
            "/login",
            data=page.form("/login").fields | {"username": "otto", "password": "a-long-password-of-otto", "next": next},
            follow_redirects=False,
        )
        assert (gone.status_code, gone.headers["Location"]) == (303, "/"), next


async def test_a_session_is_a_cookie_that_scripts_cannot_read(visit: Visit) -> None:
    """A wrong password makes none, and logging out ends it at once."""
    browser = await visit("")
    page = await browser.fill(await browser.open("/login"), "/login", username="otto", password="wrong")
    assert page.status == 401 and "Wrong name or password." in page.text
    form = page.form("/login")
    gone = await browser.post(
        "/login", data=form.fields | {"username": "otto", "password": "a-long-password-of-otto"}, follow_redirects=False
    )
    (made,) = [each for each in gone.headers.get_list("set-cookie") if "Max-Age=43200" in each]
    assert "HttpOnly" in made and "SameSite=lax" in made and "Path=/" in made
    page = await browser.open("/services/laser")
    kept = dict(browser.cookies)
    await browser.fill(page, "/logout")
    browser.cookies.update(kept)
    assert (await browser.open("/services/laser")).answered.url.path == "/login"
