"""Makes screenshots of the main views: `python -m tests.browser.screenshots FOLDER`.

A service is made for it, whose journal tells of a morning that never was: what ended is moved back in time.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM, Site
from tests.conftest import Service

HERE = Path(__file__).parent
MINUTE_MS = 60_000
# How long the jobs of each type took, about.
MINUTES = {"measure": 12.0, "lamp_check": 1.5, "image": 5.0}
PEOPLE = ("admin", "operator")
WIDE = {"width": 1180, "height": 900}
NARROW = {"width": 320, "height": 720}


def main(folder: Path) -> None:
    """Makes them all."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="zj", dir="/tmp") as place, sync_playwright() as playwright:
        service = Service(Path(place), uuid.uuid4().hex)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            ids = _make_past(service)
            _make_present(service)
            site = Site(service, browser, "laser")
            for theme in ("light", "dark"):
                _shoot(site, folder, theme, ids)
        finally:
            browser.close()
            service.end()


def _make_past(service: Service) -> dict[str, int]:
    """Jobs that have ended, by what is to be seen of them."""
    shutil.copy(HERE / "lab_tasks.py", service.place / "work")
    service.env["LAB_FAST"] = "1"
    service.start_broker()
    service.start_worker("--tasks", "lab_tasks", tasks=False)
    rng = random.Random(5)
    clients = [service.client().acting_for(name, "operator") for name in PEOPLE]
    kinds = [rng.choice(["measure", "measure", "measure", "lamp_check", "image"]) for _ in range(44)]
    for number, kind in enumerate(kinds):
        data: dict[str, Any] = {"count": 40} if kind == "measure" else {}
        if kind == "lamp_check" and number % 4 == 1:
            data = {"lamp": "Hg"}
        name = {"measure": f"Au film #{number % 5}", "lamp_check": "", "image": f"grid {number}"}[kind]
        rng.choice(clients).submit(kind, data, name=name)
    client = clients[0]
    wanted = [client.submit("measure", {"count": 40}, name="Au film #2"), client.submit("image", name="grid 50")]
    wanted.append(client.submit("lamp_check", {"lamp": "Hg"}, name="lamp check", comment="after the exchange"))
    last = client.submit("lamp_check", name="lamp check")
    service.until_state(last.id, "completed")
    service.worker.insist()
    service.broker.insist()
    _move_back(service.journal, rng)
    del service.env["LAB_FAST"]
    return dict(zip(("plot", "image", "failed"), (job.id for job in wanted)))


def _move_back(journal: str, rng: random.Random) -> None:
    """Let the jobs of the journal have run one after the other until a moment ago."""
    with sqlite3.connect(journal) as db:
        jobs = db.execute("SELECT id, type FROM job ORDER BY id DESC").fetchall()
        at = int(time.time() * 1000) - 40_000
        for id, kind in jobs:
            took = int(MINUTES[kind] * rng.uniform(0.7, 1.4) * MINUTE_MS)
            times = (at - took - rng.randrange(5, 40) * MINUTE_MS, at - took, at, took, id)
            db.execute("UPDATE job SET submitted_at=?, started_at=?, ended_at=?, elapsed_ms=? WHERE id=?", times)
            at -= took + rng.choice([2_000] * 9 + [35 * MINUTE_MS])
        runs = {kind: [int(MINUTES[kind] * rng.uniform(0.8, 1.3) * 6e7) for _ in range(14)] for kind in MINUTES}
        for kind, spans in runs.items():
            db.execute("UPDATE history SET runs=? WHERE type=?", (" ".join(map(str, spans)), kind))
    db.close()


def _make_present(service: Service) -> None:
    service.start_broker()
    service.start_worker("--tasks", "lab_tasks", tasks=False)
    client = service.client().acting_for("admin", "operator")
    running = client.submit("measure", {"count": 600}, name="Au film #3", comment="second sample holder")
    for name, kind, data in (
        ("lamp check", "lamp_check", {}),
        ("Au film #4", "measure", {"count": 40, "exposure": 0.2}),
        ("grid 51", "image", {"size": 64}),
        ("Au film #5", "measure", {"count": 80}),
    ):
        service.client().acting_for(PEOPLE[len(name) % 2], "operator").submit(kind, data, name=name)
    client.submit("measure", {"count": 400}, name="overnight", delay="9h")
    service.until(lambda: (client.job(running.id).status().fraction or 0) > 0.02, "the job has come far")


def _shoot(site: Site, folder: Path, theme: str, ids: dict[str, int]) -> None:
    at = "/services/laser"
    page = site.visit(at, viewport=WIDE, color_scheme=theme)

    def shoot(name: str, path: str | None = None, ready: str = "main", page: Page = page) -> None:
        if path is not None:
            page.goto(at + path)
        page.locator(ready).first.wait_for()
        page.screenshot(path=folder / f"{name}-{theme}.png", full_page=path is not None)

    shoot("queue", "")
    page.keyboard.press("c")
    shoot("cancel", None, "dialog[open]")
    shoot("week", "?window=7d")
    for name, id in ids.items():
        shoot(name, f"/jobs/{id}")
    running = page.request.get(f"/api/v1{at}/queue").json()["jobs"][0]["id"]
    shoot("running", f"/jobs/{running}", ".log")
    shoot("history", "/jobs")
    shoot("types", "/submit")
    shoot("submit", "/submit?type=measure")
    shoot("pause", "/pause")
    page.get_by_label("Why").fill("changing sample")
    page.get_by_label("For how long").fill("1h")
    page.get_by_role("button", name="Pause").click()
    shoot("paused", "")
    page.goto(f"{at}/resume")
    page.get_by_role("button", name="Resume").click()
    small = site.visit(at, viewport=NARROW, color_scheme=theme)
    shoot("small", "", page=small)
    shoot("small-job", f"/jobs/{ids['failed']}", page=small)
    site.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
