"""Decides who may do what. Without keys, everybody who reaches the broker is an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from zjobs.messages.requests.ops import Error, Operation
from zjobs.messages.states import ErrorCode, Role


class Who(NamedTuple):
    """Name and role of whoever sent a request."""

    name: str
    role: Role


ANYBODY = Who("", Role.OPERATOR)


def refusal(operation: Operation, ids: Iterable[int], who: Who, owner_of: Callable[[int], str | None]) -> Error | None:
    """Return why `who` may not do this, or None if they may. `owner_of(id)` is None for an id without a job."""
    if who.role not in operation.roles:
        *most, last = (role.value for role in operation.roles)
        which = f"{', '.join(most)} or {last}" if most else last
        return Error(ErrorCode.NOT_PERMITTED, f"{who.name} is a {who.role.value}; this needs a key of the role {which}")
    if who.role in operation.own_only:
        for job_id in ids:
            if owner_of(job_id) not in (None, who.name):
                what = f"job {job_id} is not yours; only a key of the role operator may do this"
                return Error(ErrorCode.NOT_PERMITTED, what)
    return None


def sees(who: Who, owner: str) -> bool:
    """Return whether `who` may see the states of the jobs of `owner`."""
    return who.role is not Role.SUBMITTER or owner == who.name


def reads(who: Who, owner: str) -> bool:
    """Return whether `who` may read what is in the jobs of `owner`: data, results, output, tracebacks."""
    return who.role is Role.OPERATOR or (who.role is not Role.VIEWER and owner == who.name)
