"""Changing something by a page: who may, what is asked first, and what has changed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import wait_until
from tests.gateway.pages.conftest import PEOPLE
from tests.gateway.pages.site import Page
from zjobs.client import Client
from zjobs.gateway.pages.shared.visitor import Visitor
from zjobs.messages.states import Role

if TYPE_CHECKING:
    from tests.conftest import Service
    from tests.gateway.pages.conftest import Visit

QUEUE = "/services/laser"


@pytest.fixture
def client(shared_service: Service) -> Iterator[Client]:
    """Whoever else uses the service."""
    with Client(shared_service.endpoint, key="") as client:
        yield client
        client.resume(all=True)


def may(role: Role, op: str, own: bool) -> bool:
    """What docs/security.md says that a role may do."""
    if op == "pause":
        return role in (Role.MEMBER, Role.OPERATOR)
    if op == "audit":
        return role is not Role.VIEWER
    return role is Role.OPERATOR or (own and role is not Role.VIEWER)


@pytest.mark.parametrize("name", ["vera", "sue", "mel", "otto"])
@pytest.mark.parametrize("asks_the_broker", [False, True])
async def test_what_a_role_may_not_is_not_shown_and_refused(
    visit: Visit, client: Client, name: str, asks_the_broker: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each role with each action, on own jobs and others'; the broker refuses what a page would let through."""
    role = PEOPLE[name]
    ended, late = client.submit("echo", 1), client.submit("echo", 1, delay=3600)
    ended.wait(20)
    jobs = {"sue": (ended.id, late.id)}
    if role is not Role.VIEWER:
        mine = client.acting_for(name, role)
        own = mine.submit("echo", 1)
        own.wait(20)
        jobs["own"] = (own.id, mine.submit("echo", 1, delay=3600).id)
    browser = await visit(name)
    if asks_the_broker:  # as if our own look at the role had a hole
        monkeypatch.setattr(Visitor, "may", lambda *_: True)
    secret = (await browser.open(QUEUE)).forms[0].fields["csrf"]
    for whose, (final, queued) in jobs.items():
        for op, id in (("cancel", queued), ("retry", final), ("forget", final)):
            allowed = may(role, op, whose == "own")
            path = f"{QUEUE}/jobs/{id}/{op}"
            page = await browser.open(f"{QUEUE}/jobs/{id}")
            if page.status == 200 and not asks_the_broker:
                assert (path in page.links) == allowed, (whose, op)
            asked = await browser.open(path)
            if not asks_the_broker:
                assert asked.status == (200 if allowed else 403), (whose, op)
            seen = next((form.fields["seen"] for form in asked.forms if "seen" in form.fields), "")
            done = await browser.post(path, data={"csrf": secret, "seen": seen}, follow_redirects=False)
            assert done.status_code == (303 if allowed else 403), (whose, op)
    for path, allowed in ((f"{QUEUE}/pause", may(role, "pause", True)), (f"{QUEUE}/submit", role is not Role.VIEWER)):
        body = {"csrf": secret, "for": "1h", "type": "echo", "data.value": "1"}
        done = await browser.post(path, data=body, follow_redirects=False)
        assert done.status_code == (303 if allowed else 403), path
    assert (await browser.open(f"{QUEUE}/audit")).status == (200 if may(role, "audit", True) else 403)


async def test_cancel_asks_first_and_then_does(visit: Visit, client: Client) -> None:
    """The question names the job and what will happen; then the job's page shows what has."""
    job = client.submit("echo", 1, delay=3600, name="scan of the left edge")
    browser = await visit("otto")
    asked = await browser.open(f"{QUEUE}/jobs/{job.id}/cancel")
    assert f"Cancel job #{job.id}, scan of the left edge?" in asked.text and "It will not start." in asked.text
    assert job.status().state.value == "queued"
    done = await browser.fill(asked, "/cancel")
    assert done.answered.url.path == f"{QUEUE}/jobs/{job.id}" and "cancelled" in done.text


