"""The sender of a request, as the broker identified it."""

from __future__ import annotations

from typing import NamedTuple

from zjobs.messages.states import Role


class Who(NamedTuple):
    """The name and role of whoever sent a request. `acts_for`: they may send requests on behalf of others. `via`: the
    key that sent this request on their behalf."""

    name: str
    role: Role
    acts_for: bool = False
    via: str = ""


ANYBODY = Who("", Role.OPERATOR, acts_for=True)  # where the broker has no keys
