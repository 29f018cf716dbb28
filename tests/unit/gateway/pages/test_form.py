"""Forms made of schemas, and what they mean when they are filled."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.client.protocol.job import NO_DATA
from zjobs.gateway.pages.elements.form import DATA, fields, filled, words_of
from zjobs.program.schema.parameters import Parameters

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "description": "how many"},
        "mode": {"enum": ["fast", "slow"], "default": "fast"},
        "deep": {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "null"}], "default": None},
        "dry": {"type": "boolean", "default": False},
        "image": {"type": "string", "contentEncoding": "base64"},
    },
    "required": ["name", "count"],
    "additionalProperties": False,
}
TYPE = Parameters(SCHEMA)


def test_each_parameter_has_a_field_of_its_kind() -> None:
    """With the bounds that a browser checks, what it is for, and what counts if it is empty."""
    made = {field.name: field for field in fields(TYPE, {})}
    kinds = {"name": "text", "count": "number", "mode": "choice", "deep": "json", "dry": "choice", "image": "file"}
    assert {name: field.kind for name, field in made.items()} == kinds
    assert dict(made["count"].attributes) == {"step": "1", "min": "1", "max": "9"}
    assert made["count"].hint == "how many; an integer from 1 to 9" and made["count"].required
    assert made["mode"].choices == ("fast", "slow") and "default" in made["mode"].hint
    assert dict(made["name"].attributes) == {"maxlength": "20"}


def test_a_filled_form_means_data() -> None:
    """Words become what the schema says; empty fields were left out, but required text may be empty."""
    given = {"name": "", "count": "3", "mode": "", "deep": "[1, 2.5]", "dry": "true"}
    assert filled(TYPE, given) == ({"name": "", "count": 3, "deep": [1, 2.5], "dry": True}, {})
    assert filled(TYPE, {"name": "a", "count": "1", "image": b"\xff"}).data["image"] == b"\xff"


def test_every_mistake_is_named_beside_its_field() -> None:
    """Not the first alone."""
    given = {"name": "x" * 21, "count": "0", "mode": "soon", "deep": "[1, true]", "dry": "maybe"}
    mistakes = filled(TYPE, given).mistakes
    assert mistakes.keys() == given.keys()
    assert "from 1 to 9" in mistakes["count"]
    assert filled(TYPE, {"name": ""}).mistakes == {"count": "is missing"}


def test_a_type_without_a_schema_takes_json_or_text() -> None:
    """Or nothing."""
    meant = [filled(None, {DATA: word}).data for word in ("", "3", "[1]", "plain text", '"3"')]
    assert meant == [NO_DATA, 3, [1], "plain text", "3"]


@pytest.mark.parametrize("data", [NO_DATA, 3, "text", "3", "[1", [1, {"a": None}], {"a": "x"}, None, "null", ""])
def test_what_a_job_had_means_the_same_again(data: Any) -> None:
    """From data to words and back, without a schema and by parameters that take anything."""
    anything = Parameters({"type": "object", "properties": {"value": {}}, "required": ["value"]})
    if data != "":  # no field tells an empty text from nothing
        assert filled(None, words_of(data, None)).data == data
    if data is not NO_DATA and not isinstance(data, str):
        given = {"value": data}
        back = filled(anything, words_of(given, anything))
        assert back == ((given if isinstance(data, dict) else data), {})


def test_further_parameters_are_kept() -> None:
    """A type that takes any: what is no field is a map."""
    open_type = Parameters({"type": "object", "properties": {"a": {"type": "integer"}}})
    data = {"a": 1, "b": [2], "c": "x"}
    words = words_of(data, open_type)
    assert [field.name for field in fields(open_type, words)] == ["a", DATA]
    assert filled(open_type, words).data == data
    assert filled(open_type, {DATA: "[1]"}).mistakes == {DATA: "must be a map in JSON"}
