"""Pages before a running service, and people of each role who log in there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.pages.site import PASSWORDS, Browser
from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.accounts import By
from zjobs.gateway.identity.identity import Identity
from zjobs.messages.states import Role

Visit = Callable[[str], Awaitable[Browser]]
PEOPLE = {
    "vera": Role.VIEWER,
    "sue": Role.SUBMITTER,
    "mel": Role.MEMBER,
    "otto": Role.OPERATOR,
    "root": Role.OPERATOR,
}


async def add_people(identity: Identity) -> None:
    """One of each role, and root, who is a superuser."""
    for name, role in PEOPLE.items():
        hashed = await identity.hash(PASSWORDS + name)
        async with identity.changing() as session:
            await accounts.add_user(session, By("", "", 0), name, role, name == "root", hashed)


@pytest.fixture
def more_services(tmp_path: Path) -> str:
    """A service whose broker is away."""
    return f'[services.furnace]\nbroker="ipc://{tmp_path}/nobody"\nkey=""\n'


@pytest.fixture
async def visit(app: Any) -> AsyncIterator[Visit]:
    """Logs somebody in by the form: their browser. Without a name: one that is not logged in."""
    await add_people(app.state.identity)
    async with AsyncExitStack() as stack:

        async def visit(name: str) -> Browser:
            browser = await stack.enter_async_context(Browser(app))
            if name:
                page = await browser.log_in(name)
                assert page.status == 200, page.text
            return browser

        yield visit
