"""What a type takes, as people read it."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.client.cli.schema.describe import briefly, everything, parameter_lines, signature
from zjobs.messages.records import TaskType
from zjobs.program.schema.parameters import Parameters

RECIPE = {
    "title": "Recipe",
    "type": "object",
    "properties": {"name": {"type": "string"}, "steps": {"type": "array", "items": {"type": "number"}, "default": []}},
    "required": ["name"],
    "additionalProperties": False,
}
SCHEMA = {
    "properties": {
        "count": {"type": "integer", "description": "how many"},
        "exposure": {"type": "number", "minimum": 0, "default": 0.1, "description": "the time\n of each"},
        "mode": {"enum": ["fast", "slow"], "default": "fast"},
        "recipe": {"anyOf": [{"$ref": "#/$defs/Recipe"}, {"type": "null"}], "default": None},
        "raw": {"type": "string", "contentEncoding": "base64"},
        "own": {},
    },
    "required": ["count", "own"],
    "additionalProperties": False,
    "$defs": {"Recipe": RECIPE},
}


def test_signature() -> None:
    """As Python would write it; … where JSON has no default."""
    assert signature("measure", Parameters(SCHEMA)) == (
        "measure(count: int, exposure: float = 0.1, mode: 'fast' | 'slow' = 'fast', "
        "recipe: Recipe | None = None, raw: bytes = …, own)"
    )


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"type": "array", "items": {"type": "integer"}}, "x: list[int]"),
        ({"type": "array"}, "x: list"),
        ({"type": "object"}, "x: dict"),
        ({"type": ["integer", "null"]}, "x: int | None"),
        ({"default": [1, 2]}, "x=[1, 2]"),
        ({"type": "string", "default": None}, "x: str = None"),
        ({"anyOf": [{}, {"type": "null"}]}, "x = …"),
    ],
)
def test_annotations(node: Any, said: str) -> None:
    """Types by their Python names; nothing where nothing is known."""
    assert signature("f", Parameters({"properties": {"x": node}, "additionalProperties": False})) in (
        f"f({said})",
        f"f({said} = …)",
    )


def test_others_may_be_given() -> None:
    assert (
        signature("f", Parameters({})) == "f(…)"
        and signature("f", Parameters({"additionalProperties": False})) == "f()"
    )


def test_everything_about_each_parameter() -> None:
    """What it must be, its default, what is said of it; the fields of a map below it."""
    assert list(parameter_lines(Parameters(SCHEMA))) == [
        "  count  an integer: how many",
        "  exposure  a number, at least 0, by default 0.1: the time of each",
        "  mode  'fast' or 'slow', by default 'fast'",
        "  recipe  a map or null, by default None",
        "    name  text",
        "    steps  a list, each a number, by default []",
        "  raw  bytes, optional",
        "  own  anything",
    ]


def test_a_schema_that_contains_itself_ends() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}
    parameters = Parameters({"properties": {"t": {"$ref": "#/$defs/Tree"}}, "$defs": {"Tree": tree}})
    assert len(list(parameter_lines(parameters))) == 4
    assert signature("f", parameters) == "f(t: dict = …, …)"


MEASURE = TaskType("measure", "Takes spectra.", 2, 0, 600_000, 5_000, 1_500)


def test_a_line_and_a_description() -> None:
    """How it is called, how long it may take, what it does."""
    schema = {
        "properties": {"count": {"type": "integer"}, "exposure": {"type": "number", "default": 0.1}},
        "required": ["count"],
        "additionalProperties": False,
    }
    assert briefly(MEASURE, schema) == [
        "measure(count: int, exposure: float = 0.1)  limit 10m",
        "    Takes spectra.",
    ]
    assert briefly(TaskType("own"), None) == ["own(…)"]
    assert briefly(TaskType("x", time_limit_ms=90_000), {"additionalProperties": False}) == ["x()  limit 90s"]


def test_everything() -> None:
    """The whole docstring, each parameter, every number; nothing that a terminal would act upon."""
    schema = {"description": "Takes spectra.\n\nMany\x1b[2J of them.", "properties": {"n\x1b": {"type": "integer"}}}
    assert everything(MEASURE, {**schema, "additionalProperties": False}) == [
        "measure(n\\x1b: int = …)  limit 10m",
        "",
        "Takes spectra.",
        "",
        "Many\\x1b[2J of them.",
        "",
        "Parameters:",
        "  n\\x1b  an integer, optional",
        "",
        "time limit 10m, grace 5s, retry delay 1.5s, max attempts 2, max reruns 0",
    ]
    assert "Its worker does not say what it takes." in everything(TaskType("own"), None)
