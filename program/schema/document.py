"""Access to a schema. It comes from elsewhere, so oddities in it are ignored, never raised."""

from __future__ import annotations

from typing import Any

Node = dict[str, Any]

# JSON's types, and the types of their values in msgpack. To JSON, bytes are encoded text.
TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list, tuple),
    "object": (dict,),
}
ANYTHING: Node = {}  # one object: checks are cached by their node


def node_of(value: Any) -> Node:
    """Return `value` if it is a node, else one that allows anything."""
    return value if isinstance(value, dict) else ANYTHING


def members_of(node: Node) -> list[Any]:
    """Return the values allowed, where the schema lists them."""
    return [node["const"]] if "const" in node else get(node, "enum", list)


def types_of(node: Node) -> list[str]:
    """Return the names of JSON's types that a value may have, none if it may have any."""
    names = node.get("type")
    return [name for name in (names if isinstance(names, list) else [names]) if type(name) is str and name in TYPES]


def get(node: Node, key: str, kind: type) -> Any:
    """Return the value of a keyword, an empty one if it has another type."""
    value = node.get(key)
    return value if isinstance(value, kind) else kind()


def number(node: Node, key: str) -> Any:
    """Return the number at a keyword, None if there is none."""
    value = node.get(key)
    return value if type(value) in (int, float) else None


def is_bytes(node: Node) -> bool:
    """Return True if the node means bytes: JSON has none, so they are announced as encoded text."""
    return node.get("type") == "string" and node.get("contentEncoding") == "base64"
