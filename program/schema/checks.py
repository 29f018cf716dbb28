"""Checks of values, built from the parts of a schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from zjobs.program.schema.document import ANYTHING, TYPES, Node, get, is_bytes, members_of, node_of, number, types_of
from zjobs.program.schema.wording import counted, instead, shown, wanted

Check = Callable[[Any], None]

MAX_REFERENCES = 20  # in a chain; only a circle has more


class Mismatch(ValueError):
    """A value that does not match the schema; the text is a sentence for people: where it is, and what is wrong."""

    def __init__(self, what: str, path: str = "") -> None:
        super().__init__(f"{path.lstrip('.')} {what}".lstrip())
        self.what, self.path = what, path

    def within(self, path: str) -> Mismatch:
        """Return the mismatch as seen from what contains the value."""
        return Mismatch(self.what, path + self.path)


class Checks:
    """The checks of the parts of one schema: functions that raise Mismatch. Each is built once, not for each value, and
    only when it is needed: a schema may contain itself."""

    def __init__(self, root: Node) -> None:
        self._definitions = get(root, "$defs", dict)
        self._made: dict[int, Check] = {}

    def resolved(self, part: Any) -> Node:
        """Return the node that a reference stands for. A circle of references allows anything."""
        node = node_of(part)
        for _ in range(MAX_REFERENCES):
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            node = node_of(self._definitions.get(reference.removeprefix("#/$defs/")))
        return ANYTHING

    def of(self, node: Any) -> Check:
        """Return the check of a node, built at its first use."""
        node = self.resolved(node)
        made = self._made.get(id(node))
        if made is None:
            made = self._made[id(node)] = self._make(node)
        return made

    def _make(self, node: Node) -> Check:
        by_type = self._by_type(node)
        if by_type is None:
            return _anything

        def check(value: Any) -> None:
            inner = by_type.get(type(value), _refused)
            if inner is _refused:
                inner = _of_base(value, by_type)
            if inner is _refused:
                raise Mismatch(f"must be {wanted(self.expanded(node))}, not {shown(value)}")
            if inner is not None:
                inner(value)

        return check

    def expanded(self, node: Node, depth: int = 0) -> Node:
        """Return the node with its alternatives resolved, for `wanted`."""
        alternatives = get(node, "anyOf", list)
        if not alternatives or depth == MAX_REFERENCES:
            return node
        return {**node, "anyOf": [self.expanded(self.resolved(each), depth + 1) for each in alternatives]}

    def _by_type(self, node: Node, depth: int = 0) -> dict[type, Check | None] | None:
        """Return the check for values of each type allowed, None if anything is."""
        if "anyOf" in node and depth < MAX_REFERENCES:
            return self._alternatives(node, depth)
        if members := members_of(node):
            return _one_of(node, members)
        if is_bytes(node):
            return {bytes: _bounded(node, "Length", "byte")}
        return {kind: self._check_of_type(name, node) for name in types_of(node) for kind in TYPES[name]} or None

    def _alternatives(self, node: Node, depth: int) -> dict[type, Check | None] | None:
        merged: dict[type, Check | None] = {}
        for each in get(node, "anyOf", list):
            by_type = self._by_type(self.resolved(each), depth + 1)
            if by_type is None:
                return None
            for kind, check in by_type.items():
                merged[kind] = partial(_either, merged[kind], check) if kind in merged else check
        return merged or None

    def _check_of_type(self, name: str, node: Node) -> Check | None:
        if name in ("integer", "number"):
            return _range(node)
        if name == "string":
            return _text(node)
        if name == "array":
            return self._list(node)
        return self._map(node) if name == "object" else None

    def _list(self, node: Node) -> Check | None:
        length = _bounded(node, "Items", "item")
        first = get(node, "prefixItems", list)
        rest = node.get("items", {})
        if not first and rest in ({}, True):
            return length
        checks: list[Check] = []
        checked_rest: list[Check] = []

        def check(value: Any) -> None:
            if length is not None:
                length(value)
            if not checked_rest:  # only now: it may contain itself
                checks.extend(map(self.of, first))
                checked_rest.append(self.of(rest))
            place = 0
            try:
                for place, item in enumerate(value):
                    (checks[place] if place < len(checks) else checked_rest[0])(item)
            except Mismatch as mismatch:
                raise mismatch.within(f"[{place}]") from None

        return check

    def _map(self, node: Node) -> Check:
        properties = get(node, "properties", dict)
        required = [name for name in get(node, "required", list) if type(name) is str]
        others = node.get("additionalProperties", True)
        length = _bounded(node, "Properties", "entry")

        def check(value: Any) -> None:
            if length is not None:
                length(value)
            for name in required:
                if name not in value:
                    must_be = wanted(self.expanded(self.resolved(properties.get(name))))
                    raise Mismatch(f"is missing: it must be {must_be}", f".{name}")
            for name, item in value.items():
                if name not in properties and others is False:
                    raise Mismatch(f"has no {name}{instead(name, properties)}")
                try:
                    self.of(properties.get(name, others))(item)
                except Mismatch as mismatch:
                    raise mismatch.within(f".{name}") from None

        return check


# --- single checks ----------------------------------------------------------------------------------------


def _anything(value: Any) -> None:
    pass


def _refused(value: Any) -> None:
    """Mark a type that is not allowed."""


def _of_base(value: Any, by_type: dict[type, Check | None]) -> Check | None:
    """Return the check for the base type of a derived one, as which msgpack packs it: a named tuple is a list. A
    boolean is no integer here, although it is one to Python."""
    bases = () if type(value) is bool else type(value).__mro__
    return next((by_type[base] for base in bases if base in by_type), _refused)


def _either(one: Check | None, other: Check | None, value: Any) -> None:
    """Check by two alternatives for values of the same type. If neither accepts the value, raise the second one's
    mistake."""
    if one is None or other is None:
        return
    try:
        one(value)
    except Mismatch:
        other(value)


def _one_of(node: Node, members: list[Any]) -> dict[type, Check | None]:
    def check(value: Any) -> None:
        if not any(type(member) is type(value) and member == value for member in members):
            raise Mismatch(f"must be {wanted(node)}, not {shown(value)}")

    return {type(member): check for member in members}


def _range(node: Node) -> Check | None:
    low, above = number(node, "minimum"), number(node, "exclusiveMinimum")
    high, below = number(node, "maximum"), number(node, "exclusiveMaximum")
    multiple = number(node, "multipleOf")
    if low is above is high is below is multiple is None:
        return None

    def check(value: Any) -> None:
        if (
            (low is not None and not value >= low)
            or (high is not None and not value <= high)
            or (above is not None and not value > above)
            or (below is not None and not value < below)
            or (multiple and value % multiple)
        ):
            raise Mismatch(f"must be {wanted(node)}, not {shown(value)}")

    return check


def _text(node: Node) -> Check | None:
    length = _bounded(node, "Length", "character")
    pattern = node.get("pattern")
    try:
        found = re.compile(pattern).search if isinstance(pattern, str) else None
    except re.error:
        found = None
    if found is None:
        return length

    def check(value: Any) -> None:
        if length is not None:
            length(value)
        if not found(value):
            raise Mismatch(f"must be {wanted(node)}, not {shown(value)}")

    return check


def _bounded(node: Node, what: str, unit: str) -> Check | None:
    low, high = number(node, f"min{what}"), number(node, f"max{what}")
    if low is None and high is None:
        return None

    def check(value: Any) -> None:
        size = len(value)
        if (low is not None and size < low) or (high is not None and size > high):
            raise Mismatch(f"must be {wanted(node)}, not of {counted(size, unit)}")

    return check
