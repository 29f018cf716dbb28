"""What is announced of a task's parameters, and what its function gets of data."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import subprocess
import sys
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import pytest
from msgspec import Meta

from zjobs.messages.records import TaskType
from zjobs.messages.values import pack_value
from zjobs.worker import tasks
from zjobs.worker.caller import Caller


@dataclasses.dataclass
class Recipe:
    """How a sample is treated."""

    name: str
    steps: list[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Plan:
    recipe: Recipe
    repeats: int = 1


@dataclasses.dataclass
class Span:
    first: int
    last: int

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError("last must not be below first")


class Place(TypedDict):
    x: int
    y: int


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


class Unknown:
    """Nobody can describe this."""


def caller(function: Any) -> Caller:
    return Caller(tasks.Task(TaskType("it"), function))


def schema(function: Any) -> Any:
    return json.loads(caller(function).schema)


def schema_of(annotation: Any, default: Any = ...) -> Any:
    """What is announced of one parameter."""

    def it(a: Any) -> None: ...

    it.__annotations__["a"] = annotation
    it.__defaults__ = None if default is ... else (default,)
    return schema(it)["properties"]["a"]


def got(function: Any, *data: Any) -> Any:
    it = caller(function)
    return it.run(it.bound(pack_value(data[0]) if data else None))


def measure(
    job: tasks.Context,
    count: int,
    exposure: Annotated[float, Meta(ge=0)] = 0.1,
    mode: Literal["fast", "slow"] = "fast",
    recipe: Recipe | None = None,
) -> Any:
    """Takes `count` spectra.

    count: how many spectra
    exposure (float): the time of each,
        in seconds
    """
    return count, exposure, mode, recipe


def test_everything_that_is_announced() -> None:
    """Names in order, types, bounds, defaults, what the docstring says; the context is no parameter."""
    assert schema(measure) == {
        "type": "object",
        "description": measure.__doc__
        and "Takes `count` spectra.\n\ncount: how many spectra\nexposure (float): the time of each,\n    in seconds",
        "properties": {
            "count": {"type": "integer", "description": "how many spectra"},
            "exposure": {
                "type": "number",
                "minimum": 0,
                "default": 0.1,
                "description": "the time of each, in seconds",
            },
            "mode": {"enum": ["fast", "slow"], "default": "fast"},
            "recipe": {"anyOf": [{"$ref": "#/$defs/Recipe"}, {"type": "null"}], "default": None},
        },
        "required": ["count"],
        "additionalProperties": False,
        "$defs": {
            "Recipe": {
                "title": "Recipe",
                "description": "How a sample is treated.",
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "steps": {"type": "array", "items": {"type": "number"}},
                },
                "required": ["name"],
                "additionalProperties": False,
            }
        },
    }
    assert list(schema(measure)["properties"]) == ["count", "exposure", "mode", "recipe"]
    assert caller(measure).schema == caller(measure).schema


@pytest.mark.parametrize(
    ("annotation", "announced"),
    [
        (int, {"type": "integer"}),
        ("bytes", {"type": "string", "contentEncoding": "base64"}),
        ("int | None", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ("list[float]", {"type": "array", "items": {"type": "number"}}),
        ("dict[str, int]", {"type": "object", "additionalProperties": {"type": "integer"}}),
        ("Literal[1, 2]", {"enum": [1, 2]}),
        (
            "Annotated[int, Meta(ge=1, le=9, description='D')]",
            {"type": "integer", "minimum": 1, "maximum": 9, "description": "D"},
        ),
        ("Mode", {"$ref": "#/$defs/Mode"}),
        ("Plan", {"$ref": "#/$defs/Plan"}),
        ("Place", {"$ref": "#/$defs/Place"}),
        ("Any", {}),
        ("Unknown", {}),
        ("list[Unknown]", {}),
        ("NoSuchName", {}),
        ("Plan | Recipe", {}),
    ],
)
def test_annotations(annotation: Any, announced: Any) -> None:
    """What can be described is; everything else is announced without a type."""
    assert schema_of(annotation) == announced


@pytest.mark.parametrize(
    ("annotation", "default", "announced"),
    [
        ("float", 0.5, 0.5),
        ("int | None", None, None),
        ("list", (1, 2), [1, 2]),
        ("Mode", Mode.SLOW, "slow"),
        ("Recipe", Recipe("x", [1.0]), {"name": "x", "steps": [1.0]}),
        ("Any", {"a": [1]}, {"a": [1]}),
    ],
)
def test_defaults(annotation: str, default: Any, announced: Any) -> None:
    """They are announced as a client would have to give them."""
    assert schema_of(annotation, default)["default"] == announced


@pytest.mark.parametrize("default", [float("nan"), Unknown(), b"x", {1, 2}])
def test_defaults_that_json_has_not(default: Any) -> None:
    """They are left out, and the parameter need not be given all the same."""

    def it(a: Any = default) -> None: ...

    assert "default" not in schema(it)["properties"]["a"] and "required" not in schema(it)


def test_names_that_may_be() -> None:
    """**rest takes any name; a function that takes nothing says so; of *args nothing can be said."""
    assert "additionalProperties" not in schema(lambda a, **rest: a)
    assert schema(lambda: 1) == {"type": "object", "properties": {}, "additionalProperties": False}
    assert caller(lambda *args: args).schema == b""


@pytest.mark.parametrize(
    ("annotation", "value", "becomes"),
    [
        ("Recipe", {"name": "x"}, Recipe("x")),
        ("Plan", {"recipe": {"name": "x", "steps": [1, 2.5]}}, Plan(Recipe("x", [1.0, 2.5]))),
        ("Place", {"x": 1, "y": 2}, {"x": 1, "y": 2}),
        ("Point", [1.0], Point(1.0)),
        ("Mode", "slow", Mode.SLOW),
        ("Recipe | None", None, None),
        ("tuple[int, str]", [1, "x"], (1, "x")),
        ("set[int]", [1, 2, 1], {1, 2}),
        ("datetime.date", "2024-02-29", datetime.date(2024, 2, 29)),
        ("bytes | None", b"x", b"x"),
        ("Unknown", {"any": "thing"}, {"any": "thing"}),
    ],
)
def test_the_function_gets_what_it_is_annotated_with(annotation: str, value: Any, becomes: Any) -> None:
    """A map becomes the dataclass, text the member of the enum."""

    def it(a: Any) -> Any:
        return a

    it.__annotations__["a"] = annotation
    result = got(it, {"a": value})
    assert result == becomes and type(result) is type(becomes)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({}, "it: count is missing: it must be an integer"),
        ("3", "it: count must be an integer, not '3'"),
        ({"count": 3, "exposure": -1}, "it: exposure must be a number, at least 0, not -1"),
        ({"count": 3, "mode": "quick"}, "it: mode must be 'fast' or 'slow', not 'quick'"),
        ({"count": 3, "recipe": {"name": 1}}, "it: recipe.name must be text, not 1"),
        ({"count": 3, "recipe": {"name": "a", "step": []}}, "it: recipe has no step; did you mean steps?"),
        ({"count": 3, "recipe": {"name": "a", "steps": [0, "x"]}}, "it: recipe.steps[1] must be a number, not 'x'"),
        ({"cuont": 3}, "it: there is no parameter cuont; did you mean count?"),
    ],
)
def test_sentences(data: Any, sentence: str) -> None:
    """A mistake is told by its place, and what must be there."""
    with pytest.raises(tasks.BadData) as caught:
        got(measure, data)
    assert str(caught.value) == sentence


def test_what_no_schema_says() -> None:
    """A check that the class makes itself, and text that is no date, are bad data too."""

    def it(spans: list[Span], day: datetime.date | None = None, raw: bytes | None = None) -> Any: ...

    with pytest.raises(tasks.BadData, match=r"^it: spans\[1\] is refused: last must not be below first$"):
        got(it, {"spans": [{"first": 1, "last": 2}, {"first": 2, "last": 1}]})
    with pytest.raises(tasks.BadData, match=r"^it: day is not a valid .*date$"):
        got(it, {"spans": [], "day": "yesterday"})
    with pytest.raises(tasks.BadData, match=r"^it: raw must be bytes or null, not 'eA=='$"):  # no base64
        got(it, {"spans": [], "raw": "eA=="})


def test_where_the_one_value_goes() -> None:
    """To the first parameter that is data, however that may be given to the function."""

    def by_keyword(job: tasks.Context, *, a: int, b: int = 2) -> Any:
        return job.id, a, b

    def by_place(a: int, b: int = 2, job: tasks.Context = ..., /, c: int = 3) -> Any:  # type: ignore[assignment]
        return a, b, job.id, c

    def spread(job: tasks.Context, *rest: Any) -> Any:
        return job.id, rest

    def spread_first(*rest: Any, a: int = 1) -> Any:
        return rest, a

    assert got(spread_first, 5) == ((5,), 1) and got(spread_first, {"a": 2}) == ((), 2)
    assert got(by_keyword, 5) == (1, 5, 2)
    assert got(by_place, 5) == (5, 2, 1, 3) and got(by_place, {"c": 4, "a": 5}) == (5, 2, 1, 4)
    assert got(spread, 5) == (1, (5,)) and got(spread) == (1, ())
    with pytest.raises(tasks.BadData, match=r"^it: it takes no data$"):
        got(lambda: 1, 5)


def test_msgspec_is_imported_only_where_it_is_needed() -> None:
    """A task process with the predefined tasks alone starts without it."""
    code = """if True:
        import sys
        from zjobs.worker.task.inside import main
        callers = main.load(0, [])
        assert [caller.schema for caller in callers.values()]
        assert not [name for name in sys.modules if name.startswith("msgspec")]
    """
    subprocess.run([sys.executable, "-c", code], check=True)
