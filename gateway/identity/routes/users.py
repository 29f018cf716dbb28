"""The routes for superusers: users, their tokens, the audit trail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from zjobs.gateway.identity import accounts
from zjobs.gateway.identity.grants import Grant
from zjobs.gateway.identity.passwords import random_password
from zjobs.gateway.identity.person import by, identity_of, superuser
from zjobs.gateway.identity.routes.bodies import (
    MOST_ROWS,
    Chosen,
    EntryShown,
    Id,
    Name,
    NewUser,
    PasswordReset,
    TokenShown,
    UserChange,
    UserMade,
    UserShown,
)

ROUTES = APIRouter(prefix="/api/v1", tags=["users"])

Superuser = Annotated[Grant, Depends(superuser)]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS)]


@ROUTES.get("/users")
async def list_users(
    request: Request, _: Superuser, after: Annotated[Name | None, Query()] = None, limit: Limit = 100
) -> list[UserShown]:
    """List users by name, those after the name `after`."""
    async with identity_of(request).database.reading() as session:
        return [UserShown.of(user) for user in await accounts.list_users(session, after or "", limit)]


@ROUTES.post("/users", status_code=201)
async def add_user(request: Request, response: Response, grant: Superuser, new: NewUser) -> UserMade:
    """Add a user. Give new people new names: the jobs of a name belong to whoever has it."""
    identity = identity_of(request)
    chosen = None if new.password else random_password()
    hashed = await identity.hash(new.password or chosen or "")
    async with identity.changing(grant) as session:
        user = await accounts.add_user(session, by(request, grant), new.name, new.role, new.superuser, hashed)
    response.headers["Location"] = f"/api/v1/users/{user.name}"
    response.headers["Cache-Control"] = "no-store"
    return UserMade(**UserShown.of(user).model_dump(), password=chosen)


@ROUTES.get("/users/{name}")
async def show_user(request: Request, _: Superuser, name: Name) -> UserShown:
    """Show a user."""
    async with identity_of(request).database.reading() as session:
        return UserShown.of(await accounts.the_user(session, name))


@ROUTES.patch("/users/{name}")
async def change_user(request: Request, grant: Superuser, name: Name, change: UserChange) -> UserShown:
    """Change role, superuser, active: what is given. Whoever becomes inactive is logged out."""
    async with identity_of(request).changing(grant) as session:
        user = await accounts.the_user(session, name)
        await accounts.change_user(session, by(request, grant), user, change.role, change.superuser, change.active)
    return UserShown.of(user)


@ROUTES.delete("/users/{name}", status_code=204)
async def delete_user(request: Request, grant: Superuser, name: Name) -> None:
    """Delete a user and all tokens. The jobs stay."""
    async with identity_of(request).changing(grant) as session:
        await accounts.delete_user(session, by(request, grant), await accounts.the_user(session, name))


@ROUTES.put("/users/{name}/password")
async def reset_password(
    request: Request, response: Response, grant: Superuser, name: Name, reset: PasswordReset
) -> Chosen:
    """Set a user's password. All of the user's logins end; programs' tokens stay."""
    identity = identity_of(request)
    chosen = None if reset.password else random_password()
    hashed = await identity.hash(reset.password or chosen or "")
    async with identity.changing(grant) as session:
        user = await accounts.the_user(session, name)
        await accounts.set_password(session, by(request, grant), user, hashed)
    response.headers["Cache-Control"] = "no-store"
    return Chosen(password=chosen)


@ROUTES.get("/users/{name}/tokens")
async def list_tokens(request: Request, _: Superuser, name: Name) -> list[TokenShown]:
    """List a user's tokens."""
    identity = identity_of(request)
    async with identity.database.reading() as session:
        user = await accounts.the_user(session, name)
        return [TokenShown.of(token) for token in await accounts.list_tokens(session, user.name, identity.now())]


@ROUTES.delete("/users/{name}/tokens/{token_id}", status_code=204)
async def revoke_token(request: Request, grant: Superuser, name: Name, token_id: Id) -> None:
    """Revoke a user's token."""
    async with identity_of(request).changing(grant) as session:
        user = await accounts.the_user(session, name)
        await accounts.revoke_token(session, by(request, grant), user, token_id)


@ROUTES.get("/audit")
async def audit(
    request: Request, _: Superuser, before: Annotated[Id | None, Query()] = None, limit: Limit = 100
) -> list[EntryShown]:
    """Show who logged in, who could not, and what was changed: the newest first, from those before `before`."""
    async with identity_of(request).database.reading() as session:
        return [EntryShown.of(entry) for entry in await accounts.list_entries(session, before, limit)]