async def test_a_job_that_has_changed_since_is_left_alone(visit: Visit, client: Client, tmp_path: Path) -> None:
    """The answer says how it is now, and asks again; what does not fit any more has no button."""
    browser = await visit("otto")
    job = client.submit("echo", 1, delay=3600)
    asked = await browser.open(f"{QUEUE}/jobs/{job.id}/cancel")
    client.cancel([job.id])
    told = await browser.fill(asked, "/cancel")
    assert told.status == 409 and "It is now cancelled" in told.text and f"Cancel #{job.id}" not in told.html
    client.pause("until somebody looks")
    job = client.submit("prints_gate", tmp_path.name)
    asked = await browser.open(f"{QUEUE}/jobs/{job.id}/cancel")
    assert "It will not start." in asked.text
    client.resume()
    wait_until(lambda: job.status().state.value == "in_progress", "it runs")
    told = await browser.fill(asked, "/cancel")
    assert told.status == 409 and "It is now running" in told.text and "It is told to end" in told.text
    assert not job.status().cancelling
    await browser.fill(told, "/cancel")
    assert job.wait(20).state.value == "cancelled"
    asked = await browser.open(f"{QUEUE}/jobs/{job.id}/forget")
    client.forget([job.id])
    assert (await browser.fill(asked, "/forget")).status == 410


async def test_edit_changes_what_the_form_changes(visit: Visit, client: Client) -> None:
    """Priority, time limit, name, comment; what has changed since, or has started, is not changed."""
    job = client.submit("echo", 1, delay=3600, name="first", comment="a\nb", time_limit="90s")
    browser = await visit("otto")
    form = await browser.open(f"{QUEUE}/jobs/{job.id}/edit")
    assert form.form("/edit").fields["time_limit"] == "1min30s"
    for field in ({"priority": "1.5"}, {"priority": "5000"}, {"time_limit": "soon"}, {"name": "x" * 500}):
        wrong = await browser.fill(form, "/edit", comment="second", **field)
        assert wrong.status == 422 and wrong.form("/edit").fields["comment"] == "second", field
    await browser.fill(form, "/edit", priority="7", name="second", time_limit="2m")
    now = client.show(job.id)
    assert (now.job.name, now.job.priority, now.job.comment, now.time_limit_ms) == ("second", 7, "a\nb", 120_000)
    assert (await browser.fill(form, "/edit", name="third")).status == 409
    await browser.fill(await browser.open(f"{QUEUE}/jobs/{job.id}/edit"), "/edit", time_limit="")
    assert client.show(job.id).time_limit_ms is None
    client.cancel([job.id])
    late = await browser.open(f"{QUEUE}/jobs/{job.id}/edit")
    assert "Only a job that has not started can be edited." in late.text
    assert (await (await visit("sue")).open(f"{QUEUE}/jobs/{job.id}/edit")).status == 403


async def test_hold_and_release(visit: Visit, client: Client) -> None:
    """The page offers what fits; a second hold, or one of an ended job, is no change."""
    job = client.submit("echo", 1, delay=3600)
    page = f"{QUEUE}/jobs/{job.id}"
    browser = await visit("otto")
    asked = await browser.open(f"{page}/hold")
    held = await browser.fill(asked, "/hold")
    assert client.show(job.id).job.held and "held" in held.text
    assert f"{page}/release" in held.links and f"{page}/hold" not in held.links
    assert "It is held already." in (await browser.fill(asked, "/hold")).text
    await browser.fill(await browser.open(f"{page}/release"), "/release")
    assert not client.show(job.id).job.held
    client.cancel([job.id])
    for op in ("hold", "release"):
        assert "Only a job that has not started" in (await browser.open(f"{page}/{op}")).text
        assert (await (await visit("mel")).open(f"{page}/{op}")).status == 403


