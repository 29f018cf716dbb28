"""Who may do what. Without keys, everybody who reaches the broker is an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from zjobs.messages.requests import (
    Backup,
    Cancel,
    Error,
    Forget,
    Hello,
    Info,
    List,
    Log,
    Pause,
    Queue,
    Request,
    Result,
    Resume,
    Retry,
    Show,
    Status,
    Submit,
    Types,
)
from zjobs.messages.states import ErrorCode


class Role(str, Enum):
    """viewer: sees states, not what is in jobs. submitter: submits, and does as it likes with its own jobs, and sees no
    others. operator: everything."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"


class Who(NamedTuple):
    name: str
    role: Role


ANYBODY = Who("", Role.OPERATOR)

_ALL = frozenset(Role)
_OWNERS = frozenset({Role.SUBMITTER, Role.OPERATOR})
_LOOKERS = _ALL
_OPERATORS = frozenset({Role.OPERATOR})

PERMITTED: dict[type, frozenset[Role]] = {
    Hello: _ALL,
    Types: _ALL,
    Info: _ALL,
    Status: _LOOKERS,
    Queue: _LOOKERS,
    Show: _LOOKERS,
    List: _LOOKERS,
    Submit: _OWNERS,
    Result: _OWNERS,
    Log: _OWNERS,
    Cancel: _OWNERS,
    Retry: _OWNERS,
    Forget: _OWNERS,
    Pause: _OPERATORS,
    Resume: _OPERATORS,
    Backup: _OPERATORS,
}


def refusal(request: Request, who: Who, owner_of: Callable[[int], str | None]) -> Error | None:
    """Why `who` may not do this, or None. `owner_of(id)`: whose job it is, None when there is none."""
    roles = PERMITTED[type(request)]
    if who.role not in roles:
        which = " or ".join(role.value for role in Role if role in roles)
        return Error(ErrorCode.NOT_PERMITTED, f"{who.name} is a {who.role.value}; this needs a key of the role {which}")
    if who.role is Role.SUBMITTER:
        for job_id in _ids(request):
            if owner_of(job_id) not in (None, who.name):
                what = f"job {job_id} is not yours; only a key of the role operator may do this"
                return Error(ErrorCode.NOT_PERMITTED, what)
    return None


def sees(who: Who, owner: str) -> bool:
    """Whether `who` is told of the jobs of `owner`."""
    return who.role is not Role.SUBMITTER or owner == who.name


def _ids(request: Request) -> Iterable[int]:
    if isinstance(request, (Status, Cancel, Retry, Forget)):
        return request.ids
    if isinstance(request, (Result, Log, Show)):
        return (request.id,)
    return ()
