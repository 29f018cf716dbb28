"""From words of a command line to data: what each means follows from the schema of the type's parameters."""

from __future__ import annotations

from typing import Any

import pytest

from zjobs.client.protocol.arguments import Given, check_data, data_of
from zjobs.client.protocol.job import NO_DATA
from zjobs.program.schema.checks import Mismatch
from zjobs.program.schema.parameters import Parameters

BYTES = {"type": "string", "contentEncoding": "base64"}
RECIPE = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def of(*required: str, others: bool = False, **properties: Any) -> Parameters:
    schema = {"properties": properties, "required": list(required), "$defs": {"Recipe": RECIPE}}
    return Parameters({**schema, "additionalProperties": others})


MEASURE = of("count", count={"type": "integer", "minimum": 1}, exposure={"type": "number"}, name={"type": "string"})
TEXT = of("text", text={"type": "string"})


@pytest.mark.parametrize(
    ("parameters", "given", "data"),
    [
        (MEASURE, Given(["3"]), 3),
        (MEASURE, Given(["3", "0.5"]), {"count": 3, "exposure": 0.5}),
        (MEASURE, Given(["3", "1e-3"]), {"count": 3, "exposure": 0.001}),
        (MEASURE, Given(["0.5"], {"count": "3"}), {"count": 3, "exposure": 0.5}),
        (MEASURE, Given(["3"], {"name": "532"}), {"count": 3, "name": "532"}),
        (MEASURE, Given(["3"], {"name": "null"}), {"count": 3, "name": "null"}),
        (TEXT, Given(["example"]), "example"),
        (TEXT, Given([""]), ""),
        (TEXT, Given([], {"text": "true"}), "true"),
        (of(), Given(), NO_DATA),
        (of(a={"type": "boolean"}), Given(["True"]), True),
        (of(a={"type": "null"}), Given(["null"]), None),
        (of(a={"type": "array"}), Given(["[1, 2]"]), [1, 2]),
        (of(a={"$ref": "#/$defs/Recipe"}), Given(['{"name": "x"}']), {"a": {"name": "x"}}),
        (of(a={"$ref": "#/$defs/Recipe"}), Given([], {"a": b'{"name": "x"}'}), {"a": {"name": "x"}}),
        (of(a={"enum": ["a", 1, None]}), Given(["1"]), 1),
        (of(a={"enum": ["a", 1, None]}), Given(["null"]), None),
        (of(a={"anyOf": [{"type": "integer"}, {"type": "null"}]}), Given(["null"]), None),
        (of(a={"anyOf": [{"type": "string"}, {"type": "null"}]}), Given(["null"]), "null"),
        (of(a={"anyOf": [{"type": "string"}, {"type": "integer"}]}), Given(["5"]), 5),
        (of(a={"anyOf": [{"type": "string"}, {"type": "integer"}]}), Given(["5x"]), "5x"),
        (of(a={"anyOf": [{"enum": ["auto"]}, {"type": "number"}]}), Given(["auto"]), "auto"),
        (of(a={}), Given(["[1]"]), [1]),
        (of(a={}), Given(["one"]), "one"),
        (of(b={"type": "integer"}, a=BYTES), Given(["5"], file=b"\0"), {"a": b"\0", "b": 5}),
        (of(a=BYTES), Given(file=b"\0"), b"\0"),
        (of(a={}), Given(file=b"\0"), b"\0"),
        (of(a={"anyOf": [BYTES, {"type": "null"}]}), Given([], {"a": b"\0"}), b"\0"),
        (of(others=True), Given([], {"a": "1", "b": "x"}), {"a": 1, "b": "x"}),
    ],
)
def test_what_words_mean(parameters: Parameters, given: Given, data: Any) -> None:
    """A number where one may be, text where only text may; one value that is no map is sent as it is."""
    made = data_of(given, parameters)
    assert made == data and type(made) is type(data)


@pytest.mark.parametrize(
    ("given", "data"),
    [
        (Given(), NO_DATA),
        (Given(["532"]), "532"),
        (Given([b"532"]), "532"),
        (Given(file=b"\xff"), b"\xff"),
        (Given(file=b""), b""),
        (
            Given([], {"n": "1", "s": "text", "l": "[1,null]", "f": b"[1]", "b": b"\xff"}),
            {"n": 1, "s": "text", "l": [1, None], "f": [1], "b": b"\xff"},
        ),
    ],
)
def test_without_a_schema(given: Given, data: Any) -> None:
    """DATA is text, and a named value JSON where it parses."""
    assert data_of(given, None) == data


@pytest.mark.parametrize(
    ("parameters", "given", "sentence"),
    [
        (MEASURE, Given(["three"]), "count must be an integer, at least 1, not 'three'"),
        (MEASURE, Given(["0"]), "count must be an integer, at least 1, not 0"),
        (MEASURE, Given(["1_0"]), "count must be an integer, at least 1, not '1_0'"),
        (MEASURE, Given(), "count is missing: it must be an integer, at least 1"),
        (MEASURE, Given([], {"cuont": "3"}), "there is no parameter cuont; did you mean count?"),
        (MEASURE, Given(["1", "2", "3", "4"]), "it takes 3 arguments at most (count, exposure, name), not 4"),
        (MEASURE, Given(["1"], file=b""), "it has no parameter that takes bytes"),
        (TEXT, Given(["two", "words"]), "it takes 1 argument at most (text), not 2: quote them, 'two words'"),
        (TEXT, Given(["x"], {"text": "y"}), "it takes no arguments beside those that are named"),
        (of(), Given(["x"]), "it takes no arguments"),
        (of(a=BYTES), Given(["x"]), "a must be bytes (from a file: --arg a=@FILE), not 'x'"),
        (of(a={"$ref": "#/$defs/Recipe"}), Given(["{}"]), "a.name is missing: it must be text"),
        (of(a={"type": "array"}), Given(["[1,"]), "a must be a list, not '[1,'"),
        (
            of(a={"type": "integer"}),
            Given([], {"a": b"\xff"}),
            "what is given for a is not UTF-8 text (byte 0)",
        ),
        (
            None,
            Given(["two", "words"]),
            "its parameters are not known yet, so one argument at most may be given: quote it, or use --arg NAME=VALUE",
        ),
        (None, Given(["x"], {"a": "1"}), "its parameters are not known yet, so --arg goes with nothing else"),
    ],
)
def test_what_cannot_be_meant(parameters: Parameters | None, given: Given, sentence: str) -> None:
    """The sentence names the field and what it must be."""
    with pytest.raises(Mismatch) as caught:
        data_of(given, parameters)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("data", [3, {"count": 3}, {"count": 1, "exposure": 1, "name": "x"}])
def test_data_that_fits(data: Any) -> None:
    """As a program gives it: a map by name, everything else for the first parameter."""
    check_data(data, MEASURE)
    check_data(data, None)


@pytest.mark.parametrize("data", [NO_DATA, "3", 0, {}, {"count": "3"}, {"count": 3, "x": 1}, None])
def test_data_that_does_not_fit(data: Any) -> None:
    """It is refused before anything is sent, unless nobody knows what fits."""
    with pytest.raises(Mismatch):
        check_data(data, MEASURE)
    check_data(data, None)


def test_data_for_a_task_without_parameters() -> None:
    check_data(NO_DATA, of())
    with pytest.raises(Mismatch, match=r"^it takes no data$"):
        check_data(1, of())
