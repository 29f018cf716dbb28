"""Problem details (RFC 9457): how every error is answered."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from zjobs.client.errors import (
    BadReply,
    BrokerChanged,
    BrokerUnreachable,
    KeyNeeded,
    KeyRefused,
    NotPermitted,
    UntrustedBroker,
    ZjobsError,
)
from zjobs.messages.states import ErrorCode

MEDIA_TYPE = "application/problem+json"
NO_HEADERS: Mapping[str, str] = {}
# The answer to a browser at an address that has no page.
_NO_PAGE = (
    '<!doctype html><html lang="en"><title>There is no such page</title>'
    '<p>There is no page at this address. <a href="%s/">To the services</a></p></html>'
)
_NOTHING_ELSE = {"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff"}
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


class Problem(HTTPException):
    """The answer to a request that was not carried out. `code` is for programs, `detail` is a sentence for people.

    `more`: further members of the answer.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] = NO_HEADERS, **more: Any
    ) -> None:
        super().__init__(status, detail, dict(headers))
        self.status = status
        self.code = code
        self.more = more


# What the broker answers, in HTTP's words. Where only time helps, the answer says when to try again.
STATUS_OF = {
    ErrorCode.BAD_REQUEST: 422,
    ErrorCode.UNSUPPORTED_VERSION: 502,
    ErrorCode.UNKNOWN_OP: 501,
    ErrorCode.UNKNOWN_TYPE: 409,  # types come and go with workers
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.QUEUE_FULL: 429,
    ErrorCode.BUSY: 429,
    ErrorCode.KEY_CONFLICT: 422,
    ErrorCode.SCHEMA_CHANGED: 409,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.EXPIRED: 410,
    ErrorCode.NOT_COMPLETED: 409,
    ErrorCode.NOT_FINISHED: 409,
    ErrorCode.STORAGE: 503,
    ErrorCode.READ_ONLY: 503,
    ErrorCode.NOT_PERMITTED: 403,
    ErrorCode.INTERNAL: 502,
}
_LATER = {"Retry-After": "1"}
# The gateway itself cannot talk to the broker: nothing that the client did.
_AWAY = (BrokerUnreachable, BrokerChanged, KeyNeeded, KeyRefused, UntrustedBroker, BadReply)


def problem_of(error: ZjobsError) -> Problem:
    """Return the problem with which the gateway answers when the client library raises this error."""
    if isinstance(error, _AWAY):
        return Problem(503, error.code, str(error), _LATER)
    if isinstance(error, NotPermitted):
        return Problem(403, error.code, str(error))
    status = STATUS_OF.get(ErrorCode(error.code)) if error.code in _CODES else 422
    return Problem(status or 422, error.code, str(error), _LATER if status in (429, 503) else NO_HEADERS)


_CODES = {code.value for code in ErrorCode}


def answer(problem: Problem) -> JSONResponse:
    """Return the answer that tells this problem."""
    title = HTTPStatus(problem.status).phrase
    content = {"title": title, "status": problem.status, "code": problem.code, "detail": problem.detail}
    return JSONResponse(content | problem.more, problem.status, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of the application as a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(ZjobsError, _zjobs_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _mistake)


async def _problem(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, Problem)
    return answer(problem)


async def _zjobs_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ZjobsError)
    return answer(problem_of(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    mistakes = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return answer(Problem(422, ErrorCode.BAD_REQUEST.value, mistakes[0], mistakes=mistakes))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, headers = error.status_code, error.headers or NO_HEADERS
    if status == 404 and not request.url.path.startswith("/api/") and "text/html" in request.headers.get("Accept", ""):
        return HTMLResponse(_NO_PAGE % request.scope.get("root_path", ""), 404, _NOTHING_ELSE)
    if status == 400:  # a body that cannot be read; FastAPI answers other mistakes in a request with 422
        return answer(Problem(422, ErrorCode.BAD_REQUEST.value, str(error.detail)))
    if status == 405:
        headers = {**headers, "Allow": _allowed(request)}
    return answer(Problem(status, HTTPStatus(status).phrase.lower().replace(" ", "_"), str(error.detail), headers))


def _allowed(request: Request) -> str:
    """Return the methods of a path. Each of its routes has one, and the first would name only its own."""
    asked = {name: request.scope[name] for name in ("type", "path", "root_path", "headers")}
    routes = request.app.routes
    allowed = (
        each for each in _METHODS if any(route.matches({**asked, "method": each})[0] is Match.FULL for route in routes)
    )
    return ", ".join(allowed)


async def _mistake(_: Request, error: Exception) -> JSONResponse:
    """Answer that the gateway itself failed; the server logs why."""
    return answer(Problem(500, "internal", "the gateway failed by a mistake of its own; its log says more"))
