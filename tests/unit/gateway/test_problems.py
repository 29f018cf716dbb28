"""Errors as HTTP tells them: the status of each, and when to try again."""

from __future__ import annotations

import pytest

from zjobs.client import errors
from zjobs.gateway.problems import STATUS_OF, answer, problem_of
from zjobs.gateway.web.documents import ABOUT
from zjobs.messages.states import ErrorCode

WANTED = {
    errors.BadRequest: 422,
    errors.UnsupportedVersion: 502,
    errors.UnknownOp: 501,
    errors.UnknownType: 409,
    errors.TooLarge: 413,
    errors.QueueFull: 429,
    errors.Busy: 429,
    errors.KeyConflict: 422,
    errors.SchemaChanged: 409,
    errors.NotFound: 404,
    errors.Expired: 410,
    errors.NotCompleted: 409,
    errors.NotFinished: 409,
    errors.StorageFailed: 503,
    errors.ReadOnly: 503,
    errors.NotPermitted: 403,
    errors.InternalError: 502,
    errors.BadData: 422,
    errors.KeyRefused: 503,
    errors.KeyNeeded: 503,
    errors.UntrustedBroker: 503,
    errors.BadReply: 503,
}


@pytest.mark.parametrize(("kind", "status"), WANTED.items())
def test_the_status_of_an_error(kind: type[errors.ZjobsError], status: int) -> None:
    """Its code and sentence come along. Where only time helps, the answer says when to try again."""
    problem = problem_of(kind("a sentence"))
    assert (problem.status, problem.code, problem.detail) == (status, kind.code, "a sentence")
    answered = answer(problem)
    assert answered.status_code == status and answered.media_type == "application/problem+json"
    assert answered.headers.get("retry-after") == ("1" if status in (429, 503) else None)
    assert status in ABOUT


def test_the_broker_is_away() -> None:
    """That is no mistake of whoever asks."""
    problem = problem_of(errors.BrokerUnreachable("tcp://127.0.0.1:1", 5))
    assert (problem.status, problem.code) == (503, "unreachable")


def test_every_code_of_the_protocol_has_a_status() -> None:
    """One that is added must be thought of."""
    assert STATUS_OF.keys() == set(ErrorCode)
    assert {kind.code for kind in WANTED} >= {code.value for code in ErrorCode}
