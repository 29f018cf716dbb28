"""What a task returns, as a packed value: each rule of docs/tasks.md, and what is kept of what cannot be one."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import re
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest

from zjobs.messages.values import unpack_value
from zjobs.worker.task.inside import results

MIB = 1 << 20
DOCUMENT = Path(__file__).parents[4] / "docs/tasks.md"


class Colour(enum.Enum):
    RED = "red"
    WIDTH = numpy.int64(640)


class Level(enum.IntEnum):
    HIGH = 2


class Point(NamedTuple):
    x: float
    y: Any


@dataclasses.dataclass
class Peak:
    at: Point
    height: Any


class Text(str):
    pass


class Whole(int):
    pass


class Real(float):
    pass


ZONE = datetime.timezone(datetime.timedelta(hours=2))
CASES: list[tuple[str, Any, Any]] = [
    ("numpy", numpy.float64(0.5), 0.5),
    ("numpy", numpy.float32(0.5), 0.5),
    ("numpy", numpy.longdouble(0.5), 0.5),
    ("numpy", numpy.int16(-7), -7),
    ("numpy", numpy.uint64(2**64 - 1), 2**64 - 1),
    ("numpy", numpy.bool_(True), True),
    ("numpy", numpy.str_("a"), "a"),
    ("numpy", numpy.bytes_(b"a"), b"a"),
    ("numpy", numpy.complex128(1 + 2j), [1.0, 2.0]),
    ("numpy", numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    ("numpy", numpy.array(5), 5),
    ("numpy", numpy.array([]), []),
    ("numpy", numpy.array([1.5, 2.5], "longdouble"), [1.5, 2.5]),
    ("numpy", numpy.array([1j]), [[0.0, 1.0]]),
    ("numpy", numpy.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), [[1, 2.0]]),
    ("numpy", numpy.array([{1, 2}, None], object), [[1, 2], None]),
    ("numpy", numpy.ma.masked_array([1, 2], [False, True]), [1, None]),
    ("numpy", {"a": numpy.arange(3), numpy.int64(7): numpy.float32(1)}, {"a": [0, 1, 2], 7: 1.0}),
    ("moments", numpy.datetime64("2026-11-27T20:45:00.000000001"), "2026-11-27T20:45:00.000000001"),
    ("moments", numpy.array(["2026-11-27"], "M8[D]"), ["2026-11-27"]),
    ("moments", numpy.array([1500], "m8[ms]"), [1.5]),
    ("moments", numpy.array([1500], "m8[ns]"), [0.000001]),
    ("moments", datetime.datetime(2026, 11, 27, 20, 45, tzinfo=ZONE), "2026-11-27T20:45:00+02:00"),
    ("moments", datetime.datetime(2026, 11, 27, 20, 45), "2026-11-27T20:45:00"),
    ("moments", datetime.date(2026, 11, 27), "2026-11-27"),
    ("moments", datetime.time(20, 45), "20:45:00"),
    ("durations", datetime.timedelta(minutes=1, milliseconds=5), 60.005),
    ("sets", {3, 1, 2}, [1, 2, 3]),
    ("sets", frozenset("zjobsque"), sorted("zjobsque")),
    ("sets", {None}, [None]),
    ("sequences", (1, (2,)), [1, [2]]),
    ("sequences", collections.deque([1, 2]), [1, 2]),
    ("sequences", range(3), [0, 1, 2]),
    ("sequences", {1: 2}.keys(), [1]),
    ("sequences", array.array("d", [1.5]), [1.5]),
    ("bytes", bytearray(b"ab"), b"ab"),
    ("bytes", memoryview(b"ab"), b"ab"),
    ("exact", decimal.Decimal("1.10"), "1.10"),
    ("exact", fractions.Fraction(1, 3), "1/3"),
    ("complex", 1 + 2j, [1.0, 2.0]),
    ("paths", pathlib.PurePosixPath("/a/b"), "/a/b"),
    ("paths", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ("enums", Colour.RED, "red"),
    ("enums", Colour.WIDTH, 640),
    ("enums", Level.HIGH, 2),
    ("records", Point(1.0, {2}), {"x": 1.0, "y": [2]}),
    ("records", Peak(Point(1.0, 2), numpy.float32(3)), {"at": {"x": 1.0, "y": 2}, "height": 3.0}),
    ("subclasses", Text("a"), "a"),
    ("subclasses", Whole(7), 7),
    ("subclasses", Real(0.5), 0.5),
    ("subclasses", collections.Counter("aab"), {"a": 2, "b": 1}),
    ("keys", {1: "a", None: "b", 1.5: "c", b"x": "d"}, {1: "a", None: "b", 1.5: "c", b"x": "d"}),
    ("keys", {Colour.RED: 1, datetime.date(2026, 1, 1): 2}, {"red": 1, "2026-01-01": 2}),
]


@pytest.mark.parametrize(("rule", "value", "expected"), CASES, ids=range(len(CASES)))
def test_conversions(rule: str, value: Any, expected: Any) -> None:
    """Each documented type becomes what the document says, also inside other values."""
    for wrapped, wanted in ((value, expected), ([value], [expected]), ({"in": value}, {"in": expected})):
        got = unpack_value(results.packed(wrapped, MIB))
        assert got == wanted and type(got) is type(wanted)


def test_numbers_that_are_none_are_kept() -> None:
    """NaN and the infinities are floats as others are."""
    got = unpack_value(results.packed([math.nan, math.inf, numpy.float32("nan"), decimal.Decimal("NaN")], MIB))
    assert math.isnan(got[0]) and got[1] == math.inf and math.isnan(got[2]) and got[3] == "NaN"


def test_the_document_names_every_rule() -> None:
    """docs/tasks.md has a line for each kind of value that is tried here."""
    table = DOCUMENT.read_text().partition("<!-- conversions -->")[2].partition("<!-- /conversions -->")[0]
    named = set(re.findall(r"^\| (\w+) \|", table, re.M)) - {"kind"}
    assert named == {rule for rule, _, _ in CASES}


class Unshowable:
    def __repr__(self) -> str:
        raise ValueError


class Endless:
    """Says that it can be an array, and gives itself."""

    dtype = shape = ()

    def tolist(self) -> Any:
        return self


def cyclic() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def deep() -> Any:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "sentence", "kept"),
    [
        (
            object(),
            "the result (object) cannot be packed: object is not a type that a result may contain",
            "<object object",
        ),
        ({"peak": 17.5, "at": object()}, "object is not a type", "{'peak': 17.5, 'at': <object object"),
        (
            [numpy.arange(3), print],
            "builtin_function_or_method is not a type",
            "[[0, 1, 2], <built-in function print>]",
        ),
        (Peak(Point(1.0, 2), object()), "object is not a type", "{'at': {'x': 1.0, 'y': 2}, 'height': <object"),
        (Peak, "type is not a type", "<class"),
        ({(1, 2): 3}, "the result (dict) cannot be packed", "{(1, 2): 3}"),
        (2**64, "an integer has more than 64 bits", "18446744073709551616"),
        ([-(2**63) - 1], "an integer has more than 64 bits", "[-9223372036854775809]"),
        (1 << 100_000, "an integer has more than 64 bits", "0x1000"),
        ("a\ud800", "text has a character that is no UTF-8: '\\ud800'", "'a\\ud800'"),
        (cyclic(), "it is nested too deeply, or contains itself", "[1, [1, [1, "),
        (deep(), "it is nested too deeply, or contains itself", "[[["),
        (Unshowable(), "Unshowable is not a type", "<Unshowable, which cannot be shown>"),
        (Endless(), "Endless cannot be converted to a value that can be packed", "<"),
        (memoryview(b"abcd")[::2], "", "<memory at"),
        (iter([1]), "list_iterator is not a type", "<list_iterator"),
    ],
    ids=range(16),
)
def test_what_cannot_be_a_result_is_kept_as_text(value: Any, sentence: str, kept: str) -> None:
    """It fails, with what is wrong, and what there was of it can be read."""
    with pytest.raises(results.BadResult) as failed:
        results.packed(value, MIB)
    assert sentence in str(failed.value) and failed.value.value_text.startswith(kept)
    assert len(failed.value.value_text) <= results.SHOWN_CHARS + 3
    failed.value.value_text.encode()


def test_what_is_too_large_is_refused_before_it_is_made() -> None:
    """Its beginning is kept."""
    for value in (range(10**12), numpy.broadcast_to(numpy.float64(1.5), (3, 10**9)), [b"x" * 100] * MIB):
        with pytest.raises(results.BadResult) as failed:
            results.packed(value, MIB)
        assert "1,048,576" in str(failed.value)
        assert 1_000 < len(failed.value.value_text) <= results.SHOWN_CHARS + 3 or "range(" in failed.value.value_text


def test_the_limit_is_that_of_the_packed_value() -> None:
    """To the byte."""
    assert len(results.packed(numpy.zeros(9, "u1"), 10)) == 10
    with pytest.raises(results.BadResult, match="the packed result has 10 bytes, more than the limit of 9"):
        results.packed(numpy.zeros(9, "u1"), 9)