async def test_jobs_that_wait_for_each_other(visit: Visit, client: Client) -> None:
    """Submitted by the form; each page names the other job; with its dependents, a job is retried."""
    browser = await visit("otto")
    first = client.submit("raises", "lamp", delay=3600)
    form = await browser.open(f"{QUEUE}/submit?type=echo")
    given = {"data.value": "1", "name": "second"}
    for after in ("soon", "999999"):
        wrong = await browser.fill(form, "/submit", after=after, **given)
        assert wrong.status == 422 and wrong.element("job.after")["aria-invalid"] == "true", after
    page = await browser.fill(form, "/submit", after=f"#{first.id}", **given)
    second = int(page.answered.url.path.rpartition("/")[2])
    assert f"waits for #{first.id}" in page.text
    assert f"Waiting for it #{second} second" in (await browser.open(f"{QUEUE}/jobs/{first.id}")).text
    await browser.fill(await browser.open(f"{QUEUE}/jobs/{first.id}/cancel"), "/cancel")
    page = await browser.open(f"{QUEUE}/jobs/{second}")
    assert f"Cancelled by #{first.id} , which did not complete" in page.text
    asked = await browser.open(f"{QUEUE}/jobs/{first.id}/retry")
    copy = await browser.fill(asked, "/retry", with_dependents="yes")
    copied = int(copy.answered.url.path.rpartition("/")[2])
    assert client.show(copied + 1).retry_of == second
    client.cancel([copied, copied + 1])


async def test_retry_twice_makes_one_copy(visit: Visit, client: Client) -> None:
    """The form has a request key: a second click, or a reload, leads to the same job."""
    job = client.submit("echo", 1)
    job.wait(20)
    browser = await visit("otto")
    asked = await browser.open(f"{QUEUE}/jobs/{job.id}/retry")
    first, again = [await browser.fill(asked, "/retry") for _ in range(2)]
    assert first.answered.url.path == again.answered.url.path != f"{QUEUE}/jobs/{job.id}"
    assert f"a copy of #{job.id}" in first.text


async def test_submit_by_a_form(visit: Visit) -> None:
    """Fields are those of the schema; mistakes are named beside them and at the top; then the job is there."""
    browser = await visit("sue")
    empty = await browser.open(f"{QUEUE}/submit?type=pair")
    fields = dict(named["name"] and (named["name"], named) for _, named in empty.elements if named.get("name"))
    assert fields["data.left"]["type"] == "number" and "required" in fields["data.left"]
    given = {"data.left": "1.5", "data.right": "x", "name": "two", "priority": "1", "delay": "soon"}
    wrong = await browser.fill(empty, "/submit", **given)
    assert wrong.status == 422 and "Nothing was submitted" in wrong.text
    for name in ("data.left", "data.right"):
        assert wrong.element(name)["aria-invalid"] == "true" and wrong.form("/submit").fields[name] == given[name]
    late = await browser.fill(wrong, "/submit", **given | {"data.left": "1", "data.right": "2"})
    assert late.status == 422 and late.element("job.delay")["aria-invalid"] == "true"
    sent = {**given, "data.left": "1", "data.right": "2", "delay": ""}
    job, again = [await browser.fill(late, "/submit", **sent) for _ in range(2)]
    assert job.status == 200 and job.answered.url.path == again.answered.url.path
    assert "two" in job.text and "zclient submit --name two --priority=1 --arg left=1 --arg right=2 pair" in job.text


async def test_data_is_checked_while_it_is_typed(visit: Visit) -> None:
    """By the schema, for the script: what is wrong with each field, in the words of a form that was sent."""
    browser = await visit("sue")
    form = (await browser.open(f"{QUEUE}/submit?type=pair")).form("/submit").fields
    typed = form | {"data.left": "[1", "data.right": "2"}
    told = await browser.post(f"{QUEUE}/submit/check", data=typed)
    sent = await browser.post(f"{QUEUE}/submit", data=typed)
    assert told.json().keys() == {"data.left"} and told.json()["data.left"] in Page(sent).text
    assert (await browser.post(f"{QUEUE}/submit/check", data=typed | {"data.left": "1"})).json() == {}
    assert (await browser.post(f"{QUEUE}/submit/check", data=typed | {"csrf": ""})).status_code == 403
    viewer = await visit("vera")
    csrf = (await viewer.open(QUEUE)).forms[0].fields["csrf"]
    assert (await viewer.post(f"{QUEUE}/submit/check", data=typed | {"csrf": csrf})).status_code == 403


