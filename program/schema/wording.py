"""Wording of what a schema requires, and of what a value is instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zjobs.program.schema.document import Node, get, is_bytes, members_of, node_of, number, types_of

MAX_SHOWN_CHARS = 60
MAX_NAMED = 10
_PEOPLE_SAY = {
    "null": "null",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "a map",
}
_FORMATS = {
    "date-time": "a moment as text (ISO 8601)",
    "date": "a date as text (ISO 8601)",
    "time": "a time as text (ISO 8601)",
    "duration": "a duration as text (ISO 8601)",
    "uuid": "a UUID as text",
    "decimal": "a number as text",
}


def wanted(node: Node) -> str:
    """Return what a value must be, in words: "an integer from 1 to 10", "'a' or 'b'", "a list or null"."""
    if "anyOf" in node:
        return _either_of(dict.fromkeys(map(wanted, map(node_of, get(node, "anyOf", list)))))
    if members := members_of(node):
        return _either_of(map(shown, members))
    if is_bytes(node):
        return "bytes" + _bounds(node, "Length", "byte")
    return _either_of([_wanted(name, node) for name in types_of(node)] or ["anything"])


def _wanted(name: str, node: Node) -> str:
    phrase = _PEOPLE_SAY[name]
    if name in ("integer", "number"):
        return phrase + _limits(node)
    if name == "string":
        pattern = node.get("pattern")
        phrase = _FORMATS.get(str(node.get("format")), phrase) + _bounds(node, "Length", "character")
        return phrase + (f" that matches {pattern}" if pattern else "")
    if name == "array":
        return phrase + _bounds(node, "Items", "item")
    return phrase + (_bounds(node, "Properties", "entry") if name == "object" else "")


def _limits(node: Node) -> str:
    low, above = number(node, "minimum"), number(node, "exclusiveMinimum")
    high, below = number(node, "maximum"), number(node, "exclusiveMaximum")
    multiple = number(node, "multipleOf")
    span = f" from {low} to {high}" if low is not None and high is not None else ""
    bounds = {"at least": None if span else low, "at most": None if span else high, "more than": above}
    bounds |= {"less than": below, "a multiple of": multiple}
    return span + "".join(f", {words} {limit}" for words, limit in bounds.items() if limit is not None)


def _bounds(node: Node, what: str, unit: str) -> str:
    low, high = number(node, f"min{what}"), number(node, f"max{what}")
    if low is None and high is None:
        return ""
    if low is not None and high is not None:
        return f" of {counted(low, unit)}" if low == high else f" of {low} to {counted(high, unit)}"
    return f" of at least {counted(low, unit)}" if high is None else f" of at most {counted(high, unit)}"


def counted(count: Any, unit: str) -> str:
    """Return a number of things: "1 item", "2 items"."""
    plural = "entries" if unit == "entry" else f"{unit}s"
    return f"{count} {unit if count == 1 else plural}"


def shown(value: Any) -> str:
    """Return a value for a sentence: always short."""
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) in (list, tuple):
        return "a list"
    if type(value) is dict:
        return "a map"
    if type(value) is bytes:
        return "bytes"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"


def _either_of(choices: Iterable[str]) -> str:
    words = list(choices)
    if len(words) > MAX_NAMED:
        return f"one of {', '.join(words[:MAX_NAMED])}, … ({len(words)} in all)"
    *before, last = words or ["nothing"]
    return f"{', '.join(before)} or {last}" if before else last


def instead(name: object, names: Iterable[str]) -> str:
    """Return the end of a sentence about a name that does not exist: the nearest name, or all."""
    from zjobs.program.cli.options import nearest  # only after a mistake: it imports the whole command line

    near = nearest(name, names) if type(name) is str else None
    if near:
        return f"; did you mean {near}?"
    some = list(names)[:MAX_NAMED]
    return f"; there is {', '.join(some)}" if some else ""
