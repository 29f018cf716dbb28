"""A job's data and result as JSON, by these rules; docs/http.md tells them to users.

- Bytes are text in base64, as `contentEncoding` says in a schema. In data, such text becomes bytes where the schema of
  the type takes bytes and no text.
- Integers are written in full, however large.
- A number that JSON does not have is the text `NaN`, `Infinity` or `-Infinity`.
- A key of a map that is no text is written as its JSON would be. A map that would lose a key by that is `NotJson`.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import msgspec

from zjobs.client.protocol.arguments import check_data
from zjobs.client.protocol.job import NO_DATA
from zjobs.program.schema.checks import Mismatch
from zjobs.program.schema.document import Node, is_bytes, types_of
from zjobs.program.schema.parameters import Parameters, alternatives

_SCALARS = (str, bool, type(None), int)


class NotJson(ValueError):
    """A value is msgpack's and cannot be JSON's."""


def to_json(value: Any) -> bytes:
    """Return the JSON of a value. Raises NotJson."""
    try:
        return msgspec.json.encode(_plain(value))
    except RecursionError:
        raise NotJson("it is nested too deeply for JSON") from None


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is float:
        return value if math.isfinite(value) else _not_finite(value)
    if kind is bytes:
        return base64.b64encode(value).decode()
    if kind is dict:
        plain = {_key(key): _plain(each) for key, each in value.items()}
        if len(plain) < len(value):
            raise NotJson("two keys of a map would be one in JSON")
        return plain
    return [_plain(each) for each in value]


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _key(key: Any) -> str:
    plain = _plain(key)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def is_small(value: Any) -> bool:
    """Return True if its JSON is made at once: a larger one would keep others waiting."""
    return type(value) in _SCALARS or type(value) is float or (type(value) in (list, dict) and len(value) < 100)


# --- data ------------------------------------------------------------------------------------------------


def from_json(given: Any, parameters: Parameters | None) -> Any:
    """Return the data that was meant. Raises Mismatch when the type cannot take it."""
    data = given
    if parameters is not None and given is not NO_DATA:
        if isinstance(given, dict):
            data = {name: _meant(parameters, parameters.node(name), each, name) for name, each in given.items()}
        elif parameters.first is not None:
            data = _meant(parameters, parameters.node(parameters.first), given, parameters.first)
    check_data(data, parameters)
    return data


def _meant(parameters: Parameters, node: Node, value: Any, path: str) -> Any:
    """Return the value of JSON that is to be of the kind `node`, with bytes where it accepts them."""
    if isinstance(value, str):
        return _bytes_of(value, path) if _takes_bytes(parameters, node) else value
    if isinstance(value, list):
        items = _way(parameters, node, "array").get("items")
        return [_meant(parameters, parameters.resolved(items), each, f"{path}[{n}]") for n, each in enumerate(value)]
    if isinstance(value, dict):
        inside = _way(parameters, node, "object").get("properties")
        nodes = inside if isinstance(inside, dict) else {}
        return {
            name: _meant(parameters, parameters.resolved(nodes.get(name)), each, f"{path}.{name}")
            for name, each in value.items()
        }
    return value


def _way(parameters: Parameters, node: Node, kind: str) -> Node:
    """Return the first alternative of `node` that is of this type, an empty one if there is none."""
    return next((way for way in alternatives(parameters, node) if kind in types_of(way)), {})


def _takes_bytes(parameters: Parameters, node: Node) -> bool:
    ways = list(alternatives(parameters, node))
    return any(map(is_bytes, ways)) and not any("string" in types_of(way) for way in ways if not is_bytes(way))


def _bytes_of(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Mismatch("must be bytes in base64", path) from None
