"""Access control: who may do what. Without keys, everybody who reaches the broker is an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zjobs.broker.core.people.who import Who, role_refusal
from zjobs.messages.records import ActingFor
from zjobs.messages.requests.ops import Error, Operation
from zjobs.messages.states import ErrorCode, Role
from zjobs.messages.units import JobId


def acting_refusal(who: Who, acting_for: ActingFor) -> Error | None:
    """Return why `who` may not act for this person, None if they may. Nobody acts in a role above their own."""
    roles = tuple(Role)
    if not who.acts_for:
        return Error(ErrorCode.NOT_PERMITTED, f"the key {who.name} may not act for others; zbroker keys role marks it")
    if roles.index(acting_for.role) > roles.index(who.role):
        what = f"{who.name} is a {who.role.value} and cannot act in the role {acting_for.role.value}"
        return Error(ErrorCode.NOT_PERMITTED, what)
    return None


def refusal(
    operation: Operation, ids: Iterable[JobId], who: Who, owner_of: Callable[[JobId], str | None]
) -> Error | None:
    """Return why `who` may not do this, None if they may. `owner_of(id)` is None for an id without a job."""
    if error := role_refusal(who, operation.roles):
        return error
    if who.role in operation.own_only:
        for job_id in ids:
            if owner_of(job_id) not in (None, who.name):
                what = f"job {job_id} is not yours; only a key of the role operator may do this"
                return Error(ErrorCode.NOT_PERMITTED, what)
    return None


def sees(who: Who, owner: str) -> bool:
    """True if `who` may see the states of the jobs of `owner`."""
    return who.role is not Role.SUBMITTER or owner == who.name


def reads(who: Who, owner: str) -> bool:
    """True if `who` may read the contents of the jobs of `owner`: data, results, output, tracebacks."""
    return who.role is Role.OPERATOR or (who.role is not Role.VIEWER and owner == who.name)
