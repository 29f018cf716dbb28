"""Values on their way to PostgreSQL, in its binary format, and the rows that come back.

Integers are bigint everywhere. A statement takes lists as arrays, so one is enough for however many rows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

NO_NUL = "\N{SYMBOL FOR NULL}".encode()  # PostgreSQL's text holds every character but NUL

Encode = Callable[[Any], "bytes | None"]


class Kind(NamedTuple):
    """A type of parameters: its object id in PostgreSQL, and how a value becomes bytes; None is NULL."""

    oid: int
    encode: Encode


def _integer(value: int | None) -> bytes | None:
    return None if value is None else struct.pack(">q", value)


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode().replace(b"\0", NO_NUL)


def _bytes(value: bytes | None) -> bytes | None:
    return value


def _boolean(value: bool | None) -> bytes | None:
    return None if value is None else b"\1" if value else b"\0"


INTEGER = Kind(20, _integer)
TEXT = Kind(25, _text)
BYTES = Kind(17, _bytes)
BOOLEAN = Kind(16, _boolean)


def _array(element: Kind) -> Encode:
    """Return the encoder of a list (src/backend/utils/adt/arrayfuncs.c, array_recv)."""
    encode, oid = element.encode, element.oid

    def encoded(values: Sequence[Any]) -> bytes:
        if not values:
            return struct.pack(">iiI", 0, 0, oid)
        parts: list[bytes] = [b""]
        nulls = 0
        for value in map(encode, values):
            if value is None:
                nulls = 1
                parts.append(b"\xff\xff\xff\xff")
            else:
                parts.append(struct.pack(">i", len(value)))
                parts.append(value)
        parts[0] = struct.pack(">iiIii", 1, nulls, oid, len(values), 1)
        return b"".join(parts)

    return encoded


def _integers(values: Sequence[Any]) -> bytes:
    if None in values or not values:
        return _any_integers(values) or b""
    each = chain.from_iterable(zip((8,) * len(values), values))
    return struct.pack(">iiIii" + "iq" * len(values), 1, 0, INTEGER.oid, len(values), 1, *each)


_any_integers = _array(INTEGER)

INTEGERS = Kind(1016, _integers)
TEXTS = Kind(1009, _array(TEXT))
BYTES_LIST = Kind(1001, _array(BYTES))
BOOLEANS = Kind(1000, _array(BOOLEAN))
LIST_OF = {INTEGER: INTEGERS, TEXT: TEXTS, BYTES: BYTES_LIST, BOOLEAN: BOOLEANS}


class Query:
    """A statement that each connection prepares when it first needs it. `kinds`: the types of its parameters."""

    count = 0

    def __init__(self, text: str, *kinds: Kind) -> None:
        Query.count += 1
        self.name = b"zjobs_%d" % Query.count
        self.text = text.encode()
        self.kinds = kinds
        self.oids = [kind.oid for kind in kinds]

    def __call__(self, *values: Any) -> Statement:
        """Return the statement with its parameters."""
        return Statement(self, [kind.encode(value) for kind, value in zip(self.kinds, values)])

    def each(self, rows: Iterable[Sequence[Any]]) -> Statement:
        """Return the statement with one list for each column of these rows."""
        return self(*zip(*rows))


class Statement(NamedTuple):
    """A query and its encoded parameters."""

    query: Query
    parameters: list[bytes | None]
