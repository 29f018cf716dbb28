"""Problem details (RFC 9457): how every error is answered."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
NO_HEADERS: Mapping[str, str] = {}


class Problem(Exception):
    """The answer to a request that was not carried out. `code` is for programs, `detail` is a sentence for people.

    `more`: further members of the answer.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] = NO_HEADERS, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self.more = more


async def answer(_: Request, problem: Exception) -> JSONResponse:
    """Return the answer that tells this problem."""
    assert isinstance(problem, Problem)
    title = HTTPStatus(problem.status).phrase
    content = {"title": title, "status": problem.status, "code": problem.code, "detail": problem.detail}
    return JSONResponse(content | problem.more, problem.status, problem.headers, MEDIA_TYPE)
