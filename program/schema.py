"""What a task takes: the JSON Schema of its parameters, as its worker announces it, and checks of data by it.

The worker checks before it calls a task and a client before it sends, both with this code: what a client lets through
the worker takes, and a mistake is told in the same words, whoever finds it. docs/protocol.md (*Schemas*) has the
keywords that are looked at; others say nothing here. A schema comes from elsewhere, so what is odd about it is passed
over, never raised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

Node = dict[str, Any]
Check = Callable[[Any], None]

MAX_REFERENCES = 20  # of one to the next; only a circle has more
MAX_SHOWN_CHARS = 60
MAX_NAMED = 10

# The names of JSON's types, and what a value of each is in msgpack. bytes are text that is encoded, to JSON.
_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list, tuple),
    "object": (dict,),
}
_PEOPLE_SAY = {
    "null": "null",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "a map",
}
_ANYTHING: Node = {}  # one object: checks are remembered by the node they are of
_FORMATS = {
    "date-time": "a moment as text (ISO 8601)",
    "date": "a date as text (ISO 8601)",
    "time": "a time as text (ISO 8601)",
    "duration": "a duration as text (ISO 8601)",
    "uuid": "a UUID as text",
    "decimal": "a number as text",
}


class Mismatch(ValueError):
    """A value is not what the schema says; the text is a sentence for people: where it is, and what is wrong there."""

    def __init__(self, what: str, path: str = "") -> None:
        super().__init__(f"{path.lstrip('.')} {what}".lstrip())
        self.what, self.path = what, path

    def within(self, path: str) -> Mismatch:
        """The same, as seen from what contains it."""
        return Mismatch(self.what, path + self.path)


class Parameters:
    """The parameters of a task: `properties` has the schema of each by name, in order."""

    def __init__(self, schema: Node) -> None:
        self.schema = schema
        self.properties: dict[str, Node] = {
            name: _node(each) for name, each in _get(schema, "properties", dict).items()
        }
        self.required = [name for name in self.properties if name in _get(schema, "required", list)]
        self.takes_others = schema.get("additionalProperties", True) is not False
        self._checks = Checks(schema)
        self._check_of: dict[str, Check] = {}

    @property
    def first(self) -> str | None:
        """The parameter that data which is no map is for."""
        return next(iter(self.properties), None)

    def node(self, name: str) -> Node:
        """What a parameter may be, with references resolved."""
        return self._checks.resolved(self.properties.get(name, {}))

    def resolved(self, node: Any) -> Node:
        """Return the node that `node` refers to, or `node` itself."""
        return self._checks.resolved(node)

    def check(self, values: dict[str, Any]) -> None:
        """Raises Mismatch unless a task can be called with these."""
        for name in values:
            if name not in self.properties and not self.takes_others:
                raise Mismatch(self.no_such(name))
        for name in self.required:
            if name not in values:
                raise Mismatch(f"is missing: it must be {wanted(self.node(name))}", name)
        for name, value in values.items():
            self.check_one(name, value)

    def check_one(self, name: str, value: Any) -> None:
        """Raises Mismatch unless `value` may be this parameter's."""
        check = self._check_of.get(name)
        if check is None:
            check = self._check_of[name] = self._checks.of(self.properties.get(name, {}))
        try:
            check(value)
        except Mismatch as mismatch:
            raise mismatch.within(name) from None
        except RecursionError:
            raise Mismatch("is nested too deeply", name) from None

    def no_such(self, name: object) -> str:
        """Says that there is no such parameter."""
        return f"there is no parameter {name}{_instead(name, self.properties)}"


