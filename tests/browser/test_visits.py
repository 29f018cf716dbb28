"""What people do on the pages: submit, watch, cancel, pause, with a mouse, with keys, and without a script."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("visits")]

HOSTILE = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>\x1b[31m\x1b]0;title\x07\u202eend"
SHOWN = r"<script>window.hacked=1</script><img src=x onerror=window.hacked=1>\x1b[31m\x1b]0;title\x07\u202eend"
OF_THE_SERVICE = ["", "/jobs", "/submit", "/submit?type=pair", "/pause", "/resume", "/audit", "/jobs/{job}"]
VIEWS = ["/login", *(f"/services/default{view}" for view in (*OF_THE_SERVICE, "/jobs/{job}/cancel"))]
VIEWS += ["/services", "/account", "/users", "/audit"]


def expect(page: Page) -> Callable[[str], None]:
    """Waits until the page shows a text."""
    return lambda text: page.get_by_text(text).first.wait_for()


def test_a_job_from_the_form_to_its_result(site: Site) -> None:
    """Logged in by the form, chosen a type, filled in its parameters: the result comes without a reload."""
    page = site.stranger()
    page.goto("/services/default")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("a-password-of-tests")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Submit…").click()
    page.get_by_role("link", name=re.compile("^once_gate")).click()
    page.locator("[id='data.name']").fill("form")
    page.get_by_role("button", name=re.compile("Submit")).click()
    page.get_by_text("running").first.wait_for()
    page.evaluate("window.same = true")
    site.service.open_gate("form")
    page.locator("#job-result").get_by_text("form").wait_for()
    assert page.evaluate("window.same")


def test_a_field_is_checked_while_it_is_filled(site: Site) -> None:
    """What is wrong stands beside it at once, and goes when it is mended."""
    page = site.visit("/services/default/submit?type=pair")
    field = page.get_by_label("left")
    field.fill("1.5")
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("15")
    assert field.get_attribute("aria-invalid") == "false"


def test_a_list_is_checked_while_it_is_typed(site: Site) -> None:
    """What the browser cannot check, the server does: a list of numbers, say, in the words of a form that was sent."""
    page = site.visit("/services/default/submit?type=add")
    field = page.locator("textarea[name='data.numbers']")
    field.fill('[1, "two"]')
    page.locator("[id='data.numbers.wrong']").get_by_text("[1]").wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("[1, 2]")
    page.locator("[aria-invalid=false][name='data.numbers']").wait_for()


def test_cancel_asks_first(site: Site, submit: Callable[..., int]) -> None:
    """In a dialog that names the job; the focus is back where it was when that is closed."""
    job_id = submit("once_gate", "cancelled", name="to be cancelled")
    page = site.visit(f"/services/default/jobs/{job_id}")
    cancel = page.get_by_role("link", name="Cancel…")
    cancel.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("to be cancelled").first.wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert cancel.evaluate("each => each === document.activeElement")
    page.keyboard.press("c")
    dialog.get_by_role("button", name=f"Cancel #{job_id}").click()
    page.locator("#job-job .state.cancelled").wait_for()
    assert page.locator("dialog[open]").count() == 0


def test_a_job_that_has_changed_is_shown_anew(site: Site, submit: Callable[..., int]) -> None:
    """What the visitor saw when the dialog opened is not so any more: nothing is done, and it says how it is."""
    job_id = submit("once_gate", "changed")
    page = site.visit(f"/services/default/jobs/{job_id}")
    page.get_by_role("link", name="Cancel…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=f"Cancel #{job_id}").wait_for()
    site.service.open_gate("changed")
    page.locator("#job-job .state.completed").wait_for()
    dialog.get_by_role("button", name=f"Cancel #{job_id}").click()
    dialog.get_by_text("completed already").wait_for()


def test_pause_and_resume_by_keyboard(site: Site) -> None:
    """Keys work on the page, not in fields; the pause shows at once, with its reason."""
    page = site.visit()
    page.keyboard.press("p")
    page.get_by_role("dialog").get_by_label("Why").fill("jkp? aligning")
    page.keyboard.press("Enter")
    page.locator("#pauses").get_by_text("jkp? aligning").wait_for()
    page.keyboard.press("p")
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Resume")).click()
    page.locator("#pauses").get_by_text("jkp? aligning").wait_for(state="detached")


def test_rows_by_keyboard(site: Site, submit: Callable[..., int]) -> None:
    """j and k go from row to row, Enter opens one; nothing happens once the keys are turned off, in any tab."""
    ids = [submit("echo", 1, delay=3600) for _ in range(2)]
    page = site.visit()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{ids[0]}")
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_label("Use these keys").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("c")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 0


def test_without_a_script(site: Site, submit: Callable[..., int]) -> None:
    """Everything can be seen and done by links and forms."""
    blocking = submit("once_gate", "scriptless")
    page = site.visit(java_script_enabled=False)
    page.get_by_role("link", name="Submit…").click()
    page.get_by_role("link", name=re.compile("^echo")).click()
    page.get_by_role("button", name=re.compile("Submit")).click()
    page.get_by_text("queued").first.wait_for()
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name=re.compile("Cancel #")).click()
    page.get_by_text("cancelled").first.wait_for()
    site.service.open_gate("scriptless")
    site.service.until_state(blocking, "completed")
    page.goto("/services/default")
    page.locator("#strip svg a").first.wait_for()
    page.goto(f"/services/default/jobs/{blocking}")
    page.locator("#job-result").get_by_text("scriptless").wait_for()


@pytest.fixture
def hostile_job(site: Site, submit: Callable[..., int]) -> int:
    """A job that has ended, with a name, a comment, output and an exception that would do harm."""
    job_id = submit("hostile", HOSTILE, name=HOSTILE, comment=HOSTILE)
    site.service.until_state(job_id, "failed")
    return job_id


def test_what_comes_from_jobs_is_text(site: Site, submit: Callable[..., int], hostile_job: int) -> None:
    """Script and terminal escapes in name, comment, data, output, exception and result are shown, and do nothing."""
    result = submit("echo", HOSTILE, name=HOSTILE)
    page = site.visit()
    page.get_by_text(SHOWN).first.wait_for()
    for job_id, places in ((hostile_job, 5), (result, 3)):
        page.goto(f"/services/default/jobs/{job_id}")
        page.get_by_text(SHOWN).nth(places - 1).wait_for()
    page.goto("/services/default/jobs")
    page.get_by_text(SHOWN).first.wait_for()
    assert page.evaluate("window.hacked") is None


def test_output_that_comes_later_is_text(site: Site, submit: Callable[..., int]) -> None:
    """What the script adds to the log is made harmless as what the server writes."""
    job_id = submit("hostile_gate", {"name": "later", "text": HOSTILE})
    page = site.visit(f"/services/default/jobs/{job_id}")
    page.locator(".log").wait_for()
    site.service.open_gate("later")
    page.locator(".log").get_by_text(SHOWN).wait_for()
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everyone_can_use_it(site: Site, submit: Callable[..., int], hostile_job: int, theme: str) -> None:
    """axe finds nothing, in either theme, on any view, nor in a dialog."""
    from axe_playwright_python.sync_playwright import Axe

    queued = submit("echo", 1, delay=3600, name="later")
    page = site.visit(color_scheme=theme)
    found = {}
    for view in VIEWS:
        page.goto(view.format(job=queued))
        found[view] = Axe().run(page)
    page.goto(f"/services/default/jobs/{hostile_job}")
    found["failed"] = Axe().run(page)
    page.keyboard.press("r")
    page.get_by_role("dialog").get_by_role("button").first.wait_for()
    found["dialog"] = Axe().run(page)
    told = {view: each.generate_report() for view, each in found.items() if each.violations_count}
    assert not told, "\n\n".join(f"{view}: {report}" for view, report in told.items())


def test_on_a_small_screen(site: Site, submit: Callable[..., int], hostile_job: int) -> None:
    """Nothing is wider than 320 pixels, and everything to press is at least 24 pixels high and wide."""
    page = site.visit(viewport={"width": 320, "height": 640})
    queued = submit("echo", {"value": {"a long key " * 5: ["x" * 200]}}, delay=3600, name="n" * 200)
    for view in [*VIEWS, f"/services/default/jobs/{hostile_job}"]:
        page.goto(view.format(job=queued))
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, view
        small = page.evaluate(SMALL, TARGETS)
        assert not small, (view, small)


# WCAG 2.2, 2.5.8: links within a sentence are exempt, and so are the blocks of the strip: each job has a row elsewhere
TARGETS = "button, input:not([type=hidden], [type=checkbox]), label.check, select, summary, .button, nav a"
SMALL = """(targets) => [...document.querySelectorAll(targets)]
    .filter((each) => each.checkVisibility() && !each.closest(".hidden, .skip"))
    .filter((each) => { const {width, height} = each.getBoundingClientRect(); return width < 18 || height < 24 })
    .map((each) => each.outerHTML.slice(0, 200))"""