async def test_submit_again_with_changes(visit: Visit, client: Client) -> None:
    """The form begins with what the job had, exactly, whatever characters that has."""
    text = '\nfirst\n"quoted" <b> \x01\u202e end '
    data = {"value": {"deep": [1, text]}}
    job = client.acting_for("sue", "submitter").submit("echo", data, name=text[:20].strip(), comment=text, priority=3)
    browser = await visit("sue")
    form = await browser.open(f"{QUEUE}/submit?like={job.id}")
    fields = form.form("/submit").fields
    assert (fields["comment"], fields["priority"]) == (text, "3")
    sent = await browser.fill(form, "/submit", priority="4")
    copy = int(sent.answered.url.path.rpartition("/")[2])
    assert client.data(copy) == data and client.show(copy).job.comment == text


async def test_pause_and_resume(visit: Visit, client: Client) -> None:
    """A member says for how long; each lifts their own, and an operator those of others, too."""
    mel, otto = await visit("mel"), await visit("otto")
    refused = await mel.fill(await mel.open(f"{QUEUE}/pause"), "/pause", **{"for": "", "reason": "mine"})
    assert refused.status == 422 and refused.element("for")["aria-invalid"] == "true"
    paused = await mel.fill(refused, "/pause", **{"for": "2h"})
    assert "Paused by mel" in paused.text and "mine" in paused.text
    asked = await mel.open(f"{QUEUE}/resume")
    await otto.fill(await otto.open(f"{QUEUE}/pause"), "/pause", **{"for": ""})
    changed = await mel.fill(asked, "/resume")
    assert changed.status == 409 and "others’ and stay" in changed.text
    resumed = await mel.fill(changed, "/resume")
    assert "Paused by otto" in resumed.text and "Paused by mel" not in resumed.text
    await mel.fill(await mel.open(f"{QUEUE}/pause"), "/pause", **{"for": "1h"})
    assert "Paused" not in (await otto.fill(await otto.open(f"{QUEUE}/resume"), "/resume", all="yes")).text


async def test_many_jobs_at_once_are_counted_first(visit: Visit, client: Client) -> None:
    """Those of the filter that one may change; others that came since are not touched, but counted anew."""
    name = "a series of ours"
    jobs = [client.submit("echo", n, delay=3600, name=name) for n in range(3)]
    own = client.acting_for("sue", "submitter").submit("echo", 3, delay=3600, name=name)
    browser = await visit("otto")
    listed = await browser.open(f"{QUEUE}/jobs?name=a+series*&state=queued")
    asked = await browser.open(next(link for link in listed.links if "/bulk/cancel" in link))
    assert "Cancel 4 jobs?" in asked.text
    assert "Cancel 1 job?" in (await (await visit("sue")).open(f"{QUEUE}/bulk/cancel?name=a+series*")).text
    jobs.append(client.submit("echo", 4, delay=3600, name=name))
    asked = await browser.fill(asked, "/bulk/cancel")
    assert asked.status == 409 and "Cancel 5 jobs?" in asked.text
    await browser.fill(asked, "/bulk/cancel")
    states = {job.state.value for job in client.status([job.id for job in (*jobs, own)]).jobs}
    assert states == {"cancelled"}
    forgot = await browser.fill(await browser.open(f"{QUEUE}/bulk/forget?name=a+series*"), "/bulk/forget")
    assert forgot.status == 200 and len(client.status([job.id for job in jobs]).missing) == 4
