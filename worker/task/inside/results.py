"""Results: the values that tasks return, packed. docs/tasks.md has the table of the rules.

Types that msgpack does not know are converted as it meets them. Arrays and numbers of numpy, torch and pandas are
recognised by their attributes: zjobs imports none of them. A value that cannot be converted fails the job, and `shown`
keeps a description of the result, so that a long measurement is not lost because of one odd value.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

from zjobs.messages import values

SHOWN_CHARS = 100_000
SHOWN_DEEP = 20
MOST_DECIMAL_BITS = 10_000  # beyond this, Python takes long to print decimals, or refuses to
PLAIN = (type(None), bool, int, float, str, bytes, bytearray, memoryview, list, dict)
# Types that are read back as they were packed, and contain nothing that may not be packed.
READABLE = (type(None), bool, int, float, str, bytes)
_SEQUENCES: tuple[Any, ...] = (tuple, list, collections.deque, range, type({}.keys()), type({}.values()))
_COUNTED: tuple[Any, ...] = (*_SEQUENCES, set, frozenset, array.array)


class BadResult(Exception):
    """A return value that cannot be a result; the text is a sentence. `value_text`: the value as bounded text."""

    def __init__(self, sentence: str, value_text: str) -> None:
        super().__init__(sentence)
        self.value_text = value_text


class _Unfit(Exception):
    """A value that cannot be converted; the text says why."""


def packed(value: Any, most_bytes: int) -> bytes:
    """Return `value` as a result of at most `most_bytes`. Raises BadResult."""
    try:
        if type(value) in READABLE:
            body = values.pack_value(value)
        else:
            body = values.pack_value(value, _Converter(most_bytes))
            values.unpack_value(body)  # some values can be packed but not read again, such as a list as a map's key
    except Exception as error:  # conversions run code of the values' own
        why = _why(error)
        raise BadResult(f"the result ({_name(value)}) cannot be packed: {why}", text_of(value)) from None
    if len(body) > most_bytes:
        sentence = f"the packed result has {len(body):,} bytes, more than the limit of {most_bytes:,}"
        raise BadResult(sentence, text_of(value))
    return body


def _why(error: Exception) -> str:
    if isinstance(error, OverflowError):
        return "an integer has more than 64 bits"
    if isinstance(error, UnicodeEncodeError):
        return f"text has a character that is no UTF-8: {error.object[error.start]!a}"
    if "recursion limit" in str(error):
        return "it is nested too deeply, or contains itself"
    return str(error) or type(error).__name__


def _name(value: Any) -> str:
    return str(type(value).__name__)


class _Converter:
    """A converter for msgpack's `default`, which is called for each value of a type that msgpack does not know."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes

    def __call__(self, value: Any) -> Any:
        for _ in range(8):  # such as an enumeration's member whose value is a number of numpy
            value = self._step(value)
            if type(value) in PLAIN:
                return value
        raise _Unfit(f"{_name(value)} cannot be converted to a value that can be packed")

    def _step(self, value: Any) -> Any:
        if type(value) is int:
            raise OverflowError
        if is_array(value):
            self._bound(math.prod(value.shape))
            return of_array(value)
        if isinstance(value, _COUNTED):
            self._bound(len(value))
        converted = converted_by(value)
        if converted is None:
            raise _Unfit(f"{_name(value)} is not a type that a result may contain")
        return converted[0]

    def _bound(self, items: int) -> None:
        """Check the number of items before they become objects, which take many times the memory. Each packs to at
        least a byte."""
        if items > self._most:
            raise _Unfit(f"it has {items:,} items, and the limit is {self._most:,} bytes")


def is_array(value: Any) -> bool:
    """Return True for an array or a number of numpy, or of a library that does as numpy does."""
    kind = type(value)
    return hasattr(kind, "tolist") and hasattr(kind, "dtype") and hasattr(kind, "shape")


def of_array(value: Any) -> Any:
    """Return the array's values as a list of lists, or its single value."""
    kind = getattr(value.dtype, "kind", "")
    if kind == "M":  # moments become numbers or objects, depending on their unit, so use text
        return value.astype(str).tolist()
    if kind == "m":
        return value.astype("m8[us]").tolist()
    if kind in ("f", "c") and value.dtype.itemsize > (
        8 if kind == "f" else 16
    ):  # tolist leaves long doubles as they are
        return value.astype("f8" if kind == "f" else "c16").tolist()
    return value.tolist()


