"""The tables. A change here is a step in `migrations/versions/`, too: a test compares them.

Times are milliseconds since 1970 (UTC), as everywhere in zjobs; so both databases keep them alike.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# The last step in `migrations/versions/`; a test compares them.
NEWEST_FORMAT = "1"
# SQLite gives the id of a deleted row to the next one, unless it is told not to
_IDS_ONCE = {"sqlite_autoincrement": True}


class Kind(str, Enum):
    """The purpose of a token: for a person who logged in, that person's page in a browser, or a program."""

    LOGIN = "login"
    SESSION = "session"
    PROGRAM = "program"


class Base(DeclarativeBase):
    """The base of all tables."""


class User(Base):
    """A person. `password` is an argon2 hash."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    password: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16))
    superuser: Mapped[bool]
    active: Mapped[bool]
    created_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__: Any = _IDS_ONCE


class Token(Base):
    """A token that admits requests. `digest` is its SHA-256: the token itself is kept nowhere."""

    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[str] = mapped_column(String(8))
    name: Mapped[str | None] = mapped_column(String(128))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__: Any = (UniqueConstraint("user_id", "name", name="tokens_name"), _IDS_ONCE)


class Entry(Base):
    """A line of the audit trail. Names are text: they outlive whom they name."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(128))
    detail: Mapped[str] = mapped_column(String(200))
    address: Mapped[str] = mapped_column(String(64))

    __table_args__: Any = (Index("audit_action", "action", "id"), _IDS_ONCE)


class Revision(Base):
    """The one row whose number rises with each change of who may do what. See `Database.changing`."""

    __tablename__ = "revision"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
