"""What superusers do, and what nobody else may."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.unit.gateway.identity.conftest import ADMINS, Gateway
from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.accounts import Action, By
from zjobs.gateway.identity.routes import own, users
from zjobs.gateway.identity.routes.bodies import NAME_PATTERN
from zjobs.messages.fields import is_person_name


async def test_a_user_is_added(gateway: Gateway) -> None:
    """With a random password, shown once, or the one given."""
    token = await gateway.token()
    answer = await gateway.ask("POST", "/users", token, {"name": "alice", "role": "submitter"})
    assert answer.status_code == 201 and answer.headers["Location"] == "/api/v1/users/alice"
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await gateway.log_in("alice", answer.json()["password"])).status_code == 200
    bob = {"name": "bob", "role": "viewer", "superuser": True, "password": "bobs-own-password"}
    assert (await gateway.ask("POST", "/users", token, bob)).json()["password"] is None
    assert (await gateway.ask("GET", "/users", await gateway.token("bob", "bobs-own-password"))).status_code == 200
    shown = (await gateway.ask("GET", "/users/alice", token)).json()
    assert shown == {"name": "alice", "role": "submitter", "superuser": False, "active": True} | {
        "created_at": gateway.clock.wall
    }


@pytest.mark.parametrize("name", ["", "a b", "ä", "-a", "a/b", "a\n", 129 * "a", "a\0"])
async def test_names_are_those_that_keys_may_have(gateway: Gateway, name: str) -> None:
    """A broker knows people and keys by such names."""
    body = {"name": name, "role": "submitter"}
    assert (await gateway.ask("POST", "/users", await gateway.token(), body)).status_code == 422


def test_the_pattern_of_names_is_that_of_brokers() -> None:
    """Every character, at the beginning and behind."""
    for character in map(chr, range(300)):
        for name in (character, f"a{character}"):
            assert (re.fullmatch(NAME_PATTERN, name) is not None) is is_person_name(name), name


@pytest.mark.parametrize("name", ["admin", "Admin", "anonymous", "Anonymous"])
async def test_a_name_belongs_to_one(gateway: Gateway, name: str) -> None:
    """However it is written."""
    answer = await gateway.ask("POST", "/users", await gateway.token(), {"name": name, "role": "viewer"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_users_are_listed_in_pages(gateway: Gateway) -> None:
    """By name, each page beginning after the last name of the one before."""
    for name in ("dora", "bob", "carl"):
        await gateway.add(name)
    token = await gateway.token()
    first = (await gateway.ask("GET", "/users?limit=2", token)).json()
    second = (await gateway.ask("GET", f"/users?limit=2&after={first[-1]['name']}", token)).json()
    assert [user["name"] for user in first + second] == ["admin", "bob", "carl", "dora"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users"),
        ("POST", "/users"),
        ("GET", "/users/admin"),
        ("PATCH", "/users/admin"),
        ("DELETE", "/users/admin"),
        ("PUT", "/users/admin/password"),
        ("GET", "/users/admin/tokens"),
        ("DELETE", "/users/admin/tokens/1"),
        ("GET", "/audit"),
    ],
)
async def test_only_superusers_manage_users(gateway: Gateway, method: str, path: str) -> None:
    """An operator is refused, and somebody without a login asked to log in."""
    operators = await gateway.token("olga", await gateway.add("olga", "operator"))
    refused = await gateway.ask(method, path, operators, {"name": "eve", "role": "operator"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_permitted")
    assert (await gateway.ask(method, path)).status_code == 401


async def test_a_change_of_role_counts_at_once(gateway: Gateway) -> None:
    """For tokens that there are already."""
    alices = await gateway.token("alice", await gateway.add("alice"))
    assert (await gateway.ask("GET", "/me", alices)).json()["role"] == "submitter"
    changed = await gateway.ask("PATCH", "/users/alice", await gateway.token(), {"role": "viewer"})
    assert changed.json()["role"] == "viewer"
    assert (await gateway.ask("GET", "/me", alices)).json()["role"] == "viewer"


async def test_an_inactive_user_is_out(gateway: Gateway) -> None:
    """No login, and no token counts. Active again, programs go on, and people log in again."""
    token, password = await gateway.token(), await gateway.add("alice")
    alices = await gateway.token("alice", password)
    program = (await gateway.ask("POST", "/me/tokens", alices, {"name": "cron"})).json()["token"]
    for active, login, alices_own, programs in ((False, 401, 401, 401), (True, 200, 401, 200)):
        assert (await gateway.ask("PATCH", "/users/alice", token, {"active": active})).status_code == 200
        assert (await gateway.log_in("alice", password)).status_code == login
        statuses = [(await gateway.ask("GET", "/me", one)).status_code for one in (alices, program)]
        assert statuses == [alices_own, programs]


async def test_a_password_is_reset(gateway: Gateway) -> None:
    """The old one and all logins end; programs go on."""
    old = await gateway.add("alice")
    alices = await gateway.token("alice", old)
    program = (await gateway.ask("POST", "/me/tokens", alices, {"name": "cron"})).json()["token"]
    new = (await gateway.ask("PUT", "/users/alice/password", await gateway.token(), {})).json()["password"]
    assert (await gateway.log_in("alice", old)).status_code == 401
    assert (await gateway.log_in("alice", new)).status_code == 200
    assert [(await gateway.ask("GET", "/me", one)).status_code for one in (alices, program)] == [401, 200]


async def test_a_user_is_deleted(gateway: Gateway) -> None:
    """With all tokens; whoever comes under the name later begins anew."""
    token = await gateway.token()
    alices = await gateway.token("alice", await gateway.add("alice"))
    assert (await gateway.ask("DELETE", "/users/alice", token)).status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("PATCH", ""), ("GET", "/tokens"), ("PUT", "/password")):
        assert (await gateway.ask(method, f"/users/alice{path}", token, {})).status_code == 404
    await gateway.add("alice")
    assert (await gateway.ask("GET", "/me", alices)).status_code == 401


async def test_a_superuser_revokes_the_token_of_another(gateway: Gateway) -> None:
    """It ends at once."""
    token, alices = await gateway.token(), await gateway.token("alice", await gateway.add("alice"))
    ((row),) = (await gateway.ask("GET", "/users/alice/tokens", token)).json()
    assert (await gateway.ask("DELETE", f"/users/admin/tokens/{row['id']}", token)).status_code == 404
    assert (await gateway.ask("DELETE", f"/users/alice/tokens/{row['id']}", token)).status_code == 204
    assert (await gateway.ask("GET", "/me", alices)).status_code == 401


@pytest.mark.parametrize(
    ("method", "body"),
    [("DELETE", None), ("PATCH", {"superuser": False}), ("PATCH", {"active": False})],
)
async def test_the_last_superuser_stays(gateway: Gateway, method: str, body: object) -> None:
    """Until there is another; an inactive one does not count."""
    token = await gateway.token()
    await gateway.add("bob", superuser=True)
    await gateway.ask("PATCH", "/users/bob", token, {"active": False})
    refused = await gateway.ask(method, "/users/admin", token, body)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (await gateway.ask("GET", "/me", token)).json()["superuser"]
    await gateway.ask("PATCH", "/users/bob", token, {"active": True})
    assert (await gateway.ask(method, "/users/admin", token, body)).status_code in (200, 204)


async def test_of_two_superusers_who_demote_each_other_one_stays(gateway: Gateway) -> None:
    """Both ask at the same moment: the second no longer is one when its turn comes."""
    bobs = await gateway.token("bob", await gateway.add("bob", superuser=True))
    token = await gateway.token()
    for _ in range(5):
        answers = await asyncio.gather(
            gateway.ask("PATCH", "/users/bob", token, {"superuser": False}),
            gateway.ask("PATCH", "/users/admin", bobs, {"superuser": False}),
        )
        assert sorted(answer.status_code // 100 for answer in answers) == [2, 4]
        ruling, demoted = (token, "bob") if answers[0].status_code == 200 else (bobs, "admin")
        assert (await gateway.ask("PATCH", f"/users/{demoted}", ruling, {"superuser": True})).status_code == 200


async def test_a_name_that_two_want_goes_to_one(gateway: Gateway) -> None:
    """The other hears that it is taken."""
    token = await gateway.token()
    body = {"name": "alice", "role": "viewer"}
    answers = await asyncio.gather(*(gateway.ask("POST", "/users", token, body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_the_audit_trail_tells_who_did_what(gateway: Gateway) -> None:
    """The newest first, in pages; of wrong logins only names that exist: people type passwords there."""
    password = await gateway.add("alice")
    await gateway.log_in("alice", "wrong")
    await gateway.log_in("my-secret-password", "wrong")
    alices = await gateway.token("alice", password)
    made = (await gateway.ask("POST", "/me/tokens", alices, {"name": "cron"})).json()
    await gateway.ask("DELETE", f"/me/tokens/{made['id']}", alices)
    await gateway.ask("DELETE", "/auth/token", alices)
    token = await gateway.token()
    await gateway.ask("PATCH", "/users/alice", token, {"role": "member", "active": False})
    await gateway.ask("PUT", "/users/alice/password", token, {})
    await gateway.ask("DELETE", "/users/alice", token)
    first = (await gateway.ask("GET", "/audit?limit=4", token)).json()
    rest = (await gateway.ask("GET", f"/audit?before={first[-1]['id']}", token)).json()
    entries = [(row["actor"], row["action"], row["subject"], row["detail"]) for row in reversed(first + rest)]
    assert entries == [
        ("", "user_added", "admin", "operator superuser"),
        ("admin", "login", "admin", "login"),
        ("admin", "user_added", "alice", "submitter"),
        ("alice", "login_failed", "alice", ""),
        ("", "login_failed", "", ""),
        ("alice", "login", "alice", "login"),
        ("alice", "token_made", "alice", "cron"),
        ("alice", "token_revoked", "alice", "program cron"),
        ("alice", "logout", "alice", entries[8][3]),
        ("admin", "login", "admin", "login"),
        ("admin", "user_changed", "alice", "submitter → member inactive"),
        ("admin", "password_set", "alice", ""),
        ("admin", "user_deleted", "alice", ""),
    ]
    assert {row["address"] for row in first + rest[:-1]} == {"127.0.0.1"} and ADMINS not in str(first + rest)


async def test_the_audit_trail_is_bounded(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each action by itself, so that a flood of wrong logins hides nothing else."""
    monkeypatch.setattr(accounts, "MOST_ENTRIES", 20)
    async with gateway.identity.database.writing() as session:
        for i in range(250):
            await accounts.record(session, By("", "", i), Action.LOGIN_FAILED, "")
    entries = (await gateway.ask("GET", "/audit?limit=1000", await gateway.token())).json()
    actions = [row["action"] for row in entries]
    assert actions.count("user_added") == 1 and 20 <= actions.count("login_failed") < 120


def test_each_route_is_documented() -> None:
    """In the table of docs/http.md, and no others."""
    page = (Path(__file__).parents[4] / "docs/http.md").read_text("utf-8").partition("## Logging in")[2]
    told = re.findall(r"^\| `([A-Z]+) (/\S+)` \|", page.partition("\n## ")[0], re.MULTILINE)
    routes = [route for routes in (own.ROUTES, users.ROUTES) for route in routes.routes]
    assert sorted(told) == sorted((*route.methods, route.path) for route in routes)  # type: ignore[attr-defined]
