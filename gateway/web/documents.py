"""The description of the API: what each route answers, by the classes of the messages."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from zjobs.gateway import problems
from zjobs.gateway.web.media import JSON
from zjobs.gateway.web.records import Schema, reference, schemas_of
from zjobs.messages.records import JobStatus

Responses = dict[int | str, dict[str, Any]]

ABOUT = {
    401: "Nobody is logged in.",
    403: "The person's role does not permit this.",
    404: "There is no such service, job or type.",
    409: "The state of the job or the service forbids this; `code` says which it is.",
    410: "The job was dropped since.",
    413: "More bytes or jobs than a limit allows.",
    422: "The request is not as it must be, or its `Idempotency-Key` belongs to another.",
    429: "Too much is waiting already. `Retry-After` says when to try again.",
    500: "A mistake of the gateway's own.",
    501: "The broker is of an older version, which cannot do this.",
    502: "The broker is of another version, or has failed by a mistake of its own.",
    503: "The broker is away or cannot write at present. `Retry-After` says when to try again.",
}
# What any route may answer.
ALWAYS = (401, 403, 404, 413, 422, 429, 500, 501, 502, 503)

_PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `code` is for programs, `detail` is a sentence for people.",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "job": reference(JobStatus),
        "mistakes": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["title", "status", "code", "detail"],
}
# Who may ask: see `current_person`. The page /docs logs in by this.
_LOGIN = "login"
_BY_TOKEN: Schema = {"type": "oauth2", "flows": {"password": {"scopes": {}, "tokenUrl": "/api/v1/auth/token"}}}
_FOR_EVERYBODY = {("post", "/api/v1/auth/token"), ("post", "/api/v1/auth/session")}
_documented: list[Any] = [JobStatus]


def returns(kind: Any, about: str, status: int = 200, headers: tuple[str, ...] = ()) -> Responses:
    """Document an answer whose body is a message of this class."""
    return content({JSON: documented(kind)}, about, status, headers)


def documented(kind: Any) -> Schema:
    """Return a reference to the schema of a class, and add that schema to the description."""
    _documented.append(kind)
    return reference(kind)


def content(schemas: dict[str, Schema], about: str, status: int = 200, headers: tuple[str, ...] = ()) -> Responses:
    """Document an answer by the schema of each media type that it may have."""
    answer: dict[str, Any] = {"description": about}
    if schemas:
        answer["content"] = {media_type: {"schema": schema} for media_type, schema in schemas.items()}
    if headers:
        answer["headers"] = {name: {"schema": {"type": "string"}} for name in headers}
    return {status: answer}


def fails(*statuses: int) -> Responses:
    """Document answers that tell a problem."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": ABOUT.get(status, HTTPStatus(status).phrase),
            "content": {problems.MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def describe(app: FastAPI) -> None:
    """Let the application describe itself, with the schemas of all messages that it answers with."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            document["components"]["securitySchemes"] = {_LOGIN: _BY_TOKEN}
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    if (method, path) not in _FOR_EVERYBODY:
                        operation["security"] = [{_LOGIN: []}]
            schemas |= schemas_of(*_documented) | {"Problem": _PROBLEM}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
