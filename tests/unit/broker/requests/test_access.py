"""Who may do what, as pure functions; tests/security asks running brokers."""

from __future__ import annotations

import pytest

from zjobs.broker.core.people.who import ANYBODY, Who
from zjobs.broker.requests.access import acting_refusal, reads, refusal, sees
from zjobs.messages.records import ActingFor
from zjobs.messages.requests.ops import OPERATIONS
from zjobs.messages.states import ErrorCode, Role

BY_NAME = {operation.name: operation for operation in OPERATIONS}
OWNERS = {1: "ann", 2: "bob"}


def may(op: str, role: Role, job_id: int) -> bool:
    """Whether ann, in this role, may do it with a job."""
    error = refusal(BY_NAME[op], [job_id], Who("ann", role), OWNERS.get)
    assert error is None or error.code is ErrorCode.NOT_PERMITTED
    return error is None


@pytest.mark.parametrize(
    ("role", "state_of_own", "state_of_others", "own", "others"),
    [
        (Role.VIEWER, True, True, False, False),
        (Role.SUBMITTER, True, False, True, False),
        (Role.MEMBER, True, True, True, False),
        (Role.OPERATOR, True, True, True, True),
    ],
)
def test_own_jobs_and_those_of_others(
    role: Role, state_of_own: bool, state_of_others: bool, own: bool, others: bool
) -> None:
    """What a viewer may ask is open to a member for all jobs; whatever reads or changes more, for its own alone."""
    assert (may("status", role, 1), may("status", role, 2)) == (state_of_own, state_of_others)
    for op in ("result", "log", "cancel", "retry", "forget"):
        assert (may(op, role, 1), may(op, role, 2)) == (own, others), op
    who = Who("ann", role)
    assert (sees(who, "bob"), reads(who, "ann"), reads(who, "bob")) == (state_of_others, own, others)


def test_a_job_that_does_not_exist_is_nobody_elses() -> None:
    """So that it can be answered with `not_found`."""
    assert may("result", Role.SUBMITTER, 99)


def test_a_refusal_names_the_roles_that_may() -> None:
    """In order, as a sentence."""
    error = refusal(BY_NAME["submit"], [], Who("eve", Role.VIEWER), OWNERS.get)
    assert error is not None
    assert error.message == "eve is a viewer; this needs a key of the role submitter, member or operator"


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("own", Role)
def test_nobody_acts_in_a_role_above_their_own(own: Role, role: Role) -> None:
    """Nor without the mark."""
    allowed = acting_refusal(Who("gate", own, acts_for=True), ActingFor("ann", role)) is None
    assert allowed == (list(Role).index(role) <= list(Role).index(own))
    assert acting_refusal(Who("gate", own), ActingFor("ann", role)) is not None


def test_without_keys_everybody_may_act_for_anybody() -> None:
    """It cannot give more than they have."""
    assert all(acting_refusal(ANYBODY, ActingFor("ann", role)) is None for role in Role)
