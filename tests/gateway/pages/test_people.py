"""Accounts and users by pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway.pages.site import PASSWORDS

if TYPE_CHECKING:
    from tests.gateway.pages.conftest import Visit


async def test_one_has_a_password_and_tokens(visit: Visit, app: Any) -> None:
    """A new token is shown once and works; revoked, it does not; mistakes are told beside the form."""
    browser = await visit("sue")
    page = await browser.open("/account")
    for given, said in (({"name": "no name"}, "a name is letters"), ({"name": "cron", "lasts": "soon"}, "soon")):
        wrong = await browser.fill(page, "/account/tokens", **given)
        assert wrong.status == 422 and said in wrong.text
    made = await browser.fill(page, "/account/tokens", name="cron", lasts="90d")
    token = next(word for word in made.text.split() if word.startswith("zj_"))
    grant = await app.state.identity.grants.of(token)
    assert (grant.person.name, grant.kind.value) == ("sue", "program")
    assert token not in (await browser.open("/account")).html
    assert (await browser.fill(made, "/account/tokens", name="cron")).status == 409
    form = made.form(f"/account/tokens/{grant.token_id}/revoke")
    await browser.post(form.action, data=form.fields)
    assert await app.state.identity.grants.of(token) is None


async def test_a_password_is_changed_with_the_present_one(visit: Visit) -> None:
    """Typed twice; another login ends, this one stays."""
    browser, other = await visit("mel"), await visit("mel")
    page = await browser.open("/account")
    right = {"current": PASSWORDS + "mel", "new": "another-password", "again": "another-password"}
    for change in ({"again": "x"}, {"new": "short", "again": "short"}, {"current": "wrong"}):
        assert (await browser.fill(page, "/account/password", **right | change)).status == 422
    assert "Your password is changed" in (await browser.fill(page, "/account/password", **right)).text
    assert (await other.open("/account")).answered.url.path == "/login"


async def test_superusers_manage_users(visit: Visit) -> None:
    """Add with a password shown once, change, reset, make inactive, delete; the audit trail tells all of it."""
    root = await visit("root")
    users = await root.open("/users")
    assert (await root.fill(users, "/users", name="no name", role="viewer")).status == 422
    assert (await root.fill(users, "/users", name="Otto", role="viewer")).status == 409
    made = await root.fill(users, "/users", name="new.one", role="submitter")
    password = made.html.partition('<pre id="password">')[2].partition("<")[0]
    assert len(password) == 20
    stranger = await visit("")
    login = await stranger.open("/login")
    assert (await stranger.fill(login, "/login", username="new.one", password=password)).status == 200
    stale = await root.open("/users/new.one")
    changed = await root.fill(stale, "/users/new.one", role="member", active="yes")
    assert changed.form("/users/new.one").fields["role"] == "member"
    assert (await root.fill(stale, "/users/new.one", role="operator", active="yes")).status == 409
    reset = await root.fill(changed, "/users/new.one/password")
    assert password not in reset.html and (await stranger.open("/account")).answered.url.path == "/login"
    await root.fill(await root.open("/users/new.one/delete"), "/users/new.one/delete")
    assert (await root.open("/users/new.one")).status == 404
    trail = (await root.open("/audit")).text
    for done in ("user added", "user changed", "password set", "user deleted"):
        assert f"root {done} new.one" in trail, done
    last = await root.fill(await root.open("/users/root"), "/users/root", role="viewer")
    assert last.status in (200, 409)  # admin is a superuser, too, so root may step down


@pytest.mark.parametrize("path", ["/users", "/users/sue", "/users/sue/delete", "/audit"])
@pytest.mark.parametrize("name", ["vera", "sue", "mel", "otto"])
async def test_others_do_not(visit: Visit, name: str, path: str) -> None:
    """Neither by looking nor by sending."""
    browser = await visit(name)
    secret = (await browser.open("/account")).forms[0].fields["csrf"]
    assert (await browser.open(path)).status == 403
    if path != "/audit":
        sent = {"csrf": secret, "name": "me2", "role": "operator", "superuser": "yes", "active": "yes"}
        assert (await browser.post(path, data=sent)).status_code == 403
    assert not [link for link in (await browser.open("/account")).links if link.startswith(("/users", "/audit"))]
