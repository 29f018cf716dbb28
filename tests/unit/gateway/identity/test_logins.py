"""Logging in and out, tokens for programs, one's own password."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from tests.unit.gateway.identity.conftest import ADMINS, HOUR_MS, Clock, Gateway, config, start
from zjobs.gateway.config import PasswordCost
from zjobs.gateway.identity import accounts

NEW = "another-password"


async def test_a_login_gives_a_token(gateway: Gateway) -> None:
    """It stands for the person until it expires."""
    answer = await gateway.log_in()
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["token_type"] == "bearer" and answer.json()["expires_in"] == 12 * 3600
    token = answer.json()["access_token"]
    me = (await gateway.ask("GET", "/me", token)).json()
    assert (me["name"], me["role"], me["superuser"], me["kind"]) == ("admin", "operator", True, "login")
    gateway.clock.pass_ms(12 * HOUR_MS)
    assert (await gateway.ask("GET", "/me", token)).status_code == 401


@pytest.mark.parametrize("name", ["admin", "nobody", "ADMIN", "a b", "a\0b", "ä", "anonymous"])
async def test_a_wrong_login_tells_nothing(gateway: Gateway, name: str) -> None:
    """Whether the name or the password is wrong, the answer is the same."""
    answer = await gateway.log_in(name, "no-such-password")
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_login")
    assert answer.json()["detail"] == "wrong name or password"
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_somebody_unknown_costs_as_much(tmp_path: Path) -> None:
    """Unknown, inactive or a wrong password: a hash is computed for each, so the time does not tell."""
    dear = config(f"sqlite:///{tmp_path}/gateway.db", password_cost=PasswordCost(4, 16_384, 1))
    async with start(dear, Clock()) as gateway:
        await gateway.add("alice")
        await gateway.ask("PATCH", "/users/alice", await gateway.token(), {"active": False})
        took_s: dict[str, list[float]] = {"admin": [], "nobody": [], "alice": []}
        for _ in range(3):
            for name, times in took_s.items():
                begun = time.process_time()  # of all threads; how busy the machine is does not count
                assert (await gateway.log_in(name, "no-such-password")).status_code == 401
                times.append(time.process_time() - begun)
    expected = min(took_s["admin"])
    assert all(0.6 * expected < min(times) < 1.7 * expected for times in took_s.values()), took_s


async def test_fifty_wrong_logins(gateway: Gateway) -> None:
    """After a burst they are refused, and told how long; the right password is, too. Then it is let in."""
    answers = await asyncio.gather(*(gateway.log_in("admin", f"wrong-{i}") for i in range(50)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {401, 429} and len(refused) == 40
    assert (await gateway.log_in()).status_code == 429
    wait_s = int(refused[0].headers["Retry-After"])
    assert 1 <= wait_s <= 10
    gateway.clock.pass_ms(wait_s * 1000)
    assert (await gateway.log_in()).status_code == 200


@pytest.mark.parametrize("token", ["", "zj_", "zj_" + 43 * "A", "zj_" + 43 * "ä", "admin", "é" * 46, "x" * 10_000])
async def test_what_is_no_token(gateway: Gateway, token: str) -> None:
    """It is refused, and the answer says how to log in."""
    headers = {"Authorization": b"Bearer " + token.encode()}
    answer = await gateway.http.get("/api/v1/me", headers=headers)
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["code"] == "login_needed"


async def test_only_hashes_are_kept(tmp_path: Path) -> None:
    """Neither a token nor a password stands in the file."""
    async with start(config(f"sqlite:///{tmp_path}/gateway.db"), Clock()) as gateway:
        token = await gateway.token()
        made = await gateway.ask("POST", "/me/tokens", token, {"name": "cron"})
    file = (tmp_path / "gateway.db").read_bytes()
    for secret in (token, made.json()["token"], ADMINS):
        assert secret.encode() not in file


async def test_logging_out(gateway: Gateway) -> None:
    """The token ends at once, and no other."""
    one, other = await gateway.token(), await gateway.token()
    assert (await gateway.ask("DELETE", "/auth/token", one)).status_code == 204
    assert (await gateway.ask("GET", "/me", one)).status_code == 401
    assert (await gateway.ask("GET", "/me", other)).status_code == 200


async def test_a_token_for_a_program(gateway: Gateway) -> None:
    """It has its owner's role, until it is revoked; it manages no users and makes no tokens."""
    token = await gateway.token()
    answer = await gateway.ask("POST", "/me/tokens", token, {"name": "cron"})
    assert answer.status_code == 201
    made = answer.json()
    assert made["token"].startswith("zj_") and made["expires_at"] is None and made["kind"] == "program"
    programs = made["token"]
    me = (await gateway.ask("GET", "/me", programs)).json()
    assert (me["name"], me["role"], me["superuser"], me["kind"]) == ("admin", "operator", False, "program")
    assert (await gateway.ask("GET", "/users", programs)).status_code == 403
    assert (await gateway.ask("POST", "/me/tokens", programs, {"name": "more"})).status_code == 403
    change = {"current": ADMINS, "new": NEW}
    assert (await gateway.ask("PUT", "/me/password", programs, change)).status_code == 403
    assert (await gateway.ask("DELETE", f"/me/tokens/{made['id']}", programs)).status_code == 403
    assert (await gateway.ask("DELETE", f"/me/tokens/{made['id']}", token)).status_code == 204
    assert (await gateway.ask("DELETE", f"/me/tokens/{made['id']}", token)).status_code == 404
    assert (await gateway.ask("GET", "/me", programs)).status_code == 401


