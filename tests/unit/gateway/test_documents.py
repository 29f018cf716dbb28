"""What is told of the API: docs/http.md has each route, and the description each answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from zjobs.gateway.app import create_app
from zjobs.gateway.config import Config

PAGE = Path(__file__).parents[3] / "docs/http.md"


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The description."""
    services = tmp_path_factory.mktemp("services") / "config.toml"
    services.touch()
    return create_app(Config("127.0.0.1", 0, services_file=services)).openapi()


def test_the_page_has_each_route(described: dict[str, Any]) -> None:
    """And names none that does not exist."""
    told = set()
    for row in re.findall(r"^\|(.*?[^\\])\|", PAGE.read_text(encoding="utf-8"), re.M):
        for method, path in re.findall(r"`([A-Z]+) ([^`]*)`", row):
            name = path if path.startswith("/") else f"/api/v1/services/{{service}}/{path}"
            told.add((method.lower(), name))
    assert told | {("get", "/api/v1/services")} == {
        (method, path) for path, each in described["paths"].items() for method in each
    }


def test_what_needs_a_login(described: dict[str, Any]) -> None:
    """Everything but to log in; by the form that the page /docs knows."""
    scheme = described["components"]["securitySchemes"]["login"]
    assert scheme["flows"]["password"]["tokenUrl"] == "/api/v1/auth/token"
    operations = {(method, path): each for path, every in described["paths"].items() for method, each in every.items()}
    free = {route for route, operation in operations.items() if operation.get("security") != [{"login": []}]}
    assert free == {("post", "/api/v1/auth/token"), ("post", "/api/v1/auth/session")}


def test_every_answer_is_described(described: dict[str, Any]) -> None:
    """In words; errors are problems; each schema that is named exists."""
    assert described["openapi"].startswith("3.1")
    schemas = described["components"]["schemas"]
    for path, operations in described["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                assert answer["description"], (path, status)
                problem = "application/problem+json" in answer.get("content", {})
                assert problem == (int(status) >= 400), (path, status)
    named = {part for part in json.dumps(described).split('"') if part.startswith("#/components/schemas/")}
    assert {each.rpartition("/")[2] for each in named} <= schemas.keys()
    assert "default" not in schemas["JobBody"]["properties"]["data"]
