"""A browser without a script: it keeps cookies, follows links and sends forms as they are."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any, NamedTuple
from urllib.parse import urljoin

import httpx

PASSWORDS = "a-long-password-of-"


class Form(NamedTuple):
    """A form of a page, with what its fields hold."""

    action: str
    method: str
    fields: dict[str, str]


class Page(HTMLParser):
    """What a page has: its elements, its text, its links and forms."""

    def __init__(self, answered: httpx.Response) -> None:
        super().__init__()
        self.answered = answered
        self.status = answered.status_code
        self.html = answered.text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.forms: list[Form] = []
        self._texts: list[str] = []
        self._field: str | None = None
        self._select: str | None = None
        self.feed(answered.text)

    @property
    def text(self) -> str:
        """All that is read, with single spaces."""
        return " ".join(" ".join(self._texts).split())

    @property
    def links(self) -> list[str]:
        """Where links lead."""
        return [named["href"] or "" for tag, named in self.elements if tag == "a" and named.get("href")]

    def form(self, action: str) -> Form:
        """The form whose action ends so."""
        return next(form for form in self.forms if form.action.split("?")[0].endswith(action))

    def element(self, id: str) -> dict[str, str | None]:
        """The attributes of an element."""
        return next(named for _, named in self.elements if named.get("id") == id)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.elements.append((tag, named))
        if tag == "form":
            self.forms.append(Form(named.get("action") or "", named.get("method") or "get", {}))
        name = named.get("name")
        if not self.forms or name is None:
            if tag == "option" and self._select and ("selected" in named or self._select not in self.forms[-1].fields):
                self.forms[-1].fields[self._select] = named.get("value") or ""
            return
        fields = self.forms[-1].fields
        if tag == "input" and (named.get("type") not in ("checkbox", "radio", "file") or "checked" in named):
            fields[name] = named.get("value") or ""
        elif tag == "textarea":
            self._field = name
            fields[name] = ""
        elif tag == "select":
            self._select = name

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._field is not None:
            fields = self.forms[-1].fields
            fields[self._field] = fields[self._field].removeprefix("\n")
            self._field = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        self._texts.append(data)
        if self._field is not None:
            self.forms[-1].fields[self._field] += data


class Browser(httpx.AsyncClient):
    """A browser of somebody who may be logged in."""

    def __init__(self, app: Any) -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        super().__init__(transport=transport, base_url="http://gateway", timeout=30, follow_redirects=True)

    async def open(self, path: str) -> Page:
        """The page there."""
        return Page(await self.get(path))

    async def fill(self, page: Page, action: str, **fields: str) -> Page:
        """Fill a form and send it; the page that this leads to."""
        form = page.form(action)
        where = urljoin(str(page.answered.url), form.action)
        return Page(await self.request(form.method.upper(), where, data=form.fields | fields))

    async def log_in(self, name: str) -> Page:
        """Log in by the form."""
        return await self.fill(await self.open("/login"), "/login", username=name, password=PASSWORDS + name)
