"""Checks of data by a schema: what is taken, and the sentence for what is not."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import pytest

from zjobs.program.schema.checks import Mismatch
from zjobs.program.schema.parameters import Parameters
from zjobs.program.schema.wording import wanted

BYTES = {"type": "string", "contentEncoding": "base64"}
RECIPE = {
    "type": "object",
    "title": "Recipe",
    "properties": {"name": {"type": "string"}, "steps": {"type": "array", "items": {"type": "number"}}},
    "required": ["name"],
    "additionalProperties": False,
}


def sentence(node: Any, value: Any, **definitions: Any) -> str | None:
    """What is wrong with `value` as the parameter `x`; None: nothing."""
    parameters = Parameters({"properties": {"x": node}, "$defs": definitions})
    try:
        parameters.check({"x": value})
    except Mismatch as mismatch:
        return str(mismatch)
    return None


@pytest.mark.parametrize(
    ("node", "good", "bad"),
    [
        ({"type": "integer"}, [0, -1, 2**70], [True, 1.0, "1", None, b"1", [], {}]),
        ({"type": "number"}, [1, 1.5, float("nan")], [True, "1", None]),
        ({"type": "string"}, ["", "x"], [1, b"x", None]),
        ({"type": "boolean"}, [True, False], [0, 1, "true"]),
        ({"type": "null"}, [None], [0, False, ""]),
        ({"type": "array"}, [[], [1, "x"], (1,)], [{}, "x"]),
        ({"type": "object"}, [{}, {"a": 1}, {1: 2}], [[], "x"]),
        (BYTES, [b"", b"x"], ["x", None]),
        ({"type": ["integer", "null"]}, [1, None], ["x", True]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, [1, None], [1.5, "x"]),
        ({"type": "integer", "minimum": 1, "maximum": 3}, [1, 3], [0, 4]),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, [0.5], [0, 1, float("nan")]),
        ({"type": "integer", "multipleOf": 5}, [0, 10], [3]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "abc"], ["a", "abcd"]),
        ({"type": "string", "pattern": "^a+$"}, ["aa"], ["b"]),
        ({"type": "array", "items": {"type": "number"}, "minItems": 1}, [[1], [1.5, 2]], [[], ["x"]]),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}}, [[1, "x"]], [[1, 2]]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "x"}]),
        (RECIPE, [{"name": "x"}, {"name": "x", "steps": [1]}], [{}, {"name": 1}, {"name": "x", "step": []}]),
        ({"enum": ["a", 1, None]}, ["a", 1, None], ["b", 2, True, 1.0]),
        ({"const": "a"}, ["a"], ["b"]),
        ({"anyOf": [{"enum": ["a"]}, {"type": "string", "minLength": 3}]}, ["a", "abc"], ["b", 1]),
        ({}, [1, None, "x", [], {}], []),
        (True, [1], []),
    ],
)
def test_what_is_taken(node: Any, good: list[Any], bad: list[Any]) -> None:
    """Each keyword takes what it says, and nothing else."""
    assert [value for value in good if sentence(node, value) is not None] == []
    assert [value for value in bad if sentence(node, value) is None] == []


def test_values_of_derived_types() -> None:
    """What msgpack packs as a list, a map or text counts as that."""

    class Pair(NamedTuple):
        a: int

    class Word(str):
        pass

    assert sentence({"type": "array", "items": {"type": "integer"}}, Pair(1)) is None
    assert sentence({"type": "object"}, OrderedDict(a=1)) is None
    assert sentence({"type": "string"}, Word("x")) is None


@pytest.mark.parametrize(
    ("node", "value", "expected"),
    [
        ({"type": "integer"}, "three", "x must be an integer, not 'three'"),
        ({"type": "integer", "minimum": 1, "maximum": 9}, 10, "x must be an integer from 1 to 9, not 10"),
        ({"type": "number", "minimum": 0}, -1, "x must be a number, at least 0, not -1"),
        ({"type": "number", "exclusiveMinimum": 0}, True, "x must be a number, more than 0, not true"),
        ({"enum": ["fast", "slow"]}, "quick", "x must be 'fast' or 'slow', not 'quick'"),
        ({"anyOf": [{"$ref": "#/$defs/R"}, {"type": "null"}]}, 5, "x must be a map or null, not 5"),
        ({"$ref": "#/$defs/R"}, {"name": "a", "steps": [1, "b"]}, "x.steps[1] must be a number, not 'b'"),
        ({"anyOf": [{"$ref": "#/$defs/R"}, {"type": "null"}]}, {"name": 1}, "x.name must be text, not 1"),
        ({"$ref": "#/$defs/R"}, {"steps": []}, "x.name is missing: it must be text"),
        ({"$ref": "#/$defs/R"}, {"name": "a", "stepz": []}, "x has no stepz; did you mean steps?"),
        ({"$ref": "#/$defs/R"}, {"name": "a", "q": []}, "x has no q; there is name, steps"),
        (BYTES, "x", "x must be bytes, not 'x'"),
        ({"type": "string"}, b"x", "x must be text, not bytes"),
        ({"type": "string", "maxLength": 3}, "abcd", "x must be text of at most 3 characters, not of 4 characters"),
        ({"type": "array", "minItems": 2, "maxItems": 2}, [1], "x must be a list of 2 items, not of 1 item"),
        ({"type": "string", "format": "uuid"}, 1, "x must be a UUID as text, not 1"),
        ({"type": "integer"}, "y" * 100, "x must be an integer, not '" + "y" * 58 + "…"),
    ],
)
def test_sentences(node: Any, value: Any, expected: str) -> None:
    """A mistake names the place and what must be there, in words."""
    assert sentence(node, value, R=RECIPE) == expected


def test_the_names() -> None:
    """A parameter that there is not, and one that is missing; others may be where the schema does not forbid them."""
    schema: dict[str, Any] = {"properties": {"count": {"type": "integer"}, "mode": {}}, "required": ["count"]}
    strict = Parameters({**schema, "additionalProperties": False})
    with pytest.raises(Mismatch, match=r"^there is no parameter cuont; did you mean count\?$"):
        strict.check({"cuont": 1})
    with pytest.raises(Mismatch, match=r"^there is no parameter z; there is count, mode$"):
        strict.check({"count": 1, "z": 1})
    with pytest.raises(Mismatch, match=r"^count is missing: it must be an integer$"):
        strict.check({"mode": 1})
    Parameters(schema).check({"count": 1, "z": 1})
    assert strict.first == "count"


def test_a_schema_that_contains_itself() -> None:
    """A tree is checked to its leaves, and nothing is looked for in circles."""
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}
    node = {"$ref": "#/$defs/Tree"}
    assert sentence(node, {"kids": [{"kids": []}]}, Tree=tree) is None
    assert sentence(node, {"kids": [{"kids": [1]}]}, Tree=tree) == "x.kids[0].kids[0] must be a map, not 1"
    deep: Any = {"kids": []}
    for _ in range(2_000):
        deep = {"kids": [deep]}
    assert sentence(node, deep, Tree=tree) == "x is nested too deeply"
    assert sentence({"$ref": "#/$defs/A"}, 1, A={"$ref": "#/$defs/A"}) is None
    assert sentence({"$ref": "#/$defs/A"}, 1, A={"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}) is None


@pytest.mark.parametrize(
    "node",
    [
        {"type": "wonder"},
        {"type": 5},
        {"type": ["array", {}]},
        {"anyOf": 5},
        {"anyOf": [5, []]},
        {"enum": "abc"},
        {"enum": []},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": 5, "minLength": "x"},
        {"type": "integer", "minimum": "x", "multipleOf": 0},
        {"type": "object", "properties": [1], "required": "x", "additionalProperties": 7},
        {"type": "object", "properties": {"a": 5}, "required": ["a", {}]},
        {"type": "array", "items": 5, "prefixItems": {}},
        {"$ref": 5},
        {"$ref": "#/elsewhere"},
        "text",
        None,
    ],
)
def test_odd_schemas_are_passed_over(node: Any) -> None:
    """What a schema says oddly says nothing: it comes from elsewhere, and is no mistake of the value."""
    for value in (1, "abc", None, [1], {"a": 1}, b"x", 1.5):
        sentence(node, value)
    wanted(node) if isinstance(node, dict) else None
    Parameters({"properties": 5, "required": 5, "$defs": 5}).check({})
