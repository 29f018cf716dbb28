"""Users, their tokens and the audit trail: what changes them, inside a transaction that the caller opened."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from zjobs.gateway.identity.grants import ANONYMOUS, digest_of, new_token
from zjobs.gateway.identity.models import Entry, Kind, Token, User
from zjobs.gateway.problems import Problem
from zjobs.messages.fields import is_person_name
from zjobs.messages.states import Role

MOST_TOKENS = 100  # of each kind and user
MOST_ENTRIES = 10_000  # of each action, so that wrong logins push nothing else out
_TRIMMED_EVERY = 100


class Action(str, Enum):
    """An action in the audit trail."""

    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGOUT = "logout"
    PASSWORD_SET = "password_set"
    TOKEN_MADE = "token_made"
    TOKEN_REVOKED = "token_revoked"
    USER_ADDED = "user_added"
    USER_CHANGED = "user_changed"
    USER_DELETED = "user_deleted"


class By(NamedTuple):
    """The author of an action, from where, and when."""

    actor: str
    address: str
    at: int


class NewToken(NamedTuple):
    """A token that was just made. `text` is the only copy."""

    text: str
    row: Token


# --- users -------------------------------------------------------------------------------------------------


async def find_user(session: AsyncSession, name: str) -> User | None:
    """Return the user of that name, if there is one."""
    if not is_person_name(name):  # a NUL, say, which PostgreSQL does not take
        return None
    return await session.scalar(select(User).where(User.name == name))


async def the_user(session: AsyncSession, name: str) -> User:
    """Return the user of that name. Raises Problem."""
    if (user := await find_user(session, name)) is None:
        raise Problem(404, "not_found", f"there is no user {name}")
    return user


async def list_users(session: AsyncSession, after: str, limit: int) -> Sequence[User]:
    """Return users by name, those after `after`."""
    return (await session.scalars(select(User).where(User.name > after).order_by(User.name).limit(limit))).all()


async def add_user(session: AsyncSession, by: By, name: str, role: Role, superuser: bool, password: str) -> User:
    """Add a user; `password` is a hash. Alice and alice would be taken for each other. Raises Problem."""
    taken = await session.scalar(select(User.name).where(func.lower(User.name) == name.lower()))
    if taken is not None:
        raise Problem(409, "conflict", f"there is a user {taken} already")
    if name.lower() == ANONYMOUS.name:
        raise Problem(409, "conflict", f"{name} stands for people without a login; choose another name")
    user = User(name=name, role=role.value, superuser=superuser, active=True, password=password, created_at=by.at)
    session.add(user)
    await record(session, by, Action.USER_ADDED, name, _rights(user))
    return user


async def change_user(
    session: AsyncSession, by: By, user: User, role: Role | None, superuser: bool | None, active: bool | None
) -> None:
    """Change what is given. Who becomes inactive is logged out. Raises Problem."""
    before = _rights(user)
    user.role = user.role if role is None else role.value
    user.superuser = user.superuser if superuser is None else superuser
    user.active = user.active if active is None else active
    await _check_superusers(session)
    if not user.active:
        await end_logins(session, user)
    if before != _rights(user):
        await record(session, by, Action.USER_CHANGED, user.name, f"{before} → {_rights(user)}")


async def delete_user(session: AsyncSession, by: By, user: User) -> None:
    """Delete the user and all tokens. Raises Problem."""
    await session.execute(delete(Token).where(Token.user_id == user.id))
    await session.delete(user)
    await _check_superusers(session)
    await record(session, by, Action.USER_DELETED, user.name)


async def set_password(session: AsyncSession, by: By, user: User, password: str, keep: int | None = None) -> None:
    """Set the password, a hash, and end all logins but `keep`. Programs' tokens stay."""
    user.password = password
    await end_logins(session, user, keep)
    await record(session, by, Action.PASSWORD_SET, user.name)