class Checks:
    """Makes checks of the parts of one schema: functions that raise Mismatch. Each part is looked at once, not for
    each value, and not before it is needed: a schema may contain itself."""

    def __init__(self, root: Node) -> None:
        self._definitions = _get(root, "$defs", dict)
        self._made: dict[int, Check] = {}

    def resolved(self, part: Any) -> Node:
        """What a node stands for; one that refers to itself says nothing."""
        node = _node(part)
        for _ in range(MAX_REFERENCES):
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            node = _node(self._definitions.get(reference.removeprefix("#/$defs/")))
        return _ANYTHING

    def of(self, node: Any) -> Check:
        """Return the check of a node, made at its first use."""
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
        """The node with its alternatives resolved, as `wanted` likes it."""
        alternatives = _get(node, "anyOf", list)
        if not alternatives or depth == MAX_REFERENCES:
            return node
        return {**node, "anyOf": [self.expanded(self.resolved(each), depth + 1) for each in alternatives]}

    def _by_type(self, node: Node, depth: int = 0) -> dict[type, Check | None] | None:
        """What is to be checked of a value of each type that may be; None: anything may be."""
        if "anyOf" in node and depth < MAX_REFERENCES:
            return self._alternatives(node, depth)
        if members := members_of(node):
            return _one_of(node, members)
        if is_bytes(node):
            return {bytes: _bounded(node, "Length", "byte")}
        return {kind: self._check_of_type(name, node) for name in types_of(node) for kind in _TYPES[name]} or None

    def _alternatives(self, node: Node, depth: int) -> dict[type, Check | None] | None:
        merged: dict[type, Check | None] = {}
        for each in _get(node, "anyOf", list):
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
        first = _get(node, "prefixItems", list)
        rest = node.get("items", {})
        if not first and rest in ({}, True):
            return length
        checks: list[Check] = []
        checked_rest: list[Check] = []

        def check(value: Any) -> None:
            if length is not None:
                length(value)
            if not checked_rest:  # now: it may contain itself
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
        properties = _get(node, "properties", dict)
        required = [name for name in _get(node, "required", list) if type(name) is str]
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
                    raise Mismatch(f"has no {name}{_instead(name, properties)}")
                try:
                    self.of(properties.get(name, others))(item)
                except Mismatch as mismatch:
                    raise mismatch.within(f".{name}") from None

        return check


# --- what people read -------------------------------------------------------------------------------------


def wanted(node: Node) -> str:
    """What a value must be, in words: "an integer from 1 to 10", "'a' or 'b'", "a list or null"."""
    if "anyOf" in node:
        return _either_of(dict.fromkeys(map(wanted, map(_node, _get(node, "anyOf", list)))))
    if members := members_of(node):
        return _either_of(map(shown, members))
    if is_bytes(node):
        return "bytes" + _bounds(node, "Length", "byte")
    return _either_of([_wanted(name, node) for name in types_of(node)] or ["anything"])


def _wanted(name: str, node: Node) -> str:
    said = _PEOPLE_SAY[name]
    if name in ("integer", "number"):
        return said + _limits(node)
    if name == "string":
        pattern = node.get("pattern")
        said = _FORMATS.get(str(node.get("format")), said) + _bounds(node, "Length", "character")
        return said + (f" that matches {pattern}" if pattern else "")
    if name == "array":
        return said + _bounds(node, "Items", "item")
    return said + (_bounds(node, "Properties", "entry") if name == "object" else "")


def _limits(node: Node) -> str:
    low, above = _number(node, "minimum"), _number(node, "exclusiveMinimum")
    high, below = _number(node, "maximum"), _number(node, "exclusiveMaximum")
    multiple = _number(node, "multipleOf")
    span = f" from {low} to {high}" if low is not None and high is not None else ""
    said = {"at least": None if span else low, "at most": None if span else high, "more than": above}
    said |= {"less than": below, "a multiple of": multiple}
    return span + "".join(f", {words} {limit}" for words, limit in said.items() if limit is not None)


def _bounds(node: Node, what: str, unit: str) -> str:
    low, high = _number(node, f"min{what}"), _number(node, f"max{what}")
    if low is None and high is None:
        return ""
    if low is not None and high is not None:
        return f" of {_counted(low, unit)}" if low == high else f" of {low} to {_counted(high, unit)}"
    return f" of at least {_counted(low, unit)}" if high is None else f" of at most {_counted(high, unit)}"