def converted_by(value: Any) -> tuple[Any] | None:
    """Return the value that stands for this one, in a tuple; None if there is no rule for it."""
    for kinds, rule in _RULES:
        if isinstance(value, kinds):
            return (rule(value),)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ({field.name: getattr(value, field.name) for field in dataclasses.fields(value)},)
    if type(value).__module__ == "uuid" and _name(value) == "UUID":
        return (str(value),)
    return None


def _tuple(value: Any) -> Any:
    names = getattr(type(value), "_fields", None)
    return list(value) if names is None else dict(zip(names, value))


def _set(value: Any) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:  # its items cannot be compared
        return list(value)


def _path(value: Any) -> str:
    return os.fsdecode(os.fspath(value))


# The first match counts: an IntEnum is an Enum before it is an int, a datetime is one before it is a date.
_RULES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (enum.Enum, lambda value: value.value),
    (tuple, _tuple),
    ((set, frozenset), _set),
    ((datetime.datetime, datetime.date, datetime.time), lambda value: value.isoformat()),
    (datetime.timedelta, lambda value: value.total_seconds()),
    ((decimal.Decimal, fractions.Fraction), str),
    (complex, lambda value: [value.real, value.imag]),
    (array.array, lambda value: value.tolist()),
    (_SEQUENCES, list),
    (dict, dict),
    (str, lambda value: "".join([value])),
    ((bytes, bytearray), bytes),
    (int, lambda value: int.__int__(value)),
    (float, lambda value: float.__float__(value)),
    (os.PathLike, _path),
)


# --- descriptions of values that cannot be results ----------------------------------------------------------------


def text_of(value: Any) -> str:
    """Return `value` and its contents as text of at most SHOWN_CHARS characters, whatever its own code does."""
    left = SHOWN_CHARS
    pieces = []
    for piece in _pieces(value, SHOWN_DEEP):
        pieces.append(piece[:left])
        left -= len(piece)
        if left < 0:
            pieces.append("...")
            break
    return "".join(pieces).encode("utf-8", "backslashreplace").decode()


def _pieces(value: Any, deep: int) -> Iterator[str]:
    """Yield what `repr` would return, bit by bit, so that nobody has to make all of it."""
    try:
        inner = _inside(value)
    except Exception:
        inner = None
    if inner is None or not deep:
        yield _repr(value)
        return
    begin, items, end = inner
    yield begin
    for place, (key, item) in enumerate(items):
        yield ", " if place else ""
        if key is not None:
            yield f"{key}: "
        yield from _pieces(item, deep - 1)
    yield end


def _inside(value: Any) -> tuple[str, Iterator[tuple[str | None, Any]], str] | None:
    """Return what a container has in it, with keys if it has any; None if it is not a container."""
    if type(value) not in PLAIN:
        if is_array(value):
            value = of_array(_beginning(value))
        elif isinstance(value, (*_SEQUENCES, dict, set, frozenset)) or dataclasses.is_dataclass(value):
            found = converted_by(value)
            value = found[0] if found else value
    if isinstance(value, dict):
        return "{", ((_repr(key), item) for key, item in value.items()), "}"
    if isinstance(value, list):
        return "[", ((None, item) for item in value), "]"
    return None


def _beginning(value: Any) -> Any:
    """Return as much of an array as can be shown: as objects, its numbers take many times the memory."""
    while (size := math.prod(value.shape)) > SHOWN_CHARS:
        rows = SHOWN_CHARS * len(value) // size
        if rows:
            return value[:rows]
        value = value[0]
    return value


def _repr(value: Any) -> str:
    try:
        if isinstance(value, (str, bytes, bytearray)):
            value = value[:SHOWN_CHARS]
        elif type(value) is int and value.bit_length() > MOST_DECIMAL_BITS:
            return hex(value)[:SHOWN_CHARS]
        return "".join([repr(value)[:SHOWN_CHARS]])
    except BaseException:  # it runs the value's own code
        return f"<{_name(value)}, which cannot be shown>"
