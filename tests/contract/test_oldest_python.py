"""The oldest Python that zjobs runs on, checked on whichever runs the tests: what neither ruff nor mypy tells."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("api", "broker", "client", "gateway", "messages", "program", "testing", "worker")


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_named_tuple_has_another_base(folder: str) -> None:
    """Python 3.10 refuses generic ones when the file is imported."""
    classes = [
        (path, node)
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10)))
        if isinstance(node, ast.ClassDef)
    ]
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, node in classes
        if len(node.bases) > 1 and any(isinstance(base, ast.Name) and base.id == "NamedTuple" for base in node.bases)
    ]
    assert classes and not wrong
