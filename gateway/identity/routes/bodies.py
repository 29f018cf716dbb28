"""The bodies of these routes' requests and replies. Times are milliseconds since 1970 (UTC)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from zjobs.gateway.identity.accounts import Action, NewToken
from zjobs.gateway.identity.models import Entry, Kind, Token, User
from zjobs.gateway.identity.passwords import LONGEST, SHORTEST
from zjobs.gateway.numbers import WHOLE
from zjobs.messages.fields import MAX_PERSON_CHARS
from zjobs.messages.states import Role

MOST_ROWS = 1000
_HUNDRED_YEARS_S = 3_155_760_000
# is_person_name, as a schema: clients may check with it
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._@+-]*$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=MAX_PERSON_CHARS)]
NewPassword = Annotated[str, StringConstraints(min_length=SHORTEST, max_length=LONGEST)]
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Body(BaseModel):
    """A request's body, which may have no other fields."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class LoginForm(BaseModel):
    """The password form of OAuth2. Other fields are ignored."""

    grant_type: Literal["password"] = "password"
    username: str = Field(min_length=1, max_length=MAX_PERSON_CHARS)
    password: str = Field(min_length=1, max_length=LONGEST, json_schema_extra={"format": "password"})


class Login(BaseModel):
    """A new token, as OAuth2 wants it. It is shown this once."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int = Field(description="seconds")


class Me(BaseModel):
    """The person a request is made for."""

    name: str
    role: Role
    superuser: bool
    kind: Kind | None = Field(description="what the token is for; null without a login")
    expires_at: int | None = Field(description="when the token expires; null: never")
    csrf: str | None = Field(description="what a page sends as X-CSRF-Token with each change; null for others")


class PasswordChange(Body):
    """One's own password."""

    current: str = Field(max_length=LONGEST)
    new: NewPassword


class NamedToken(Body):
    """A token for a program. Without `expires_in` it is valid until revoked."""

    name: Name
    expires_in: Annotated[int, Field(strict=True, ge=1, le=_HUNDRED_YEARS_S), WHOLE] | None = Field(
        default=None, description="seconds"
    )


class TokenShown(BaseModel):
    """A token, without its secret."""

    id: int
    kind: Kind
    name: str | None
    created_at: int
    expires_at: int | None
    used_at: int | None = Field(description="when it was last used, give or take five minutes")

    @classmethod
    def of(cls, token: Token) -> TokenShown:
        """Show a token."""
        return cls.model_validate(token, from_attributes=True)


class TokenMade(TokenShown):
    """A new token for a program, which is shown this once."""

    token: str

    @classmethod
    def new(cls, made: NewToken) -> TokenMade:
        """Show a token that was just made."""
        return cls(**TokenShown.of(made.row).model_dump(), token=made.text)


class NewUser(Body):
    """A user to be added. Without a password, a random one is chosen and shown."""

    name: Name
    role: Role
    superuser: StrictBool = False
    password: NewPassword | None = None


class UserChange(Body):
    """The changes of a user."""

    role: Role | None = None
    superuser: StrictBool | None = None
    active: StrictBool | None = None


class PasswordReset(Body):
    """A new password for somebody else; without one, it is random."""

    password: NewPassword | None = None


class UserShown(BaseModel):
    """A user, as superusers see them."""

    name: str
    role: Role
    superuser: bool
    active: bool
    created_at: int

    @classmethod
    def of(cls, user: User) -> UserShown:
        """Show a user."""
        return cls.model_validate(user, from_attributes=True)


class Chosen(BaseModel):
    """A password that the gateway chose, shown this once; null if the request had one."""

    password: str | None


class UserMade(UserShown, Chosen):
    """A user who was just added."""


class EntryShown(BaseModel):
    """A line of the audit trail."""

    id: int
    at: int
    actor: str
    action: Action
    subject: str
    detail: str
    address: str

    @classmethod
    def of(cls, entry: Entry) -> EntryShown:
        """Show a line."""
        return cls.model_validate(entry, from_attributes=True)
