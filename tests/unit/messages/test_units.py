"""Each number of a message that has a unit says so in its type."""

from __future__ import annotations

from typing import Any, get_args

import pytest

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
