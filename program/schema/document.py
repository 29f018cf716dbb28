"""Reads a schema. It comes from elsewhere, so what is odd about it is passed over, never raised."""

from __future__ import annotations

from typing import Any

Node = dict[str, Any]

# The names of JSON's types, and what a value of each is in msgpack. bytes are text that is encoded, to JSON.
TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list, tuple),
    "object": (dict,),
}
ANYTHING: Node = {}  # one object: checks are remembered by the node they are of


def node_of(value: Any) -> Node:
    """Return the node that `value` is; one that says nothing if it is none."""
    return value if isinstance(value, dict) else ANYTHING


def members_of(node: Node) -> list[Any]:
    """The values that may be, where those are listed."""
    return [node["const"]] if "const" in node else get(node, "enum", list)


def types_of(node: Node) -> list[str]:
    """The names of JSON's types that a value may have; none: any."""
    names = node.get("type")
    return [name for name in (names if isinstance(names, list) else [names]) if type(name) is str and name in TYPES]


def get(node: Node, key: str, kind: type) -> Any:
    """Return the value of a keyword; an empty one if it is of another type."""
    value = node.get(key)
    return value if isinstance(value, kind) else kind()


def number(node: Node, key: str) -> Any:
    """Return the number at a keyword, None if there is none."""
    value = node.get(key)
    return value if type(value) in (int, float) else None


def is_bytes(node: Node) -> bool:
    """JSON has no bytes: they are announced as the text that they would be there."""
    return node.get("type") == "string" and node.get("contentEncoding") == "base64"
