"""The pages in Chromium, before a gateway, a broker and a worker that run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.conftest import Program, Service

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 20_000
PASSWORD = "a-password-of-tests"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here drive a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


# of a module, not of the session: while Playwright runs, no other test in this process can use asyncio
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    if CHROMIUM is None:
        pytest.skip("NO PAGE IS TRIED IN A BROWSER: Chromium is missing (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Site:
    """A gateway before a service, and the browsers of those who visit it."""

    def __init__(self, service: Service, browser: Browser, name: str = "default") -> None:
        self.service = service
        self._config = service.place / "services.toml"
        self._config.write_text(f'[services.{name}]\nbroker = "{service.endpoint}"\nkey = ""\n')
        self.gateway = self.start_gateway("127.0.0.1:*")
        (self.url,) = self.gateway.ready()
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._login: Any = None
        self.wrong: list[str] = []  # what no page may say

    def start_gateway(self, listen: str) -> Program:
        self.service.env["ZGATEWAY_ADMIN_PASSWORD"] = PASSWORD
        return self.service.start("gateway", "--listen", listen, "--config", str(self._config))

    def stranger(self, **how: Any) -> Page:
        """A page in a browser of its own, where nobody has logged in. how: what Playwright knows of contexts."""
        context = self._browser.new_context(base_url=self.url, **how)
        context.set_default_timeout(PATIENCE_MS)
        context.set_default_navigation_timeout(PATIENCE_MS)
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.wrong.append(f"a script failed: {error}"))
        page.on(
            "console", lambda said: self.wrong.append(said.text) if "Content Security Policy" in said.text else None
        )
        return page

    def visitor(self, **how: Any) -> Page:
        """An empty page in a browser of its own, after a login."""
        if self._login is None:
            page = self.stranger()
            log_in(page)
            self._login = page.context.storage_state()
        return self.stranger(storage_state=self._login, **how)

    def visit(self, path: str = "/services/default", **how: Any) -> Page:
        """A page of the service in a browser of its own, after a login."""
        page = self.visitor(**how)
        page.goto(path)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        wrong, self.wrong = self.wrong, []
        assert not wrong, wrong


def log_in(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/services/*")


@pytest.fixture(scope="module")
def module_site(shared_service: Service, browser: Browser) -> Site:
    return Site(shared_service, browser)


@pytest.fixture
def site(module_site: Site) -> Iterator[Site]:
    """A gateway that the tests of a module share; their browsers are closed."""
    yield module_site
    module_site.close()


@pytest.fixture
def own_site(service: Service, browser: Browser) -> Iterator[Site]:
    """A gateway, a broker and a worker that may be stopped."""
    site = Site(service, browser)
    yield site
    site.close()


@pytest.fixture
def submit(site: Site) -> Callable[..., int]:
    """Queues a job; its id."""
    client = site.service.client()
    return lambda type, *data, **fields: int(client.submit(type, *data, **fields).id)
