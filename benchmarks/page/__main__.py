"""`python -m benchmarks.page`: the page in Chromium, while 99 other browsers watch, too. Needs Chromium.

Prints one figure a line. Times are those of one machine, on which the other browsers are imitated by a program, which
does what the script of a page does: it reads the stream, and asks for the parts of the page when a job has changed.
"""

from __future__ import annotations

import http.client
import re
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.bench import FULL, Bench, placements
from benchmarks.http import programs
from benchmarks.http.programs import PASSWORD, Gateway
from benchmarks.load import TEXT, TYPE
from benchmarks.program import Program, python
from benchmarks.service import Service

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
OTHERS = 99
JOBS = 100
PACE_S = 0.5
IDLE_S = 30.0
TICKS_A_S = 100
VIEW = "/services/default"

# Notes when the row of a job appears among those that have ended.
OBSERVE = """() => {
    window.seen = {}
    const note = () => {
        for (const row of document.querySelectorAll("#recent [data-job]")) window.seen[row.dataset.job] ??= Date.now()
    }
    new MutationObserver(note).observe(document.getElementById("recent"), {childList: true, subtree: true})
    note()
}"""


def main() -> None:
    """Measure everything, and print it."""
    with tempfile.TemporaryDirectory(prefix="page.") as folder, sync_playwright() as playwright:
        bench = Bench(FULL, Path(folder), *placements())
        with Service(bench, bench.two_cores, "memory") as service:
            service.await_worker()
            with programs.gateway(bench, service) as gateway:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
                for name, value in _figures(bench, service, gateway, browser):
                    print(f"{name:32} {value:10.1f}", flush=True)
                browser.close()


def _figures(bench: Bench, service: Service, gateway: Gateway, browser: Browser) -> Iterator[tuple[str, float]]:
    cookie = _log_in(gateway.url)
    yield from _first_page(gateway.url, cookie)
    page = _page(browser, gateway.url, cookie)
    yield "delay.alone_ms.p50", _percentile(delays := _delays(service, page), 0.5)
    yield "delay.alone_ms.p95", _percentile(delays, 0.95)
    before = _spent_s(gateway.program.pid), _spent_of_browser_s()
    time.sleep(IDLE_S)
    alone = _spent_s(gateway.program.pid) - before[0]
    yield "idle.tab_ms_per_s", (_spent_of_browser_s() - before[1]) / IDLE_S * 1e3
    yield "idle.gateway_ms_per_s", alone / IDLE_S * 1e3
    argv = python("-m", "benchmarks.page.viewers", gateway.url, cookie, str(OTHERS))
    with Program(argv, bench.two_cores.client, bench.directory / "viewers.log") as viewers:
        viewers.ready_line()
        begun = _spent_s(gateway.program.pid)
        time.sleep(IDLE_S)
        more = _spent_s(gateway.program.pid) - begun - alone
        yield "idle.gateway_us_per_s.stream", max(0.0, more) / OTHERS / IDLE_S * 1e6
        yield "delay.others_ms.p50", _percentile(delays := _delays(service, page), 0.5)
        yield "delay.others_ms.p95", _percentile(delays, 0.95)


def _log_in(url: str) -> str:
    """The cookie of a session."""
    form = urllib.parse.urlencode({"username": "admin", "password": PASSWORD})
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/api/v1/auth/session", form, headers)
    answered = connection.getresponse()
    assert answered.status == 204, answered.status
    return (answered.getheader("Set-Cookie") or "").partition(";")[0]


def _first_page(url: str, cookie: str) -> Iterator[tuple[str, float]]:
    """How much the first page needs, and after how many answers in turn everything is there."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)

    def size_of(path: str) -> tuple[str, int]:
        connection.request("GET", path, headers={"Cookie": cookie})
        answered = connection.getresponse()
        body = answered.read()
        assert answered.status == 200, (path, answered.status)
        head = sum(len(name) + len(value) + 4 for name, value in answered.getheaders())
        return body.decode(errors="replace"), len(body) + head

    text, total = size_of(VIEW)
    yield "first.html_kb", total / 1e3
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
    loaded = {path: size_of(path) for path in dict.fromkeys(files)}
    total += sum(size for _, size in loaded.values())
    yield "first.all_kb", total / 1e3
    further = [path for body, _ in loaded.values() for path in re.findall(r"@import|^import ", body, re.M)]
    yield "first.round_trips", 3 if further else 2


def _page(browser: Browser, url: str, cookie: str) -> Page:
    name, _, value = cookie.partition("=")
    context = browser.new_context(base_url=url)
    context.add_cookies([{"name": name, "value": value, "url": url}])
    page = context.new_page()
    page.goto(VIEW)
    page.locator("html[data-link=live]").wait_for(state="attached")
    return page


def _delays(service: Service, page: Page) -> list[float]:
    """From the end of each job, by the worker's clock, to its row on the page, in milliseconds."""
    page.evaluate(OBSERVE)
    ended: dict[int, int] = {}
    with service.client() as client:
        for _ in range(JOBS):
            job = client.submit(TYPE, TEXT)
            status = job.wait(60)
            assert status.ended_at is not None
            ended[job.id] = status.ended_at
            time.sleep(PACE_S)
    seen = {int(id): at for id, at in page.evaluate("window.seen").items()}
    return [max(0, seen[id] - at) for id, at in ended.items() if id in seen]


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _spent_s(pid: int) -> float:
    """The processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_S


def _spent_of_browser_s() -> float:
    """The processor time of the processes that show pages."""
    spent = 0.0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes()
            if b"--type=renderer" in words and b"chromium" in words:
                spent += _spent_s(int(place.name))
        except OSError:  # it has ended meanwhile
            continue
    return spent


if __name__ == "__main__":
    main()