async def test_tokens_are_listed_without_themselves(gateway: Gateway) -> None:
    """By id, name and times; expired ones are gone, and their names are free again."""
    token = await gateway.token()
    made = (await gateway.ask("POST", "/me/tokens", token, {"name": "cron", "expires_in": 60})).json()
    answer = await gateway.ask("GET", "/me/tokens", token)
    assert made["token"] not in answer.text and token not in answer.text
    assert [(row["kind"], row["name"]) for row in answer.json()] == [("login", None), ("program", "cron")]
    again = await gateway.ask("POST", "/me/tokens", token, {"name": "cron"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    gateway.clock.pass_ms(60_000)
    assert (await gateway.ask("GET", "/me", made["token"])).status_code == 401
    assert [row["kind"] for row in (await gateway.ask("GET", "/me/tokens", token)).json()] == ["login"]
    assert (await gateway.ask("POST", "/me/tokens", token, {"name": "cron"})).status_code == 201


async def test_tokens_of_others_are_not_found(gateway: Gateway) -> None:
    """Neither shown nor revoked."""
    token = await gateway.token()
    made = (await gateway.ask("POST", "/me/tokens", token, {"name": "cron"})).json()
    alices = await gateway.token("alice", await gateway.add("alice"))
    assert (await gateway.ask("DELETE", f"/me/tokens/{made['id']}", alices)).status_code == 404
    assert len((await gateway.ask("GET", "/me/tokens", alices)).json()) == 1


async def test_tokens_are_bounded(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of logins, the oldest go; programs' tokens are refused, for somebody counts on the old ones."""
    monkeypatch.setattr(accounts, "MOST_TOKENS", 3)
    tokens = [await gateway.token() for _ in range(4)]
    statuses = [(await gateway.ask("GET", "/me", token)).status_code for token in tokens]
    assert statuses == [401, 200, 200, 200]
    made = [await gateway.ask("POST", "/me/tokens", tokens[3], {"name": f"program{i}"}) for i in range(4)]
    assert [answer.status_code for answer in made] == [201, 201, 201, 409]


async def test_changing_ones_password(gateway: Gateway) -> None:
    """Who knows the current one may. All other logins end, and programs go on."""
    one, other = await gateway.token(), await gateway.token()
    program = (await gateway.ask("POST", "/me/tokens", one, {"name": "cron"})).json()["token"]
    wrong = await gateway.ask("PUT", "/me/password", one, {"current": "wrong", "new": NEW})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_login")
    assert (await gateway.ask("PUT", "/me/password", one, {"current": ADMINS, "new": "short"})).status_code == 422
    assert (await gateway.ask("PUT", "/me/password", one, {"current": ADMINS, "new": NEW})).status_code == 204
    statuses = [(await gateway.ask("GET", "/me", token)).status_code for token in (one, other, program)]
    assert statuses == [200, 401, 200]
    assert (await gateway.log_in()).status_code == 401
    assert (await gateway.log_in("admin", NEW)).status_code == 200


async def test_guessing_the_current_password_is_limited_as_well(gateway: Gateway) -> None:
    """A token that leaked does not help to guess the password faster."""
    token = await gateway.token()
    bodies = [{"current": f"wrong-{i}", "new": NEW} for i in range(12)]
    statuses = [(await gateway.ask("PUT", "/me/password", token, body)).status_code for body in bodies]
    assert statuses == [403] * 10 + [429] * 2


async def test_a_login_brings_the_hash_up_to_date(tmp_path: Path) -> None:
    """A gateway with costlier settings keeps a costlier hash after the first login."""
    file = tmp_path / "gateway.db"
    low, high = PasswordCost(1, 8, 1), PasswordCost(2, 16, 1)
    costs = ((low, "m=8,t=1"), (high, "m=16,t=2"), (low, "m=16,t=2"))
    for cost, expected in costs:
        async with start(config(f"sqlite:///{file}", password_cost=cost), Clock()) as gateway:
            await gateway.token()
        with sqlite3.connect(file) as connection:
            ((kept,),) = connection.execute("SELECT password FROM users")
        connection.close()
        assert expected in kept


async def test_without_a_login_nothing_is_told(gateway: Gateway) -> None:
    """Closed by default."""
    answer = await gateway.ask("GET", "/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "login_needed")


async def test_everybody_may_read_where_that_is_wanted(tmp_path: Path) -> None:
    """Without a token one is a viewer, with an invalid one nobody; what is one's own needs a login."""
    async with start(config(f"sqlite:///{tmp_path}/gateway.db", public_read=True), Clock()) as gateway:
        me = (await gateway.ask("GET", "/me")).json()
        expected = {"name": "anonymous", "role": "viewer", "superuser": False, "kind": None}
        assert me == expected | {"expires_at": None, "csrf": None}
        assert (await gateway.ask("GET", "/me", "zj_" + 43 * "A")).status_code == 401
        assert (await gateway.ask("GET", "/me/tokens")).status_code == 401
        assert (await gateway.ask("GET", "/users")).status_code == 401
