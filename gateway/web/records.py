"""Messages as JSON, and the JSON Schema of each: both follow from the fields of the message's class."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from zjobs.messages.fields import MAX_ID, Chars, Integer, Items, Real

Schema = dict[str, Any]


def plain(value: Any) -> Any:
    """Return a message or record with maps in the place of records."""
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        if names is None:
            return [plain(each) for each in value]
        return {name: plain(each) if isinstance(each, tuple) else each for name, each in zip(names, value)}
    return value


def encode(value: Any) -> bytes:
    """Return the JSON of a message or record."""
    return msgspec.json.encode(plain(value))


# --- schemas ---------------------------------------------------------------------------------------------


def reference(kind: type) -> Schema:
    """Return the reference to the schema of a class."""
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def schemas_of(*kinds: Any) -> dict[str, Schema]:
    """Return the schemas of these classes and of those in their fields, by name."""
    found: dict[str, Schema] = {}
    left = list(kinds)
    while left:
        kind = left.pop()
        if kind.__name__ not in found:
            found[kind.__name__] = _schema_of_class(kind)
            left += _classes_in(kind)
    return found


def _schema_of_class(kind: Any) -> Schema:
    about = " ".join((kind.__doc__ or "").split())
    if issubclass(kind, Enum):
        return {"type": "string", "enum": [member.value for member in kind], "description": about}
    properties = {name: _schema(annotation) for name, annotation in _fields(kind).items()}
    return {"type": "object", "properties": properties, "required": list(properties), "description": about}


def _classes_in(kind: Any) -> Iterator[Any]:
    if hasattr(kind, "_fields"):
        for annotation in _fields(kind).values():
            yield from _classes(annotation)


def _fields(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _classes(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type) and (hasattr(annotation, "_fields") or issubclass(annotation, Enum)):
        yield annotation
    for each in get_args(annotation):
        yield from _classes(each)


def _schema(annotation: Any) -> Schema:
    origin = get_origin(annotation)
    if origin is Annotated:
        kind, bounds = get_args(annotation)
        return _bounded(kind, bounds)
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(each) for each in get_args(annotation)]}
    if origin is tuple:
        return {"type": "array", "items": _schema(get_args(annotation)[0])}
    if annotation is type(None):
        return {"type": "null"}
    if annotation is bool:
        return {"type": "boolean"}
    if annotation is bytes:
        return {"type": "string", "contentEncoding": "base64"}
    return reference(annotation)


def _bounded(kind: Any, bounds: Any) -> Schema:
    if isinstance(bounds, Integer):
        at_most = {} if bounds.high == MAX_ID else {"maximum": bounds.high}
        return {"type": "integer", "minimum": bounds.low, **at_most}
    if isinstance(bounds, Real):
        return {"type": "number", "minimum": bounds.low, "maximum": bounds.high}
    if isinstance(bounds, Chars):
        return {"type": "string", "minLength": bounds.low, "maxLength": bounds.high}
    if isinstance(bounds, Items):
        return {"type": "array", "items": _schema(get_args(kind)[0]), "minItems": bounds.low, "maxItems": bounds.high}
    raise TypeError(f"{bounds} has no JSON Schema")
