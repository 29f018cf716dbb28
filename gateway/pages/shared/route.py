"""The route of every page: forms are checked, errors are pages, and nothing may be added to what we wrote."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from zjobs.client.errors import ZjobsError
from zjobs.gateway.pages.shared.rendering import last_event, page
from zjobs.gateway.pages.shared.visitor import check_form, visitor_of
from zjobs.gateway.problems import Problem, problem_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

# Scripts and styles are ours or none; images may be data that we wrote into the page, or files of ours.
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

TITLES = {
    403: "You may not do this",
    404: "There is no such page",
    409: "It has changed meanwhile",
    410: "It is gone",
    413: "That is too much",
    422: "That cannot be",
    429: "Too much at once",
    503: "No answer at present",
}


class PageRoute(APIRoute):
    """A route whose answer is a page, or a part of one."""

    def get_route_handler(self) -> Handler:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            request.state.nonce = secrets.token_urlsafe(16)
            request.state.event = last_event(request)
            sends = request.method not in ("GET", "HEAD")
            try:
                if sends:
                    await check_form(request)
                response = await answer(request)
                if sends and response.status_code == 303:  # something was changed, and the browser is led to it
                    request.app.state.replies.changes += 1
            except (HTTPException, ZjobsError, RequestValidationError) as error:
                response = await _problem_page(request, _problem(error))
            finally:
                await request.close()  # and with it the files that a form has sent
            response.headers.setdefault("Content-Security-Policy", _POLICY.format(nonce=request.state.nonce))
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return handle


def _problem(error: HTTPException | ZjobsError | RequestValidationError) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, ZjobsError):
        return problem_of(error)
    if isinstance(error, HTTPException):
        return Problem(error.status_code, "error", str(error.detail))
    return Problem(404, "not_found", "no page has this address")


async def _problem_page(request: Request, problem: Problem) -> Response:
    """Return the page for a problem. Visitors who must log in first are redirected there; a script gets an error."""
    if problem.status == 401 and request.method == "GET" and _is_document(request):
        root = request.scope.get("root_path", "")
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{root}/login?next={quote(asked, safe='')}", 303)
    with contextlib.suppress(Problem):  # a login that has ended, say: then the page has no menu
        await visitor_of(request)
    title = TITLES.get(problem.status, "That did not work")
    answered = page(request, "problem.html", problem.status, problem=problem, title=title)
    answered.headers.update(problem.headers or {})
    return answered


def _is_document(request: Request) -> bool:
    return request.headers.get("Sec-Fetch-Dest", "document") == "document"