def _counted(number: Any, unit: str) -> str:
    plural = "entries" if unit == "entry" else f"{unit}s"
    return f"{number} {unit if number == 1 else plural}"


def shown(value: Any) -> str:
    """A value for a sentence: short, whatever it is."""
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) in (list, tuple):
        return "a list"
    if type(value) is dict:
        return "a map"
    if type(value) is bytes:
        return "bytes"
    said = repr(value)
    return said if len(said) <= MAX_SHOWN_CHARS else f"{said[: MAX_SHOWN_CHARS - 1]}…"


def _either_of(said: Iterable[str]) -> str:
    words = list(said)
    if len(words) > MAX_NAMED:
        return f"one of {', '.join(words[:MAX_NAMED])}, … ({len(words)} in all)"
    *before, last = words or ["nothing"]
    return f"{', '.join(before)} or {last}" if before else last


def _instead(name: object, names: Iterable[str]) -> str:
    """What else there is, for a name that there is not."""
    from zjobs.program.cli.options import nearest  # only for a mistake: it comes with the whole command line

    near = nearest(name, names) if type(name) is str else None
    if near:
        return f"; did you mean {near}?"
    known = list(names)[:MAX_NAMED]
    return f"; there is {', '.join(known)}" if known else ""


# --- single checks ----------------------------------------------------------------------------------------


def is_bytes(node: Node) -> bool:
    """JSON has no bytes: they are announced as the text that they would be there."""
    return node.get("type") == "string" and node.get("contentEncoding") == "base64"


def _anything(value: Any) -> None:
    pass


def _refused(value: Any) -> None:
    """Stands for the check of a type that may not be."""


def _of_base(value: Any, by_type: dict[type, Check | None]) -> Check | None:
    """msgpack packs what is derived from a type as that type, a client's named tuple as a list. True is an int to
    Python, but hardly what somebody meant by one."""
    bases = () if type(value) is bool else type(value).__mro__
    return next((by_type[base] for base in bases if base in by_type), _refused)


def _either(one: Check | None, other: Check | None, value: Any) -> None:
    """Of two alternatives for values of the same type, the first that takes it; else the last one's mistake."""
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
    low, above = _number(node, "minimum"), _number(node, "exclusiveMinimum")
    high, below = _number(node, "maximum"), _number(node, "exclusiveMaximum")
    multiple = _number(node, "multipleOf")
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
    low, high = _number(node, f"min{what}"), _number(node, f"max{what}")
    if low is None and high is None:
        return None

    def check(value: Any) -> None:
        size = len(value)
        if (low is not None and size < low) or (high is not None and size > high):
            raise Mismatch(f"must be {wanted(node)}, not of {_counted(size, unit)}")

    return check


# --- a document that comes from elsewhere -----------------------------------------------------------------


def _node(value: Any) -> Node:
    return value if isinstance(value, dict) else _ANYTHING


def members_of(node: Node) -> list[Any]:
    """The values that may be, where those are listed."""
    return [node["const"]] if "const" in node else _get(node, "enum", list)


def types_of(node: Node) -> list[str]:
    """The names of JSON's types that a value may have; none: any."""
    names = node.get("type")
    return [name for name in (names if isinstance(names, list) else [names]) if type(name) is str and name in _TYPES]


def _get(node: Node, key: str, kind: type) -> Any:
    value = node.get(key)
    return value if isinstance(value, kind) else kind()


def _number(node: Node, key: str) -> Any:
    value = node.get(key)
    return value if type(value) in (int, float) else None


def alternatives(parameters: Parameters, node: Any) -> Iterator[Node]:
    """The ways in which a value may be what `node` says: one, or each alternative."""
    node = parameters.resolved(node)
    for each in _get(node, "anyOf", list) or [node]:
        yield parameters.resolved(each)