async def end_logins(session: AsyncSession, user: User, keep: int | None = None) -> None:
    """Revoke what the user's logins made, but not the token `keep`."""
    ended = delete(Token).where(Token.user_id == user.id, Token.kind != Kind.PROGRAM.value)
    await session.execute(ended if keep is None else ended.where(Token.id != keep))


async def _check_superusers(session: AsyncSession) -> None:
    """Check that somebody is left who can manage users. Changes happen one after another, so this counts right."""
    await session.flush()
    if not await session.scalar(select(func.count()).where(User.superuser, User.active)):
        raise Problem(409, "conflict", "this is the last superuser: make another first")


def _rights(user: User) -> str:
    words = [user.role, *(["superuser"] if user.superuser else []), *([] if user.active else ["inactive"])]
    return " ".join(words)


# --- tokens ------------------------------------------------------------------------------------------------


async def add_token(
    session: AsyncSession, user: User, kind: Kind, now: int, expires_at: int | None, name: str | None = None
) -> NewToken:
    """Make a token. Expired ones go, and of logins the oldest beyond the bound. Raises Problem."""
    await session.execute(delete(Token).where(Token.user_id == user.id, Token.expires_at <= now))
    ids = select(Token.id).where(Token.user_id == user.id, Token.kind == kind.value).order_by(Token.id.desc())
    oldest = (await session.scalars(ids.offset(MOST_TOKENS - 1))).all()
    if oldest and kind is Kind.PROGRAM:
        raise Problem(409, "conflict", f"{user.name} has {MOST_TOKENS} tokens; revoke one first")
    await session.execute(delete(Token).where(Token.id.in_(oldest)))
    if name and await session.scalar(select(Token.id).where(Token.user_id == user.id, Token.name == name)):
        raise Problem(409, "conflict", f"there is a token {name} already")
    text = new_token()
    token = Token(
        user_id=user.id, kind=kind.value, name=name, digest=digest_of(text), created_at=now, expires_at=expires_at
    )
    session.add(token)
    await session.flush()
    return NewToken(text, token)


async def list_tokens(session: AsyncSession, name: str, now: int) -> Sequence[Token]:
    """Return the valid tokens of a user, the oldest first."""
    valid = Token.expires_at.is_(None) | (Token.expires_at > now)
    chosen = select(Token).join(User, Token.user_id == User.id).where(User.name == name, valid)
    return (await session.scalars(chosen.order_by(Token.id))).all()


async def revoke_token(
    session: AsyncSession, by: By, user: User, token_id: int, action: Action = Action.TOKEN_REVOKED
) -> None:
    """Delete a token of the user. Raises Problem."""
    token = await session.scalar(select(Token).where(Token.id == token_id, Token.user_id == user.id))
    if token is None:
        raise Problem(404, "not_found", f"{user.name} has no token {token_id}")
    await session.delete(token)
    await record(session, by, action, user.name, f"{token.kind} {token.name or token_id}")


# --- the audit trail ---------------------------------------------------------------------------------------


async def record(session: AsyncSession, by: By, action: Action, subject: str, detail: str = "") -> None:
    """Add to the audit trail, which keeps the newest entries of each action."""
    entry = Entry(
        at=by.at, actor=by.actor, action=action.value, subject=subject, detail=detail, address=by.address[:64]
    )
    session.add(entry)
    await session.flush()
    if entry.id % _TRIMMED_EVERY == 0:
        for each in Action:
            await _trim(session, each)


async def _trim(session: AsyncSession, action: Action) -> None:
    ids = select(Entry.id).where(Entry.action == action.value).order_by(Entry.id.desc())
    last = await session.scalar(ids.offset(MOST_ENTRIES).limit(1))
    if last is not None:
        await session.execute(delete(Entry).where(Entry.action == action.value, Entry.id <= last))


async def list_entries(session: AsyncSession, before: int | None, limit: int) -> Sequence[Entry]:
    """Return the audit trail, the newest first, from those before the id `before`."""
    entries = select(Entry).order_by(Entry.id.desc()).limit(limit)
    return (await session.scalars(entries if before is None else entries.where(Entry.id < before))).all()
