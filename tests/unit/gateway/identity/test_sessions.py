"""Sessions of pages: a cookie, and what other sites cannot do with it."""

from __future__ import annotations

import pytest
from httpx import ASGITransport, AsyncClient, Response

from tests.unit.gateway.identity.conftest import ADMINS, HOUR_MS, Gateway
from zjobs.gateway.identity.grants import new_token

LOGIN = {"username": "admin", "password": ADMINS}
NEW_TOKEN = {"name": "cron"}


async def begin(gateway: Gateway) -> Response:
    """Log in as a page does; the client keeps the cookie."""
    return await gateway.http.post("/api/v1/auth/session", data=LOGIN)


async def test_a_session_is_a_cookie(gateway: Gateway) -> None:
    """Scripts cannot read it, other sites' forms cannot send it, and the body does not have it."""
    begun = await begin(gateway)
    assert (begun.status_code, begun.content) == (204, b"")
    attributes = begun.headers["Set-Cookie"].split("; ")[1:]
    assert attributes == ["HttpOnly", f"Max-Age={12 * 3600}", "Path=/", "SameSite=lax"]
    me = (await gateway.ask("GET", "/me")).json()
    assert (me["name"], me["superuser"], me["kind"]) == ("admin", True, "session")
    gateway.clock.pass_ms(12 * HOUR_MS)
    assert (await gateway.ask("GET", "/me")).status_code == 401


async def test_behind_tls_the_cookie_stays_there(gateway: Gateway) -> None:
    """It is never sent in the open."""
    transport = gateway.http._transport
    assert isinstance(transport, ASGITransport)
    async with AsyncClient(transport=transport, base_url="https://gateway") as http:
        begun = await http.post("/api/v1/auth/session", data=LOGIN)
    assert "Secure" in begun.headers["Set-Cookie"].split("; ")


async def test_a_wrong_password_begins_nothing(gateway: Gateway) -> None:
    """As with tokens."""
    refused = await gateway.http.post("/api/v1/auth/session", data={**LOGIN, "password": "wrong"})
    assert refused.status_code == 401 and "Set-Cookie" not in refused.headers


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 204), ("none", 204), ("same-site", 403), ("cross-site", 403)]
)
async def test_other_sites_cannot_log_anybody_in(gateway: Gateway, site: str, status: int) -> None:
    """Somebody who is logged in as another would not notice whom they submit for."""
    begun = await gateway.http.post("/api/v1/auth/session", data=LOGIN, headers={"Sec-Fetch-Site": site})
    assert begun.status_code == status


@pytest.mark.parametrize("sent", [None, "", "ä".encode(), "another"])
async def test_a_change_needs_more_than_the_cookie(gateway: Gateway, sent: str | bytes | None) -> None:
    """Other sites can make a browser send the cookie; what `me` tells they cannot read."""
    await begin(gateway)
    headers = {} if sent is None else {"X-CSRF-Token": sent}
    refused = await gateway.http.post("/api/v1/me/tokens", json=NEW_TOKEN, headers=headers)  # type: ignore[arg-type]
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
    right = {"X-CSRF-Token": (await gateway.ask("GET", "/me")).json()["csrf"]}
    made = await gateway.http.post("/api/v1/me/tokens", json=NEW_TOKEN, headers=right)
    assert made.status_code == 201


async def test_a_token_needs_nothing_besides(gateway: Gateway) -> None:
    """No browser sends it by itself. It also counts before a cookie, valid or not."""
    token = await gateway.token()
    for cookie in (None, new_token()):
        if cookie is not None:
            gateway.http.cookies.set(gateway.identity.cookie, cookie)
        assert (await gateway.ask("GET", "/me", token)).json()["csrf"] is None
        assert (await gateway.ask("POST", "/me/tokens", token, {"name": f"cron{cookie}"[:10]})).status_code == 201
    assert (await gateway.ask("GET", "/me")).status_code == 401


async def test_a_session_ends(gateway: Gateway) -> None:
    """By logging out, which takes the cookie away, too."""
    await begin(gateway)
    cookie = gateway.http.cookies[gateway.identity.cookie]
    right = {"X-CSRF-Token": (await gateway.ask("GET", "/me")).json()["csrf"]}
    ended = await gateway.http.delete("/api/v1/auth/token", headers=right)
    assert ended.status_code == 204 and gateway.identity.cookie not in gateway.http.cookies
    gateway.http.cookies.set(gateway.identity.cookie, cookie)
    assert (await gateway.ask("GET", "/me")).status_code == 401
