"""The sender of a request, as the broker identified it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zjobs.messages.requests.ops import Error
from zjobs.messages.states import ErrorCode, Role


class Who(NamedTuple):
    """The name and role of whoever sent a request. `acts_for`: they may send requests on behalf of others. `via`: the
    key that sent this request on their behalf."""

    name: str
    role: Role
    acts_for: bool = False
    via: str = ""


def role_refusal(who: Who, roles: Sequence[Role], what: str = "this") -> Error | None:
    """Return why `who` may not do `what`, for which one of these roles is needed; None if they may."""
    if who.role in roles:
        return None
    *most, last = (role.value for role in roles)
    which = f"{', '.join(most)} or {last}" if most else last
    return Error(ErrorCode.NOT_PERMITTED, f"{who.name} is a {who.role.value}; {what} needs a key of the role {which}")


ANYBODY = Who("", Role.OPERATOR, acts_for=True)  # where the broker has no keys
