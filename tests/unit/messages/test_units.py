"""Each number of a message that has a unit says so in its type."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import zjobs.messages
from zjobs.messages import dispatch, events, records
from zjobs.messages.requests import changes, ops, queries
from zjobs.messages.units import DeliveryNumber, JobId, Ms, Us

CLASSES = {
    kind
    for module in (dispatch, events, records, changes, queries)
    for kind in vars(module).values()
    if hasattr(kind, "_fields") and kind.__module__ == module.__name__
} | {ops.Error}


def unit_of(name: str) -> Any:
    """What a field of this name counts; None: nothing that could be taken for something else."""
    if name.endswith("_ms") or name.endswith("_at") or name == "at":
        return Ms
    if name.endswith("_us"):
        return Us
    return {"id": JobId, "ids": JobId, "delivery": DeliveryNumber, "taken": DeliveryNumber}.get(name)


def units_in(annotation: Any) -> set[Any]:
    """The units anywhere in an annotation."""
    if annotation in (JobId, DeliveryNumber, Ms, Us):
        return {annotation}
    return {unit for part in get_args(annotation) for unit in units_in(part)}


@pytest.mark.parametrize("kind", sorted(CLASSES, key=str), ids=lambda kind: kind.__name__)
def test_units_are_types(kind: Any) -> None:
    """Ids, delivery numbers and times have the type of their unit, and nothing else of that name has another."""
    for name, annotation in kind.__annotations__.items():
        unit = unit_of(name)
        assert unit is None or units_in(annotation) == {unit}, f"{kind.__name__}.{name} is not {unit}"


def annotated(path: Path) -> Iterator[tuple[str, str, str]]:
    """Each argument and attribute of a file: where it stands, its name, its annotation."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.arg) and node.annotation is not None:
            yield f"{path.name}:{node.lineno}", node.arg, ast.unparse(node.annotation)
        elif isinstance(node, ast.AnnAssign):
            yield (
                f"{path.name}:{node.lineno}",
                ast.unparse(node.target).rpartition(".")[2],
                ast.unparse(node.annotation),
            )


@pytest.mark.parametrize("folder", ["broker/core", "broker/requests", "broker/storage", "worker/core"])
def test_cores_and_requests_keep_the_types(folder: str) -> None:
    """What is named like an id or a delivery number has its type, so that nobody can swap them unseen."""
    units = {"job_id": "JobId", "ids": "JobId", "delivery": "DeliveryNumber"}
    for path in (Path(zjobs.messages.__path__[0]).parent / folder).rglob("*.py"):
        for place, name, annotation in annotated(path):
            words = set(re.findall(r"\w+", annotation))
            assert name not in units or units[name] in words or not words & {"int"}, f"{place}: {name}: {annotation}"
            assert not re.search(r"\[int, (Job|Weight)\b", annotation), f"{place}: {name}: {annotation}"
