"""Values as JSON, media types, and messages with their schemas."""

from __future__ import annotations

import json
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from zjobs.client.protocol.job import NO_DATA
from zjobs.gateway.web import media
from zjobs.gateway.web.json_values import NotJson, from_json, to_json
from zjobs.gateway.web.records import encode, schemas_of
from zjobs.messages.records import JobStatus
from zjobs.messages.requests.ops import OPERATIONS
from zjobs.messages.requests.queries import ShowReply
from zjobs.messages.states import JobState
from zjobs.program.schema.checks import Mismatch
from zjobs.program.schema.parameters import Parameters

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@examples(15)
@given(JSON)
def test_what_json_has_survives(value: Any) -> None:
    """Integers of any size and all text, through msgpack too."""
    assert json.loads(to_json(msgpack.unpackb(msgpack.packb(value)))) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**64 - 1, "18446744073709551615"),
        (b"\x00\xff", '"AP8="'),
        ([math.nan, math.inf, -math.inf], '["NaN","Infinity","-Infinity"]'),
        ({1: 2, True and "a": None, 0.5: b"", None: 1}, '{"1":2,"a":null,"0.5":"","null":1}'),
        ("\x1b<script>", '"\\u001b<script>"'),
    ],
)
def test_what_json_does_not_have(value: Any, text: str) -> None:
    """By the rules that docs/http.md tells."""
    assert to_json(value).decode() == text


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [{1: "a", "1": "b"}, {"b": {None: 1, "null": 2}}, nested(5_000)])
def test_what_would_be_lost(value: Any) -> None:
    """It is refused, and never told wrongly."""
    with pytest.raises(NotJson):
        to_json(value)


BYTES = {"type": "string", "contentEncoding": "base64"}
TAKES = Parameters(
    {
        "type": "object",
        "properties": {
            "image": BYTES,
            "names": {"type": "array", "items": {"type": "string"}},
            "parts": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/$defs/Part"}}]},
            "either": {"anyOf": [BYTES, {"type": "string"}]},
        },
        "$defs": {"Part": {"type": "object", "properties": {"body": BYTES, "name": {"type": "string"}}}},
    }
)


def test_text_becomes_bytes_where_the_schema_says_so() -> None:
    """In lists and maps too; not where text would do."""
    given = {"image": "AP8=", "names": ["AP8="], "parts": [{"body": "AP8=", "name": "AP8="}], "either": "AP8="}
    wanted = {"image": b"\0\xff", "names": ["AP8="], "parts": [{"body": b"\0\xff", "name": "AP8="}], "either": "AP8="}
    assert from_json(given, TAKES) == wanted
    assert from_json("AP8=", TAKES) == b"\0\xff"
    assert from_json("AP8=", None) == "AP8=" and from_json(NO_DATA, TAKES) is NO_DATA


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"image": "no"}, "image must be bytes in base64"),
        ({"parts": [{"body": "a b"}]}, r"parts\[0\].body must be bytes"),
    ],
)
def test_what_is_no_base64_is_named(given: Any, sentence: str) -> None:
    """Where it is, and what it must be."""
    with pytest.raises(Mismatch, match=sentence):
        from_json(given, TAKES)


@pytest.mark.parametrize(
    "odd", [{"anyOf": 1}, {"type": "array", "items": 5}, {"type": ["array", "object"], "properties": []}, 5]
)
def test_an_odd_schema_is_passed_over(odd: Any) -> None:
    """It comes from elsewhere."""
    takes = Parameters({"properties": {"value": odd}})
    assert from_json({"value": ["a", {"b": "c"}]}, takes) == {"value": ["a", {"b": "c"}]}


# --- media types -------------------------------------------------------------------------------------------

OFFERS = (media.JSON, media.MSGPACK, "image/png")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", media.JSON),
        ("*/*", media.JSON),
        ("application/msgpack", media.MSGPACK),
        ("application/json;q=0.5, application/msgpack", media.MSGPACK),
        ("*/*;q=0.1, image/*", "image/png"),
        ("text/html", media.JSON),
        ("application/json;q=nonsense, APPLICATION/MSGPACK ;q=0.1", media.MSGPACK),
        ("application/json;q=0, */*", media.MSGPACK),
    ],
)
def test_the_preferred_media_type(accept: str, chosen: str) -> None:
    """The most specific range counts; without a preference, the first offer."""
    assert media.preferred(accept, OFFERS) == chosen


def test_images_are_known_by_how_they_begin() -> None:
    """But nothing that could run."""
    assert media.type_of(b"\x89PNG\r\n\x1a\n...") == "image/png"
    assert media.type_of(b"RIFF....WEBP") == "image/webp"
    assert [media.type_of(each) for each in (b"", b"<svg onload=x>", b"<html>", b"RIFF")] == [media.BYTES] * 4


# --- messages ----------------------------------------------------------------------------------------------


def test_every_reply_has_a_schema() -> None:
    """Made of its fields, so it never lags behind them."""
    schemas = schemas_of(*(operation.reply for operation in OPERATIONS))
    assert schemas["ShowReply"]["properties"].keys() == set(ShowReply._fields)
    assert schemas["JobState"]["enum"] == [state.value for state in JobState]
    assert schemas["JobStatus"]["properties"]["priority"] == {"type": "integer", "minimum": -1000, "maximum": 1000}
    references = {part for part in json.dumps(schemas).split('"') if part.startswith("#/components/schemas/")}
    assert {each.rpartition("/")[2] for each in references} <= schemas.keys()


def test_a_message_is_a_map() -> None:
    """Records in it too, and states are their words."""
    status = JobStatus(1, "echo", JobState.QUEUED, 0, 0, 5, 0, 0)  # type: ignore[arg-type]
    assert json.loads(encode((status,)))[0] == {**status._asdict(), "state": "queued", "after": [], "after_any": []}
