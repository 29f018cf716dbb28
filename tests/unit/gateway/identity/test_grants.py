"""What tokens grant, at one gateway and at several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import event, select
from sqlalchemy.engine import Engine

from tests.unit.gateway.identity.conftest import HOUR_MS, Clock, Gateway, config, start
from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.grants import Grant
from zjobs.gateway.identity.models import Token

PATIENCE_S = 20.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits until it is so."""

    async def waiting() -> None:
        while not await condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(waiting(), PATIENCE_S)


async def grant_of(gateway: Gateway, token: str) -> Grant:
    grant = await gateway.identity.grants.of(token)
    assert grant is not None
    return grant


@pytest.fixture
async def two(database: str) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateways on one database."""
    async with start(config(database), Clock()) as one, start(config(database), Clock()) as other:
        yield one, other


async def test_a_grant_is_read_once(gateway: Gateway) -> None:
    """Requests do not ask the database; after a change, each token is read again."""
    token = await gateway.token()
    await gateway.ask("GET", "/me", token)
    read: list[str] = []

    @event.listens_for(Engine, "before_cursor_execute")
    def heard(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        read.append(statement)

    def tokens_read() -> int:
        return sum("tokens.digest" in statement and statement.startswith("SELECT") for statement in read)

    try:
        for _ in range(20):
            assert (await gateway.ask("GET", "/me", token)).status_code == 200
        assert tokens_read() == 0
        await gateway.add("alice")
        read.clear()
        for _ in range(20):
            assert (await gateway.ask("GET", "/me", token)).status_code == 200
        assert tokens_read() == 1
    finally:
        event.remove(Engine, "before_cursor_execute", heard)


async def test_what_one_gateway_revokes_ends_at_the_other(two: tuple[Gateway, Gateway]) -> None:
    """Without being told: it looks every second."""
    here, there = two
    token = await here.token()
    assert (await there.ask("GET", "/me", token)).status_code == 200
    assert (await here.ask("DELETE", "/auth/token", token)).status_code == 204

    async def refused() -> bool:
        return (await there.ask("GET", "/me", token)).status_code == 401

    await until(refused)


async def test_rights_that_were_taken_elsewhere_change_nothing_here(two: tuple[Gateway, Gateway]) -> None:
    """What was remembered a moment ago is not enough to change anything: it is read again."""
    here, there = two
    bobs = await there.token("bob", await here.add("bob", superuser=True))
    assert (await there.ask("GET", "/users", bobs)).status_code == 200
    await here.ask("PATCH", "/users/bob", await here.token(), {"superuser": False})
    refused = await there.ask("POST", "/users", bobs, {"name": "mallory", "role": "operator"})
    assert refused.status_code in (401, 403)


Ending = Callable[[Gateway, str, Grant], Awaitable[object]]


async def log_out(gateway: Gateway, token: str, _: Grant) -> object:
    return await gateway.ask("DELETE", "/auth/token", token)


async def revoke(gateway: Gateway, _: str, grant: Grant) -> object:
    return await gateway.ask("DELETE", f"/users/alice/tokens/{grant.token_id}", await gateway.token())


def patch(**change: object) -> Ending:
    async def patched(gateway: Gateway, _token: str, _: Grant) -> object:
        return await gateway.ask("PATCH", "/users/alice", await gateway.token(), change)

    return patched


async def delete(gateway: Gateway, _token: str, _: Grant) -> object:
    return await gateway.ask("DELETE", "/users/alice", await gateway.token())


async def reset(gateway: Gateway, _token: str, _: Grant) -> object:
    return await gateway.ask("PUT", "/users/alice/password", await gateway.token(), {})


async def expire(gateway: Gateway, _token: str, _: Grant) -> object:
    gateway.clock.pass_ms(12 * HOUR_MS)
    return None


@pytest.mark.parametrize("end", [log_out, revoke, patch(active=False), patch(role="viewer"), delete, reset, expire])
async def test_what_ends_a_stream(gateway: Gateway, end: Ending) -> None:
    """Whatever takes the rights that it was opened with; nobody else's change does."""
    alices = await gateway.token("alice", await gateway.add("alice"))
    admins = await gateway.token()
    grant, other = await grant_of(gateway, alices), await grant_of(gateway, admins)
    watch = gateway.identity.grants.watch
    ended, twice, others = asyncio.Event(), asyncio.Event(), asyncio.Event()
    with watch(grant, ended.set), watch(grant, twice.set), watch(other, others.set):
        await gateway.add("bob")
        await gateway.ask("DELETE", "/users/bob", admins)
        assert not ended.is_set()
        await end(gateway, alices, grant)
        await asyncio.wait_for(ended.wait(), PATIENCE_S)
        await asyncio.wait_for(twice.wait(), PATIENCE_S)
        assert others.is_set() is (end is expire)


async def test_a_stream_at_another_gateway_ends(two: tuple[Gateway, Gateway]) -> None:
    """Within about a second."""
    here, there = two
    token = await here.token()
    ended = asyncio.Event()
    with there.identity.grants.watch(await grant_of(there, token), ended.set):
        await here.ask("DELETE", "/auth/token", token)
        await asyncio.wait_for(ended.wait(), PATIENCE_S)


async def test_a_change_just_before_a_stream_begins(gateway: Gateway) -> None:
    """It is found, although the change was seen before the stream was watched."""
    token = await gateway.token()
    grant = await grant_of(gateway, token)
    ended, again = asyncio.Event(), asyncio.Event()
    with gateway.identity.grants.watch(grant, ended.set):
        await gateway.ask("DELETE", "/auth/token", token)
        await asyncio.wait_for(ended.wait(), PATIENCE_S)
    with gateway.identity.grants.watch(grant, again.set):
        await asyncio.wait_for(again.wait(), PATIENCE_S)


async def test_when_a_token_was_used(gateway: Gateway) -> None:
    """It is told, but kept only now and then."""
    token = await gateway.token()
    used = gateway.clock.wall
    (row,) = (await gateway.ask("GET", "/me/tokens", token)).json()
    assert row["used_at"] is None
    gateway.clock.pass_ms(300_000)

    async def shown() -> bool:
        async with gateway.identity.database.reading() as session:
            return (await session.scalar(select(Token.used_at))) == used

    await until(shown)


async def test_a_user_who_is_deactivated_while_logging_in(gateway: Gateway) -> None:
    """The password was right when it was checked; the login waits for the change, and is refused after it."""
    password = await gateway.add("alice")
    arrived = asyncio.Event()

    def heard(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("BEGIN IMMEDIATE", "UPDATE revision")):
            arrived.set()

    async with gateway.identity.changing() as session:
        (await accounts.the_user(session, "alice")).active = False
        await session.flush()
        event.listen(Engine, "before_cursor_execute", heard)
        try:
            login = asyncio.create_task(gateway.log_in("alice", password))
            await asyncio.wait_for(arrived.wait(), PATIENCE_S)
        finally:
            event.remove(Engine, "before_cursor_execute", heard)
    assert (await login).status_code == 401
